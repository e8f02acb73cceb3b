//! Who may do what with the nodes that are made.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kvdb_core::Secret;
use zookeeper::{Acl, AuthId, Permission};

/// The scheme of users with a password.
pub(crate) const SCHEME: &str = "digest";

/// What a session says of itself.
pub(crate) fn credentials(name: &str, password: &Secret) -> Vec<u8> {
    format!("{name}:{}", password.reveal()).into_bytes()
}

/// Everything to the user and nothing to anybody else; everything to everybody without a user.
///
/// The user is named by its digest, not by the scheme `auth`: that stands for all a session has proved, and so for
/// everybody with the same certificate too.
pub(crate) fn of(user: Option<(&str, &Secret)>) -> Vec<Acl> {
    let who = match user {
        Some((name, password)) => AuthId::new(SCHEME, &identity(name, password)),
        None => AuthId::anyone(),
    };
    vec![Acl::new(Permission::ALL, who)]
}

/// The name and the digest of both, as ZooKeeper keeps them.
fn identity(name: &str, password: &Secret) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &credentials(name, password));
    format!("{name}:{}", STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_zookeeper_names_it() {
        // By ZooKeeper's own DigestAuthenticationProvider.
        assert_eq!(identity("user", &Secret::new("pw")), "user:2Om+GBbT2q/tS6pdvACZbbm7/1A=");
        let acl = of(Some(("user", &Secret::new("pw"))));
        assert_eq!(
            acl.iter().map(|acl| (acl.scheme(), acl.permission())).collect::<Vec<_>>(),
            [("digest", Permission::ALL)]
        );
        assert_eq!(of(None).iter().map(Acl::id).collect::<Vec<_>>(), ["anyone"]);
    }
}
