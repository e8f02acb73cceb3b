//! Commits: a look at the keys where the batch needs one, then one multi, again while others change what was seen.

use std::error::Error as _;
use std::sync::Arc;

use kvdb_core::{Batch, Entry, Error, ErrorKind, Guard, Key, LeaseId, Op, OpResult, Outcome, Result, Retry, Revision};
use zookeeper::{Acls, Client, CreateMode, Error as Cause, MultiWriteError, MultiWriteResult, MultiWriter};

use crate::backend::Shared;
use crate::config::REQUEST_BYTES;
use crate::error::{Call, contention, explain, lease_gone, mismatched};
use crate::lease::Hold;
use crate::plan::{self, Act, Plan, Role, Step, Under, View};
use crate::read::{Look, look};
use crate::{ground, path};

/// How often a batch is put in another form: each time somebody else changed one of its keys, or one that shares a
/// generation node with it, in between.
const ROUNDS: usize = 256;

/// What a step takes in a request beside its path, value and rights.
const STEP_BYTES: usize = 32;

/// What one failed step of a multi means; nothing of it was written.
enum Verdict {
    Conflict,
    /// What was seen has changed.
    Again,
    /// Something that keys stand on is not there.
    Groundless,
}

/// How fresh a view of the keys is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    /// It only begins a write, which fails if it was too old.
    MayLag,
    /// It is read behind a write of the session that the servers agreed on, if only to refuse it.
    Behind,
    /// It answers, so it is read behind a write as a strict read is: a leader that was deposed cannot do that.
    Strict,
}

impl Shared {
    pub(crate) async fn commit(self: &Arc<Self>, batch: &Batch) -> Result<Outcome> {
        let lease = batch.ops.iter().find_map(|op| match op {
            Op::Put { lease, .. } => lease.as_ref(),
            _ => None,
        });
        let Some(lease) = lease else {
            let client = self.sessions.client().await?;
            let outcome = self.write(&client, batch, None).await?;
            self.detach(batch, &outcome);
            return Ok(outcome);
        };
        // Runs to its end: the lease must know of every key that it may have.
        let hold = self.leases.hold(lease, self.sessions.settings.dial_timeout)?;
        let (shared, batch, lease) = (Arc::clone(self), batch.clone(), lease.clone());
        let task = tokio::spawn(async move { shared.write_under(&lease, hold, &batch).await });
        task.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "the commit's task ended early")
                .with_retry(Retry::Ambiguous)
                .with_source(source)
        })?
    }

    async fn write_under(&self, lease: &LeaseId, hold: Hold, batch: &Batch) -> Result<Outcome> {
        // While this is held the lease does not end by our own hand.
        let _writing = hold.writing().await?;
        for op in &batch.ops {
            if let Op::Put { key, lease: Some(_), .. } = op {
                hold.expect(&path::leaf(key.as_bytes()));
            }
        }
        let under = Under { lease: lease.clone(), session: hold.session() };
        let outcome = self.write(hold.client(), batch, Some(&under)).await.map_err(|error| match error.source() {
            // Neither is an answer to what was done: nothing was written.
            Some(cause) if matches!(cause.downcast_ref(), Some(Cause::SessionExpired | Cause::ClientClosed)) => {
                lease_gone()
            }
            _ => error,
        })?;
        self.detach(batch, &outcome);
        if let Outcome::Committed { .. } = outcome {
            for op in &batch.ops {
                if let Op::Put { key, lease: Some(_), .. } = op {
                    self.leases.attach(&path::leaf(key.as_bytes()), &hold);
                }
            }
        }
        Ok(outcome)
    }

    /// Forgets leases of keys that have none any more.
    fn detach(&self, batch: &Batch, outcome: &Outcome) {
        if matches!(outcome, Outcome::Committed { .. }) {
            let free = batch.ops.iter().filter(|op| !matches!(op, Op::Put { lease: Some(_), .. }));
            let keys = free.filter_map(|op| plan::key_of(op).ok());
            self.leases.detach(keys.map(|key| path::leaf(key.as_bytes())));
        }
    }

    async fn write(&self, client: &Client, batch: &Batch, under: Option<&Under>) -> Result<Outcome> {
        let mut fresh = if batch.ops.is_empty() { Fresh::Strict } else { Fresh::MayLag };
        let mut known = plan::is_blind(batch).then(|| (View::default(), 0));
        for _ in 0..ROUNDS {
            let (view, shown) = match known.take() {
                Some(known) => known,
                None => self.view(client, batch, fresh).await?,
            };
            let steps = match plan::plan(batch, &view, under)? {
                Plan::Steps(steps) => steps,
                Plan::Ungrounded(generation) => {
                    ground::make(client, &[], &[&generation], &self.sessions.settings.acl).await?;
                    continue;
                }
                Plan::Conflict { surely: true } => return Ok(Outcome::Conflict),
                Plan::Conflict { .. } | Plan::Nothing if fresh == Fresh::MayLag => {
                    fresh = Fresh::Strict;
                    continue;
                }
                Plan::Conflict { .. } => return Ok(Outcome::Conflict),
                Plan::Nothing => {
                    let results = batch.ops.iter().map(|_| OpResult::Deleted { removed: 0, previous: None }).collect();
                    return Ok(Outcome::Committed { revision: Revision::new(shown.cast_unsigned()), results });
                }
            };
            let mut multi = self.multi(client, &steps)?;
            if view.generations.values().any(Option::is_none) {
                self.ground(client, &steps).await?;
            }
            let failed = match multi.commit().await {
                Ok(results) => return self.committed(batch, &view, under, &steps, &results),
                Err(MultiWriteError::RequestFailed { source }) => return Err(explain(Call::Write, source)),
                Err(MultiWriteError::OperationFailed { index, source }) => (steps.get(index), source),
            };
            let (Some(step), cause) = failed else { return Err(mismatched()) };
            match judge(batch, step, cause)? {
                Verdict::Conflict => return Ok(Outcome::Conflict),
                Verdict::Again => fresh = Fresh::Behind,
                Verdict::Groundless => {
                    self.ground(client, &steps).await?;
                    known = Some((view, shown));
                }
            }
        }
        Err(contention())
    }

    /// Makes all that these steps stand on.
    async fn ground(&self, client: &Client, steps: &[Step]) -> Result<()> {
        let creates = steps.iter().filter(|step| matches!(step.act, Act::Create { .. }));
        let leaves: Vec<&str> = creates.map(|step| step.path.as_str()).collect();
        let generations = steps.iter().filter(|step| step.role == Role::Generation);
        let own: Vec<&str> = generations.map(|step| step.path.as_str()).collect();
        ground::make(client, &leaves, &own, &self.sessions.settings.acl).await
    }

    /// Reads the generations of a batch and then its keys; answers also a transaction up to which they show all.
    async fn view(&self, client: &Client, batch: &Batch, fresh: Fresh) -> Result<(View, i64)> {
        let keys = plan::keys(batch)?;
        let mut seen = self.sessions.seen();
        let mut generations: Vec<String> = keys.iter().map(|key| path::generation(key.as_bytes())).collect();
        generations.sort_unstable();
        generations.dedup();
        let leaves: Vec<String> = keys.iter().map(|key| path::leaf(key.as_bytes())).collect();
        let looks: Vec<Look> = generations.iter().chain(&leaves).cloned().map(Look::Data).collect();
        let sights = match keys.first().filter(|_| fresh == Fresh::Strict) {
            Some(key) => {
                // Both are sent before either is awaited: one round trip.
                let written = client.set_data(&path::barrier(key.as_bytes()), b"", None);
                let sights = look(client, &looks, false).await?;
                match written.await {
                    Ok(stat) => {
                        self.sessions.note(stat.mzxid);
                        seen = seen.max(stat.mzxid);
                        sights
                    }
                    Err(Cause::NoNode) => {
                        seen = seen.max(self.pass_barrier(client, key.as_bytes()).await?);
                        look(client, &looks, false).await?
                    }
                    // Whoever may not write has what a plain read has.
                    Err(Cause::NoAuth) => look(client, &looks, true).await?,
                    // It changes nothing that anybody sees.
                    Err(cause) => return Err(explain(Call::Read, cause)),
                }
            }
            None => look(client, &looks, fresh == Fresh::Strict).await?,
        };
        let mut found = sights.found.into_iter();
        let mut view = View::default();
        for generation in generations {
            let version = found.next().and_then(|sight| sight.data()).map(|(_, stat)| stat.version);
            view.generations.insert(generation, version);
        }
        for leaf in leaves {
            view.keys.insert(leaf, found.next().and_then(|sight| sight.data()));
        }
        let newest = view.keys.values().flatten().map(|(_, stat)| stat.mzxid).max().unwrap_or(1);
        Ok((view, if fresh == Fresh::MayLag { newest } else { seen.max(newest) }))
    }

    fn multi<'a>(&self, client: &'a Client, steps: &[Step]) -> Result<MultiWriter<'a>> {
        let acl = Acls::new(&self.sessions.settings.acl);
        let acl_bytes: usize = acl.iter().map(|acl| acl.scheme().len() + acl.id().len() + 16).sum();
        let mut writer = client.new_multi_writer();
        let mut bytes = STEP_BYTES;
        for Step { path, act, .. } in steps {
            bytes += STEP_BYTES + path.len();
            let added = match act {
                Act::Check(version) => writer.add_check_version(path, *version),
                Act::Create { value, ephemeral } => {
                    bytes += value.len() + acl_bytes;
                    let mode = if *ephemeral { CreateMode::Ephemeral } else { CreateMode::Persistent };
                    writer.add_create(path, value, &mode.with_acls(acl))
                }
                Act::Set { value, version } => {
                    bytes += value.len();
                    writer.add_set_data(path, value, *version)
                }
                Act::Delete(version) => writer.add_delete(path, *version),
            };
            added.map_err(|cause| explain(Call::Read, cause))?;
        }
        if bytes > REQUEST_BYTES {
            let message = format!("the request has {bytes} bytes, ZooKeeper takes {REQUEST_BYTES}");
            return Err(Error::new(ErrorKind::TooLarge { limit: REQUEST_BYTES }, message));
        }
        Ok(writer)
    }

    /// The outcome of a multi that went through.
    fn committed(
        &self,
        batch: &Batch,
        view: &View,
        under: Option<&Under>,
        steps: &[Step],
        results: &[MultiWriteResult],
    ) -> Result<Outcome> {
        let stat_of = |result: &MultiWriteResult| match result {
            MultiWriteResult::SetData { stat } => Some(*stat),
            _ => None,
        };
        // All of a multi is one transaction, and each sets something: a generation or the key.
        let zxid = results.iter().find_map(stat_of).ok_or_else(mismatched)?.mzxid;
        self.sessions.note(zxid);
        let result_of = |index: usize, op: &Op| {
            let key = plan::key_of(op)?;
            let leaf = path::leaf(key.as_bytes());
            let wanted = matches!(op, Op::Put { previous: true, .. } | Op::Delete { previous: true, .. });
            let seen = view.of(&leaf);
            let previous =
                seen.filter(|_| wanted).map(|(value, stat)| self.entry(key.clone(), &leaf, value.clone(), stat));
            let Op::Put { value, lease, .. } = op else {
                return Ok(OpResult::Deleted { removed: u64::from(seen.is_some()), previous });
            };
            let ours = steps.iter().zip(results).filter(|(step, _)| step.role == Role::Op(index)).last();
            let (created, version) = match ours.and_then(|(_, result)| stat_of(result)) {
                Some(stat) => (Revision::new(stat.czxid.cast_unsigned()), u64::from(stat.version.cast_unsigned()) + 1),
                None => (Revision::new(zxid.cast_unsigned()), 1),
            };
            let entry = Entry {
                key: Key::clone(key),
                value: value.clone(),
                created,
                modified: Revision::new(zxid.cast_unsigned()),
                version: Some(version),
                lease: lease.as_ref().and(under).map(|under| under.lease.clone()),
                ttl: None,
            };
            Ok(OpResult::Put { entry, previous })
        };
        let results = batch.ops.iter().enumerate().map(|(index, op)| result_of(index, op)).collect::<Result<_>>()?;
        Ok(Outcome::Committed { revision: Revision::new(zxid.cast_unsigned()), results })
    }
}

/// What the failure of one step means.
fn judge(batch: &Batch, step: &Step, cause: Cause) -> Result<Verdict> {
    let guard = match step.role {
        Role::Guard(index) => batch.guards.get(index),
        Role::Op(index) => {
            let key = batch.ops.get(index).map(plan::key_of).transpose()?;
            batch.guards.iter().find(|guard| Some(guard.key()) == key)
        }
        Role::Generation | Role::Undo => None,
    };
    match (&step.act, cause) {
        (_, Cause::NoNode) if step.role == Role::Generation => Ok(Verdict::Groundless),
        (Act::Create { .. }, Cause::NoNode) => Ok(Verdict::Groundless),
        (Act::Create { .. }, Cause::NodeExists) if matches!(guard, Some(Guard::Absent(_))) => Ok(Verdict::Conflict),
        (Act::Check(_), Cause::NoNode) => Ok(Verdict::Conflict),
        (_, Cause::NoNode | Cause::BadVersion | Cause::NodeExists) => Ok(Verdict::Again),
        (_, cause) => Err(explain(Call::Write, cause)),
    }
}
