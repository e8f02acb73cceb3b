//! Members that die, stop or are cut off under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvdb_core::{AdminRequest, Backend, CallOptions, Error, ErrorKind, Handle, Kvdb, KvdbExt, Options, Retry};
use kvdb_servers::{Etcd, EtcdMember, EtcdSetup};
use tokio::time::timeout;

use crate::help::{PATIENCE, backend, open, put, start};

fn three() -> Etcd {
    start(EtcdSetup::default().nodes(3))
}

/// A member that does not lead, so that its end stops nobody else.
fn follower(etcd: &Etcd) -> Arc<EtcdMember> {
    etcd.member((etcd.leader().unwrap() + 1) % 3).unwrap()
}

fn all(etcd: &Etcd) -> AdminRequest {
    AdminRequest::SetEndpoints(etcd.endpoints())
}

/// All members are known and calls go to `member`.
async fn at(member: &EtcdMember, etcd: &Etcd) -> Arc<dyn Backend> {
    let store = backend(&[member.endpoint().to_owned()], Options::new()).await.unwrap();
    put(&*store, "a").await.unwrap();
    store.admin(&all(etcd)).await.unwrap();
    store
}

/// The same, as an app has it.
async fn handle_at(member: &EtcdMember, etcd: &Etcd, options: Options) -> Handle {
    let kv = open(&[member.endpoint().to_owned()], options).await.unwrap();
    kv.put("a", "1").await.unwrap();
    kv.admin_opts(all(etcd), CallOptions::default()).await.unwrap();
    kv
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_three_dead_no_put_fails() {
    let etcd = three();
    follower(&etcd).kill().unwrap();
    for _ in 0..12 {
        // Each begins anywhere.
        let store = backend(&etcd.endpoints(), Options::new()).await.unwrap();
        for _ in 0..20 {
            put(&*store, "a").await.unwrap();
        }
    }
}

/// Puts from many tasks, before, while and long after `end` ends a member: what each of them failed with.
async fn under_load(store: &Arc<dyn Backend>, end: impl FnOnce() + Send + 'static) -> Vec<Vec<Error>> {
    let ended = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let (store, ended) = (Arc::clone(store), Arc::clone(&ended));
            tokio::spawn(async move {
                let (mut failed, mut done) = (Vec::new(), 0);
                while done < 50 {
                    let after = ended.load(Ordering::SeqCst);
                    match put(&*store, &format!("k{task}")).await {
                        Ok(()) => done += u32::from(after),
                        Err(error) => failed.push(error),
                    }
                }
                failed
            })
        })
        .collect();
    tokio::task::spawn_blocking(end).await.unwrap();
    ended.store(true, Ordering::SeqCst);
    let mut failed = Vec::new();
    for task in tasks {
        failed.push(timeout(PATIENCE, task).await.unwrap().unwrap());
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_member_dies_only_calls_that_were_sent_fail_and_as_ambiguous() {
    let etcd = three();
    let member = follower(&etcd);
    let store = at(&member, &etcd).await;
    for failed in under_load(&store, move || member.kill().unwrap()).await {
        assert!(failed.len() <= 1, "the one call under way, and no other: {failed:?}");
        for error in failed {
            assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Ambiguous), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_member_is_shut_down_no_call_fails() {
    let etcd = three();
    let member = follower(&etcd);
    let store = at(&member, &etcd).await;
    let shut_down = move || {
        let process = member.process().unwrap();
        let pid = process.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(process.exited(PATIENCE).unwrap().is_some());
    };
    for failed in under_load(&store, shut_down).await {
        assert!(failed.is_empty(), "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_came_back_serves_again() {
    let etcd = start(EtcdSetup::default());
    let member = etcd.member(0).unwrap();
    let kv = open(&etcd.endpoints(), Options::new().set("timeout", "30s")).await.unwrap();
    for _ in 0..3 {
        kv.put("a", "1").await.unwrap();
        let restarted = Arc::clone(&member);
        tokio::task::spawn_blocking(move || restarted.restart()).await.unwrap().unwrap();
    }
    assert!(kv.get("a").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_member_costs_each_caller_one_deadline_at_most() {
    let etcd = three();
    let member = follower(&etcd);
    let kv = handle_at(&member, &etcd, Options::new().set("timeout", "1s")).await;
    member.pause().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move {
                let mut failed = Vec::new();
                for _ in 0..20 {
                    failed.extend(kv.put(&format!("k{task}"), "1").await.err());
                }
                failed
            })
        })
        .collect();
    for task in tasks {
        let failed = timeout(PATIENCE, task).await.expect("no call hangs").unwrap();
        assert!(failed.len() <= 1, "{failed:?}");
        for error in failed {
            assert_eq!((error.kind(), error.retry()), (&ErrorKind::Timeout, Retry::Ambiguous), "{error:?}");
        }
    }
    member.resume().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_at_a_stopped_member_is_answered_by_another_one() {
    let etcd = start(EtcdSetup::default().nodes(3).extra_args(["--grpc-keepalive-min-time=100ms"]));
    let member = follower(&etcd);
    let options = Options::new().set("timeout", "30s").set("keep_alive_time", "500ms");
    let kv = handle_at(&member, &etcd, options.set("keep_alive_timeout", "500ms")).await;
    member.pause().unwrap();
    assert_eq!(timeout(PATIENCE, kv.get("a")).await.unwrap().unwrap().unwrap().text(), Some("1"));
    member.resume().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_stopped_server_is_not_connected_to() {
    let etcd = start(EtcdSetup::default());
    etcd.member(0).unwrap().pause().unwrap();
    let store = backend(&etcd.endpoints(), Options::new().set("dial_timeout", "300ms")).await.unwrap();
    let error = timeout(PATIENCE, put(&*store, "a")).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Safe), "{error:?}");
    assert!(error.to_string().contains("no answer within 300ms"), "{error}");
    etcd.member(0).unwrap().resume().unwrap();
    put(&*store, "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_leader_is_left_for_one_that_has_one() {
    let etcd = start(EtcdSetup::default().nodes(3).peer_proxy());
    let alone = (etcd.leader().unwrap() + 1) % 3;
    let member = etcd.member(alone).unwrap();
    let kv = handle_at(&member, &etcd, Options::new().set("timeout", "30s")).await;
    etcd.isolate(alone).unwrap();
    let until_it_works = async { while kv.put("a", "2").await.is_err() {} };
    timeout(PATIENCE, until_it_works).await.unwrap();
    for _ in 0..20 {
        kv.put("a", "3").await.unwrap();
    }
    etcd.heal().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watch_keeps_its_connection() {
    // The server counts signs of life that come too often, forgives two, and then hangs up.
    const PROBES: u32 = 4;
    const TIME: Duration = Duration::from_millis(1200);
    let etcd = start(EtcdSetup::default().client_proxy().extra_args(["--grpc-keepalive-min-time=1s"]));
    let member = etcd.member(0).unwrap();
    let options = Options::new().set("keep_alive_time", format!("{}ms", TIME.as_millis()));
    let kv = open(&etcd.endpoints(), options.set("watch_progress_interval", "1h")).await.unwrap();
    let mut watch = kv.watch_key("a").await.unwrap();
    let proxy = member.client_proxy().unwrap();
    let (connections, sent) = (proxy.connections(), proxy.bytes_up());
    tokio::time::sleep(TIME * (PROBES + 1)).await;
    assert!(proxy.bytes_up() - sent >= u64::from(PROBES) * 17, "it was asked for signs of life");
    kv.put("a", "1").await.unwrap();
    assert!(timeout(PATIENCE, watch.next()).await.unwrap().unwrap().is_ok());
    assert_eq!(proxy.connections(), connections, "nobody hung up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_connection_is_noticed_by_its_silence() {
    let etcd = start(EtcdSetup::default().client_proxy().extra_args(["--grpc-keepalive-min-time=100ms"]));
    let member = etcd.member(0).unwrap();
    let options = Options::new().set("keep_alive_time", "300ms").set("keep_alive_timeout", "300ms");
    let store = backend(&etcd.endpoints(), options).await.unwrap();
    put(&*store, "a").await.unwrap();
    let proxy = member.client_proxy().unwrap();
    proxy.stall();
    let error = timeout(PATIENCE, put(&*store, "a")).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Ambiguous), "{error:?}");
    proxy.reset();
    proxy.heal().unwrap();
    put(&*store, "a").await.unwrap();
}
