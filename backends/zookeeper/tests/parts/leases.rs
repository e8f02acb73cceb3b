use super::*;

const TTL: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_lease_ends_at_its_deadline_though_its_session_lives() {
    let store = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    let (short, ttl) = store.grant(TTL).await.unwrap();
    assert_eq!(ttl, TTL);
    let (kept, _) = store.grant(TTL).await.unwrap();
    for (name, lease) in [("a", &short), ("b", &short), ("c", &kept)] {
        let entry = written(&store, vec![], put_held(&key(name), "1", lease)).await;
        assert_eq!(entry.lease.as_ref(), Some(lease));
        assert_eq!(get(&store, &key(name)).await, Some(entry));
    }
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    let keeping = async {
        loop {
            assert_eq!(store.keep_alive(&kept).await.unwrap(), TTL);
            tokio::time::sleep(TTL / 5).await;
        }
    };
    let told = tokio::select! {
        told = cut(&mut feed) => told.1,
        () = keeping => unreachable!(),
    };
    assert_eq!(told, [format!("-{}", key("a")), format!("-{}", key("b"))], "both in one cut");
    assert_eq!(kind(store.keep_alive(&short)).await, ErrorKind::LeaseNotFound);
    let batch = Batch { guards: vec![], ops: vec![put_held(&key("a"), "1", &short)] };
    assert_eq!(kind(store.commit(&batch)).await, ErrorKind::LeaseNotFound);
    assert!(get(&store, &key("c")).await.is_some());
    store.revoke(&kept).await.unwrap();
    assert_eq!(get(&store, &key("c")).await, None);
    assert_eq!(kind(store.revoke(&kept)).await, ErrorKind::LeaseNotFound);
}

#[tokio::test]
async fn leases_of_one_ttl_share_a_session_and_others_have_their_own() {
    let own = ZooKeeper::start(ZooKeeperSetup::default()).unwrap();
    let store = open_at(&own.endpoints(), &ZooKeeperConfig::default()).await;
    drop(get(&store, &"k".into()).await);
    let sessions = || async { own.sessions().unwrap().len() };
    until("what opening asked is over", || async { sessions().await == 1 }).await;
    let mut leases = Vec::new();
    for seconds in [30, 30, 30, 20] {
        leases.push(store.grant(Duration::from_secs(seconds)).await.unwrap().0);
    }
    assert_eq!(sessions().await, 3);
    for lease in &leases[..3] {
        store.revoke(lease).await.unwrap();
    }
    until("a session without leases ends", || async { sessions().await == 2 }).await;
    store.close().await.unwrap();
    until("a closed handle has no session", || async { sessions().await == 0 }).await;
}

#[tokio::test]
async fn a_put_moves_a_key_from_lease_to_lease_and_to_none() {
    let store = open().await;
    let key = Key::from(format!("{}k", place()));
    let mut leases = Vec::new();
    for seconds in [30, 30, 20] {
        leases.push(store.grant(Duration::from_secs(seconds)).await.unwrap().0);
    }
    let [one, other, elsewhere] = &leases[..] else { panic!() };
    let first = written(&store, vec![], put_held(&key, "1", one)).await;
    let moved = written(&store, vec![], put_held(&key, "2", other)).await;
    assert_eq!((moved.created, &moved.lease), (first.created, &Some(other.clone())));
    store.revoke(one).await.unwrap();
    assert_eq!(get(&store, &key).await, Some(moved));
    // Another session is another incarnation.
    let again = written(&store, vec![], put_held(&key, "3", elsewhere)).await;
    assert!(again.created > first.created);
    let free = written(&store, vec![], put(&key, "4")).await;
    assert_eq!(free.lease, None);
    store.revoke(other).await.unwrap();
    store.revoke(elsewhere).await.unwrap();
    assert_eq!(get(&store, &key).await, Some(free));
}

#[tokio::test]
async fn a_ttl_that_would_be_clamped_is_refused_with_the_bounds() {
    let store = open().await;
    let bounds = ErrorKind::TtlNotSupported { min: TTL, max: Some(Duration::from_secs(40)) };
    for ttl in [TTL - Duration::from_millis(1), Duration::from_millis(40_001), Duration::MAX] {
        let refused = kind(store.grant(ttl)).await;
        assert!(refused == bounds || (ttl == Duration::MAX && refused == ErrorKind::InvalidArgument), "{refused:?}");
    }
    assert_eq!((store.limits().ttl_min, store.limits().ttl_max), (TTL, Some(Duration::from_secs(40))));
    let (lease, granted) = store.grant(TTL + Duration::from_nanos(1)).await.unwrap();
    assert_eq!(granted, TTL + Duration::from_millis(1));
    store.revoke(&lease).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_its_handles_own() {
    let (store, other) = (open().await, open().await);
    let (lease, _) = store.grant(Duration::from_secs(30)).await.unwrap();
    assert_eq!(kind(other.keep_alive(&lease)).await, ErrorKind::LeaseNotFound);
    let key = Key::from(format!("{}k", place()));
    let foreign = Batch { guards: vec![], ops: vec![put_held(&key, "1", &lease)] };
    assert_eq!(kind(other.commit(&foreign)).await, ErrorKind::LeaseNotFound);
    drop(written(&store, vec![], put_held(&key, "1", &lease)).await);
    assert!(get(&other, &key).await.unwrap().lease.is_some());
    // Its handle is gone, and with it its session.
    drop(store);
    until("the key goes with its handle", || async { get(&other, &key).await.is_none() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_session_expires_is_gone_with_its_keys() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ZooKeeperConfig::default()).await;
    let beside = open().await;
    let key = Key::from(format!("{}k", place()));
    let (lease, _) = store.grant(TTL).await.unwrap();
    drop(written(&store, vec![], put_held(&key, "1", &lease)).await);
    proxy.cut().unwrap();
    until("the servers delete the key", || async { get(&beside, &key).await.is_none() }).await;
    proxy.heal().unwrap();
    until("the lease is not found", || async {
        store.keep_alive(&lease).await.is_err_and(|error| *error.kind() == ErrorKind::LeaseNotFound)
    })
    .await;
    let (again, _) = store.grant(Duration::from_secs(5)).await.unwrap();
    drop(written(&store, vec![], put_held(&key, "2", &again)).await);
    assert_eq!(get(&beside, &key).await.unwrap().value, "2");
}
