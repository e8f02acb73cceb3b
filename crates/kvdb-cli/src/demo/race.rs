//! Many tasks write under the same condition: one wins.

use std::sync::Arc;

use kvdb::prelude::*;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::report::{Proof, Shown, ensure};

const RACERS: usize = 8;

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let key: Arc<str> = format!("{base}/race").into();
    let start = kv.put(&key, "nobody").await?;
    let (start, gun) = (Arc::new(start), Arc::new(Barrier::new(RACERS)));
    let mut racers = JoinSet::new();
    for number in 1..=RACERS {
        let (kv, key, start, gun) = (kv.clone(), Arc::clone(&key), Arc::clone(&start), Arc::clone(&gun));
        racers.spawn(async move {
            gun.wait().await;
            (number, kv.put(&key, format!("task {number}")).if_unchanged(&start).await)
        });
    }
    let mut winners = Vec::new();
    while let Some(joined) = racers.join_next().await {
        let (number, outcome) = joined.map_err(|error| format!("a task ended early: {error}"))?;
        match outcome {
            Ok(pair) => winners.push((number, pair)),
            Err(error) if *error.kind() == ErrorKind::Modified => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(winners.len() == 1, "{} of {RACERS} tasks won a compare-and-set that one can win", winners.len());
    let Some((number, pair)) = winners.pop() else { return Err("nobody won".into()) };
    let read = kv.get(&key).await?;
    ensure!(
        read.is_some_and(|read| read.value == pair.value && read.modified_index == pair.modified_index),
        "the winner's value is not the one that stands"
    );
    Ok(Proof::Held(format!(
        "{RACERS} tasks raced, one won: task {number}, at revision {}; the others were told Modified",
        pair.modified_index
    )))
}
