use super::*;

#[tokio::test]
async fn a_transaction_is_one_cut_and_deletions_come_last() {
    let store = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    drop(commit(&store, vec![], vec![put(&key("a"), "1"), put(&key("b"), "1")]).await);
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    let ops = vec![delete(&key("a")), put(&key("z"), "2"), put(&key("b"), "2")];
    let Outcome::Committed { revision, .. } = commit(&store, vec![], ops).await else { panic!("a conflict") };
    let (at, told) = cut(&mut feed).await;
    assert_eq!(at, revision);
    assert_eq!(told, [format!("+{place}b=2"), format!("+{place}z=2"), format!("-{place}a")]);
    // A neighbour whose name begins alike is not in the directory.
    drop(written(&store, vec![], put(&Key::from(place.trim_end_matches('/')), "x")).await);
    drop(deleted(&store, &key("z")).await);
    assert_eq!(cut(&mut feed).await.1, [format!("-{place}z")]);
}

#[tokio::test]
async fn a_key_that_is_not_there_yet_can_be_watched() {
    let store = open().await;
    let key = Key::from(format!("{}k", place()));
    let mut feed = watch(&store, KeyRange::single(key.clone()), None).await;
    let entry = written(&store, vec![], put(&key, "1")).await;
    assert_eq!(cut(&mut feed).await, (entry.modified, vec![format!("+{key}=1")]));
    let (revision, _) = deleted(&store, &key).await;
    let (at, told) = cut(&mut feed).await;
    assert!(at >= revision && told == [format!("-{key}")], "{at} {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_agent_is_gone_is_told_in_one_cut() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let beside = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    let old = written(&beside, vec![], put(&key("again"), "1")).await;
    drop(written(&beside, vec![], put(&key("gone"), "1")).await);
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    proxy.cut().unwrap();
    drop(deleted(&beside, &key("gone")).await);
    drop(deleted(&beside, &key("again")).await);
    let new = written(&beside, vec![], put(&key("again"), "2")).await;
    let last = written(&beside, vec![], put(&key("new"), "3")).await;
    proxy.heal().unwrap();
    let Changes::Batch { revision, changes } = next(&mut feed).await.unwrap() else { panic!("no cut") };
    assert_eq!(revision, last.modified);
    let expected = [
        // Deleted and made again is one put with the new incarnation.
        Change::Put { entry: new, previous: Some(old) },
        Change::Put { entry: last, previous: None },
    ];
    assert_eq!(changes[..2], expected);
    assert!(matches!(&changes[2..], [Change::Delete { key: gone, previous: Some(_), .. }] if *gone == key("gone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_unnoticed_is_given_up() {
    let (proxy, address) = proxy();
    let config = ConsulConfig { watch_wait: Duration::from_secs(1), ..ConsulConfig::default() };
    let store = open_at(&[address], &config).await;
    let place = place();
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    proxy.stall();
    let before = proxy.connections();
    let write = async {
        drop(written(&open().await, vec![], put(&Key::from(format!("{place}k")), "1")).await);
        // Only who gave the stalled connection up makes another.
        while proxy.connections() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.heal().unwrap();
    };
    let told = async { cut(&mut feed).await.1 };
    let (told, ()) = tokio::time::timeout(SOON, futures_util::future::join(told, write)).await.unwrap();
    assert_eq!(told, [format!("+{place}k=1")]);
}

#[tokio::test]
async fn the_past_is_granted_only_if_nothing_has_changed_since() {
    let store = open().await;
    let place = place();
    let range = KeyRange::prefix(place.as_bytes());
    let (a, b) = (Key::from(format!("{place}a")), Key::from(format!("{place}b")));
    let first = written(&store, vec![], put(&a, "1")).await;
    let second = written(&store, vec![], put(&b, "1")).await;
    let spec = |after| WatchSpec::new(range.clone(), Some(after), false);
    assert!(
        matches!(kind(store.watch(&spec(first.modified))).await, ErrorKind::Compacted { oldest } if oldest == second.modified)
    );
    let mut feed = watch(&store, range.clone(), Some(second.modified)).await;
    assert_eq!(next(&mut feed).await.unwrap(), Changes::Progress(second.modified));
    let (revision, _) = deleted(&store, &a).await;
    assert_eq!(cut(&mut feed).await, (revision, vec![format!("-{a}")]));
    assert!(matches!(kind(store.watch(&spec(second.modified))).await, ErrorKind::Compacted { .. }));
    // Writes elsewhere are no change here.
    let elsewhere = written(&store, vec![], put(&Key::from("elsewhere"), "1")).await;
    let mut feed = watch(&store, range.clone(), Some(elsewhere.modified)).await;
    assert_eq!(next(&mut feed).await.unwrap(), Changes::Progress(elsewhere.modified));
    let far = Revision::new(elsewhere.modified.get() + 1_000_000);
    assert!(matches!(kind(store.watch(&spec(far))).await, ErrorKind::FutureRevision { current } if current < far));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_goes_back_is_told_as_the_state_that_is_there() {
    let own = Consul::start(ConsulSetup::default().durable().client_proxy()).unwrap();
    let server = own.member(0).unwrap();
    let queries = || server.client_proxy().unwrap().requests("GET", "/v1/kv/d/");
    // A query that is under way ends at once, not when its time is over.
    let config = ConsulConfig { watch_wait: Duration::from_secs(600), ..ConsulConfig::default() };
    let store = open_at(&own.endpoints(), &config).await;
    let (kept, lost, back) = (Key::from("d/kept"), Key::from("d/lost"), Key::from("d/back"));
    drop(commit(&store, vec![], vec![put(&kept, "1"), put(&back, "1")]).await);
    let snapshot = own.snapshot().unwrap();
    drop(commit(&store, vec![], vec![put(&lost, "1"), put(&kept, "2"), delete(&back)]).await);
    let mut feed = watch(&store, KeyRange::prefix(b"d/"), None).await;
    let before = queries();
    let restore = async {
        while queries() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        own.restore(&snapshot).unwrap();
    };
    let (told, ()) = futures_util::future::join(next(&mut feed), restore).await;
    let Changes::Resync { present, revision } = told.unwrap() else { panic!("no resync") };
    let present: Vec<String> = present.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(present, ["d/back", "d/kept"]);
    // What follows is told as ever.
    let next = written(&store, vec![], put(&lost, "3")).await;
    assert!(next.modified > revision);
    assert_eq!(cut(&mut feed).await, (next.modified, vec!["+d/lost=3".to_owned()]));
}

#[tokio::test]
async fn a_closed_handle_ends_its_feeds_and_refuses_calls() {
    let store = open().await;
    let mut feed = watch(&store, KeyRange::prefix(place().as_bytes()), None).await;
    store.close().await.unwrap();
    assert_eq!(*next(&mut feed).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(feed.changes.next().await.is_none());
    assert_eq!(kind(store.get(&"k".into(), &Read::default())).await, ErrorKind::Closed);
    assert_eq!(kind(store.commit(&Batch::default())).await, ErrorKind::Closed);
    assert_eq!(kind(store.grant(Duration::from_secs(60))).await, ErrorKind::Closed);
}
