//! A whole domain as JSON, and back (contract 9.7 to 9.10).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::types::in_json::{from_base64, to_base64};
use crate::{
    Bytes, CallOptions, Error, ErrorKind, KvAction, KvPair, Kvdb, LeaseId, ListOptions, Result, Revision, Target, Txn,
    TxnOp,
};

/// What a dump says it is.
const FORMAT: &str = "kvdb-dump";
/// The newest format that this version reads, and the one it writes.
const VERSION: u32 = 1;
/// The most pairs that one transaction of an import writes, where the store takes as many.
const IMPORT_PAIRS: usize = 1_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dump {
    format: String,
    version: u32,
    revision: Revision,
    pairs: Vec<Pair>,
}

/// What every version of the format begins with.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: String,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    value: Bytes,
    created_index: Revision,
    modified_index: Revision,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    version: Option<u64>,
    /// Milliseconds; only of a key that had one where knowing it costs nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lease: Option<String>,
}

/// A pair as portworx/kvdb writes it: an array of these is its whole dump.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SeedPair {
    key: String,
    #[serde(deserialize_with = "from_base64_or_null", default)]
    value: Bytes,
    #[serde(default)]
    action: u32,
    /// Seconds.
    #[serde(rename = "TTL", default)]
    ttl: i64,
    #[serde(rename = "KVDBIndex", default)]
    kvdb_index: Revision,
    #[serde(default)]
    created_index: Revision,
    #[serde(default)]
    modified_index: Revision,
}

fn from_base64_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    STANDARD.decode(text.unwrap_or_default()).map(Bytes::from).map_err(de::Error::custom)
}

/// The whole domain as JSON, at one revision where the store has ATOMIC_LIST.
pub(crate) async fn serialize<K: Kvdb + ?Sized>(kv: &K) -> Result<Vec<u8>> {
    let listing = kv.list_opts(Target::Tree(""), ListOptions::default()).await?.collect().await?;
    let pairs = listing.pairs.into_iter().map(|pair| Pair {
        key: pair.key,
        value: pair.value,
        created_index: pair.created_index,
        modified_index: pair.modified_index,
        version: pair.version,
        ttl: pair.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        lease: pair.lease.map(|lease| lease.to_string()),
    });
    let dump = Dump { format: FORMAT.to_owned(), version: VERSION, revision: listing.revision, pairs: pairs.collect() };
    serde_json::to_vec(&dump).map_err(|source| unreadable("the dump cannot be written as JSON").with_source(source))
}

/// Reads what [`crate::KvdbExt::serialize`] writes, and the array that portworx/kvdb writes. Needs no store and stores
/// nothing.
///
/// # Errors
/// `Serialization` for a dump that is damaged, cut short or of a newer format.
pub fn deserialize(dump: &[u8]) -> Result<Vec<KvPair>> {
    let begin = dump.iter().find(|byte| !byte.is_ascii_whitespace());
    if begin != Some(&b'{') {
        let pairs: Option<Vec<SeedPair>> = serde_json::from_slice(dump).map_err(|source| {
            unreadable("it is neither a dump of this library nor an array of pairs; it may be cut short")
                .with_source(source)
        })?;
        return Ok(pairs.unwrap_or_default().into_iter().map(seed_pair).collect());
    }
    let damaged = |source| unreadable("the dump is damaged or cut short; make a new one").with_source(source);
    let header: Header = serde_json::from_slice(dump).map_err(damaged)?;
    if header.format != FORMAT {
        return Err(unreadable("the JSON is no dump of this library"));
    }
    if header.version > VERSION {
        let message = format!(
            "the dump has format {}, this version reads up to {VERSION}; read it with a newer version",
            header.version
        );
        return Err(Error::new(ErrorKind::Serialization, message));
    }
    let dump: Dump = serde_json::from_slice(dump).map_err(damaged)?;
    let revision = dump.revision;
    Ok(dump.pairs.into_iter().map(|pair| own_pair(pair, revision)).collect())
}

fn own_pair(dumped: Pair, revision: Revision) -> KvPair {
    let mut pair = KvPair::new(dumped.key, dumped.value);
    pair.action = KvAction::Get;
    pair.created_index = dumped.created_index;
    pair.modified_index = dumped.modified_index;
    pair.version = dumped.version;
    pair.kvdb_index = revision;
    pair.ttl = dumped.ttl.map(Duration::from_millis);
    // Reading the text of a lease cannot fail.
    pair.lease = dumped.lease.and_then(|lease| lease.parse::<LeaseId>().ok());
    pair
}

fn seed_pair(seed: SeedPair) -> KvPair {
    let mut pair = KvPair::new(seed.key, seed.value);
    pair.action = KvAction::from_number(seed.action);
    pair.created_index = seed.created_index;
    pair.modified_index = seed.modified_index;
    pair.kvdb_index = seed.kvdb_index;
    pair.ttl = u64::try_from(seed.ttl).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    pair
}

fn unreadable(message: &'static str) -> Error {
    Error::new(ErrorKind::Serialization, message)
}

/// Writes the pairs' values in transactions of as many as the store takes, each atomic; a key that is named twice keeps
/// the last value. Leased keys become permanent, and indexes are the store's own. Answers how many were written.
pub(crate) async fn import<K: Kvdb + ?Sized>(kv: &K, pairs: &[KvPair]) -> Result<u64> {
    let limits = kv.limits();
    let (ops, bytes) = (limits.batch_ops.min(IMPORT_PAIRS), limits.batch_bytes / 2);
    let last: std::collections::BTreeMap<&str, &Bytes> =
        pairs.iter().map(|pair| (pair.key.as_str(), &pair.value)).collect();
    let mut rest = last.into_iter().peekable();
    let mut written = 0;
    while rest.peek().is_some() {
        let mut txn = Txn::default();
        let mut size = 0;
        while let Some((key, value)) = rest.next_if(|(key, value)| {
            txn.then.is_empty() || (txn.then.len() < ops && size + key.len() + value.len() <= bytes)
        }) {
            // The store's key is longer by its domain.
            size += key.len() + value.len() + 64;
            txn.then.push(TxnOp::Put { key: key.to_owned(), value: value.clone(), ttl: None, lease: None });
        }
        written += txn.then.len() as u64;
        kv.txn_opts(txn, CallOptions::default()).await?;
    }
    Ok(written)
}
