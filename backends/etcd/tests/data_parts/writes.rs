//! Batches: one round trip each, entries as the write left them, limits to the byte.

use std::ops::Bound;

use kvdb_core::{
    Backend, Batch, Bytes, Entry, ErrorKind, Guard, Key, KeyRange, LeaseId, Op, OpResult, Outcome, Read, Revision,
};
use kvdb_servers::{Etcd, EtcdSetup};

use crate::checks::{commit, delete, key, kind, put, put_leased, read, revision, write};
use crate::cluster::{finished, open, start};

const WRITES: &[&str] = &["Put", "DeleteRange", "Txn"];
const ALL: &[&str] = &["Put", "DeleteRange", "Txn", "Range"];

fn put_bytes(name: &str, value: Vec<u8>) -> Op {
    Op::Put { key: key(name), value: value.into(), lease: None, previous: true }
}

fn entry_of(outcome: Outcome) -> (Entry, Option<Entry>) {
    let Outcome::Committed { results, .. } = outcome else { panic!("a conflict") };
    match results.into_iter().next() {
        Some(OpResult::Put { entry, previous }) => (entry, previous),
        other => panic!("no put: {other:?}"),
    }
}

#[tokio::test]
async fn every_verb_is_one_round_trip() {
    let cluster = start();
    let store = open(&cluster).await;
    let first = write(&store, vec![put("a", "1"), put("b", "1")]).await;
    let range = KeyRange::prefix(b"d/");
    let batches: [(&str, Vec<Guard>, Vec<Op>); 9] = [
        ("put", vec![], vec![put("c", "1")]),
        ("create", vec![Guard::Absent(key("d"))], vec![put("d", "1")]),
        ("update", vec![Guard::Present(key("a"))], vec![put("a", "2")]),
        ("compare and set", vec![Guard::Unchanged(key("b"), first)], vec![put("b", "2")]),
        ("refused", vec![Guard::Absent(key("a"))], vec![put("a", "3")]),
        ("delete", vec![], vec![delete("c")]),
        ("guarded delete", vec![Guard::Present(key("d"))], vec![delete("d")]),
        ("range delete", vec![], vec![Op::DeleteRange { range: range.clone() }]),
        ("check", vec![Guard::Present(key("a"))], vec![]),
    ];
    for (name, guards, ops) in batches {
        let before = finished(&cluster, ALL);
        store.commit(&Batch { guards, ops }).await.unwrap();
        assert_eq!(finished(&cluster, ALL) - before, 1.0, "{name}");
    }
    let before = finished(&cluster, ALL);
    store.get(&key("a"), &Read::default()).await.unwrap();
    assert_eq!(finished(&cluster, ALL) - before, 1.0, "get");
}

#[tokio::test]
async fn a_put_answers_the_entry_as_it_left_it() {
    let cluster = start();
    let store = open(&cluster).await;
    let (lease, _) = store.grant(std::time::Duration::from_secs(60)).await.unwrap();
    let mut last: Option<Entry> = None;
    for round in 0..12 {
        let guard = match (round % 3, &last) {
            (0, _) => vec![],
            (1, _) => vec![Guard::Present(key("k"))],
            (_, Some(last)) => vec![Guard::Unchanged(key("k"), last.modified)],
            (_, None) => vec![Guard::Absent(key("k"))],
        };
        // Alone, and among others.
        let mut ops = vec![put_bytes("k", vec![round; 3])];
        if round % 2 == 0 {
            ops = vec![Op::Put {
                key: key("k"),
                value: vec![round; 3].into(),
                lease: Some(lease.clone()),
                previous: true,
            }];
        }
        if round % 4 == 3 {
            ops.push(put("other", ""));
        }
        let (entry, previous) = entry_of(commit(&store, guard, ops).await.unwrap());
        assert_eq!(read(&store, "k").await, Some(entry.clone()), "round {round}");
        assert_eq!(previous, last, "round {round}");
        last = Some(entry);
    }
    assert_eq!(last.map(|entry| entry.version), Some(Some(12)));
    // An incarnation begins anew, under each kind of create.
    write(&store, vec![delete("k")]).await;
    let (entry, previous) = entry_of(commit(&store, vec![Guard::Absent(key("k"))], vec![put("k", "")]).await.unwrap());
    assert_eq!((entry.created, entry.version, previous), (entry.modified, Some(1), None));
    assert_eq!(read(&store, "k").await, Some(entry));
}

#[tokio::test]
async fn keys_are_any_bytes_and_lists_cover_them() {
    let cluster = start();
    let store = open(&cluster).await;
    let keys: Vec<Key> =
        [&b"\0"[..], b"\0\0", b"\0\xff", b"a", b"a\0", b"\xff", b"\xff\xff"].map(Key::copy_from).into();
    for key in &keys {
        let op = Op::Put { key: key.clone(), value: Bytes::new(), lease: None, previous: false };
        commit(&store, vec![], vec![op]).await.unwrap();
    }
    let bounds = |key: &Key| [Bound::Included(key.clone()), Bound::Excluded(key.clone())];
    let mut all: Vec<Bound<Key>> = keys.iter().flat_map(bounds).collect();
    all.push(Bound::Unbounded);
    for start in &all {
        for end in &all {
            let range = KeyRange { start: start.clone(), end: end.clone() };
            let expected: Vec<&Key> = keys.iter().filter(|key| range.contains(key.as_bytes())).collect();
            let pages = crate::checks::pages(&store, &range, &kvdb_core::Scan::default()).await;
            let listed: Vec<Key> = pages.into_iter().flat_map(|page| page.entries).map(|entry| entry.key).collect();
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{range:?}");
        }
    }
    // A range in which no key can lie deletes none, alone or among others; etcd would take its end for `from here on`.
    let nothing = Op::DeleteRange { range: KeyRange { start: Bound::Unbounded, end: Bound::Excluded(key("\0")) } };
    let present = revision(&store).await;
    for ops in [vec![nothing.clone()], vec![nothing.clone(), put("x", "1")]] {
        let Outcome::Committed { revision, results } = commit(&store, vec![], ops).await.unwrap() else { panic!() };
        assert!(revision >= present);
        assert_eq!(results.first(), Some(&OpResult::Deleted { removed: 0, previous: None }));
    }
    let all = Op::DeleteRange { range: KeyRange::all() };
    let Outcome::Committed { results, .. } = commit(&store, vec![], vec![all]).await.unwrap() else { panic!() };
    assert_eq!(results, [OpResult::Deleted { removed: 8, previous: None }]);
}

#[tokio::test]
async fn a_guard_holds_for_exactly_its_write() {
    let cluster = start();
    let store = open(&cluster).await;
    let at = write(&store, vec![put("a", "1")]).await;
    let check = async |guard| commit(&store, vec![guard], vec![]).await.unwrap() != Outcome::Conflict;
    assert!(check(Guard::Unchanged(key("a"), at)).await);
    for wrong in [Revision::ZERO, Revision::new(at.get() - 1), at.next(), Revision::new(1 << 63), Revision::MAX] {
        assert!(!check(Guard::Unchanged(key("a"), wrong)).await, "{wrong}");
        assert!(!check(Guard::Unchanged(key("none"), wrong)).await, "{wrong}");
    }
}

#[tokio::test]
async fn a_lease_that_is_not_there_writes_nothing() {
    let cluster = start();
    let store = open(&cluster).await;
    let before = revision(&store).await;
    for lease in [LeaseId::Number(0), LeaseId::Number(7), LeaseId::Number(-7), LeaseId::Text("7".into())] {
        for ops in [vec![put_leased("a", &lease)], vec![put("b", ""), put_leased("a", &lease)]] {
            assert_eq!(kind(commit(&store, vec![], ops).await).await, ErrorKind::LeaseNotFound);
        }
    }
    assert_eq!(revision(&store).await, before);
}

#[tokio::test]
async fn limits_are_what_the_server_takes() {
    let cluster = start();
    let store = open(&cluster).await;
    let limits = store.limits();
    // The largest value under the longest key, alone, guarded, and over another one of its size.
    let longest = "k".repeat(limits.key_bytes);
    let largest = vec![7; limits.value_bytes];
    commit(&store, vec![], vec![put_bytes(&longest, largest.clone())]).await.unwrap();
    assert_eq!(read(&store, &longest).await.unwrap().value, largest);
    let put = put_bytes("k", largest.clone());
    for guards in [vec![], vec![Guard::Present(key("k"))], vec![Guard::Present(key("k")), Guard::Absent(key("none"))]] {
        assert!(matches!(commit(&store, guards, vec![put.clone()]).await.unwrap(), Outcome::Committed { .. }));
    }
    assert_eq!(read(&store, "k").await.unwrap().value, largest);
    // The largest batch with the most parts.
    let half = limits.batch_ops / 2;
    let guards: Vec<Guard> = (0..half).map(|n| Guard::Absent(key(&format!("b/{n:03}")))).collect();
    let size = (limits.batch_bytes - limits.batch_ops * 5) / half;
    let ops: Vec<Op> = (0..half).map(|n| put_bytes(&format!("b/{n:03}"), vec![7; size])).collect();
    let batch = Batch { guards, ops };
    assert!(matches!(store.commit(&batch).await.unwrap(), Outcome::Committed { .. }));
    // One byte or part more is refused before it is sent.
    let before = finished(&cluster, WRITES);
    let over = put_bytes("k", vec![7; limits.value_bytes + 1]);
    let refused = ErrorKind::TooLarge { limit: limits.value_bytes };
    assert_eq!(kind(commit(&store, vec![], vec![over]).await).await, refused);
    let mut more = batch.clone();
    more.ops.push(delete("one more"));
    assert_eq!(kind(store.commit(&more).await).await, ErrorKind::TooLarge { limit: limits.batch_ops });
    assert_eq!(finished(&cluster, WRITES), before);
}

#[tokio::test]
async fn answers_may_be_larger_than_requests() {
    let cluster = start();
    let store = open(&cluster).await;
    let size = store.limits().value_bytes;
    let names: Vec<String> = (0..8).map(|n| format!("k/{n}")).collect();
    for name in &names {
        commit(&store, vec![], vec![put_bytes(name, vec![7; size])]).await.unwrap();
    }
    let deletes = names.iter().map(|name| delete(name)).collect();
    let Outcome::Committed { results, .. } = commit(&store, vec![], deletes).await.unwrap() else { panic!() };
    for result in results {
        let OpResult::Deleted { removed: 1, previous: Some(before) } = result else { panic!("no deletion") };
        assert_eq!(before.value.len(), size);
    }
}

#[tokio::test]
async fn a_server_with_less_room_refuses_as_too_large() {
    let setup = EtcdSetup::default().extra_args(["--max-request-bytes", "10000", "--max-txn-ops", "4"]);
    let cluster = Etcd::start(setup).expect("a node");
    let store = open(&cluster).await;
    let large = commit(&store, vec![], vec![put_bytes("a", vec![7; 20_000])]).await;
    assert!(matches!(kind(large).await, ErrorKind::TooLarge { .. }));
    let many = (0..5).map(|n| put(&format!("k/{n}"), "")).collect();
    assert!(matches!(kind(commit(&store, vec![], many).await).await, ErrorKind::TooLarge { .. }));
    assert_eq!(revision(&store).await, 1);
}
