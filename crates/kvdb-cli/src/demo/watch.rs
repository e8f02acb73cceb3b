//! A watch tells what another task writes.

use std::collections::BTreeMap;
use std::time::Duration;

use kvdb::prelude::*;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::report::{Proof, Shown, ensure};

const WRITES: usize = 5;

/// A watch that is silent for so long has lost an event.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let directory = format!("{base}/news");
    let mut changes = kv.watch_tree(&directory).await?;
    let mut writer = JoinSet::new();
    {
        let (kv, directory) = (kv.clone(), directory.clone());
        writer.spawn(async move {
            let mut written = BTreeMap::new();
            for number in 1..=WRITES {
                let pair = kv.put(&format!("{directory}/{number}"), format!("message {number}")).await?;
                written.insert(pair.key, pair.modified_index);
            }
            Ok::<_, Error>(written)
        });
    }
    let mut seen = Vec::new();
    while seen.len() < WRITES {
        let Ok(next) = timeout(SILENCE, changes.next()).await else { break };
        match next.ok_or("the watch ended by itself")?? {
            Event::Put(pair) => seen.push((pair.key, pair.modified_index)),
            Event::Progress(_) => {}
            other => return Err(format!("the watch told what nobody did: {other:?}").into()),
        }
    }
    let written = match writer.join_next().await {
        Some(Ok(written)) => written?,
        _ => return Err("the writing task ended early".into()),
    };
    if let Some((missed, revision)) = written.iter().find(|(key, _)| !seen.iter().any(|(told, _)| told == *key)) {
        let name = missed.rsplit('/').next().unwrap_or_default();
        return Err(format!("message {name}, written at revision {revision}, was never told").into());
    }
    let in_order = seen.is_sorted_by(|(_, earlier), (_, later)| earlier < later);
    ensure!(in_order, "the events came out of order");
    let told = seen.iter().map(|(_, revision)| revision.to_string()).collect::<Vec<_>>().join(", ");
    Ok(Proof::Held(format!("told all {WRITES} messages of another task, in order, at revisions {told}")))
}
