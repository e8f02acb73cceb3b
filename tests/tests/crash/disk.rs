//! A disk with two images: what programs see, and what a power cut leaves.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::rngs::StdRng;
use redb::StorageBackend;

/// A disk that can lose its power or fail once. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync, in order; any subset of their sectors may survive.
    pending: Vec<Change>,
    /// Writes, resizes and syncs so far.
    operations: u64,
    /// The power goes at this operation.
    cut_at: Option<u64>,
    dark: bool,
    fault: Option<Fault>,
    /// The fault that happened.
    failed: Option<Fault>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

/// An error that the disk answers once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Not before this operation.
    pub(crate) at: u64,
    pub(crate) on: On,
    pub(crate) kind: Kind,
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Write,
    Sync,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The device reports an error; nothing is written.
    Eio,
    /// There is no room; nothing is written.
    Enospc,
    /// Half of it is written, then an error.
    Short,
}

impl Disk {
    /// A disk with this content, all of it durable.
    pub(crate) fn with(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { live: image.clone(), durable: image, ..State::default() })))
    }

    /// Loses power at the n-th operation from now.
    pub(crate) fn cut_after(&self, operations: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.operations + operations);
    }

    /// Fails once, not before the n-th operation from now.
    pub(crate) fn fail_after(&self, operations: u64, on: On, kind: Kind) {
        let mut state = self.state();
        state.fault = Some(Fault { at: state.operations + operations, on, kind });
    }

    /// The fault that happened.
    pub(crate) fn failed(&self) -> Option<Fault> {
        self.state().failed
    }

    /// Whether the power is gone.
    pub(crate) fn is_dark(&self) -> bool {
        self.state().dark
    }

    /// Writes, resizes and syncs so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What programs see: the disk after a crash of the process alone.
    pub(crate) fn live(&self) -> Vec<u8> {
        self.state().live.clone()
    }

    /// What a power cut leaves: what was synced, and any subset of the rest, sector by sector.
    pub(crate) fn after_power_loss(&self, rng: &mut StdRng, sector: u64) -> Vec<u8> {
        let state = self.state();
        let mut image = state.durable.clone();
        // Between "none of it" and "all of it" lie the cuts that tear and reorder.
        let survival = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        for change in &state.pending {
            match change {
                Change::Resize(to) if rng.random_bool(survival) => image.resize(*to as usize, 0),
                Change::Resize(_) => {}
                Change::Write(offset, data) => {
                    let end = offset + data.len() as u64;
                    let mut begin = *offset;
                    while begin < end {
                        let next = ((begin / sector + 1) * sector).min(end);
                        if rng.random_bool(survival) {
                            put(&mut image, begin, &data[(begin - offset) as usize..(next - offset) as usize]);
                        }
                        begin = next;
                    }
                }
            }
        }
        image
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation; answers how it fails, if it does.
    fn step(&mut self, on: On) -> Result<Option<Kind>, Error> {
        self.operations += 1;
        if self.cut_at.is_some_and(|at| self.operations >= at) {
            self.dark = true;
        }
        match self.fault {
            Some(fault) if !self.dark && fault.on == on && self.operations >= fault.at => {
                self.failed = self.fault.take();
                Ok(Some(fault.kind))
            }
            _ => Ok(None),
        }
    }

    fn powered(&self) -> Result<(), Error> {
        if self.dark { Err(eio()) } else { Ok(()) }
    }
}

fn eio() -> Error {
    // EIO, as the system reports it.
    Error::from_raw_os_error(5)
}

fn failure(kind: Kind) -> Error {
    match kind {
        Kind::Eio => eio(),
        Kind::Enospc => ErrorKind::StorageFull.into(),
        Kind::Short => ErrorKind::WriteZero.into(),
    }
}

fn put(image: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (begin, end) = (offset as usize, offset as usize + data.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    image[begin..end].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        let state = self.state();
        state.powered()?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.state();
        state.powered()?;
        let begin = offset as usize;
        let found = state.live.get(begin..begin + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.state();
        state.powered()?;
        if let Some(kind) = state.step(On::Write)? {
            return Err(failure(kind));
        }
        state.pending.push(Change::Resize(len));
        state.powered()?;
        state.live.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.powered()?;
        if let Some(kind) = state.step(On::Sync)? {
            return Err(failure(kind));
        }
        state.powered()?;
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            match change {
                Change::Write(offset, data) => put(&mut state.durable, offset, &data),
                Change::Resize(to) => state.durable.resize(to as usize, 0),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        state.powered()?;
        let failed = state.step(On::Write)?;
        let written = match failed {
            None => data,
            Some(Kind::Short) => &data[..data.len() / 2],
            Some(_) => &[],
        };
        if !written.is_empty() {
            // Also of the write at which the power goes, any part may reach the disk.
            state.pending.push(Change::Write(offset, written.to_vec()));
            if !state.dark {
                put(&mut state.live, offset, written);
            }
        }
        state.powered()?;
        failed.map_or(Ok(()), |kind| Err(failure(kind)))
    }
}
