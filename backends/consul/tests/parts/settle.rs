use super::*;
use kvdb_core::Retry;

/// Runs a commit whose answer is lost on the way, and ends the fault once it is.
async fn with_lost_answer(proxy: &Proxy, store: &ConsulBackend, ops: Vec<Op>) -> kvdb_core::Result<Outcome> {
    let batch = Batch { guards: vec![], ops };
    let swallowed = proxy.bytes_swallowed();
    proxy.drop_replies(SOON);
    let heal = async {
        while proxy.bytes_swallowed() == swallowed {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.heal().unwrap();
    };
    tokio::time::timeout(SOON, futures_util::future::join(store.commit(&batch), heal)).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_known_by_its_number() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let place = place();
    let (a, b) = (Key::from(format!("{place}a")), Key::from(format!("{place}b")));
    let first = written(&store, vec![], put(&a, "same")).await;
    let outcome = with_lost_answer(&proxy, &store, vec![put(&a, "same"), put(&b, "2")]).await.unwrap();
    let Outcome::Committed { revision, results } = outcome else { panic!("a conflict") };
    let entries = results.into_iter().map(|result| match result {
        OpResult::Put { entry, .. } => entry,
        other => panic!("{other:?}"),
    });
    let entries: Vec<Entry> = entries.collect();
    assert!(revision > first.modified);
    assert_eq!((entries[0].created, entries[0].modified), (first.created, revision));
    assert_eq!(vec![get(&store, &a).await.unwrap(), get(&store, &b).await.unwrap()], entries);
    let gone = Op::Delete { key: a.clone(), previous: false };
    let outcome = with_lost_answer(&proxy, &store, vec![gone]).await.unwrap();
    let Outcome::Committed { revision: at, results } = outcome else { panic!("a conflict") };
    assert_eq!(results, [OpResult::Deleted { removed: 1, previous: None }]);
    assert!(at > revision && get(&store, &a).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_nothing_proves_stays_ambiguous() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    // What was there before is in the lost answer alone.
    let error = with_lost_answer(&proxy, &store, vec![delete(&key)]).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous);
    assert!(matches!(error.kind(), ErrorKind::Unavailable), "{error:?}");
}
