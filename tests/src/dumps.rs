//! The trials of the contract that need two stores.

use kvdb::prelude::*;
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};
use libtest_mimic::{Failed, Trial};

/// The trials, by the numbers of what they prove.
#[must_use]
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("9.10 the same history on memory and on redb serializes to the same pairs", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(same_history()).map_err(|failure| Failed::from(failure.to_string()))
    })]
}

/// A history with everything that leaves a trace.
async fn history(kv: &Handle) -> Proof {
    let lease = kv.lease(std::time::Duration::from_secs(3600)).await?.id;
    for round in 0u32..120 {
        let key = &format!("d/{}", round % 11);
        match round % 7 {
            0 => drop(kv.put(key, format!("{round}")).await?),
            1 => drop(kv.txn().when(present(key)).then(delete(key)).otherwise(put(key, "made")).await?),
            2 => {
                drop(kv.txn().then(put(key, round.to_be_bytes().to_vec())).then(put("last", format!("{round}"))).await?)
            }
            3 => drop(kv.test_and_set(key, "made", "set").await?),
            4 => drop(kv.put(&format!("leased/{round}"), "1").lease(&lease).await?),
            5 => kv.put(&format!("é/{round}/\u{10ffff}"), "").await.map(drop)?,
            _ => {
                let tx = kv.tx();
                let count: u32 = tx.get_val("count").await?.unwrap_or_default();
                tx.put_val("count", &(count + 1))?;
                tx.commit().await?;
            }
        }
    }
    kv.put("big", vec![7; 300_000]).await?;
    kv.delete_tree("é/5").await?;
    kv.lock("job").await?.release().await?;
    Ok(())
}

async fn same_history() -> Proof {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kvdb.redb").to_string_lossy().into_owned();
    let memory = kvdb::new("mem", "app", &[], Options::new()).await?;
    let redb = kvdb::new("redb", "app/deeper", &[&path], Options::new()).await?;
    // Of different pasts.
    redb.put("past", "1").await?;
    redb.delete_tree("").await?;
    let mut dumps = Vec::new();
    for kv in [&memory, &redb] {
        history(kv).await?;
        let dump = kv.deserialize(&kv.serialize().await?)?;
        dumps.push(dump.into_iter().map(|pair| (pair.key, pair.value)).collect::<Vec<_>>());
    }
    ensure!(dumps[0].len() > 30, "only {} pairs", dumps[0].len());
    if dumps[0] != dumps[1] {
        let first = dumps[0].iter().zip(&dumps[1]).find(|(one, other)| one != other);
        return Err(Failure::new(format_args!("the dumps differ, first in {first:?}")));
    }
    // One into the other, and back: the same again.
    let dump = redb.serialize().await?;
    let copy = kvdb::new("mem", "copy", &[], Options::new()).await?;
    copy.import(&copy.deserialize(&dump)?).await?;
    let again = copy.deserialize(&copy.serialize().await?)?.into_iter().map(|pair| (pair.key, pair.value));
    ensure_eq!(again.collect::<Vec<_>>(), dumps[1]);
    redb.close().await?;
    Ok(())
}
