use kvdb::Result;

use super::{Kvi, KviOptions};

/// The name of the memory store that every `mem:` shares.
const SHARED: &str = "hmetcd";

/// Opens a store.
///
/// `mem:` is one store in memory for the whole process: every handle sees what the others write, and it is there after
/// the last one is closed; `mem:name` is another such store for each name. `http://host:port`, `https://host:port` and
/// `host:port` are etcd at that address, as the Go package has them. Anything else is a URI of [`kvdb::connect`], such
/// as `etcd://h1,h2/app`, `consul://h1/app` or `redb:app.redb`. Unlike there, opening is an error if the store is out
/// of reach.
///
/// `options` is the Go package's text (see [`KviOptions`]), empty for none, or the typed form.
///
/// # Errors
/// `UnknownBackend` naming the cargo feature that adds it; `InvalidConfig` for a URI or options that make no sense;
/// what the store itself answers.
///
/// # Cancel safety
/// A dropped future opens nothing, or what it opened is closed again.
pub async fn open(endpoint: &str, options: impl Into<KviOptions>) -> Result<Kvi> {
    let (settings, options) = options.into().split()?;
    let handle = match place(endpoint) {
        Place::Memory(uri) => kvdb::connect_with(&uri, options.set("keep", true)).await?,
        Place::Etcd(address) => {
            let domain = options.get("domain").unwrap_or_default().to_owned();
            kvdb::new("etcd", &domain, &[address], options.without("domain")).await?
        }
        Place::Uri(uri) => kvdb::connect_with(uri, options).await?,
    };
    Ok(Kvi::with(handle, settings))
}

/// What an endpoint of the Go package names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Memory(String),
    Etcd(&'a str),
    Uri(&'a str),
}

fn place(endpoint: &str) -> Place<'_> {
    let (scheme, rest) = endpoint.split_once(':').unwrap_or((endpoint, ""));
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match scheme {
        "mem" => {
            let rest = rest.trim_start_matches('/');
            let named = !rest.is_empty() && !rest.starts_with('?');
            Place::Memory(format!("mem:{}{rest}", if named { "" } else { SHARED }))
        }
        "http" | "https" => Place::Etcd(endpoint),
        _ if is_port(rest) => Place::Etcd(endpoint),
        _ => Place::Uri(endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_the_go_package_reads_them() {
        for (endpoint, expected) in [
            ("mem", Place::Memory("mem:hmetcd".into())),
            ("mem:", Place::Memory("mem:hmetcd".into())),
            ("mem://", Place::Memory("mem:hmetcd".into())),
            ("mem:mine", Place::Memory("mem:mine".into())),
            ("mem:?timeout=1s", Place::Memory("mem:hmetcd?timeout=1s".into())),
            ("http://10.2.3.4:2379", Place::Etcd("http://10.2.3.4:2379")),
            ("https://cray-hmnfd-etcd-client:2379", Place::Etcd("https://cray-hmnfd-etcd-client:2379")),
            ("localhost:2379", Place::Etcd("localhost:2379")),
            ("etcd:2379", Place::Etcd("etcd:2379")),
            ("etcd://h1,h2/app", Place::Uri("etcd://h1,h2/app")),
            ("redb:app.redb", Place::Uri("redb:app.redb")),
            ("nothing", Place::Uri("nothing")),
        ] {
            assert_eq!(place(endpoint), expected, "{endpoint}");
        }
    }
}
