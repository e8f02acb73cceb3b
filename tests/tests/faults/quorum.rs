//! F8: most of the members are dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb::prelude::*;
use libtest_mimic::Failed;

use crate::cluster::{blocking, opener};
use crate::load::{HANGS, TIMEOUT};
use crate::runtime;
use crate::trials::Start;

/// How long the store may take to be there again.
const RECOVERS: Duration = Duration::from_secs(60);

/// Wants what a store without a quorum answers, in time.
async fn refused<T: std::fmt::Debug>(
    what: &str,
    call: impl IntoFuture<Output = Result<T>>,
) -> Result<Duration, Failed> {
    let asked = Instant::now();
    let answer = call.await;
    let took = asked.elapsed();
    if took > TIMEOUT * HANGS {
        return Err(format!("{what} without a quorum hung for {took:?}").into());
    }
    match answer {
        Err(error) if matches!(error.kind(), ErrorKind::NoQuorum | ErrorKind::Unavailable | ErrorKind::Timeout) => {
            Ok(took)
        }
        other => Err(format!("{what} without a quorum answers {other:?}").into()),
    }
}

/// Kills all members but one, and starts one of them again.
pub(crate) fn lost(name: &str, start: Start, _seed: u64) -> Result<(), Failed> {
    let cluster = start()?;
    runtime().block_on(async {
        let open = opener(&cluster, cluster.endpoints());
        let kv = open("quorum").await?;
        let before = kv.put("key", "before").await?;
        let mut watch = kv.watch_tree("").previous().await?;

        let members = cluster.endpoints().len();
        let leader = blocking(&cluster, |cluster| cluster.leader()).await?;
        let dead: Vec<usize> = (0..members / 2 + 1).map(|n| (leader + n) % members).collect();
        for member in dead.clone() {
            blocking(&cluster, move |cluster| cluster.kill(member)).await?;
        }
        let took = tokio::try_join!(
            refused("a put", kv.put("key", "between")),
            refused("a create", kv.create("new", "between")),
            refused("a get", kv.get("key")),
            refused("a list", kv.list("")),
            refused("a transaction", kv.txn().when(kvdb::present("key")).then(kvdb::put("other", "between"))),
        )?;
        let stale = kv.get("key").stale().await.is_ok_and(|pair| pair.is_some_and(|pair| pair.value == "before"));

        let first = dead[0];
        blocking(&cluster, move |cluster| cluster.launch(first)).await?;
        let back = Instant::now();
        let after = loop {
            match kv.put("key", "after").await {
                Ok(pair) => break pair,
                Err(error) if back.elapsed() > RECOVERS => return Err(format!("{RECOVERS:?} after: {error:?}").into()),
                Err(_) => {}
            }
        };
        let found = kv.get("key").await?;
        // A put from before, whose end nobody knows, may land on it still.
        let late = |pair: &KvPair| pair.modified_index >= after.modified_index;
        if !found.as_ref().is_some_and(|pair| late(pair) && pair.created_index == before.created_index) {
            return Err(format!("{found:?} is read after {after:?}").into());
        }
        let mut seen = Vec::new();
        let told = async {
            while let Some(event) = watch.next().await.transpose()? {
                seen.push(format!("{event:?}"));
                if event.pair().is_some_and(late) {
                    return Ok(());
                }
            }
            Err(Failed::from("the watch ended with the quorum"))
        };
        let told = tokio::time::timeout(RECOVERS, told).await;
        told.map_err(|_| format!("the watch did not go on with the quorum to {after:?}, it told {seen:?}"))??;
        let longest = [took.0, took.1, took.2, took.3, took.4].into_iter().max().unwrap_or_default();
        println!(
            "faults {name} quorum: {} of {members} members dead, 5 of 5 calls refused, the slowest after {longest:.1?} \
             of {TIMEOUT:?}, stale read {}, writes again by themselves {:.1?} after a member",
            dead.len(),
            if stale { "answered" } else { "refused" },
            back.elapsed(),
        );
        drop(Arc::clone(&cluster));
        Ok(())
    })
}
