//! Leases: whole seconds, the server's minimum learnt, gone is gone.

use std::time::Duration;

use kvdb_core::{Backend, ErrorKind, KeyRange, LeaseId};
use kvdb_servers::{Etcd, EtcdSetup};

use crate::checks::{batch, feed, gone, kind, put, put_leased, read, revision, write};
use crate::cluster::{open, start};

#[tokio::test]
async fn a_grant_is_rounded_up_to_whole_seconds() {
    let cluster = start();
    let store = open(&cluster).await;
    for (asked, granted) in [(1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
        let (_, ttl) = store.grant(Duration::from_millis(asked)).await.unwrap();
        assert_eq!(ttl, Duration::from_secs(granted), "{asked} ms");
    }
    let longest = store.limits().ttl_max.unwrap();
    assert_eq!(store.grant(longest).await.unwrap().1, longest);
    let over = store.grant(longest + Duration::from_millis(1)).await;
    assert!(matches!(kind(over).await, ErrorKind::TtlNotSupported { .. }));
    assert!(matches!(kind(store.grant(Duration::MAX).await).await, ErrorKind::TtlNotSupported { .. }));
}

#[tokio::test]
async fn the_servers_minimum_is_learnt_from_its_first_clamp() {
    let timing = EtcdSetup::default().timing(Duration::from_millis(50), Duration::from_millis(1500));
    let cluster = Etcd::start(timing).expect("a node");
    let store = open(&cluster).await;
    assert_eq!(store.limits().ttl_min, Duration::from_secs(1));
    assert_eq!(store.grant(Duration::from_secs(10)).await.unwrap().1, Duration::from_secs(10));
    assert_eq!(store.limits().ttl_min, Duration::from_secs(1));
    // 1.5 election timeouts, rounded up.
    assert_eq!(store.grant(Duration::from_secs(1)).await.unwrap().1, Duration::from_secs(3));
    assert_eq!(store.limits().ttl_min, Duration::from_secs(3));
}

#[tokio::test]
async fn a_lease_lives_by_keep_alive_and_takes_its_keys_along() {
    let cluster = start();
    let store = open(&cluster).await;
    let other = open(&cluster).await;
    let (lease, ttl) = store.grant(Duration::from_secs(30)).await.unwrap();
    write(&store, vec![put_leased("l/b", &lease), put_leased("l/a", &lease), put("l/c", "")]).await;
    // A handle that did not grant it, and one that has kept it alive before.
    for _ in 0..3 {
        assert_eq!(other.keep_alive(&lease).await.unwrap(), ttl);
    }
    let info = other.lease_info(&lease).await.unwrap();
    assert_eq!((info.granted, info.keys), (ttl, vec!["l/a".to_owned(), "l/b".to_owned()]));
    assert!(info.remaining <= ttl && info.remaining > Duration::from_secs(20));
    let mut feed = feed(&store, KeyRange::prefix(b"l/"), None).await;
    store.revoke(&lease).await.unwrap();
    assert_eq!(batch(&mut feed).await.1.len(), 2);
    let before = revision(&store).await;
    // Also to the handle that still knows its time.
    for lease in [lease, LeaseId::Number(0), LeaseId::Number(5), LeaseId::Text("a".into())] {
        assert_eq!(kind(other.keep_alive(&lease).await).await, ErrorKind::LeaseNotFound);
        assert_eq!(kind(other.lease_info(&lease).await).await, ErrorKind::LeaseNotFound);
        assert_eq!(kind(other.revoke(&lease).await).await, ErrorKind::LeaseNotFound);
    }
    assert_eq!(revision(&store).await, before);
}

#[tokio::test]
async fn a_lease_that_nobody_keeps_alive_ends() {
    let cluster = start();
    let store = open(&cluster).await;
    let (lease, _) = store.grant(Duration::from_secs(1)).await.unwrap();
    write(&store, vec![put_leased("a", &lease)]).await;
    assert_eq!(read(&store, "a").await.unwrap().lease, Some(lease.clone()));
    gone(&store, "a").await;
    assert_eq!(kind(store.keep_alive(&lease).await).await, ErrorKind::LeaseNotFound);
}
