//! The steps about snapshots and dumps.

use kvdb_core::KvdbExt;

use super::{Check, Run, Stop, pairs, same};
use crate::property::model::Model;
use crate::property::step::Step;

impl Run<'_> {
    pub(super) async fn snapshot(&mut self, step: Step) -> Check {
        match step {
            Step::Snapshot { slot, prefix } => {
                let snapshot = self.kv.snapshot(&[prefix]).await?;
                let revision = snapshot.revision().get();
                if self.exact {
                    same!(revision, self.model.revision, "revision of a snapshot");
                } else if revision < self.model.revision {
                    let behind = format!("a snapshot at {revision}, behind the answered write {}", self.model.revision);
                    return Err(Stop::Wrong(behind));
                }
                self.snapshots[slot] = Some((snapshot, prefix));
                Ok(())
            }
            Step::ReadSnapshot { slot } => {
                let Some((snapshot, prefix)) = self.snapshots[slot].clone() else { return Ok(()) };
                let state = self.model.at(snapshot.revision().get());
                let expected = Model::below(&state, prefix);
                let listed = snapshot.list("").await?;
                self.listed(&listed, &expected)?;
                same!(snapshot.count(prefix).await?, expected.len() as u64, "count of a snapshot of {prefix:?}");
                for key in crate::property::step::KEYS {
                    let known = expected.iter().find(|(name, _)| name == key).map(|(_, known)| known.clone());
                    let found = snapshot.get(key).await?;
                    self.got(found, key, known)?;
                }
                Ok(())
            }
            Step::WatchSnapshot { slot } => {
                let Some((snapshot, prefix)) = self.snapshots[slot].clone() else { return Ok(()) };
                let mut happened = self.model.since(snapshot.revision().get());
                let inside = |key: &str| prefix.is_empty() || key.starts_with(&format!("{prefix}/"));
                happened.retain(|happened| inside(&happened.key));
                let mut watch = self.kv.watch_tree(prefix).previous().from(&snapshot).await?;
                let events = pairs(&mut watch, happened.len()).await?;
                self.compare_events(&events, &happened)
            }
            Step::Dump => {
                let dumped = self.kv.deserialize(&self.kv.serialize().await?)?;
                self.listed(&dumped, &Model::below(&self.model.keys, ""))
            }
            step => Err(Stop::Wrong(format!("{step:?} is not about snapshots"))),
        }
    }
}
