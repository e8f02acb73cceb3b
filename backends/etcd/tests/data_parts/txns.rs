//! If/then/else: every compare, every operation, recursion.

use std::ops::Bound;
use std::time::Duration;

use kvdb_core::{
    Backend, Bytes, Comparison, ErrorKind, Key, KeyRange, LeaseChange, LeaseId, NativeCompare, NativeOp, NativeReply,
    NativeResult, NativeSubject, NativeTxn, OpResult, Result, Revision, Scan,
};

use crate::checks::{delete, key, kind, put, put_leased, read, revision, write};
use crate::cluster::{finished, open, start};

const COMPARISONS: [Comparison; 4] = [Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::Greater];

fn value(text: &str) -> NativeSubject {
    NativeSubject::Value(Bytes::copy_from_slice(text.as_bytes()))
}

fn compare(range: KeyRange, comparison: Comparison, subject: NativeSubject) -> NativeCompare {
    NativeCompare { range, comparison, subject }
}

fn single(name: &str) -> KeyRange {
    KeyRange::single(key(name))
}

fn native_put(name: &str, value: Option<&str>, lease: LeaseChange) -> NativeOp {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    NativeOp::Put { key: key(name), value, lease, previous: true }
}

fn set(name: &str, value: &str) -> NativeOp {
    native_put(name, Some(value), LeaseChange::Set(None))
}

async fn holds(store: &dyn Backend, compares: Vec<NativeCompare>) -> bool {
    let txn = NativeTxn { compares, then: vec![], otherwise: vec![] };
    let reply = store.native_txn(&txn).await.unwrap();
    assert!(reply.results.is_empty());
    reply.succeeded
}

async fn run(store: &dyn Backend, then: Vec<NativeOp>) -> Result<NativeReply> {
    store.native_txn(&NativeTxn { compares: vec![], then, otherwise: vec![] }).await
}

/// What a compare of `found` with `wanted` comes to, by the contract's own words.
fn table<T: Ord>(found: &T, wanted: &T) -> [bool; 4] {
    COMPARISONS.map(|comparison| comparison.holds(found, wanted))
}

#[tokio::test]
async fn compares_mean_what_the_contract_says() {
    let cluster = start();
    let store = open(&cluster).await;
    let (lease, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let created = write(&store, vec![put("a", "m")]).await;
    let modified = write(&store, vec![put_leased("a", &lease)]).await;
    let check = async |name: &str, subject: NativeSubject, expected: [bool; 4]| {
        for (comparison, expected) in COMPARISONS.into_iter().zip(expected) {
            let compares = vec![compare(single(name), comparison, subject.clone())];
            assert_eq!(holds(&store, compares).await, expected, "{name} {comparison:?} {subject:?}");
        }
    };
    for text in ["", "leased", "leasec", "leasedd", "zzz"] {
        check("a", value(text), table(&"leased", &text)).await;
        // An absent key's value compares to nothing.
        check("none", value(text), [false; 4]).await;
    }
    for number in [0, created.get() - 1, created.get(), modified.get(), modified.get() + 1, u64::MAX] {
        let wanted = Revision::new(number);
        check("a", NativeSubject::Created(wanted), table(&created, &wanted)).await;
        check("a", NativeSubject::Modified(wanted), table(&modified, &wanted)).await;
        check("none", NativeSubject::Created(wanted), table(&Revision::ZERO, &wanted)).await;
        check("none", NativeSubject::Modified(wanted), table(&Revision::ZERO, &wanted)).await;
    }
    for number in [0, 1, 2, 3, u64::MAX] {
        check("a", NativeSubject::Version(number), table(&2, &number)).await;
        check("none", NativeSubject::Version(number), table(&0, &number)).await;
    }
    for wanted in [None, Some(lease.clone()), Some(LeaseId::Number(5)), Some(LeaseId::Text("x".into()))] {
        let [equal, other, ..] = table(&Some(lease.clone()), &wanted);
        let [none, some, ..] = table(&None, &wanted);
        for (name, expected) in [("a", [equal, other]), ("none", [none, some])] {
            for (comparison, expected) in COMPARISONS.into_iter().zip(expected) {
                let compares = vec![compare(single(name), comparison, NativeSubject::Lease(wanted.clone()))];
                assert_eq!(holds(&store, compares).await, expected, "{name} {comparison:?} {wanted:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_compare_of_a_range_is_about_each_of_its_keys() {
    let cluster = start();
    let store = open(&cluster).await;
    write(&store, vec![put("r/a", "1"), put("r/b", "1"), put("s", "2")]).await;
    let all = |range: &KeyRange, text: &str| vec![compare(range.clone(), Comparison::Equal, value(text))];
    let range = KeyRange::prefix(b"r/");
    assert!(holds(&store, all(&range, "1")).await);
    assert!(!holds(&store, all(&KeyRange::all(), "1")).await);
    write(&store, vec![put("r/b", "2")]).await;
    assert!(!holds(&store, all(&range, "1")).await);
    // No key there, and no key possible there, are the same.
    let nowhere = KeyRange { start: Bound::Excluded(key("b")), end: Bound::Excluded(key("b")) };
    for empty in [KeyRange::prefix(b"none/"), nowhere] {
        let subjects = [
            (value(""), [false; 4]),
            (NativeSubject::Created(Revision::ZERO), table(&0, &0)),
            (NativeSubject::Modified(Revision::new(1)), table(&0, &1)),
            (NativeSubject::Version(1), table(&0, &1)),
        ];
        for (subject, expected) in subjects {
            for (comparison, expected) in COMPARISONS.into_iter().zip(expected) {
                // Beside one that holds.
                let mut compares = vec![compare(empty.clone(), comparison, subject.clone())];
                compares.extend(all(&single("s"), "2"));
                assert_eq!(holds(&store, compares).await, expected, "{empty:?} {comparison:?} {subject:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_branch_runs_in_order_and_is_answered_in_order() {
    let cluster = start();
    let store = open(&cluster).await;
    let before = write(&store, vec![put("a", "1"), put("d/x", ""), put("d/y", "")]).await;
    let nowhere = KeyRange { start: Bound::Included(key("b")), end: Bound::Excluded(key("b")) };
    let mut scan = Scan::default();
    (scan.reverse, scan.total, scan.limit) = (true, true, Some(1));
    let mut names = Scan::default();
    names.keys_only = true;
    let txn = NativeTxn {
        compares: vec![compare(single("a"), Comparison::Equal, value("1"))],
        then: vec![
            NativeOp::Get { key: key("a") },
            set("a", "2"),
            NativeOp::Get { key: key("a") },
            NativeOp::DeleteRange { range: nowhere.clone() },
            NativeOp::List { range: KeyRange::prefix(b"d/"), scan: scan.clone() },
            NativeOp::List { range: nowhere, scan },
            NativeOp::Delete { key: key("d/x"), previous: true },
            NativeOp::DeleteRange { range: KeyRange::prefix(b"d/y") },
            NativeOp::List { range: KeyRange::all(), scan: names },
            NativeOp::Get { key: key("none") },
        ],
        otherwise: vec![set("wrong", "")],
    };
    let calls = finished(&cluster, &["Txn", "Range", "Put", "DeleteRange"]);
    let reply = store.native_txn(&txn).await.unwrap();
    assert_eq!(finished(&cluster, &["Txn", "Range", "Put", "DeleteRange"]) - calls, 1.0);
    assert_eq!((reply.succeeded, reply.revision), (true, before.next()));
    let get = |result: &NativeResult| match result {
        NativeResult::Get(entry) => entry.as_ref().map(|entry| (entry.value.clone(), entry.version)),
        other => panic!("{other:?}"),
    };
    let page = |result: &NativeResult| match result {
        NativeResult::List(page) => page.clone(),
        other => panic!("{other:?}"),
    };
    let written = |result: &NativeResult| match result {
        NativeResult::Written(result) => result.clone(),
        other => panic!("{other:?}"),
    };
    let [g1, p, g2, none, last, nothing, d, r, names, absent] = reply.results.as_slice() else {
        panic!("not aligned: {reply:?}")
    };
    assert_eq!(get(g1), Some(("1".into(), Some(1))));
    let OpResult::Put { entry, previous: Some(old) } = written(p) else { panic!("{p:?}") };
    assert_eq!((old.value.as_ref(), entry.created, entry.modified), (&b"1"[..], before, before.next()));
    assert_eq!(get(g2), Some(("2".into(), Some(2))));
    assert_eq!(written(none), OpResult::Deleted { removed: 0, previous: None });
    let last = page(last);
    assert_eq!((last.count, last.entries.len(), last.revision), (Some(2), 1, before.next()));
    assert_eq!(last.entries[0].key, key("d/y"));
    assert_eq!((page(nothing).count, page(nothing).entries), (Some(0), vec![]));
    assert!(matches!(written(d), OpResult::Deleted { removed: 1, previous: Some(old) } if old.key == key("d/x")));
    assert_eq!(written(r), OpResult::Deleted { removed: 1, previous: None });
    assert_eq!(page(names).names, ["a"].map(Key::from));
    assert_eq!(get(absent), None);
    // Now the compare does not hold.
    let reply = store.native_txn(&txn).await.unwrap();
    assert!(!reply.succeeded && reply.results.len() == 1);
    assert!(read(&store, "wrong").await.is_some());
}

#[tokio::test]
async fn a_put_keeps_what_it_is_told_to() {
    let cluster = start();
    let store = open(&cluster).await;
    let (lease, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    write(&store, vec![put_leased("a", &lease)]).await;
    let steps = [
        (native_put("a", Some("new"), LeaseChange::Keep), "new", Some(lease.clone())),
        (native_put("a", None, LeaseChange::Keep), "new", Some(lease.clone())),
        (native_put("a", None, LeaseChange::Set(None)), "new", None),
        (native_put("a", None, LeaseChange::Set(Some(lease.clone()))), "new", Some(lease.clone())),
    ];
    for (op, value, lease) in steps {
        let reply = run(&store, vec![op]).await.unwrap();
        let Some(NativeResult::Written(OpResult::Put { entry, .. })) = reply.results.first() else { panic!() };
        assert_eq!((entry.value.as_ref(), &entry.lease), (value.as_bytes(), &lease));
        assert_eq!(read(&store, "a").await.as_ref(), Some(entry));
    }
    // Of an absent key there is nothing to keep; nothing else is written then.
    let before = revision(&store).await;
    for op in [native_put("none", None, LeaseChange::Set(None)), native_put("none", Some("x"), LeaseChange::Keep)] {
        assert_eq!(kind(run(&store, vec![set("b", "1"), op]).await).await, ErrorKind::NotFound);
    }
    assert_eq!(revision(&store).await, before);
}

#[tokio::test]
async fn transactions_hold_transactions() {
    let cluster = start();
    let store = open(&cluster).await;
    write(&store, vec![put("a", "1"), put("gone", "")]).await;
    write(&store, vec![delete("gone")]).await;
    let is = |name: &str, text: &str| vec![compare(single(name), Comparison::Equal, value(text))];
    let never = vec![compare(single("a"), Comparison::Equal, NativeSubject::Lease(Some(LeaseId::Text("x".into()))))];
    let inner = NativeTxn { compares: is("a", "1"), then: vec![set("x", "yes")], otherwise: vec![set("x", "no")] };
    let unheld = NativeTxn { compares: never, then: vec![set("y", "yes")], otherwise: vec![set("y", "no")] };
    let outer = NativeTxn {
        compares: is("a", "2"),
        then: vec![],
        // Compares look at the state before the whole transaction.
        otherwise: vec![set("a", "2"), NativeOp::Txn(inner), NativeOp::Txn(unheld), NativeOp::Get { key: key("x") }],
    };
    let reply = store.native_txn(&outer).await.unwrap();
    assert!(!reply.succeeded);
    let [_, NativeResult::Txn(inner), NativeResult::Txn(unheld), NativeResult::Get(Some(x))] = reply.results.as_slice()
    else {
        panic!("not aligned: {reply:?}")
    };
    assert_eq!((inner.succeeded, inner.revision, inner.results.len()), (true, reply.revision, 1));
    assert!(!unheld.succeeded);
    assert_eq!(x.value.as_ref(), b"yes");
    assert_eq!(read(&store, "y").await.unwrap().value.as_ref(), b"no");
}

#[tokio::test]
async fn transactions_that_no_server_takes_are_refused_before_it_is_asked() {
    let cluster = start();
    let store = open(&cluster).await;
    let nest = |depth: usize| {
        let leaf = NativeTxn { compares: vec![], then: vec![set("leaf", "x")], otherwise: vec![] };
        (1..depth).fold(leaf, |txn, _| NativeTxn { then: vec![NativeOp::Txn(txn)], ..NativeTxn::default() })
    };
    let mut reply = store.native_txn(&nest(32)).await.unwrap();
    for _ in 1..32 {
        let Some(NativeResult::Txn(inner)) = reply.results.pop() else { panic!("not nested: {reply:?}") };
        reply = inner;
    }
    assert!(matches!(reply.results.as_slice(), [NativeResult::Written(_)]));
    let before = finished(&cluster, &["Txn"]);
    for depth in [33, 1000] {
        assert_eq!(kind(store.native_txn(&nest(depth)).await).await, ErrorKind::InvalidArgument);
    }
    // Each branch alone would do.
    let limit = store.limits().batch_bytes;
    let half = set("a", &"x".repeat(limit / 2));
    let large = NativeTxn { compares: vec![], then: vec![half.clone()], otherwise: vec![half, set("b", "xx")] };
    assert_eq!(kind(store.native_txn(&large).await).await, ErrorKind::TooLarge { limit });
    let twice = vec![set("a", "1"), set("a", "2")];
    assert_eq!(kind(run(&store, twice).await).await, ErrorKind::InvalidArgument);
    assert_eq!(finished(&cluster, &["Txn"]), before);
    // What a nested one writes only the server sees.
    let nested = NativeTxn { compares: vec![], then: vec![set("a", "1")], otherwise: vec![] };
    let refused = run(&store, vec![set("a", "1"), NativeOp::Txn(nested)]).await;
    assert_eq!(kind(refused).await, ErrorKind::InvalidArgument);
}
