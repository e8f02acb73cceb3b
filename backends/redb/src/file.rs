//! Opening the file itself.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvdb_core::ErrorKind;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableHandle};

use crate::error::Failure;
use crate::format::{LEASES, LOG, META};

/// Opens or creates a database in the file at `path`, for this process alone.
pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Database, Failure> {
    let name = |failure: Failure| failure.at(&path.display().to_string());
    if path.is_dir() {
        return Err(name(Failure::new(ErrorKind::InvalidConfig, "it is a directory: name a file")));
    }
    Closing::wait(path);
    let file = create(path).map_err(|source| name(Failure::of(redb::Error::Io(source))))?;
    foreign(&file).map_err(name)?;
    builder(cache_bytes).create_file(file).map_err(|error| name(Failure::of(error)))
}

/// Opens or creates a database in a storage.
pub(crate) fn open_with(storage: impl StorageBackend, cache_bytes: usize) -> Result<Database, Failure> {
    builder(cache_bytes).create_with_backend(storage).map_err(Failure::of)
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // What is in a store is nobody else's.
        options.mode(0o600);
    }
    options.open(path)
}

/// How a file of the storage library begins.
const MAGIC: &[u8] = b"redb";

/// Refuses a file that is not a database before the storage library looks at it, so that nothing is ever written to
/// somebody else's file.
fn foreign(file: &File) -> Result<(), Failure> {
    if is_ours(file)? {
        return Ok(());
    }
    // A database that is just being made gets its magic last, and is locked until then.
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(Failure::of(redb::Error::DatabaseAlreadyOpen)),
        // Where files cannot be locked nobody can be asked.
        Err(TryLockError::Error(_)) => {}
        Ok(()) => {
            let usable = is_ours(file).and_then(|ours| Ok(ours || start_anew(file)?));
            file.unlock().map_err(redb::Error::Io).map_err(Failure::of)?;
            if usable? {
                return Ok(());
            }
        }
    }
    Err(Failure::corrupt("it is not a kvdb store: name another file, or move this one away to start anew"))
}

/// Whether a file is empty or begins as a database does.
fn is_ours(mut file: &File) -> Result<bool, Failure> {
    let mut start = Vec::new();
    file.rewind()
        .and_then(|()| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(redb::Error::Io)
        .map_err(Failure::of)?;
    Ok(start.is_empty() || start == MAGIC)
}

/// Empties a file in which the making of a database broke off, by a kill or a power cut, before its magic was there;
/// says whether it was one. Called with the file locked: nobody is making it now.
fn start_anew(file: &File) -> Result<bool, Failure> {
    let broken_off = is_unfinished(file).and_then(|unfinished| {
        if unfinished {
            file.set_len(0)?;
        }
        Ok(unfinished)
    });
    broken_off.map_err(redb::Error::Io).map_err(Failure::of)
}

/// Whether a file holds nothing but room and perhaps a header without its magic, so that nothing is lost with it.
fn is_unfinished(mut file: &File) -> io::Result<bool> {
    /// More than the room that a new database is given: 1 MiB and a header.
    const ROOM: u64 = 4 << 20;
    /// The header has the first page, and tells the size of a page behind its magic.
    const PAGE: u32 = 4096;
    const PAGE_SIZE: std::ops::Range<usize> = 12..16;
    let length = file.metadata()?.len();
    if length > ROOM || length % u64::from(PAGE) != 0 {
        return Ok(false);
    }
    let mut content = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut content)?;
    let Some((header, room)) = content.split_at_checked(PAGE as usize) else { return Ok(false) };
    let empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let no_magic = header.get(..MAGIC.len()).is_some_and(empty);
    let of_a_database = header.get(PAGE_SIZE) == Some(PAGE.to_le_bytes().as_slice());
    Ok(empty(room) && (empty(header) || (no_magic && of_a_database)))
}

/// Whether a database is empty, so that a store may be made in it.
pub(crate) fn is_empty(database: &Database) -> Result<bool, Failure> {
    let transaction = database.begin_read().map_err(Failure::of)?;
    let mut ours = 0;
    let mut others = transaction.list_multimap_tables().map_err(Failure::of)?.count();
    for table in transaction.list_tables().map_err(Failure::of)? {
        if [META.name(), LOG.name(), LEASES.name()].contains(&table.name()) {
            ours += 1;
        } else {
            others += 1;
        }
    }
    match (ours, others) {
        (0, 0) => Ok(true),
        (3, 0) => Ok(false),
        _ => Err(Failure::corrupt(
            "it is the database of another program: name another file, or move this one away to start anew",
        )),
    }
}

/// Files of this process whose last handle is gone and whose thread is just letting go of them: an open waits for
/// these instead of answering `AlreadyOpen`.
static CLOSING: LazyLock<(Mutex<HashMap<PathBuf, usize>>, Condvar)> = LazyLock::new(Default::default);

/// Marks a file as closing until dropped.
#[derive(Debug)]
pub(crate) struct Closing(PathBuf);

impl Closing {
    pub(crate) fn new(path: &Path) -> Self {
        let path = real(path);
        *closing().entry(path.clone()).or_default() += 1;
        Self(path)
    }

    /// Waits until nobody in this process is closing `path`.
    fn wait(path: &Path) {
        let path = real(path);
        // A last commit is bounded by the disk; one that hangs is `AlreadyOpen` after all.
        let patience = Duration::from_secs(5);
        let waited = CLOSING.1.wait_timeout_while(closing(), patience, |table| table.contains_key(&path));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut table = closing();
        if let Some(count) = table.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.0);
            }
        }
        drop(table);
        CLOSING.1.notify_all();
    }
}

fn closing() -> MutexGuard<'static, HashMap<PathBuf, usize>> {
    CLOSING.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
