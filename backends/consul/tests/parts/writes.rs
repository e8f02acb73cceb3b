use super::*;

#[tokio::test]
async fn a_put_replaces_or_clears_the_lease_and_keeps_the_incarnation() {
    let store = open().await;
    let key = Key::from(format!("{}k", place()));
    let (one, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let (two, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let first = written(&store, vec![], put(&key, "1")).await;
    assert_eq!((first.created, &first.lease), (first.modified, &None));
    // Once as the handle knows the key, and once as one that has not seen it.
    let fresh = open().await;
    let mut before = first.modified;
    for (store, lease) in [&store, &fresh].into_iter().flat_map(|store| {
        [Some(&one), Some(&one), Some(&two), None, None, Some(&two), Some(&one), None].map(|lease| (store, lease))
    }) {
        let op = lease.map_or(put(&key, "2"), |lease| put_held(&key, "2", lease));
        let entry = written(store, vec![], op).await;
        assert_eq!((entry.created, entry.lease.as_ref()), (first.created, lease));
        assert!(entry.modified > before, "an equal put is a write: {entry:?}");
        before = entry.modified;
        assert_eq!(get(&open().await, &key).await, Some(entry));
    }
}

#[tokio::test]
async fn what_a_handle_believes_is_checked() {
    let (mine, theirs) = (open().await, open().await);
    let key = Key::from(format!("{}k", place()));
    let (lease, _) = theirs.grant(Duration::from_secs(60)).await.unwrap();
    // Each time the other handle has left another state than this one remembers: absent, free, held.
    for believed in 0..3 {
        for real in 0..3 {
            for previous in [false, true] {
                for (store, state) in [(&mine, believed), (&theirs, real)] {
                    match state {
                        0 => drop(deleted(store, &key).await),
                        1 => drop(written(store, vec![], put(&key, "free")).await),
                        _ => drop(written(store, vec![], put_held(&key, "held", &lease)).await),
                    }
                }
                let there = get(&theirs, &key).await;
                let case = format!("believed {believed}, is {real}");
                let op = Op::Put { key: key.clone(), value: "new".into(), lease: None, previous };
                let Outcome::Committed { results, .. } = commit(&mine, vec![], vec![op]).await else {
                    panic!("{case}: a conflict")
                };
                let Some(OpResult::Put { entry, previous: told }) = results.into_iter().next() else {
                    panic!("{case}: {there:?}")
                };
                assert_eq!(entry.created, there.as_ref().map_or(entry.modified, |there| there.created), "{case}");
                assert_eq!(told, there.filter(|_| previous), "{case}");
                assert_eq!(get(&theirs, &key).await, Some(entry), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_guard_that_does_not_hold_is_a_conflict_whatever_is_believed() {
    let (mine, theirs) = (open().await, open().await);
    let key = Key::from(format!("{}k", place()));
    let (lease, _) = theirs.grant(Duration::from_secs(60)).await.unwrap();
    let old = written(&mine, vec![], put(&key, "1")).await;
    let held = written(&theirs, vec![], put_held(&key, "2", &lease)).await;
    let stale = Guard::Unchanged(key.clone(), old.modified);
    let ops = || [put(&key, "3"), put_held(&key, "3", &lease), delete(&key)];
    for guard in [stale.clone(), Guard::Absent(key.clone())] {
        for op in ops() {
            assert_eq!(commit(&mine, vec![guard.clone()], vec![op]).await, Outcome::Conflict);
        }
        assert_eq!(commit(&mine, vec![guard], vec![]).await, Outcome::Conflict);
    }
    let same = Guard::Unchanged(key.clone(), held.modified);
    // This handle still believes that the key is free.
    let now = written(&mine, vec![same], put(&key, "3")).await;
    assert_eq!((now.created, now.lease), (old.created, None));
    drop(deleted(&theirs, &key).await);
    for guard in [Guard::Unchanged(key.clone(), now.modified), Guard::Present(key.clone())] {
        for op in ops() {
            assert_eq!(commit(&mine, vec![guard.clone()], vec![op]).await, Outcome::Conflict);
        }
    }
    // A CAS delete of Consul's own would be a success on an absent key.
    assert_eq!(get(&theirs, &key).await, None);
}

#[tokio::test]
async fn a_deletion_has_an_index_and_its_marker_is_seen_by_nobody() {
    let store = open().await;
    let place = place();
    let (a, b) = (Key::from(format!("{place}a")), Key::from(format!("{place}b")));
    let range = KeyRange::prefix(place.as_bytes());
    let first = written(&store, vec![], put(&a, "1")).await;
    let second = written(&store, vec![], put(&b, "1")).await;
    let (revision, previous) = deleted(&store, &a).await;
    assert_eq!(previous, Some(first));
    assert!(revision > second.modified);
    let pages: Vec<_> = store.list(&range, &Scan::default()).collect().await;
    let page = pages[0].as_ref().unwrap();
    assert_eq!((page.revision, page.entries.len()), (revision, 1), "the deletion's own index");
    let (again, nothing) = deleted(&store, &a).await;
    assert!(nothing.is_none() && again >= revision);
    assert!(names(&store, &KeyRange::all()).await.iter().all(|name| !name.ends_with("_kvdb/deleted")));
    let all: Vec<_> = store.list(&KeyRange::all(), &Scan::default()).collect().await;
    let shown = |key: &Key| key.as_bytes().ends_with(b"_kvdb/deleted");
    assert!(all.iter().all(|page| !page.as_ref().unwrap().entries.iter().any(|entry| shown(&entry.key))));
}

#[tokio::test]
async fn batches_up_to_the_limits_go_through_in_one_step() {
    let store = open().await;
    let place = place();
    let limits = store.limits();
    let keys: Vec<Key> = (0..limits.batch_ops).map(|at| Key::from(format!("{place}{at}"))).collect();
    let (one, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let (two, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let all = |make: &dyn Fn(&Key) -> Op| keys.iter().map(make).collect::<Vec<_>>();
    for ops in [
        all(&|key| put(key, "1")),
        all(&|key| put_held(key, "1", &one)),
        all(&|key| put_held(key, "1", &two)),
        all(&|key| put(key, "1")),
        all(&delete),
    ] {
        let Outcome::Committed { revision, results } = commit(&store, vec![], ops).await else { panic!("a conflict") };
        assert_eq!(results.len(), keys.len());
        for result in results {
            match result {
                OpResult::Put { entry, .. } => assert_eq!(entry.modified, revision),
                OpResult::Deleted { removed, previous } => assert!(removed == 1 && previous.is_some()),
            }
        }
    }
    // The longest key in which every character is written as two, with the largest value, in the longest form.
    let key = Key::from(format!("{place}{}", "\"".repeat(limits.key_bytes - place.len())));
    let value = vec![0xff; limits.value_bytes];
    for lease in [None, Some(&one), Some(&two), None] {
        let op = Op::Put { key: key.clone(), value: value.clone().into(), lease: lease.cloned(), previous: true };
        let entry = written(&store, vec![], op).await;
        assert_eq!(get(&store, &key).await, Some(entry));
    }
}

#[tokio::test]
async fn what_is_too_large_once_encoded_is_not_sent() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let limits = store.limits();
    // Within the limit of a batch's bytes, but each character of the keys is written as two, and each key twice.
    let keys = (0..limits.batch_ops).map(|at| Key::from(format!("{at:04}{}", "\"".repeat(limits.key_bytes - 4))));
    let large = limits.batch_bytes - limits.batch_ops * limits.key_bytes;
    let mut ops: Vec<Op> = keys.map(|key| delete(&key)).collect();
    ops.pop();
    ops.push(Op::Put { key: "v".into(), value: vec![0; large].into(), lease: None, previous: false });
    let error = store.commit(&Batch { guards: vec![], ops }).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 512 << 10 });
    assert_eq!(proxy.requests("PUT", "/v1/txn"), 0);
}

#[tokio::test]
async fn one_of_many_writers_wins_also_across_deletion_and_new_creation() {
    let place = place();
    for round in 0..10 {
        let key = Key::from(format!("{place}{}", round % 2));
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..8 {
            let key = key.clone();
            racers.spawn(async move {
                let store = open().await;
                let batch =
                    Batch { guards: vec![Guard::Absent(key.clone())], ops: vec![put(&key, &racer.to_string())] };
                matches!(store.commit(&batch).await.unwrap(), Outcome::Committed { .. })
            });
        }
        assert_eq!(racers.join_all().await.into_iter().filter(|won| *won).count(), 1);
        let (_, previous) = deleted(&open().await, &key).await;
        assert!(previous.is_some());
    }
}
