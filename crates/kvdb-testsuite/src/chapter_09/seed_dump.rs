use std::time::Duration;

use kvdb_core::prelude::*;

use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// What portworx/kvdb's `Serialize` writes: Go's JSON of an array of its `KVPair`, here with each of its actions.
const ARRAY: &str = r#"[
  {"Key":"app/set","Value":"aGVsbG8=","Action":1,"TTL":0,"KVDBIndex":120,"CreatedIndex":7,"ModifiedIndex":118,"Lock":null},
  {"Key":"app/create","Value":"AAH/","Action":2,"TTL":0,"KVDBIndex":120,"CreatedIndex":9,"ModifiedIndex":9,"Lock":null},
  {"Key":"app/get","Value":"","Action":4,"TTL":30,"KVDBIndex":120,"CreatedIndex":10,"ModifiedIndex":11,"Lock":null},
  {"Key":"app/delete","Value":null,"Action":8,"TTL":0,"KVDBIndex":120,"CreatedIndex":12,"ModifiedIndex":13,"Lock":null},
  {"Key":"app/expire","Value":null,"Action":16,"TTL":0,"KVDBIndex":120,"CreatedIndex":14,"ModifiedIndex":15,"Lock":null},
  {"Key":"app/unknown","Value":"4pyT","Action":32,"TTL":-1,"KVDBIndex":120,"CreatedIndex":16,"ModifiedIndex":17,"Lock":{"Key":"x"}}
]"#;

pub(super) async fn reads(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let pairs = kv.deserialize(ARRAY.as_bytes())?;
    let seen: Vec<_> = pairs.iter().map(|pair| (pair.key.as_str(), &pair.value[..], pair.action)).collect();
    let expected: [(&str, &[u8], KvAction); 6] = [
        ("app/set", b"hello", KvAction::Set),
        ("app/create", &[0, 1, 0xff], KvAction::Create),
        ("app/get", b"", KvAction::Get),
        ("app/delete", b"", KvAction::Delete),
        ("app/expire", b"", KvAction::Expire),
        ("app/unknown", "✓".as_bytes(), KvAction::Unknown),
    ];
    ensure_eq!(seen, expected);
    let indexes: Vec<_> = pairs.iter().map(|pair| (pair.created_index.get(), pair.modified_index.get())).collect();
    ensure_eq!(indexes, [(7, 118), (9, 9), (10, 11), (12, 13), (14, 15), (16, 17)]);
    ensure!(pairs.iter().all(|pair| pair.kvdb_index == 120));
    let ttls: Vec<_> = pairs.iter().map(|pair| pair.ttl).collect();
    ensure_eq!(ttls, [None, None, Some(Duration::from_secs(30)), None, None, None]);
    // On one line, as it is written, and the shapes of nothing.
    let line = serde_json::from_str::<serde_json::Value>(ARRAY).map(|json| json.to_string()).unwrap_or_default();
    ensure_eq!(kv.deserialize(line.as_bytes())?, pairs);
    for empty in ["[]", "null", " [ ] "] {
        ensure_eq!(kv.deserialize(empty.as_bytes())?, []);
    }
    // It can be imported, and is then a domain like any other.
    ensure_eq!(kv.import(&pairs).await?, 6);
    ensure_eq!(kv.get("app/create").await?.map(|pair| pair.value), Some(Bytes::from_static(&[0, 1, 0xff])));
    Ok(())
}

pub(super) async fn damaged(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let broken = &ErrorKind::Serialization;
    for len in 0..ARRAY.len() {
        expect_kind(kv.deserialize(&ARRAY.as_bytes()[..len]), broken)?;
    }
    for at in 0..ARRAY.len() {
        for byte in [0, b'"', b'x', 0xff] {
            let mut bad = ARRAY.as_bytes().to_vec();
            bad[at] = byte;
            if let Err(error) = kv.deserialize(&bad) {
                ensure_eq!(error.kind(), broken, "byte {at} as {byte}: {error:?}");
            }
        }
    }
    for (from, to) in [
        (r#""Key":"app/set","#, ""),
        (r#""aGVsbG8=""#, r#""aGVsbG8""#),
        (r#""aGVsbG8=""#, "17"),
        (r#""Action":1"#, r#""Action":"set""#),
        (r#""CreatedIndex":7"#, r#""CreatedIndex":-7"#),
        (r#""TTL":30"#, r#""TTL":"30s""#),
    ] {
        let bad = ARRAY.replacen(from, to, 1);
        ensure!(bad != ARRAY, "{from} is not in the array");
        expect_kind(kv.deserialize(bad.as_bytes()), broken)?;
    }
    // A number that is no action of its is an unknown one.
    let odd = kv.deserialize(ARRAY.replacen(r#""Action":1,"#, r#""Action":3,"#, 1).as_bytes())?;
    ensure_eq!(odd[0].action, KvAction::Unknown);
    Ok(())
}
