use std::collections::BTreeMap;

use kvdb_core::{ErrorKind, KvAction, KvdbExt};
use serde::{Deserialize, Serialize};

use crate::help::expect_kind;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Config {
    name: String,
    sizes: Vec<u64>,
    note: Option<String>,
}

pub(super) async fn json(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.get_val::<Config>("config").await?, None);
    let config = Config { name: "ä\"\n".to_owned(), sizes: vec![0, u64::MAX], note: None };
    kv.put_val("config", &config).await?;
    ensure_eq!(kv.get_val::<Config>("config").await?.as_ref(), Some(&config));
    let stored = kv.get("config").await?.ok_or_else(|| Failure::new("the key is absent"))?;
    let text: serde_json::Value = serde_json::from_slice(&stored.value)?;
    ensure_eq!(text["sizes"][1], u64::MAX, "the stored text is JSON");
    ensure_eq!(stored.json::<Config>()?, config);
    kv.put_val("null", &None::<u32>).await?;
    ensure_eq!(kv.get_val::<Option<u32>>("null").await?, Some(None), "a stored null is not an absent key");
    kv.put_val("config", "text").if_present().await?;
    ensure_eq!(kv.get_val::<String>("config").await?, Some("text".to_owned()));
    Ok(())
}

pub(super) async fn bad_json(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for bad in ["", "{", "nul", "[1,]", "\u{feff}1", "{\"name\": 1}", "1 2"] {
        kv.put("a/k", bad).await?;
        let error = expect_kind(kv.get_val::<Config>("a/k").await, &ErrorKind::Serialization)?;
        ensure_eq!(error.key(), Some("a/k"), "the key of the error about {bad:?}");
        ensure!(std::error::Error::source(&error).is_some(), "the error about {bad:?} has no source");
    }
    kv.put("a/k", &b"\xff\xfe"[..]).await?;
    expect_kind(kv.get_val::<String>("a/k").await, &ErrorKind::Serialization)?;
    let no_json = BTreeMap::from([((1, 2), 3)]);
    let error = expect_kind(kv.put_val("new", &no_json).await, &ErrorKind::Serialization)?;
    ensure_eq!(error.key(), Some("new"));
    ensure_eq!(kv.get("new").await?, None, "a value without a JSON form was written");
    Ok(())
}

pub(super) async fn put(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.put("k", "1").await?.action, KvAction::Create);
    ensure_eq!(kv.put("k", "2").await?.action, KvAction::Set);
    ensure_eq!(kv.put("k", "2").await?.action, KvAction::Set);
    kv.delete("k").await?;
    ensure_eq!(kv.put("k", "3").await?.action, KvAction::Create);
    kv.delete_tree("").await?;
    ensure_eq!(kv.put("k", "4").await?.action, KvAction::Create);
    Ok(())
}

pub(super) async fn create(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.create("k", "1").await?.action, KvAction::Create);
    let error = expect_kind(kv.create("k", "2").await, &ErrorKind::AlreadyExists)?;
    ensure_eq!(error.key(), Some("k"));
    ensure_eq!(error.operation().map(kvdb_core::Operation::as_str), Some("create"));
    expect_kind(kv.create("k", "1").await, &ErrorKind::AlreadyExists)?;
    ensure_eq!(kv.get("k").await?.map(|pair| pair.value), Some("1".into()), "a refused create changed the value");
    kv.delete("k").await?;
    kv.create("k", "3").await?;
    Ok(())
}

pub(super) async fn update(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let error = expect_kind(kv.update("k", "1").await, &ErrorKind::NotFound)?;
    ensure_eq!(error.key(), Some("k"));
    ensure_eq!(error.operation().map(kvdb_core::Operation::as_str), Some("update"));
    ensure_eq!(kv.get("k").await?, None, "a refused update wrote the key");
    let made = kv.create("k", "1").await?;
    let updated = kv.update("k", "2").await?;
    ensure_eq!(updated.action, KvAction::Set);
    ensure_eq!(updated.created_index, made.created_index);
    kv.delete("k").await?;
    expect_kind(kv.update("k", "3").await, &ErrorKind::NotFound)?;
    Ok(())
}

pub(super) async fn delete(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let error = expect_kind(kv.delete("k").await, &ErrorKind::NotFound)?;
    ensure_eq!(error.key(), Some("k"));
    kv.put("k", "1").await?;
    let last = kv.put("k", "2").await?;
    let gone = kv.delete("k").await?;
    ensure_eq!(gone.action, KvAction::Delete);
    ensure_eq!((gone.value, gone.created_index), (last.value, last.created_index));
    ensure_eq!(kv.get("k").await?, None);
    expect_kind(kv.delete("k").await, &ErrorKind::NotFound)?;
    kv.put("k/child", "1").await?;
    expect_kind(kv.delete("k").await, &ErrorKind::NotFound)?;
    ensure!(kv.get("k/child").await?.is_some(), "a refused delete removed a child");
    Ok(())
}
