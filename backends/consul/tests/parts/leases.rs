use super::*;
use kvdb_core::ErrorKind::{LeaseNotFound, TtlNotSupported};

#[tokio::test]
async fn a_lease_ends_its_keys_not_early_and_when_revoked() {
    let (store, other) = (open().await, open().await);
    let key = Key::from(format!("{}k", place()));
    let began = tokio::time::Instant::now();
    let (lease, ttl) = store.grant(Duration::from_millis(1500)).await.unwrap();
    assert_eq!(ttl, Duration::from_millis(1500));
    drop(written(&store, vec![], put_held(&key, "1", &lease)).await);
    tokio::time::timeout(SOON, async { while get(&other, &key).await.is_some() {} }).await.unwrap();
    assert!(began.elapsed() >= ttl, "gone after {:?}", began.elapsed());
    assert_eq!(kind(store.keep_alive(&lease)).await, LeaseNotFound);
    assert_eq!(kind(store.revoke(&lease)).await, LeaseNotFound);
    assert_eq!(
        kind(store.commit(&Batch { guards: vec![], ops: vec![put_held(&key, "1", &lease)] })).await,
        LeaseNotFound
    );
    let (lease, ttl) = store.grant(Duration::from_secs(60)).await.unwrap();
    drop(written(&store, vec![], put_held(&key, "2", &lease)).await);
    // Another handle can use it.
    assert_eq!(other.keep_alive(&lease).await.unwrap(), ttl);
    other.revoke(&lease).await.unwrap();
    assert_eq!(get(&store, &key).await, None);
    // And the key is free at once.
    let (next, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    drop(written(&store, vec![Guard::Absent(key.clone())], put_held(&key, "3", &next)).await);
    for wrong in [LeaseId::Number(7), LeaseId::Text("x".into()), LeaseId::Text("0".repeat(36).into())] {
        assert_eq!(kind(store.keep_alive(&wrong)).await, LeaseNotFound, "{wrong}");
        assert_eq!(kind(store.revoke(&wrong)).await, LeaseNotFound, "{wrong}");
        let batch = Batch { guards: vec![], ops: vec![put_held(&key, "4", &wrong)] };
        assert_eq!(kind(store.commit(&batch)).await, LeaseNotFound, "{wrong}");
    }
}

#[tokio::test]
async fn the_bounds_of_a_ttl_are_those_of_the_servers() {
    let fast = open().await;
    let slow = Consul::start(ConsulSetup::default().default_sessions()).unwrap();
    let slow = open_at(&slow.endpoints(), &ConsulConfig::default()).await;
    for (store, seconds) in [(fast, 1), (slow, 10)] {
        let limits = store.limits();
        let min = Duration::from_secs(seconds);
        let max = Duration::from_secs(24 * 3600);
        assert_eq!((limits.ttl_min, limits.ttl_max), (min, Some(max)));
        for wrong in [min - Duration::from_millis(1), max + Duration::from_millis(1)] {
            assert_eq!(kind(store.grant(wrong)).await, TtlNotSupported { min, max: Some(max) });
        }
        for right in [min, max] {
            let (lease, granted) = store.grant(right).await.unwrap();
            assert_eq!(granted, right);
            store.revoke(&lease).await.unwrap();
        }
    }
}

/// Of a handle that has never seen the key, so that each form is tried by what the refusal of another one tells.
#[tokio::test]
async fn a_key_of_one_lease_goes_to_that_of_another_handle() {
    let key = Key::from(format!("{}k", place()));
    let first = open().await;
    let (lease, _) = first.grant(Duration::from_secs(60)).await.unwrap();
    drop(written(&first, vec![], put_held(&key, "first", &lease)).await);
    for value in ["second", "third"] {
        let next = open().await;
        let (taken, _) = next.grant(Duration::from_secs(60)).await.unwrap();
        let entry = written(&next, vec![], put_held(&key, value, &taken)).await;
        let found = get(&first, &key).await.unwrap();
        assert_eq!((found.value, found.lease), (value.into(), Some(taken)));
        assert_eq!(found.modified, entry.modified);
    }
    first.revoke(&lease).await.unwrap();
    assert!(get(&first, &key).await.is_some(), "the lease of before still has the key");
}
