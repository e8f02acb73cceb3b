//! What can be measured.

use std::path::Path;

use crate::pairs::Pair;

mod keys;
mod memory;
mod redb_get;
mod redb_put;
mod snapshot;
mod stores;
mod wrappers;

pub(crate) use wrappers::count_gets;

/// Why a row could not be measured.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A row of the report.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Sets the stores up below a directory.
    pub(crate) open: fn(&Path) -> Result<Vec<Pair>, Failure>,
}

/// Every row, by the numbers of the performance goals.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "P10", what: "memory get, against a locked BTreeMap", open: memory::get },
    Row { name: "P11", what: "memory put with revision and history, against a locked BTreeMap", open: memory::put },
    Row { name: "P12", what: "memory snapshot and short list, against a clone and a scan", open: snapshot::snapshot },
    Row { name: "P14", what: "redb durable put, 64 writers, against one transaction each", open: redb_put::many },
    Row { name: "P15", what: "redb durable put, 1 writer, against a raw transaction", open: redb_put::one },
    Row { name: "P16", what: "redb get, against a raw read; its p99 while 64 writers commit", open: redb_get::get },
    Row { name: "P18", what: "memory get through 3 wrappers that do nothing, against none", open: wrappers::get },
];

/// The rows of these names; all of them if there are none.
pub(crate) fn choose(names: &[String]) -> Result<Vec<&'static Row>, Failure> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let known = ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
                Failure::from(format!("no row is called `{}`; there are {known}", name.escape_debug()))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_row_is_answered_with_the_known_ones() {
        let error = super::choose(&["P99".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`P99`") && error.contains("P10, P11, P12, P14, P15, P16, P18"), "{error}");
        assert_eq!(super::choose(&["p10".to_owned()]).unwrap().len(), 1);
        assert_eq!(super::choose(&[]).unwrap().len(), 7);
    }
}
