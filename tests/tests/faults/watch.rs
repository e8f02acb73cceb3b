//! F4 and F9: one watch is held while the leader is killed, another member is restarted, the watch's session ends where
//! it has one, and keys come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb::prelude::*;
use kvdb_servers::Proxy;
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::{Cluster, blocking, lines, opener};
use crate::locks::is_outage;
use crate::runtime;
use crate::trials::Start;

/// Writes and deletes, on few keys: most deletions find one.
const WRITES: usize = 1000;
const KEYS: usize = 24;
/// How long anything here may take that must come.
const COMES: Duration = Duration::from_secs(60);

/// What the events of a watch with previous values add up to.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) state: BTreeMap<String, KvPair>,
    pub(crate) puts: usize,
    pub(crate) deletions: usize,
    pub(crate) resyncs: usize,
}

impl Told {
    /// Takes the next event; refuses a deletion of what was not there, or of something else than was there.
    pub(crate) fn take(&mut self, event: &Event) -> Result<(), Failed> {
        match event {
            Event::Put(pair) => {
                self.puts += 1;
                self.state.insert(pair.key.clone(), pair.clone());
            }
            Event::Delete(pair) | Event::Expire(pair) => {
                self.deletions += 1;
                let before = self.state.remove(&pair.key);
                if before.as_ref().map(|before| &before.value) != Some(&pair.value) {
                    return Err(format!("the deletion {pair:?} of {before:?} is told").into());
                }
            }
            Event::Resynced { .. } => self.resyncs += 1,
            _ => {}
        }
        Ok(())
    }

    /// Whether this is exactly what is there.
    pub(crate) fn is(&self, listed: &[KvPair]) -> bool {
        let told = self.state.values().map(|pair| (&pair.key, &pair.value, pair.modified_index, pair.created_index));
        told.eq(listed.iter().map(|pair| (&pair.key, &pair.value, pair.modified_index, pair.created_index)))
    }

    /// Follows a watch until it has told what is there.
    pub(crate) async fn reach(&mut self, watch: &mut Watch, listed: &[KvPair]) -> Result<(), Failed> {
        let follow = async {
            while !self.is(listed) {
                let event = watch.next().await.ok_or("the watch ended")??;
                self.take(&event)?;
            }
            Ok(())
        };
        match tokio::time::timeout(COMES, follow).await {
            Ok(reached) => reached,
            Err(_) => Err(format!("the watch adds up to {:?}, listed is {listed:?}", self.state).into()),
        }
    }
}

/// Holds the watch to the store's state, and each deletion to what it names.
pub(crate) fn held(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let cluster = start()?;
    let began = Instant::now();
    runtime().block_on(async {
        let (lines, behind) = lines(&*cluster)?;
        let lines = Arc::new(lines);
        let kv = opener(&cluster, cluster.endpoints())("held").await?;
        let watching = opener(&cluster, behind)("held").await?;
        let mut watch = watching.watch_tree("").previous().await?;
        let mut told = Told::default();
        let mut writes = tokio::spawn(write(kv.clone(), Arc::clone(&cluster), Arc::clone(&lines), seed));
        let (retried, expired) = loop {
            tokio::select! {
                event = watch.next() => told.take(&event.ok_or("the watch ended")??)?,
                ended = &mut writes => break ended??,
            }
        };
        blocking(&cluster, |cluster| cluster.ready()).await?;
        let listed = kv.list("").await?;
        told.reach(&mut watch, &listed).await?;
        let Told { puts, deletions, resyncs, .. } = told;
        println!(
            "faults {name} watch: {WRITES} writes and deletes, {retried} of them not at the first try, through a \
             killed leader, a restarted member and {expired} expired sessions: {puts} puts and {deletions} deletions \
             told, each of what was there, {resyncs} resyncs, {} keys as listed; {} s",
            listed.len(),
            began.elapsed().as_secs(),
        );
        if deletions < WRITES / 20 {
            return Err(format!("{deletions} deletions prove too little").into());
        }
        Ok(())
    })
}

/// Writes and deletes, each until it is answered, and lets the sessions behind the lines end meanwhile; answers how
/// many were not at the first try, and how many sessions ended.
async fn write(
    kv: Handle,
    cluster: Arc<dyn Cluster>,
    lines: Arc<Vec<Proxy>>,
    seed: u64,
) -> Result<(usize, usize), Failed> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x3a);
    let (mut retried, mut ending) = (0, None);
    for n in 0..WRITES {
        if n == WRITES / 4 {
            let leader = blocking(&cluster, |cluster| cluster.leader()).await?;
            blocking(&cluster, move |cluster| cluster.kill(leader).and_then(|()| cluster.launch(leader))).await?;
        }
        if n == WRITES / 2 {
            // One of the others must not take the quorum.
            blocking(&cluster, |cluster| cluster.ready()).await?;
            let leader = blocking(&cluster, |cluster| cluster.leader()).await?;
            let other = (leader + 1) % cluster.endpoints().len();
            blocking(&cluster, move |cluster| cluster.kill(other).and_then(|()| cluster.launch(other))).await?;
        }
        if n == WRITES / 4 * 3 {
            blocking(&cluster, |cluster| cluster.ready()).await?;
            let (cluster, lines) = (Arc::clone(&cluster), Arc::clone(&lines));
            ending = Some(tokio::task::spawn_blocking(move || cluster.expire(&lines)));
        }
        let key = format!("d{}/k{}", rng.random_range(0..2), rng.random_range(0..KEYS / 2));
        let deletes = rng.random_bool(0.4);
        let first = Instant::now();
        let mut tries = 0;
        loop {
            let done =
                if deletes { kv.delete(&key).await.map(drop) } else { kv.put(&key, format!("{n}")).await.map(drop) };
            match done {
                Ok(()) => break,
                Err(error) if *error.kind() == ErrorKind::NotFound => break,
                Err(error) if is_outage(&error) && first.elapsed() < COMES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
        retried += usize::from(tries > 0);
    }
    let expired = match ending {
        Some(ending) => ending.await??,
        None => 0,
    };
    Ok((retried, expired))
}
