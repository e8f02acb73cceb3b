//! A snapshot as JSON.

use std::path::Path;

use kvdb::prelude::*;

use super::stage::Stage;
use crate::failure::Failure;

/// Writes the dump of a snapshot into a file, whole or not at all; answers how many keys, and the bytes of the file.
///
/// # Errors
/// When the file exists and `force` does not allow to replace it, before anything is read.
pub(crate) async fn write_dump(snapshot: &Snapshot, path: &Path, force: bool) -> Result<(u64, u64), Failure> {
    let mut stage = Stage::new(force);
    stage.check(path)?;
    let dump = snapshot.serialize().await?;
    let keys = snapshot.count("").await?;
    stage.file(path, &dump)?;
    stage.publish()?;
    Ok((keys, dump.len() as u64))
}
