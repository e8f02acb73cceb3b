//! Concurrent writers that note down what they were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb_core::prelude::*;
use kvdb_core::{DeleteOptions, Kvdb};
use tokio::task::JoinSet;

use crate::checker::{Checker, Truth};
use crate::help::next_event;
use crate::{Failure, Proof};

/// Writers at work on a few keys below `w/`, all of whose writes end up in [`Truth`].
#[derive(Debug)]
pub(super) struct Writers {
    tasks: JoinSet<Proof>,
    pub(super) truth: Arc<Truth>,
    done: Arc<AtomicUsize>,
}

impl Writers {
    /// Starts `tasks` writers of `rounds` rounds each, on clones of a handle.
    pub(super) fn start(kv: &Handle, tasks: usize, rounds: usize) -> Self {
        Self::go_on(kv, tasks, rounds, Arc::default())
    }

    /// Starts writers whose writes are noted beside those of earlier ones.
    pub(super) fn go_on(kv: &Handle, tasks: usize, rounds: usize, truth: Arc<Truth>) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for writer in 0..tasks {
            set.spawn(write(kv.clone(), writer, rounds, Arc::clone(&truth), Arc::clone(&done)));
        }
        Self { tasks: set, truth, done }
    }

    /// Waits until so many writes were answered.
    pub(super) async fn have_done(&self, writes: usize) -> Proof {
        crate::help::eventually("the writers get on", async || Ok(self.done.load(Ordering::SeqCst) >= writes)).await
    }

    /// Waits for the last write.
    pub(super) async fn finish(mut self) -> Proof<Arc<Truth>> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.truth)
    }
}

/// One writer: puts and deletes on keys that all share, and a directory of its own that it removes whole.
async fn write(kv: Handle, writer: usize, rounds: usize, truth: Arc<Truth>, done: Arc<AtomicUsize>) -> Proof {
    for round in 0..rounds {
        let shared = format!("w/shared/{}", (writer + round) % 5);
        match (writer + round) % 4 {
            0 => match kv.delete(&shared).await {
                Ok(pair) => truth.deleted(&pair),
                Err(error) if *error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            },
            1 if round % 3 == 0 => {
                let directory = format!("w/own/{writer}");
                let mut own = Vec::new();
                for n in 0..3 {
                    own.push(kv.put(&format!("{directory}/{n}"), format!("{round}")).await?);
                }
                own.iter().for_each(|pair| truth.put(pair));
                let target = kvdb_core::Target::Tree(&directory);
                let deleted = kv.delete_opts(target, DeleteOptions::default()).await?;
                crate::ensure_eq!(deleted.removed, 3, "removed below {directory}");
                for mut pair in own {
                    pair.modified_index = deleted.revision;
                    truth.deleted(&pair);
                }
            }
            _ => truth.put(&kv.put(&shared, format!("{writer}-{round}")).await?),
        }
        done.fetch_add(1, Ordering::SeqCst);
        // A store that answers at once would let nobody else have a turn.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads a watch of `w` until a marker, which is written after everything, and judges it all by the rules.
pub(super) async fn read_to_marker(watch: &mut Watch, checker: &mut Checker) -> Proof {
    loop {
        let event = next_event(watch).await?;
        if event.pair().is_some_and(|pair| pair.key == MARKER) {
            return Ok(());
        }
        checker.take(&event).map_err(Failure::new)?;
    }
}

/// Written once all writers are done.
pub(super) const MARKER: &str = "w/~end";

/// Writes the marker.
pub(super) async fn mark(kv: &Handle) -> Proof<KvPair> {
    Ok(kv.put(MARKER, "end").await?)
}
