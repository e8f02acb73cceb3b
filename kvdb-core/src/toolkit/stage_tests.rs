//! A group of requests in one stage must come to the same as each in a stage of its own.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use super::index::{Found, Index};
use super::leases::LeaseNumber;
use super::stage::{Stage, Staged};
use super::stage_leases::LeaseChange;
use crate::{Batch, Entry, Guard, Key, KeyRange, LeaseId, Op, Outcome, Result, Revision};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Clone, Debug)]
enum Request {
    Commit(Batch),
    Revoke(LeaseId),
    KeepAlive(LeaseId),
    Expire,
}

fn key(random: &mut Random) -> Key {
    Key::from(format!("{}", random.below(6)))
}

fn lease(random: &mut Random) -> LeaseId {
    LeaseId::Number(1 + i64::try_from(random.below(4)).unwrap())
}

fn request(random: &mut Random, revision: u64) -> Request {
    match random.below(12) {
        0 => return Request::Revoke(lease(random)),
        1 => return Request::KeepAlive(lease(random)),
        2 => return Request::Expire,
        _ => {}
    }
    let mut batch = Batch::default();
    if random.below(2) == 0 {
        let key = key(random);
        batch.guards.push(match random.below(3) {
            0 => Guard::Absent(key),
            1 => Guard::Present(key),
            _ => Guard::Unchanged(key, Revision::new(revision.saturating_sub(random.below(4)))),
        });
    }
    let mut written = Vec::new();
    for _ in 0..random.below(4) {
        let key = key(random);
        if written.contains(&key) {
            continue;
        }
        written.push(key.clone());
        let previous = random.below(2) == 0;
        batch.ops.push(match random.below(3) {
            0 => Op::Delete { key, previous },
            _ => {
                let lease = (random.below(3) == 0).then(|| lease(random));
                Op::Put { key, value: Bytes::from(random.below(100).to_string()), lease, previous }
            }
        });
    }
    if written.is_empty() && random.below(2) == 0 {
        batch.ops.push(Op::DeleteRange { range: KeyRange::prefix(b"3") });
        batch.ops.push(Op::DeleteRange { range: KeyRange::single(key(random)) });
        batch.ops.truncate(1 + usize::from(random.below(2) == 0));
    }
    Request::Commit(batch)
}

fn ask(stage: &mut Stage<'_, Bytes>, request: &Request) -> String {
    let load = |found: &Found<Bytes>| Ok(found.value.clone());
    match request {
        Request::Commit(batch) => shown(&stage.commit(batch, load)),
        Request::Revoke(lease) => shown(&stage.revoke(lease)),
        Request::KeepAlive(lease) => shown(&stage.keep_alive(lease)),
        Request::Expire => {
            stage.expire();
            String::new()
        }
    }
}

fn shown<T: std::fmt::Debug>(answer: &Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// All that can be read of an index, at every revision.
fn everything(index: &Index<Bytes>) -> String {
    let mvcc = &index.mvcc;
    let mut entries: Vec<(u64, Entry)> = Vec::new();
    for revision in mvcc.compacted().get()..=mvcc.revision().get() {
        let _: ControlFlow<()> = mvcc.scan(&KeyRange::all(), Revision::new(revision), false, |key, version| {
            let found = index.found(key, version).unwrap();
            let value = found.value.clone();
            entries.push((revision, found.into_entry(value)));
            ControlFlow::Continue(())
        });
    }
    let steps = mvcc.changes_after(mvcc.compacted(), &KeyRange::all(), usize::MAX, usize::MAX).0;
    let leases: Vec<_> = (1..=4).filter_map(LeaseNumber::new).collect();
    let leases: Vec<_> = leases.iter().map(|id| (index.leases.get(*id), index.leases.keys(*id).collect())).collect();
    let leases: Vec<(_, Vec<&Key>)> = leases;
    format!("{entries:?} {steps:?} {leases:?}")
}

fn start() -> Index<Bytes> {
    let mut index = Index::default();
    let leases = (1..=4).map(|id| LeaseChange::Set {
        id: LeaseNumber::new(id).unwrap(),
        ttl: Duration::from_secs(10),
        deadline: Duration::from_secs(if id == 4 { 1 } else { 10 }),
    });
    index.apply(Staged { rows: Vec::new(), leases: leases.collect() });
    index
}

#[test]
fn a_group_comes_to_the_same_as_its_requests_one_by_one() {
    let (mut conflicts, mut refused, mut changed) = (0, 0, 0);
    for seed in 0..600 {
        let mut random = Random(seed);
        let (mut alone, mut grouped) = (start(), start());
        let now = Duration::from_secs(random.below(3));
        for _ in 0..8 {
            let revision = grouped.mvcc.revision().get();
            let group: Vec<Request> = (0..=random.below(5)).map(|_| request(&mut random, revision + 2)).collect();
            let mut stage = Stage::new(&grouped, now);
            let together: Vec<String> = group.iter().map(|request| ask(&mut stage, request)).collect();
            let staged = stage.finish();
            grouped.apply(staged);
            for (request, expected) in group.iter().zip(&together) {
                let mut stage = Stage::new(&alone, now);
                assert_eq!(&ask(&mut stage, request), expected, "seed {seed}: {request:?} in {group:?}");
                let staged = stage.finish();
                alone.apply(staged);
                conflicts += u32::from(*expected == shown(&Ok::<_, crate::Error>(Outcome::Conflict)));
                refused += u32::from(expected == "LeaseNotFound");
                changed += u32::from(expected.starts_with("Committed"));
            }
            assert_eq!(everything(&alone), everything(&grouped), "seed {seed}: {group:?}");
        }
    }
    assert!(conflicts > 500 && refused > 500 && changed > 2000, "{conflicts} {refused} {changed}");
}

#[test]
fn pruning_changes_nothing_that_can_still_be_read() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let (mut whole, mut pruned) = (start(), start());
        for _ in 0..30 {
            let request = request(&mut random, whole.mvcc.revision().get());
            for index in [&mut whole, &mut pruned] {
                let mut stage = Stage::new(index, Duration::ZERO);
                ask(&mut stage, &request);
                let staged = stage.finish();
                index.apply(staged);
            }
            if random.below(5) == 0 {
                let before = Revision::new(pruned.mvcc.revision().get().saturating_sub(random.below(6)));
                let held = Revision::new(pruned.mvcc.compacted().get() + random.below(4));
                let pin = (random.below(2) == 0).then(|| pruned.mvcc.pins().hold(held, Duration::MAX));
                let floor = pruned.mvcc.refuse_below(before, Duration::ZERO);
                let rows = pruned.mvcc.prunable(floor).len();
                let known = versions(&pruned);
                pruned.mvcc.prune(floor);
                assert_eq!(known - versions(&pruned), rows, "seed {seed}: what is dropped is what was said");
                drop(pin);
            }
            whole.mvcc.compacted = pruned.mvcc.compacted;
            assert_eq!(everything(&whole), everything(&pruned), "seed {seed}");
        }
    }
}

fn versions(index: &Index<Bytes>) -> usize {
    index.mvcc.slots.iter().flatten().map(|slot| 1 + slot.chain.older.len()).sum()
}
