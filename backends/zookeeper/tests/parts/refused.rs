//! What cannot be had: values that are too large, a TTL of a put, more connections than a server takes, and a server
//! that has closed its side of one.

use super::*;
use kvdb_core::{Capabilities, Handle, Kvdb, KvdbExt, Options, Retry};
use std::sync::Arc;

#[tokio::test]
async fn a_large_value_and_a_ttl_are_refused_and_nothing_is_sent() {
    let (proxy, address) = proxy();
    let store = Arc::new(open_at(&[address], &ZooKeeperConfig::default()).await);
    let kv = Handle::open("zookeeper", store, &place(), &Options::new()).unwrap();
    let before = kv.put("k", "1").await.unwrap();
    let sent = proxy.bytes_up();
    let limit = kv.limits().value_bytes;
    let large = kv.put("k", vec![0; 2 << 20]).await.unwrap_err();
    assert_eq!((large.kind(), large.retry()), (&ErrorKind::TooLarge { limit }, Retry::Never));
    assert!(large.to_string().contains(&limit.to_string()), "{large}");
    assert!(proxy.bytes_up() < sent + (1 << 20), "a value that is too large was sent");
    let held = kv.put("k", "2").ttl(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!((held.kind(), held.retry()), (&ErrorKind::Unsupported(Capabilities::TTL), Retry::Never));
    assert!(held.to_string().contains("TTL"), "{held}");
    let found = kv.get("k").await.unwrap().unwrap();
    assert_eq!((found.value, found.modified_index), (before.value, before.modified_index));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_connections_is_unavailable_and_harms_no_session_that_is() {
    const CONNECTIONS: usize = 4;
    let own =
        ZooKeeper::start(ZooKeeperSetup::default().max_client_cnxns(u32::try_from(CONNECTIONS).unwrap())).unwrap();
    let store = open_at(&own.endpoints(), &ZooKeeperConfig::default()).await;
    let key = Key::from("d/k");
    until("the store has a session", || async { store.get(&key, &Read::default()).await.is_ok() }).await;
    let mut others = Vec::new();
    // What opening asked has left once as many are in as there is room for.
    let filling = async {
        while others.len() + 1 < CONNECTIONS {
            others.extend(Client::connect(&own.endpoints()[0]).await);
        }
    };
    tokio::time::timeout(SOON, filling).await.expect("every other connection is taken");
    let unavailable = (ErrorKind::Unavailable, Retry::Safe);
    // A lease needs a session of its own, and so does a second handle.
    let error = store.grant(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!((error.kind().clone(), error.retry()), unavailable, "{error:?}");
    let late = open_at(&own.endpoints(), &ZooKeeperConfig::default()).await;
    let error = tokio::time::timeout(SOON, late.get(&key, &Read::default())).await.expect("an answer").unwrap_err();
    assert_eq!((error.kind().clone(), error.retry()), unavailable, "{error:?}");
    drop(written(&store, vec![], put(&key, "1")).await);
    others.clear();
    until("there is room again", || async { late.get(&key, &Read::default()).await.is_ok() }).await;
    until("also for a lease", || async { store.grant(Duration::from_secs(10)).await.is_ok() }).await;
    assert_eq!(get(&late, &key).await.unwrap().value, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_left_for_a_new_one() {
    let (proxy, address) = proxy();
    let second = Duration::from_secs(1);
    let config = ZooKeeperConfig { session_timeout: 3 * second, dial_timeout: second, ..ZooKeeperConfig::default() };
    let store = open_at(&[address], &config).await;
    let place = place();
    let key = |n: usize| Key::from(format!("{place}{n}"));
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    for n in 0..3 {
        drop(written(&store, vec![], put(&key(n), "1")).await);
        assert_eq!(cut(&mut feed).await.1, [format!("+{}=1", key(n))]);
        let connections = proxy.connections();
        proxy.half_close();
        let batch = Batch { guards: vec![], ops: vec![delete(&key(n))] };
        until("a write goes through", || async {
            tokio::time::timeout(SOON, store.commit(&batch)).await.expect("an answer in time").is_ok()
        })
        .await;
        assert!(proxy.connections() > connections, "the connection whose answers are gone is used on");
        assert_eq!(cut(&mut feed).await.1, [format!("-{}", key(n))]);
    }
}
