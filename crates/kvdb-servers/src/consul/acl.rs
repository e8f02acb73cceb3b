//! Tokens, and what they allow.

use super::Consul;
use super::member::json_text;
use serde_json::json;
use std::io;

impl Consul {
    /// The master token, if who has none may do nothing.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Makes a token that may write the keys below `prefix`, and sessions, and nothing else; answers its secret.
    ///
    /// # Errors
    /// If it is refused, as without [`ConsulSetup::acl`](super::ConsulSetup::acl).
    pub fn token_for_prefix(&self, prefix: &str) -> io::Result<String> {
        let key = serde_json::to_string(prefix).map_err(io::Error::other)?;
        self.token_with(&format!(
            "key_prefix {key} {{ policy = \"write\" }} session_prefix \"\" {{ policy = \"write\" }}"
        ))
    }

    /// Makes a token with these rules, in Consul's policy language; answers its secret.
    ///
    /// # Errors
    /// If it is refused, as without [`ConsulSetup::acl`](super::ConsulSetup::acl).
    pub fn token_with(&self, rules: &str) -> io::Result<String> {
        let name = format!("policy-{:016x}", rand::random::<u64>());
        self.must("PUT", "/v1/acl/policy", json!({"Name": name, "Rules": rules}).to_string().as_bytes())?;
        let made = self.must("PUT", "/v1/acl/token", json!({"Policies": [{"Name": name}]}).to_string().as_bytes())?;
        json_text(&made, "SecretID").ok_or_else(|| io::Error::other("a token without a SecretID"))
    }
}

/// A random UUID (version 4), the form that Consul wants a token in.
pub(super) fn uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let mut text = String::new();
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_has_its_form() {
        let uuid = super::uuid();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }
}
