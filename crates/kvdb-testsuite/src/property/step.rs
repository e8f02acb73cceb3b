//! The programs: steps that name what they want relative to the model's state, so that a program stays meaningful when
//! steps are taken out of it.

use kvdb_core::{Capabilities, Comparison};

/// A small generator of our own (SplitMix64), so that a seed means the same program everywhere.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, from: &[T], fallback: T) -> T {
        from.get(self.below(from.len())).copied().unwrap_or(fallback)
    }
}

/// The keys: few, so that writes meet; with a key that has children, and neighbours in byte order.
pub(super) const KEYS: [&str; 9] = ["a", "a/b", "a/b/c", "a-b", "ab", "d/e", "d/f", "d/é", "z"];
/// The directories that are listed and deleted.
pub(super) const TREES: [&str; 5] = ["", "a", "a/b", "d", "nothing"];

/// Whether a condition names what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// What the key has now; on an absent key what it had last.
    Right,
    /// Something else.
    Wrong,
}

/// One condition of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Revision(Aim),
    Created(Aim),
    Value(Aim),
    ValueAndRevision(Aim, Aim),
    Present,
    Absent,
}

/// What is put over a key that had a short TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Permanent,
    Leased,
    Recreated,
}

/// What a transaction compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Exists,
    Value,
    Created,
    Modified,
    Version,
}

/// One compare of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) key: &'static str,
    pub(super) what: What,
    pub(super) comparison: Comparison,
    pub(super) aim: Aim,
}

/// One operation of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Do {
    Put(&'static str, u16),
    Delete(&'static str),
    Get(&'static str),
}

/// One step. `back` counts revisions back from the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Put { key: &'static str, value: u16, previous: bool },
    Set { key: &'static str, value: u16, when: When },
    Delete { key: &'static str },
    DeleteIf { key: &'static str, when: When },
    DeleteTree { prefix: &'static str },
    Get { key: &'static str },
    GetAt { key: &'static str, back: u64 },
    GetAhead { key: &'static str },
    List { prefix: &'static str, limit: Option<usize>, reverse: bool },
    ListAt { prefix: &'static str, back: u64 },
    Count { prefix: &'static str },
    Keys { prefix: &'static str },
    Grant { slot: usize },
    PutLeased { key: &'static str, value: u16, slot: usize },
    KeepAlive { slot: usize },
    LeaseInfo { slot: usize },
    Revoke { slot: usize },
    Expire { key: &'static str, value: u16 },
    ExpireLease { keys: [&'static str; 2], value: u16 },
    Overwrite { key: &'static str, value: u16, over: Over },
    Replay { back: u64 },
    Txn { tests: [Test; 2], count: usize, then: [Do; 3], otherwise: [Do; 2] },
    Tx { reads: [&'static str; 2], writes: [Do; 2], meddle: Option<(&'static str, u16)> },
    Snapshot { slot: usize, prefix: &'static str },
    ReadSnapshot { slot: usize },
    WatchSnapshot { slot: usize },
    Dump,
}

/// The number of lease slots.
pub(super) const SLOTS: usize = 3;

fn aim(rng: &mut Rng) -> Aim {
    if rng.below(2) == 0 { Aim::Wrong } else { Aim::Right }
}

fn when(rng: &mut Rng) -> When {
    match rng.below(8) {
        0 | 1 => When::Revision(aim(rng)),
        2 => When::Created(aim(rng)),
        3 | 4 => When::Value(aim(rng)),
        5 => When::ValueAndRevision(aim(rng), aim(rng)),
        6 => When::Present,
        _ => When::Absent,
    }
}

/// A program of `len` steps that a store with these capabilities can run. With `patience` a step that waits for a TTL
/// comes as often as any, else a third as often.
pub(super) fn program(seed: u64, len: usize, can: Capabilities, patience: bool) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut steps = Vec::with_capacity(len);
    while steps.len() < len {
        let mut step = step(&mut rng);
        if let Step::Txn { tests, .. } = &mut step
            && !can.contains(Capabilities::KEY_VERSION)
        {
            // Not left out: a share of all steps are transactions.
            tests.iter_mut().filter(|test| test.what == What::Version).for_each(|test| test.what = What::Modified);
        }
        let waits = matches!(step, Step::Expire { .. } | Step::ExpireLease { .. } | Step::Overwrite { .. });
        if can.contains(needs(&step)) && (patience || !waits || rng.below(3) == 0) {
            steps.push(step);
        }
    }
    steps
}

/// What a step asks of the store.
fn needs(step: &Step) -> Capabilities {
    match step {
        Step::GetAt { .. } | Step::GetAhead { .. } | Step::ListAt { .. } => Capabilities::REVISION_READS,
        Step::Grant { .. } | Step::PutLeased { .. } | Step::KeepAlive { .. } | Step::Revoke { .. } => {
            Capabilities::LEASES
        }
        Step::ExpireLease { .. } => Capabilities::LEASES,
        Step::LeaseInfo { .. } => Capabilities::LEASE_INFO,
        Step::Expire { .. } | Step::Overwrite { .. } => Capabilities::TTL | Capabilities::LEASES,
        Step::Replay { .. } => Capabilities::WATCH_RESUME,
        Step::Snapshot { .. } => Capabilities::ATOMIC_LIST,
        Step::WatchSnapshot { .. } => Capabilities::ATOMIC_LIST | Capabilities::WATCH_RESUME,
        _ => Capabilities::empty(),
    }
}

fn test(rng: &mut Rng) -> Test {
    let whats = [What::Exists, What::Value, What::Value, What::Created, What::Modified, What::Version];
    let comparisons =
        [Comparison::Equal, Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::Greater];
    Test {
        key: rng.pick(&KEYS, "a"),
        what: rng.pick(&whats, What::Value),
        comparison: rng.pick(&comparisons, Comparison::Equal),
        // Mostly right, so that both branches run.
        aim: if rng.below(3) == 0 { Aim::Wrong } else { Aim::Right },
    }
}

fn operation(rng: &mut Rng) -> Do {
    let key = rng.pick(&KEYS, "a");
    match rng.below(6) {
        0..3 => Do::Put(key, u16::try_from(rng.below(6)).unwrap_or_default()),
        3 | 4 => Do::Delete(key),
        _ => Do::Get(key),
    }
}

fn transaction(rng: &mut Rng) -> Step {
    if rng.below(3) > 0 {
        let tests = [test(rng), test(rng)];
        let count = rng.below(3);
        let then = [operation(rng), operation(rng), operation(rng)];
        return Step::Txn { tests, count, then, otherwise: [operation(rng), operation(rng)] };
    }
    let reads = [rng.pick(&KEYS, "a"), rng.pick(&KEYS, "z")];
    // A conflict in about every fourth.
    let meddled = match rng.below(4) {
        0 => Some(reads[0]),
        1 => Some(rng.pick(&KEYS, "a")),
        _ => None,
    };
    Step::Tx { reads, writes: [operation(rng), operation(rng)], meddle: meddled.map(|key| (key, 3)) }
}

fn step(rng: &mut Rng) -> Step {
    let key = rng.pick(&KEYS, "a");
    let prefix = rng.pick(&TREES, "");
    // Few values, so that equal ones meet.
    let value = u16::try_from(rng.below(6)).unwrap_or_default();
    let slot = rng.below(SLOTS);
    let back = rng.below(12) as u64;
    match rng.below(124) {
        0..15 => Step::Put { key, value, previous: rng.below(2) == 0 },
        15..40 => Step::Set { key, value, when: when(rng) },
        40..44 => Step::Delete { key },
        44..54 => Step::DeleteIf { key, when: when(rng) },
        54..56 => Step::DeleteTree { prefix },
        56..61 => Step::Get { key },
        61..65 => Step::GetAt { key, back },
        65..66 => Step::GetAhead { key },
        66..70 => {
            let limit = (rng.below(3) == 0).then(|| 1 + rng.below(3));
            Step::List { prefix, limit, reverse: rng.below(3) == 0 }
        }
        70..74 => Step::ListAt { prefix, back },
        74..76 => Step::Count { prefix },
        76..79 => Step::Keys { prefix },
        79..82 => Step::Grant { slot },
        82..88 => Step::PutLeased { key, value, slot },
        88..89 => Step::KeepAlive { slot },
        89..91 => Step::LeaseInfo { slot },
        91..92 => Step::Revoke { slot },
        92..95 => Step::Expire { key, value },
        95..96 => Step::ExpireLease { keys: [key, rng.pick(&KEYS, "z")], value },
        96..98 => {
            let over = match rng.below(3) {
                0 => Over::Permanent,
                1 => Over::Leased,
                _ => Over::Recreated,
            };
            Step::Overwrite { key, value, over }
        }
        98..100 => Step::Replay { back: back * 4 },
        100..117 => transaction(rng),
        117..119 => Step::Snapshot { slot, prefix },
        119..121 => Step::ReadSnapshot { slot },
        121..123 => Step::WatchSnapshot { slot },
        _ => Step::Dump,
    }
}
