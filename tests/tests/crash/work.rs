//! What the writers do: units of one to three steps, each step one atomic write of the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvdb::prelude::*;
use kvdb::{Backend, Batch, CallOptions, DeleteOptions, Key, LeaseId, Op, Outcome};

use crate::note::{Granted, Note, UnitId};

/// The domain of every handle here.
pub(crate) const DOMAIN: &str = "crash";
/// A TTL that no test outlives.
const LONG: Duration = Duration::from_secs(60);
/// A TTL that runs out around the crash.
const SHORT: Duration = Duration::from_millis(40);

/// Where a writer's notes go.
pub(crate) type Sink = Arc<dyn Fn(Note) + Send + Sync>;

/// An open store, by both of its sides.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) kv: Handle,
}

impl Store {
    pub(crate) fn over(backend: Arc<dyn Backend>) -> Result<Self> {
        let kv = Handle::open("redb", Arc::clone(&backend), DOMAIN, &Options::new())?;
        Ok(Self { backend, kv })
    }
}

/// What a unit does, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A put.
    Put,
    /// Three keys in one batch.
    Batch,
    /// Three keys in one batch, then the tree deleted.
    Tree,
    /// A lease, a key on it, the lease kept alive.
    Lease,
    /// A create, then a delete.
    Delete,
    /// A put, a second one, then a compare-and-set.
    Overwrite,
}

impl Kind {
    pub(crate) fn of(unit: UnitId) -> Self {
        match unit.number % 6 {
            0 => Self::Put,
            1 => Self::Batch,
            2 => Self::Tree,
            3 => Self::Lease,
            4 => Self::Delete,
            _ => Self::Overwrite,
        }
    }

    /// The names below the unit's directory after so many steps, each with the steps that created and last wrote it.
    pub(crate) fn after(self, steps: u8) -> &'static [(&'static str, u8, u8)] {
        match (self, steps) {
            (Self::Put | Self::Delete | Self::Overwrite, 1) => &[("a", 1, 1)],
            (Self::Batch | Self::Tree, 1) => &[("a", 1, 1), ("b", 1, 1), ("c", 1, 1)],
            (Self::Lease, 2 | 3) => &[("a", 2, 2)],
            (Self::Overwrite, 2) => &[("a", 1, 2)],
            (Self::Overwrite, 3) => &[("a", 1, 3)],
            _ => &[],
        }
    }
}

/// The unit's directory, relative to the domain.
pub(crate) fn directory(unit: UnitId) -> String {
    format!("w{:02}/{:012}", unit.writer, unit.number)
}

/// The unit of a key.
pub(crate) fn unit_of(key: &str) -> Option<(UnitId, &str)> {
    let (writer, rest) = key.strip_prefix('w')?.split_once('/')?;
    let (number, name) = rest.split_once('/')?;
    Some((UnitId { writer: writer.parse().ok()?, number: number.parse().ok()? }, name))
}

/// What a step writes: told by its text, of many sizes so that pages fill and split.
pub(crate) fn value(unit: UnitId, step: u8) -> String {
    let mut value = format!("{} {step} ", directory(unit));
    let size = value.len() + (unit.number as usize * 37 % 7) * 400;
    value.extend(std::iter::repeat_n('.', size - value.len()));
    value
}

/// The wall clock in milliseconds.
pub(crate) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Works from unit `first` on until the store fails; answers that error.
pub(crate) async fn write(store: Store, writer: u32, first: u64, sink: Sink) -> Error {
    let mut number = first;
    loop {
        let unit = UnitId { writer, number };
        if let Err(error) = (Work { store: &store, unit, sink: &sink }).run().await {
            return error;
        }
        number += 1;
    }
}

struct Work<'a> {
    store: &'a Store,
    unit: UnitId,
    sink: &'a Sink,
}

impl Work<'_> {
    async fn run(&self) -> Result<()> {
        let (kv, directory) = (&self.store.kv, directory(self.unit));
        let key = format!("{directory}/a");
        let text = |step| value(self.unit, step);
        match Kind::of(self.unit) {
            Kind::Put => {
                self.step(1, async { Ok(kv.put(&key, text(1)).await?.modified_index) }).await?;
            }
            Kind::Batch => {
                self.step(1, self.batch(&directory)).await?;
            }
            Kind::Tree => {
                self.step(1, self.batch(&directory)).await?;
                self.step(2, async {
                    let deleted = kv.delete_opts(Target::Tree(&directory), DeleteOptions::default()).await?;
                    if deleted.removed != 3 {
                        self.wrong(format!("deleting {directory} removed {} of 3 keys", deleted.removed));
                    }
                    Ok(deleted.revision)
                })
                .await?;
            }
            Kind::Lease => self.lease(&key).await?,
            Kind::Delete => {
                self.step(1, async { Ok(kv.create(&key, text(1)).await?.modified_index) }).await?;
                self.step(2, async { Ok(kv.delete(&key).await?.modified_index) }).await?;
            }
            Kind::Overwrite => {
                self.step(1, async { Ok(kv.put(&key, text(1)).await?.modified_index) }).await?;
                let second = self.step(2, async { Ok(kv.put(&key, text(2)).await?.modified_index) }).await?;
                let set = async { Ok(kv.put(&key, text(3)).if_revision(second).await?.modified_index) };
                self.step(3, set).await?;
            }
        }
        Ok(())
    }

    /// Says that a step begins, takes it, and says how it ended: the second note is the acknowledgement.
    async fn step(&self, step: u8, asked: impl Future<Output = Result<Revision>>) -> Result<Revision> {
        (self.sink)(Note::Started(self.unit, step));
        let revision = asked.await?;
        (self.sink)(Note::Wrote(self.unit, step, revision.get()));
        Ok(revision)
    }

    /// Three keys in one commit, below the verbs: they have no batch of puts.
    async fn batch(&self, directory: &str) -> Result<Revision> {
        let put = |name: &str| Op::Put {
            key: Key::from(format!("{DOMAIN}/{directory}/{name}")),
            value: value(self.unit, 1).into(),
            lease: None,
            previous: false,
        };
        let batch = Batch { guards: Vec::new(), ops: ["a", "b", "c"].map(put).to_vec() };
        match self.store.backend.commit(&batch).await? {
            Outcome::Committed { revision, .. } => Ok(revision),
            Outcome::Conflict => {
                self.wrong(format!("a batch without a guard in {directory} answered Conflict"));
                Ok(Revision::ZERO)
            }
        }
    }

    async fn lease(&self, key: &str) -> Result<()> {
        let kv = &self.store.kv;
        let ttl = self.ttl();
        let lease = self.leased(1, async { Ok(kv.lease(ttl).await?.id) }).await?;
        let put = async { Ok(kv.put(key, value(self.unit, 2)).lease(&lease).await?.modified_index) };
        if self.or_too_late(2, self.step(2, put).await)?.is_none() {
            return Ok(());
        }
        let kept = async {
            kv.lease_keep_alive(&lease, CallOptions::default()).await?;
            Ok(lease.clone())
        };
        self.or_too_late(3, self.leased(3, kept).await)?;
        Ok(())
    }

    async fn leased(&self, step: u8, asked: impl Future<Output = Result<LeaseId>>) -> Result<LeaseId> {
        (self.sink)(Note::Started(self.unit, step));
        let before = wall();
        let lease = asked.await?;
        let granted = Granted {
            lease: lease.number().unwrap_or_default(),
            ttl: self.ttl().as_millis() as u64,
            asked: before,
            answered: wall(),
        };
        (self.sink)(Note::Leased(self.unit, step, granted));
        Ok(lease)
    }

    /// Every other lease of a writer is a long one.
    fn ttl(&self) -> Duration {
        if (self.unit.number / 6).is_multiple_of(2) { LONG } else { SHORT }
    }

    /// A short lease may run out under its owner on a slow disk.
    fn or_too_late<T>(&self, step: u8, ended: Result<T>) -> Result<Option<T>> {
        match ended {
            Ok(value) => Ok(Some(value)),
            Err(error) if *error.kind() == ErrorKind::LeaseNotFound => {
                (self.sink)(Note::TooLate(self.unit, step));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn wrong(&self, text: String) {
        (self.sink)(Note::Wrong(text));
    }
}
