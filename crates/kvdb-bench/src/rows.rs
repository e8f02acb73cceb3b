//! What can be measured.

use std::path::Path;

use crate::pairs::{Asked, Pair, Target};

#[cfg(feature = "consul")]
mod consul;
#[cfg(feature = "etcd")]
mod etcd;
mod keys;
mod memory;
mod redb_get;
mod redb_put;
mod snapshot;
mod stores;
#[cfg(any(feature = "consul", feature = "etcd", feature = "zookeeper"))]
mod tasks;
mod wrappers;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub(crate) use wrappers::count_gets;

/// Why a row could not be measured.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the stores are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Files of durable stores go here.
    pub(crate) dir: &'a Path,
    /// etcd syncs every write to the disk, as it does in earnest.
    pub(crate) fsync: bool,
}

/// Sets the stores of a row up, in a [`Place`].
type Open = fn(&Place<'_>) -> Result<Vec<Pair>, Failure>;

/// A row of the report.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The server that it starts, which is the cargo feature that it needs; `-` without one.
    pub(crate) server: &'static str,
    pub(crate) what: &'static str,
    /// What is asked of each pair, in their order.
    pub(crate) asked: &'static [Asked],
    /// `None` in a build without the feature.
    open: Option<Open>,
}

impl Row {
    /// The row's pairs and what is asked of each.
    pub(crate) fn pairs(&self, place: &Place<'_>) -> Result<Vec<(Pair, Asked)>, Failure> {
        let open = self.open.ok_or_else(|| self.lacking())?;
        let pairs = open(place)?;
        if pairs.len() != self.asked.len() {
            return Err(format!("{} has {} pairs and {} targets", self.name, pairs.len(), self.asked.len()).into());
        }
        Ok(pairs.into_iter().zip(self.asked.iter().copied()).collect())
    }

    fn lacking(&self) -> Failure {
        let Self { name, server, .. } = self;
        format!("{name} was not built in: build with `--features {server}`").into()
    }
}

#[cfg(feature = "etcd")]
macro_rules! etcd {
    ($open:path) => {
        Some($open)
    };
}
#[cfg(not(feature = "etcd"))]
macro_rules! etcd {
    ($open:path) => {
        None
    };
}

#[cfg(feature = "consul")]
macro_rules! consul {
    ($open:path) => {
        Some($open)
    };
}
#[cfg(not(feature = "consul"))]
macro_rules! consul {
    ($open:path) => {
        None
    };
}

#[cfg(feature = "zookeeper")]
macro_rules! zookeeper {
    ($open:path) => {
        Some($open)
    };
}
#[cfg(not(feature = "zookeeper"))]
macro_rules! zookeeper {
    ($open:path) => {
        None
    };
}

const WITHIN_1: Asked = Asked::of(Target::AtLeast(0.98));
const WITHIN: Asked = Asked::of(Target::AtLeast(0.97));
const WITHIN_MANY: Asked = Asked::with_cpu(Target::AtLeast(0.97), 1.03);

/// Every row, by the numbers of the performance goals.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "P1",
        server: "etcd",
        what: "etcd put, 1 task, against etcd-client",
        asked: &[WITHIN_1],
        open: etcd!(etcd::put_alone),
    },
    Row {
        name: "P2",
        server: "etcd",
        what: "etcd put, 16 and 128 tasks, against etcd-client",
        asked: &[WITHIN_MANY, WITHIN_MANY],
        open: etcd!(etcd::put),
    },
    Row {
        name: "P3",
        server: "etcd",
        what: "etcd linearizable get, 16 and 128 tasks, against etcd-client",
        asked: &[WITHIN_MANY, WITHIN_MANY],
        open: etcd!(etcd::get),
    },
    Row {
        name: "P6",
        server: "etcd",
        what: "lock hand-over to a waiter of 5, 20, 150 ms, against etcd's Lock call",
        asked: &[Asked::of(Target::Faster(50.0)), Asked::of(Target::Faster(20.0)), Asked::of(Target::Faster(1.0))],
        open: etcd!(etcd::hand_over),
    },
    Row {
        name: "P7",
        server: "etcd",
        what: "uncontended lock, the handle's lease warm, against one put by etcd-client, and the same transaction",
        asked: &[Asked::of(Target::AtMost(1.1)), Asked::of(Target::AtMost(1.1))],
        open: etcd!(etcd::acquire),
    },
    Row {
        name: "P8",
        server: "etcd",
        what: "put to watch event, p50; first event after a resume, against a watch opened at what it saw last",
        asked: &[Asked::of(Target::AtMost(1.05)), Asked::of(Target::Faster(50.0))],
        open: etcd!(etcd::watch),
    },
    Row {
        name: "P9",
        server: "etcd",
        what: "1,000 watches of one tree: events a second, and memory of one, against 1,000 watches of etcd-client",
        asked: &[Asked::of(Target::AtLeast(20.0)), Asked::of(Target::Bytes(1024.0))],
        open: etcd!(etcd::fan_out),
    },
    Row {
        name: "P10",
        server: "-",
        what: "memory get, against a locked BTreeMap",
        asked: &[Asked::of(Target::AtLeast(0.75))],
        open: Some(memory::get),
    },
    Row {
        name: "P11",
        server: "-",
        what: "memory put with revision and history, against a locked BTreeMap",
        asked: &[Asked::of(Target::AtLeast(0.6))],
        open: Some(memory::put),
    },
    Row {
        name: "P12",
        server: "-",
        what: "memory snapshot and short list, against a clone and a scan",
        asked: &[Asked::of(Target::AtLeast(10_000.0)), Asked::of(Target::AtLeast(100.0))],
        open: Some(snapshot::snapshot),
    },
    Row {
        name: "P13",
        server: "etcd",
        what: "etcd consistent snapshot of 10,000 keys, against one range call",
        asked: &[Asked::of(Target::AtMost(1.1))],
        open: etcd!(etcd::snapshot),
    },
    Row {
        name: "P14",
        server: "-",
        what: "redb durable put, 64 writers, against one transaction each",
        asked: &[Asked::of(Target::ByDisk(5.0, 30.0))],
        open: Some(redb_put::many),
    },
    Row {
        name: "P15",
        server: "-",
        what: "redb durable put, 1 writer, against a raw transaction",
        asked: &[Asked::of(Target::AtLeast(0.9))],
        open: Some(redb_put::one),
    },
    Row {
        name: "P16",
        server: "-",
        what: "redb get, against a raw read; its p99 while 64 writers commit, against idle",
        asked: &[Asked::of(Target::AtLeast(0.85)), Asked::of(Target::AtMost(3.0))],
        open: Some(redb_get::get),
    },
    Row {
        name: "P17",
        server: "consul",
        what: "Consul put and get, 64 tasks, against pooled HTTP that asks the same",
        asked: &[WITHIN_1, WITHIN_1],
        open: consul!(consul::calls),
    },
    Row {
        name: "P18",
        server: "zookeeper",
        what: "ZooKeeper put and get, 16 and 128 tasks, against zookeeper-client that asks the same",
        asked: &[WITHIN, WITHIN, WITHIN, WITHIN],
        open: zookeeper!(zookeeper::calls),
    },
    Row {
        name: "P18",
        server: "-",
        what: "memory get through 3 wrappers that do nothing, against none",
        asked: &[Asked::of(Target::AddsAtMost(100.0))],
        open: Some(wrappers::get),
    },
];

/// The rows of these names that are built in; all of them if there are no names.
pub(crate) fn choose(names: &[String]) -> Result<Vec<&'static Row>, Failure> {
    if names.is_empty() {
        return Ok(ROWS.iter().filter(|row| row.open.is_some()).collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let called: Vec<&Row> = ROWS.iter().filter(|row| row.name.eq_ignore_ascii_case(name)).collect();
        let built: Vec<&Row> = called.iter().copied().filter(|row| row.open.is_some()).collect();
        // Before anything is measured, not after an hour.
        match called.first() {
            None => {
                let mut known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                known.dedup();
                return Err(
                    format!("no row is called `{}`; there are {}", name.escape_debug(), known.join(", ")).into()
                );
            }
            Some(row) if built.is_empty() => return Err(row.lacking()),
            Some(_) => chosen.extend(built),
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_row_is_answered_with_the_known_ones() {
        let error = choose(&["P99".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("`P99`") && error.contains("P9, P10, P11, P12, P13, P14, P15, P16, P17, P18"),
            "{error}"
        );
        assert_eq!(choose(&["p10".to_owned()]).unwrap().len(), 1);
        assert_eq!(choose(&["P18".to_owned()]).unwrap().len(), 1 + usize::from(cfg!(feature = "zookeeper")));
    }

    #[test]
    fn all_rows_are_those_that_are_built_in() {
        let names = |rows: Vec<&Row>| rows.iter().map(|row| row.name).collect::<Vec<_>>();
        let features = [
            ("etcd", cfg!(feature = "etcd")),
            ("consul", cfg!(feature = "consul")),
            ("zookeeper", cfg!(feature = "zookeeper")),
        ];
        let built = |row: &&Row| !features.contains(&(row.server, false));
        assert_eq!(names(choose(&[]).unwrap()), names(ROWS.iter().filter(built).collect()));
    }

    #[test]
    fn a_row_of_a_feature_that_is_off_names_it() {
        let row = Row { name: "P0", server: "etcd", what: "nothing", asked: &[], open: None };
        let place = Place { dir: Path::new("."), fsync: false };
        let error = row.pairs(&place).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("P0") && error.contains("--features etcd"), "{error}");
    }
}
