//! What keys stand on: their directories, and the library's own nodes.

use std::collections::BTreeSet;

use kvdb_core::Result;
use zookeeper::{Acl, Acls, Client, CreateMode, Error as Cause};

use crate::error::{Call, explain};
use crate::path;

/// Makes the directories that these nodes lie in, which are containers that the servers remove when they have become
/// empty, and those of the nodes that are the library's own and stay. All are asked for at once. One whose directory
/// vanishes meanwhile is no error: the caller tries again.
///
/// # Errors
/// `PermissionDenied`, also when it is a directory above that may not be made.
pub(crate) async fn make(client: &Client, leaves: &[&str], own: &[&str], acl: &[Acl]) -> Result<()> {
    let mut directories = BTreeSet::new();
    for node in leaves.iter().chain(own) {
        let mut directory = path::parent(node);
        while directory != "/" && directories.insert(directory) {
            directory = path::parent(directory);
        }
    }
    let (container, stays) =
        (CreateMode::Container.with_acls(Acls::new(acl)), CreateMode::Persistent.with_acls(Acls::new(acl)));
    // A directory sorts before all below it.
    let wanted = directories.into_iter().map(|path| (path, &container)).chain(own.iter().map(|path| (*path, &stays)));
    let requests: Vec<_> = wanted.map(|(path, options)| (path, client.create(path, b"", options))).collect();
    let (mut denied, mut failed) = (None, None);
    let mut refused: Vec<&str> = Vec::new();
    for (path, request) in requests {
        match request.await {
            Ok(_) | Err(Cause::NodeExists) => {
                // Who may not make a directory may still use one that is there.
                refused.retain(|above| path::parent(path) != *above);
            }
            Err(Cause::NoAuth) => {
                denied = Some(Cause::NoAuth);
                refused.push(path);
            }
            Err(Cause::NoNode) => {}
            Err(cause) => failed = failed.or(Some(cause)),
        }
    }
    match failed.or(denied.filter(|_| !refused.is_empty())) {
        Some(cause) => Err(explain(Call::Read, cause)),
        None => Ok(()),
    }
}
