//! Preconditions against what is there.

use bytes::Bytes;

use crate::{Entry, Error, ErrorKind, Precondition, Result, Revision};

/// How a precondition is put to the store.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// No condition on the key.
    Free,
    /// The key must be absent.
    Absent,
    /// The key must be present.
    Present,
    /// The key's last write must be this one: one guard says it all.
    Unchanged(Revision),
    /// Read the key, look, and commit guarded by what was read.
    Examine,
}

impl Plan {
    /// The plan for a precondition, after its contradictions are refused.
    pub(super) fn of(when: &mut Precondition) -> Result<Self> {
        if when.modified == Some(Revision::ZERO) {
            when.modified = None;
            if when.exists.replace(false) == Some(true) {
                return Err(contradiction());
            }
        }
        let needs_presence = when.modified.is_some() || when.created.is_some() || when.value.is_some();
        match when.exists {
            Some(false) if needs_presence => return Err(contradiction()),
            Some(false) => return Ok(Self::Absent),
            Some(true) if !needs_presence => return Ok(Self::Present),
            _ => {}
        }
        Ok(match (when.modified, &when.created, &when.value) {
            (None, None, None) => Self::Free,
            (Some(modified), None, None) => Self::Unchanged(modified),
            _ => Self::Examine,
        })
    }
}

fn contradiction() -> Error {
    Error::invalid("the conditions ask for an absent and a present key at once")
}

/// Whether the conditions hold for what is there; else the error that says which does not.
pub(super) fn check(when: &Precondition, entry: Option<&Entry>) -> Result<()> {
    if when.is_none() {
        return Ok(());
    }
    let Some(entry) = entry else {
        return match when.exists {
            Some(false) => Ok(()),
            Some(true) => Err(Error::new(
                ErrorKind::NotFound,
                "nothing is there to update; create it, or check the key and the domain",
            )),
            None => Err(not_found()),
        };
    };
    if when.exists == Some(false) {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("it is there since revision {}; use put or update", entry.created),
        ));
    }
    for (index, wanted, found) in
        [("modified", when.modified, entry.modified), ("created", when.created, entry.created)]
    {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(Error::new(
                ErrorKind::Modified,
                format!("its {index} index is {found}, not {wanted}; read it again"),
            ));
        }
    }
    match &when.value {
        Some(value) if *value != entry.value => Err(mismatch(value, &entry.value)),
        _ => Ok(()),
    }
}

pub(super) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is stored under it; check the key and the domain")
}

/// Sizes only: a value never stands in an error.
fn mismatch(wanted: &Bytes, found: &Bytes) -> Error {
    Error::new(
        ErrorKind::ValueMismatch,
        format!("the stored value ({} bytes) is not the expected one ({} bytes)", found.len(), wanted.len()),
    )
}
