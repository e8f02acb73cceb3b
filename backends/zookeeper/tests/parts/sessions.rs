//! Sessions that end and are made anew.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_made_anew_once_for_all_callers() {
    let own = ZooKeeper::start(ZooKeeperSetup::default().client_proxy()).unwrap();
    let second = Duration::from_secs(1);
    let config = ZooKeeperConfig { session_timeout: second, dial_timeout: second / 2, ..ZooKeeperConfig::default() };
    let store = open_at(&own.endpoints(), &config).await;
    let key = Key::from("d/k");
    drop(written(&store, vec![], put(&key, "1")).await);
    until("what opening asked is over", || async { own.sessions().unwrap().len() == 1 }).await;
    let session = *own.sessions().unwrap().iter().next().unwrap();
    let member = own.member(0).unwrap();
    let proxy = member.client_proxy().unwrap();
    proxy.cut().unwrap();
    own.expired(session).unwrap();
    proxy.heal().unwrap();
    let read = Read::default();
    let calls = (0..20).map(|_| async {
        until("the store answers again", || async { store.get(&key, &read).await.is_ok() }).await;
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(own.sessions().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_hangs_no_call() {
    let (proxy, address) = proxy();
    let second = Duration::from_secs(1);
    let config = ZooKeeperConfig { session_timeout: 3 * second, dial_timeout: second, ..ZooKeeperConfig::default() };
    let store = open_at(&[address], &config).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    proxy.stall();
    let batch = Batch { guards: vec![], ops: vec![put(&key, "2")] };
    for _ in 0..2 {
        let read = tokio::time::timeout(SOON, store.get(&key, &Read::default())).await.expect("an answer in time");
        assert_eq!(read.unwrap_err().retry(), kvdb_core::Retry::Safe);
        let write = tokio::time::timeout(SOON, store.commit(&batch)).await.expect("an answer in time");
        assert_eq!(*write.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    proxy.heal().unwrap();
    until("the store answers again", || async { store.commit(&batch).await.is_ok() }).await;
}
