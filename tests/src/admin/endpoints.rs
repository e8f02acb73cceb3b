use std::time::Duration;

use kvdb::portworx::Controller as _;
use kvdb::prelude::*;
use kvdb::{AdminRequest, ErrorKind, Options, Retry};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::{Place, blocking};

pub(super) async fn set(on: Place) -> Proof {
    let all = on.cluster.endpoints();
    let kv = on.open_at(&all[..1], "app", Options::new()).await?;
    ensure_eq!(kv.get_endpoints().await?, all[..1]);
    kv.put("k", "1").await?;
    let mut changes = kv.watch_key("k").await?;
    let others: Vec<&str> = all[1..].iter().map(String::as_str).collect();
    kv.set_endpoints(&others).await?;
    ensure_eq!(kv.get_endpoints().await?, others);

    let first = on.cluster.member(0)?;
    blocking(move || first.kill()).await?;
    // It may have led: what was under way then has an unknown outcome.
    while let Err(error) = kv.put("k", "2").await {
        ensure_eq!(error.retry(), Retry::Ambiguous, "{error:?}");
    }
    let Some(Event::Put(seen)) = changes.next().await.transpose()? else {
        kvdb_testsuite::fail!("a change is missing")
    };
    ensure_eq!(seen.text(), Some("2"));

    // What makes no sense changes nothing.
    expect_kind(kv.set_endpoints(&[]).await, &ErrorKind::InvalidArgument)?;
    for wrong in ["", "http://", "ftp://127.0.0.1:2379", "http://127.0.0.1:2379/path", "a b"] {
        expect_kind(kv.set_endpoints(&[others[0], wrong]).await, &ErrorKind::InvalidArgument)?;
    }
    ensure_eq!(kv.get_endpoints().await?, others);
    kv.put("k", "3").await?;
    Ok(())
}

pub(super) async fn defragment(on: Place) -> Proof {
    const VALUE: usize = 1 << 20;
    let kv = on.open().await?;
    for n in 0..8 {
        kv.put(&format!("big/{n}"), vec![b'x'; VALUE]).await?;
    }
    kv.delete_tree("big").await?;
    let last = kv.put("k", "1").await?.modified_index;
    kv.compact(last).await?;
    let size = async |index: usize| -> Proof<i64> {
        let id = on.cluster.member(index)?.id()?;
        Ok(kv.list_members().await?.get(&id).map_or(0, |member| member.db_size))
    };
    for (index, endpoint) in on.cluster.endpoints().iter().enumerate() {
        let before = size(index).await?;
        ensure!(before > 8 * i64::try_from(VALUE)?, "{before} bytes before");
        // The compaction goes on behind its answer: there may be nothing to give back yet.
        loop {
            kv.defragment(endpoint, 30).await?;
            if size(index).await? < before / 2 {
                break;
            }
        }
    }
    ensure_eq!(kv.get("k").await?.and_then(|pair| pair.text().map(str::to_owned)).as_deref(), Some("1"));

    expect_kind(kv.defragment("no endpoint", 30).await, &ErrorKind::InvalidArgument)?;
    let dead = on.cluster.member(0)?;
    let endpoint = dead.endpoint().to_owned();
    blocking(move || dead.kill()).await?;
    let request = AdminRequest::Defragment { endpoint, timeout: Duration::from_millis(300) };
    let error = kv.admin(request).await.unwrap_err();
    ensure!([ErrorKind::Unavailable, ErrorKind::Timeout].contains(error.kind()), "{error:?}");
    Ok(())
}
