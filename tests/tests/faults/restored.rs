//! F14: an operator restores a snapshot, and Consul's index goes back.

use std::sync::Arc;
use std::time::Duration;

use kvdb::OnGap;
use kvdb::prelude::*;
use kvdb_servers::{Consul, ConsulSetup};
use libtest_mimic::Failed;

use crate::cluster::{Cluster, blocking, opener};
use crate::runtime;
use crate::trials::Start;
use crate::watch::Told;

/// How long anything here may take that must come.
const COMES: Duration = Duration::from_secs(60);
/// Of the lock.
const TTL: Duration = Duration::from_secs(2);

/// Restores a snapshot under two watches and a lock.
pub(crate) fn gone_back(name: &str, _start: Start, _seed: u64) -> Result<(), Failed> {
    let consul = Arc::new(Consul::start(ConsulSetup::default().durable())?);
    let cluster: Arc<dyn Cluster> = Arc::clone(&consul) as _;
    runtime().block_on(async {
        let open = opener(&cluster, cluster.endpoints());
        let kv = open("restored").await?;
        for (key, value) in [("kept", "1"), ("changed", "1"), ("deleted", "1")] {
            kv.put(&format!("d/{key}"), value).await?;
        }
        let then = kv.list("d").await?;
        let snapshot = {
            let consul = Arc::clone(&consul);
            tokio::task::spawn_blocking(move || consul.snapshot()).await??
        };
        let mut told = Told::default();
        let mut resynced = kv.watch_tree("d").current().previous().on_gap(OnGap::Resync).await?;
        // On another handle, and so on a line of its own; the third shares that of the first.
        let other = open("restored").await?;
        let mut fails = [
            other.watch_tree("d").on_gap(OnGap::Fail).await?,
            kv.watch_tree("d").previous().on_gap(OnGap::Fail).await?,
        ];
        kv.put("d/made", "2").await?;
        kv.put("d/changed", "2").await?;
        kv.delete("d/deleted").await?;
        // So that the index of the restored store is below all that was told.
        for n in 0..20 {
            kv.put("d/changed", n.to_string()).await?;
        }
        let lock = kv.lock("job").ttl(TTL).wait(COMES).await?;
        told.reach(&mut resynced, &kv.list("d").await?).await?;

        blocking(&cluster, {
            let consul = Arc::clone(&consul);
            move |_| consul.restore(&snapshot)
        })
        .await?;
        told.reach(&mut resynced, &then).await?;
        let event = tokio::time::timeout(COMES, resynced.next()).await?.ok_or("the watch ended")??;
        let Event::Resynced { revision, complete: false } = event else {
            return Err(format!("after the differences {event:?} is told").into());
        };
        for watch in &mut fails {
            let error = loop {
                match tokio::time::timeout(COMES, watch.next()).await? {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => return Err("a watch that may not resync ended without an error".into()),
                }
            };
            if !matches!(error.kind(), ErrorKind::Compacted { .. }) || !error.to_string().contains("on_gap(Resync)") {
                return Err(format!("a watch that may not resync ends with {error:?}").into());
            }
        }
        // Its session is not in the snapshot.
        let lost = tokio::time::timeout(COMES, lock.lost()).await.map_err(|_| "the lock's loss is not told")?;
        let next = kv.lock("job").ttl(TTL).wait(COMES).await?;
        match kv.put("d/fenced", "stale").fence(&lock).await {
            Err(error) if *error.kind() == ErrorKind::LockLost => {}
            other => return Err(format!("a fence from before the restore is answered {other:?}").into()),
        }
        next.release().await?;
        // What follows is told as ever.
        kv.put("d/after", "3").await?;
        kv.delete("d/kept").await?;
        told.reach(&mut resynced, &kv.list("d").await?).await?;
        println!(
            "faults {name} F14: a restored snapshot resynced at {revision} to {} keys as listed, with {} deletions by \
             name; 2 watches that may not ended with Compacted; a lock of later told as {:?}",
            then.len(),
            told.deletions,
            lost.kind(),
        );
        Ok(())
    })
}
