//! Members that cannot be reached from the start, and a change of endpoints.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvdb_core::{AdminRequest, CallOptions, ErrorKind, Kvdb, KvdbExt, Options};
use kvdb_servers::{EtcdSetup, Tls};

use crate::help::{backend, open, put, refused, start};

/// An endpoint that accepts connections and hangs up at once, counting them.
fn hanging_up() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    (endpoint, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_costs_an_attempt_and_not_each_call() {
    const HANDLES: u64 = 12;
    const CALLS: u64 = 100;
    let etcd = start(EtcdSetup::default());
    let (dead, attempts) = hanging_up();
    let endpoints = [vec![dead], etcd.endpoints()].concat();
    for _ in 0..HANDLES {
        let store = backend(&endpoints, Options::new()).await.unwrap();
        for _ in 0..CALLS {
            put(&*store, "a").await.unwrap();
        }
    }
    // Each handle begins with either; the one that begins with the dead one tries it once and stays with the other.
    let attempts = attempts.load(Ordering::SeqCst);
    assert!(attempts <= HANDLES, "{attempts} attempts for {HANDLES} handles");
    assert!(attempts > 0, "none of {HANDLES} handles began with the dead endpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_one_attempt_to_connect() {
    let (dead, attempts) = hanging_up();
    let store = backend(&[dead], Options::new()).await.unwrap();
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { put(&*store, "a").await })
        })
        .collect();
    for call in calls {
        let error = refused(call.await.unwrap(), &ErrorKind::Unavailable, "no endpoint can be reached");
        assert_eq!(error.retry(), kvdb_core::Retry::Safe);
    }
    assert!(attempts.load(Ordering::SeqCst) < 64, "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_to_other_endpoints_from_the_moment_they_are_set() {
    let etcd = start(EtcdSetup::default().nodes(2));
    let (first, second) = (etcd.member(0).unwrap(), etcd.member(1).unwrap());
    let kv = open(&[first.endpoint().to_owned()], Options::new()).await.unwrap();
    let served = |member: &kvdb_servers::EtcdMember| {
        ["Txn", "Put"]
            .iter()
            .map(|method| member.metric_sum("grpc_server_handled_total", &[("grpc_method", method)]).unwrap())
            .sum::<f64>()
    };
    kv.put("a", "1").await.unwrap();
    assert!(served(&first) >= 1.0 && served(&second) == 0.0);

    let request = AdminRequest::SetEndpoints(vec![second.endpoint().to_owned()]);
    kv.admin_opts(request, CallOptions::default()).await.unwrap();
    let before = served(&first);
    kv.put("a", "2").await.unwrap();
    assert!((served(&first) - before).abs() < f64::EPSILON && served(&second) >= 1.0);

    let wrong = AdminRequest::SetEndpoints(vec!["https://127.0.0.1:1".to_owned()]);
    refused(kv.admin_opts(wrong, CallOptions::default()).await, &ErrorKind::InvalidConfig, "is not http");
    kv.put("a", "3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_ends_where_it_is_when_endpoints_are_set() {
    let etcd = start(EtcdSetup::default().nodes(2).client_proxy());
    let (first, second) = (etcd.member(0).unwrap(), etcd.member(1).unwrap());
    let store = backend(&[first.endpoint().to_owned()], Options::new()).await.unwrap();
    put(&*store, "a").await.unwrap();
    let proxy = first.client_proxy().unwrap();
    proxy.delay(Duration::from_millis(500));
    let sent = proxy.bytes_up();
    let under_way = tokio::spawn({
        let store = Arc::clone(&store);
        async move { put(&*store, "b").await }
    });
    while proxy.bytes_up() == sent {
        tokio::task::yield_now().await;
    }
    store.admin(&AdminRequest::SetEndpoints(vec![second.endpoint().to_owned()])).await.unwrap();
    put(&*store, "c").await.unwrap();
    assert!(!under_way.is_finished(), "it is slower than the one that went elsewhere");
    under_way.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_scheme_says_the_right_one() {
    let options = || Options::new().set("timeout", "1s");
    let plain = start(EtcdSetup::default());
    let as_tls = plain.endpoints()[0].replace("http://", "https://");
    let kv = open(&[as_tls], options().set("insecure_skip_verify", "true")).await.unwrap();
    refused(kv.get("a").await, &ErrorKind::Unavailable, "write http://");

    let secure = start(EtcdSetup::default().tls(Tls::Server));
    let as_plain = secure.endpoints()[0].replace("https://", "http://");
    let kv = open(&[as_plain], options()).await.unwrap();
    refused(kv.get("a").await, &ErrorKind::Unavailable, "write https://");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_etcd_says_so() {
    let (listener, answer) = (TcpListener::bind("127.0.0.1:0").unwrap(), "SSH-2.0-OpenSSH_9.2\r\n");
    let endpoint = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut connection, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut connection, answer.as_bytes());
            open.push(connection);
        }
    });
    let store = backend(&[endpoint], Options::new()).await.unwrap();
    refused(put(&*store, "a").await, &ErrorKind::Unavailable, "what answers there is not etcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_dead_a_call_says_which_were_tried_and_why() {
    let ports = kvdb_servers::ports::free(3).unwrap();
    let endpoints: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let kv = open(&endpoints, Options::new().set("timeout", "1s")).await.unwrap();
    let error = refused(kv.put("a", "1").await, &ErrorKind::Unavailable, "refused");
    assert_eq!(error.retry(), kvdb_core::Retry::Safe);
    for endpoint in &endpoints {
        assert!(error.to_string().contains(endpoint.as_str()), "{error}");
    }
}
