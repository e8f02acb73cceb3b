//! Store URIs: `mem:`, `mem:name`, `redb:app.redb`, `redb:///var/lib/app.redb?domain=app`, `etcd://h1,h2/app?username=me`.
//!
//! Our own, not the `url` crate: a URI here may name several hosts, which that crate refuses.

use kvdb_core::{Error, ErrorKind, Options, Result, Secret};

/// Kinds whose endpoint is a path, so that a host is a mistake: `redb://dir/app.redb` would open `dir`.
const FILES: &[&str] = &["redb", "file", "boltv1", "bolt-kv"];

/// What a URI names.
#[derive(Debug)]
pub(crate) struct StoreUri {
    /// The scheme: a backend's name or alias.
    pub(crate) backend: String,
    /// Hosts with their transport, a path, or a name; none means the default one.
    pub(crate) endpoints: Vec<String>,
    /// The query, the user, and the path behind hosts as `domain`.
    pub(crate) options: Vec<(String, String)>,
}

impl StoreUri {
    /// Reads `scheme:endpoint`, `scheme:///path` or `scheme[+transport]://[user@]host[,host..]/domain`, each with
    /// `?option=value&..`; percent-encoded bytes are decoded in all parts but the scheme and hosts.
    ///
    /// # Errors
    /// `InvalidConfig` saying what is wrong; a password in the URI is never shown.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(invalid(
                "a store URI begins with its kind, such as `mem:`, `redb:app.redb` or `redb:///var/lib/app.redb`",
            ));
        };
        let (backend, transport) = match scheme.split_once('+') {
            Some((backend, transport)) => (backend, Some(transport)),
            None => (scheme, None),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self { backend: backend.to_owned(), endpoints: Vec::new(), options: Vec::new() };
        match place.strip_prefix("//") {
            Some(place) if !place.is_empty() && !place.starts_with('/') => uri.read_hosts(place, transport)?,
            place_after_slashes => {
                if let Some(transport) = transport {
                    return Err(invalid(format!("`+{transport}` needs hosts: `{scheme}://host:port/domain`")));
                }
                let endpoint = decode(place_after_slashes.unwrap_or(place))?;
                uri.endpoints.extend(Some(endpoint).filter(|endpoint| !endpoint.is_empty()));
            }
        }
        uri.read_query(query)?;
        Ok(uri)
    }

    fn read_hosts(&mut self, place: &str, transport: Option<&str>) -> Result<()> {
        if FILES.contains(&self.backend.as_str()) {
            return Err(invalid("a file has no host: write `redb:app.redb` or `redb:///var/lib/app.redb`"));
        }
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let hosts = match authority.rsplit_once('@') {
            Some((user, hosts)) => {
                let (name, password) = user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
                self.add_option("username", decode(name)?)?;
                if let Some(password) = password {
                    self.add_option("password", decode(password)?)?;
                }
                hosts
            }
            None => authority,
        };
        for host in hosts.split(',') {
            if host.is_empty() {
                return Err(invalid("a store URI has an empty host between its commas"));
            }
            self.endpoints.push(match transport {
                Some(transport) => format!("{transport}://{host}"),
                None => host.to_owned(),
            });
        }
        match decode(path)? {
            domain if domain.is_empty() => Ok(()),
            domain => self.add_option("domain", domain),
        }
    }

    fn read_query(&mut self, query: &str) -> Result<()> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| invalid("an option of a store URI is written `name=value`; one of them has no `=`"))?;
            self.add_option(&decode(name)?, decode(value)?)?;
        }
        Ok(())
    }

    fn add_option(&mut self, name: &str, value: String) -> Result<()> {
        if self.options.iter().any(|(known, _)| known == name) {
            return Err(invalid(format!("a store URI names the option `{}` twice", name.escape_debug())));
        }
        self.options.push((name.to_owned(), value));
        Ok(())
    }

    /// The URI's options added to `options`, which must not name one of them already.
    ///
    /// # Errors
    /// `InvalidConfig` naming the option that is given twice.
    pub(crate) fn options_over(&self, options: Options) -> Result<Options> {
        self.options.iter().try_fold(options, |options, (name, value)| {
            let both = options.get(name).is_some_and(|given| given != value);
            let options = match name.as_str() {
                "password" => options.password(&Secret::new(value.as_str())),
                _ => options.set(name, value),
            };
            if both {
                Err(invalid(format!("the option `{}` is given twice", name.escape_debug())))
            } else {
                Ok(options)
            }
        })
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_'))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.extend(u8::try_from(high * 16 + low)),
            _ => {
                return Err(invalid(
                    "in a store URI `%` begins two hexadecimal digits; write `%25` for a percent sign",
                ));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("a store URI decodes to bytes that are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> StoreUri {
        StoreUri::parse(text).unwrap()
    }

    #[test]
    fn embedded_stores_are_named_by_a_name_or_a_path() {
        for (text, backend, endpoints) in [
            ("mem:", "mem", &[][..]),
            ("mem:shared", "mem", &["shared"]),
            ("redb:app.redb", "redb", &["app.redb"]),
            ("redb:dir/app.redb", "redb", &["dir/app.redb"]),
            ("redb:/var/lib/app.redb", "redb", &["/var/lib/app.redb"]),
            ("redb:///var/lib/app.redb", "redb", &["/var/lib/app.redb"]),
            ("redb:///a%20b%3F.redb", "redb", &["/a b?.redb"]),
        ] {
            let uri = parsed(text);
            assert_eq!((uri.backend.as_str(), uri.endpoints.as_slice()), (backend, &*owned(endpoints)), "{text}");
            assert!(uri.options.is_empty(), "{text}");
        }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn hosts_are_endpoints_and_the_path_is_the_domain() {
        let uri = parsed("etcd+https://me:p%40ss@h1:2379,[::1]:2379/my/app?ca_file=%2Fetc%2Fca.pem");
        assert_eq!(uri.backend, "etcd");
        assert_eq!(uri.endpoints, ["https://h1:2379", "https://[::1]:2379"]);
        let options = uri.options_over(Options::new()).unwrap();
        assert_eq!(options.get("domain"), Some("my/app"));
        assert_eq!(options.get("username"), Some("me"));
        assert_eq!(options.get("password"), Some("p@ss"));
        assert_eq!(options.get("ca_file"), Some("/etc/ca.pem"));
        assert_eq!(parsed("etcd://h1,h2").endpoints, ["h1", "h2"]);
        assert!(parsed("etcd://h1/").options.is_empty());
    }

    #[test]
    fn the_query_has_the_domain_and_options_by_name() {
        let uri = parsed("redb:///var/lib/app.redb?domain=my%2Fapp&durability=fast&timeout=3s");
        let options = uri.options_over(Options::new().set("history_revisions", 5)).unwrap();
        assert_eq!(options.get("domain"), Some("my/app"));
        assert_eq!(options.get("durability"), Some("fast"));
        assert_eq!(options.get("timeout"), Some("3s"));
        assert_eq!(options.get("history_revisions"), Some("5"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "app.redb",
            "/var/lib/app.redb",
            ":x",
            "1:x",
            "mem:?x",
            "mem:%",
            "mem:%zz",
            "mem:%ff",
            "etcd+https:x",
            "etcd://h1,,h2/x",
            "mem:?domain=a&domain=b",
            "mem:?timeout=1s&timeout=2s",
            "etcd://h/x?domain=y",
            "etcd://me@h/?username=you",
            "redb://dir/app.redb",
        ] {
            let error = StoreUri::parse(text).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig, "{text}");
        }
        let given = Options::new().set("timeout", "2s");
        assert!(parsed("mem:?timeout=1s").options_over(given).is_err());
    }
}
