//! What real servers refuse, by its kind.

use kvdb_core::{Backend, Batch, Bytes, Key, Op, Options, Read};
use kvdb_core::{ErrorKind, KvdbExt, LeaseId, Retry};
use kvdb_servers::EtcdSetup;

use crate::help::{backend, open, put, refused, start};

fn put_op(key: &str, value: usize, lease: Option<LeaseId>) -> Op {
    Op::Put { key: Key::from(key), value: Bytes::from(vec![0; value]), lease, previous: false }
}

async fn commit(store: &dyn Backend, ops: Vec<Op>) -> kvdb_core::Result<()> {
    store.commit(&Batch { guards: Vec::new(), ops }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_is_told_with_the_way_out() {
    let etcd = start(EtcdSetup::default().extra_args(["--quota-backend-bytes=1048576"]));
    let store = backend(&etcd.endpoints(), Options::new()).await.unwrap();
    let error = loop {
        if let Err(error) = commit(&*store, vec![put_op("a", 100_000, None)]).await {
            break error;
        }
    };
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::StorageFull, Retry::Never), "{error:?}");
    assert!(error.to_string().contains("defragment") && error.to_string().contains("alarm"), "{error}");
    assert!(store.get(&Key::from("a"), &Read::default()).await.unwrap().entry.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_one_request_is_too_large() {
    let etcd = start(EtcdSetup::default().extra_args(["--max-request-bytes=10000", "--max-txn-ops=4"]));
    let store = backend(&etcd.endpoints(), Options::new()).await.unwrap();
    for ops in [
        vec![put_op("a", 20_000, None)],
        // Past gRPC's own limit too.
        vec![put_op("a", 900_000, None)],
        (0..5).map(|n| put_op(&format!("k{n}"), 1, None)).collect(),
    ] {
        let error = commit(&*store, ops).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
    put(&*store, "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_gone_is_not_found() {
    let etcd = start(EtcdSetup::default());
    let store = backend(&etcd.endpoints(), Options::new()).await.unwrap();
    let (lease, _) = store.grant(std::time::Duration::from_secs(60)).await.unwrap();
    store.revoke(&lease).await.unwrap();
    refused(store.revoke(&lease).await, &ErrorKind::LeaseNotFound, "grant a new one");
    refused(commit(&*store, vec![put_op("a", 1, Some(lease))]).await, &ErrorKind::LeaseNotFound, "grant a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused() {
    let etcd = start(EtcdSetup::default().auth());
    for args in [&["user", "add", "me:mypassword"][..], &["role", "add", "none"], &["user", "grant-role", "me", "none"]]
    {
        assert!(etcd.etcdctl(args).unwrap().status.success());
    }
    let options = Options::new().username("me").password(&kvdb_core::Secret::new("mypassword"));
    let kv = open(&etcd.endpoints(), options).await.unwrap();
    refused(kv.get("a").await, &ErrorKind::PermissionDenied, "roles");
    refused(kv.put("a", "1").await, &ErrorKind::PermissionDenied, "roles");
}
