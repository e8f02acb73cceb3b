//! How far a mirror has come, as it is kept in the store that is written to.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Error, ErrorKind, Info, Result, Revision};

/// The newest form that this version reads, and the one it writes.
const FORM: u32 = 1;

/// How far the target is the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    form: u32,
    /// Which store and domain it is the position in.
    source: String,
    /// The revision of the source that is being copied, or up to which everything was.
    pub(super) revision: Revision,
    /// The last key of the copy; `None` once all was copied.
    pub(super) copied: Option<String>,
}

impl Position {
    /// Before the first key of a copy of the source at a revision.
    pub(super) fn begin(source: &str, revision: Revision) -> Self {
        Self { form: FORM, source: source.to_owned(), revision, copied: Some(String::new()) }
    }

    /// Reads what is kept; `None` for what is of another source or another form: then everything has to be compared.
    pub(super) fn read(kept: &[u8], source: &str) -> Option<Self> {
        let position: Self = serde_json::from_slice(kept).ok()?;
        (position.form == FORM && position.source == source).then_some(position)
    }

    pub(super) fn write(&self) -> Result<Bytes> {
        let written = serde_json::to_vec(self).map(Bytes::from);
        written
            .map_err(|source| Error::new(ErrorKind::Serialization, "the position has no JSON form").with_source(source))
    }
}

/// What tells a source from others: its store's own identity where it has one, else the places where it is reached.
/// `None` where nothing does: then no position in it can be trusted.
pub(super) fn identity(info: &Info) -> Option<String> {
    let fact = |name: &str| info.details.iter().find(|(known, _)| *known == name).map(|(_, fact)| fact.as_str());
    let place = match (fact("store"), fact("endpoints")) {
        (Some(store), _) => store.to_owned(),
        (None, Some(endpoints)) => {
            let mut endpoints: Vec<&str> = endpoints.split(',').collect();
            endpoints.sort_unstable();
            endpoints.join(",")
        }
        (None, None) => return None,
    };
    Some(format!("{} {place} {}", info.backend, info.domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(details: &[(&'static str, &str)]) -> Info {
        Info::new("b", "d".to_owned(), details.iter().map(|(name, fact)| (*name, (*fact).to_owned())).collect())
    }

    #[test]
    fn a_position_is_of_one_source() {
        let kept = Position::begin("one", Revision::new(7)).write().unwrap();
        assert_eq!(Position::read(&kept, "one"), Some(Position::begin("one", Revision::new(7))));
        assert_eq!(Position::read(&kept, "other"), None);
        assert_eq!(Position::read(b"{\"form\":1}", "one"), None);
        let newer = String::from_utf8(kept.to_vec()).unwrap().replace("\"form\":1", "\"form\":2");
        assert_eq!(Position::read(newer.as_bytes(), "one"), None);
    }

    #[test]
    fn a_store_is_known_by_itself_or_by_its_places_in_any_order() {
        assert_eq!(identity(&info(&[("path", "x"), ("store", "s"), ("epoch", "1")])).as_deref(), Some("b s d"));
        assert_eq!(identity(&info(&[("endpoints", "y,x")])), identity(&info(&[("endpoints", "x,y")])));
        assert_ne!(identity(&info(&[("endpoints", "x")])), identity(&info(&[("endpoints", "y")])));
        assert_eq!(identity(&info(&[])), None);
    }
}
