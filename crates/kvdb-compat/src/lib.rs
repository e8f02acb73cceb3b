//! The interfaces of Go libraries that `kvdb` takes the place of, so that a port is a change of imports.
//!
//! | Go package | here |
//! |---|---|
//! | `github.com/Cray-HPE/hms-hmetcd` | [`hmetcd`] |
//! | `github.com/laincloud/lainlet/store` | [`libkv`] |
//! | the `etcd` package of code-server | [`code_server`] |
//! | `github.com/portworx/kvdb` | `kvdb::portworx`, in the facade itself |
//!
//! Names are the Go ones in `snake_case` where Rust's rules ask for it, arguments keep their order, and results their
//! shape; every call is async, and every error is a [`kvdb::Error`]. Each module says where it differs from the Go
//! package, and why. What they all share are the contract's rules for keys: UTF-8 text, segments joined by `/`,
//! without a slash at the start, at the end or twice in a row (`/a//b/` is `a/b`, and comes back so); the segment
//! `_kvdb` is the library's own.

pub mod code_server;
pub mod hmetcd;
pub mod libkv;

/// What a value is as text.
fn text(key: &str, value: &[u8]) -> kvdb::Result<String> {
    std::str::from_utf8(value).map(str::to_owned).map_err(|source| {
        kvdb::Error::new(kvdb::ErrorKind::Serialization, "the value is not text").with_key(key).with_source(source)
    })
}

/// A name without the slashes that a key does not keep, as pairs and lists have it.
fn plain(name: &str) -> String {
    name.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}
