//! The etcd helpers of code-server, one after the other: see [`ABOUT`].
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod arguments;

use std::process::ExitCode;
use std::string::FromUtf8Error;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb_compat::code_server::{Snapshot, new_persistent_lease, wait_for, watch_prefix};

const ABOUT: &str = "What code-server's etcd package is for: servers that register themselves under a lease, and a \
                     view of all of them that follows every change, with `kvdb_compat::code_server`.";

#[tokio::main]
async fn main() -> ExitCode {
    let uri = match arguments::store(ABOUT) {
        Ok(uri) => uri,
        Err(code) => return code,
    };
    arguments::ended(cluster(&uri).await)
}

async fn cluster(uri: &str) -> kvdb::Result<()> {
    let client = kvdb::connect(uri).await?;

    // The first snapshot comes at once, even of an empty tree.
    let mut servers = watch_prefix(&client, "servers", transform)?;
    let first = until(&mut servers, Vec::is_empty).await?;
    println!("At first: {first:?}");

    // A server registers its presence. It is gone within the TTL when its process is.
    let lease = new_persistent_lease(&client, "servers/a", "10.0.0.1", Duration::from_secs(10)).await?;
    wait_for(&client, lease.key(), true).await?;
    println!("Registered: {:?}", until(&mut servers, |tree| tree.len() == 1).await?);

    // The key is put back when others delete it.
    client.delete(lease.key()).await?;
    wait_for(&client, lease.key(), true).await?;
    println!("Deleted by somebody, it is back.");

    lease.set_value("10.0.0.2")?;
    println!("Moved: {:?}", until(&mut servers, |tree| tree.iter().any(|(_, at)| at == "10.0.0.2")).await?);

    lease.close().await?;
    wait_for(&client, lease.key(), false).await?;
    println!("Closed: {:?}", until(&mut servers, Vec::is_empty).await?);
    client.close().await
}

/// A server's name and address from its key and value.
fn transform(key: &[u8], value: &[u8]) -> Result<(String, String), FromUtf8Error> {
    let key = String::from_utf8(key.to_vec())?;
    Ok((key.trim_start_matches("servers/").to_owned(), String::from_utf8(value.to_vec())?))
}

type Tree = Vec<(String, String)>;

/// The first snapshot whose tree is as wanted: of several changes in a row only the last state may be told.
async fn until(
    servers: &mut kvdb::recipes::PrefixWatch<String, String>,
    wanted: impl Fn(&Tree) -> bool,
) -> kvdb::Result<Tree> {
    while let Some(snapshot) = servers.next().await {
        let snapshot: Snapshot<String, String> = snapshot?;
        let tree: Tree = snapshot.tree.into_iter().collect();
        if wanted(&tree) {
            return Ok(tree);
        }
    }
    Err(kvdb::Error::new(kvdb::ErrorKind::WatchStopped, "the snapshots have ended"))
}
