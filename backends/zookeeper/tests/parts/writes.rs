use super::*;

#[tokio::test]
async fn a_put_answers_the_entry_as_it_left_it() {
    let store = open().await;
    let key = Key::from(format!("{}a/b", place()));
    let first = written(&store, vec![], put(&key, "1")).await;
    assert_eq!((first.created, first.version), (first.modified, Some(1)));
    let second = written(&store, vec![], put(&key, "1")).await;
    assert_eq!((second.created, second.version), (first.created, Some(2)));
    assert!(second.modified > first.modified, "an equal value is a write");
    assert_eq!(get(&store, &key).await, Some(second.clone()));
    let (revision, old) = deleted(&store, &key).await;
    assert!(revision > second.modified);
    assert_eq!(old, Some(second));
    assert_eq!(deleted(&store, &key).await.1, None);
    let again = written(&store, vec![], put(&key, "")).await;
    assert!(again.created > revision);
    assert_eq!((again.created, again.version), (again.modified, Some(1)));
    assert_eq!(get(&store, &key).await.unwrap().value, "");
}

#[tokio::test]
async fn the_previous_entry_is_that_before_the_very_write() {
    let store = open().await;
    let key = Key::from(format!("{}k", place()));
    let mut last = None;
    for n in 0..3 {
        let op = Op::Put { key: key.clone(), value: n.to_string().into(), lease: None, previous: true };
        let Outcome::Committed { results, .. } = commit(&store, vec![], vec![op]).await else { panic!("a conflict") };
        let [OpResult::Put { entry, previous }] = &results[..] else { panic!("{results:?}") };
        assert_eq!(*previous, last);
        last = Some(entry.clone());
    }
}

#[tokio::test]
async fn guards_hold_or_nothing_is_written() {
    let store = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    let (there, none, target) = (key("there"), key("deep/down/none"), key("target"));
    let entry = written(&store, vec![Guard::Absent(there.clone())], put(&there, "1")).await;
    let older = Revision::new(entry.modified.get() - 1);
    for (guard, holds) in [
        (Guard::Absent(none.clone()), true),
        (Guard::Absent(there.clone()), false),
        (Guard::Present(there.clone()), true),
        (Guard::Present(none.clone()), false),
        (Guard::Unchanged(there.clone(), entry.modified), true),
        (Guard::Unchanged(there.clone(), older), false),
        (Guard::Unchanged(none.clone(), entry.modified), false),
    ] {
        for ops in [vec![], vec![put(&target, "1")], vec![delete(&key("nothing"))]] {
            let outcome = commit(&store, vec![guard.clone()], ops.clone()).await;
            assert_eq!(matches!(outcome, Outcome::Committed { .. }), holds, "{guard:?} {ops:?}");
        }
        assert_eq!(get(&store, &target).await.is_some(), holds, "{guard:?}");
        drop(deleted(&store, &target).await);
    }
    // On the written key itself.
    let stale = commit(&store, vec![Guard::Unchanged(there.clone(), older)], vec![put(&there, "2")]).await;
    let absent = commit(&store, vec![Guard::Absent(there.clone())], vec![put(&there, "2")]).await;
    let present = commit(&store, vec![Guard::Present(none.clone())], vec![put(&none, "2")]).await;
    assert_eq!([stale, absent, present], [Outcome::Conflict, Outcome::Conflict, Outcome::Conflict]);
    assert_eq!(get(&store, &there).await, Some(entry.clone()));
    drop(written(&store, vec![Guard::Unchanged(there.clone(), entry.modified)], put(&there, "2")).await);
    assert_eq!(names(&store, &KeyRange::prefix(place.as_bytes())).await, [there.to_string()]);
}

#[tokio::test]
async fn a_batch_is_one_revision() {
    let store = open().await;
    let place = place();
    let key = |n: usize| Key::from(format!("{place}d{}/{n}", n % 7));
    drop(written(&store, vec![], put(&key(0), "old")).await);
    let mut ops: Vec<Op> = (1..200).map(|n| put(&key(n), "1")).collect();
    ops.push(delete(&key(0)));
    let Outcome::Committed { revision, results } = commit(&store, vec![], ops).await else { panic!("a conflict") };
    assert_eq!(results.len(), 200);
    let (entries, _) = listed(&store, &KeyRange::prefix(place.as_bytes())).await;
    assert_eq!(entries.len(), 199);
    assert!(entries.iter().all(|entry| entry.modified == revision && entry.created == revision));
}

#[tokio::test]
async fn a_value_at_the_limit_is_taken_and_one_above_is_refused_before_it_is_sent() {
    let store = open().await;
    let limits = store.limits();
    // Every byte of the key is encoded.
    let key = Key::from(format!("{}{}", place(), "=".repeat(limits.key_bytes - 18)));
    let value = "x".repeat(limits.value_bytes);
    let entry = written(&store, vec![], put(&key, &value)).await;
    assert_eq!(get(&store, &key).await, Some(entry));
    let large = Batch { guards: vec![], ops: vec![put(&key, &format!("{value}x"))] };
    assert_eq!(kind(store.commit(&large)).await, ErrorKind::TooLarge { limit: limits.value_bytes });
    // Small values with names that take more than a request has.
    let long = |n: usize| Key::from(format!("{}{n:04}", "%".repeat(1900)));
    let ops = (0..500).map(|n| put(&long(n), "")).collect();
    let error = store.commit(&Batch { guards: vec![], ops }).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error:?}");
    assert_eq!(get(&store, &long(0)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_ambiguous_and_a_read_is_safe() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ZooKeeperConfig::default()).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    let swallowed = proxy.bytes_swallowed();
    proxy.drop_replies(SOON);
    let heal = async {
        until("an answer is lost", || async { proxy.bytes_swallowed() > swallowed }).await;
        proxy.heal().unwrap();
    };
    let guards = vec![Guard::Absent(Key::from(format!("{key}2")))];
    let batch = Batch { guards, ops: vec![put(&Key::from(format!("{key}2")), "1")] };
    let (lost, ()) = tokio::join!(store.commit(&batch), heal);
    let error = lost.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, kvdb_core::Retry::Ambiguous));
    until("it is connected again", || async { store.get(&key, &Read::default()).await.is_ok() }).await;
    proxy.cut().unwrap();
    let error = store.get(&key, &Read::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, kvdb_core::Retry::Safe));
}
