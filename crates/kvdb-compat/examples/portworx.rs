//! The README of `github.com/portworx/kvdb`, line by line: see [`ABOUT`].
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use kvdb::portworx::*;
use serde::{Deserialize, Serialize};

const ABOUT: &str = "The program of portworx/kvdb's README: a struct is put below a base path and read back, with \
                     `kvdb::portworx`.";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct A {
    a1: String,
    a2: i32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let uri = match arguments::store(ABOUT) {
        Ok(uri) => uri,
        Err(code) => return code,
    };
    arguments::ended(program(&uri).await)
}

async fn get_kvdb(
    kvdb_name: &str,              // one of the kv store implementation names
    base_path: &str,              // the path under which all the keys will be created by this kv instance
    discovery_endpoints: &[&str], // a list of kv store endpoints
    options: Options,             // options that need to be passed to the kv store
    panic_handler: FatalErrorCB,  // called when something breaks that no call can report
) -> Result<Handle> {
    new(kvdb_name, base_path, discovery_endpoints, options, Some(panic_handler)).await
}

async fn program(uri: &str) -> Result<()> {
    let (name, endpoints) = arguments::name_and_addresses(uri);
    let kv = get_kvdb(name, "root/", &endpoints, Options::new(), Arc::new(|error| eprintln!("{error}"))).await?;

    // Put a key value pair foo={bar 1}.
    let a = A { a1: "bar".to_owned(), a2: 1 };
    let pair = kv.put("foo", Value::json(&a), 0).await?;
    println!("Put {} below {}", pair.key, kv.info().domain);

    // Get a key.
    let mut value = A::default();
    kv.get_val("foo", &mut value).await?;
    println!("Got {value:?}");

    kv.delete("foo").await?;
    kv.close().await
}
