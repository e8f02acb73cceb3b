use kvdb::prelude::*;
use kvdb::{ErrorKind, Options};
use kvdb_compat::hmetcd::{self, Kvi_KV, KviOptions};
use kvdb_testsuite::help::{expect_error, expect_kind};
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

fn found(value: &str) -> (String, bool) {
    (value.to_owned(), true)
}

fn absent_value() -> (String, bool) {
    (String::new(), false)
}

pub(super) async fn values(on: On) -> Proof {
    let kvi = on.kvi().await?;
    ensure_eq!(kvi.get("k").await?, absent_value());
    kvi.delete("k").await?;
    kvi.store("k", "The rain in spain").await?;
    ensure_eq!(kvi.get("k").await?, found("The rain in spain"));
    kvi.store("k", "").await?;
    ensure_eq!(kvi.get("k").await?, found(""), "an empty value");
    ensure_eq!(kvi.get("/k/").await?, found(""), "the key by another spelling");
    kvi.delete("k").await?;
    kvi.delete("k").await?;
    ensure_eq!(kvi.get("k").await?, absent_value());
    // What only others can have written.
    kvi.handle().put("bytes", vec![0xff]).await?;
    let error = expect_kind(kvi.get("bytes").await, &ErrorKind::Serialization)?;
    ensure_eq!(error.key(), Some("bytes"));
    expect_kind(kvi.get_range("a", "z").await, &ErrorKind::Serialization)?;
    for key in ["", "a/../b", "_kvdb/x"] {
        expect_kind(kvi.store(key, "1").await, &ErrorKind::InvalidArgument)?;
        expect_kind(kvi.get(key).await, &ErrorKind::InvalidArgument)?;
        expect_kind(kvi.delete(key).await, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}

pub(super) async fn close(on: On) -> Proof {
    let (one, other) = (on.kvi().await?, on.kvi().await?);
    one.store("k", "1").await?;
    let clone = one.clone();
    one.close().await?;
    one.close().await?;
    expect_kind(clone.get("k").await, &ErrorKind::Closed)?;
    expect_kind(clone.dist_lock().await, &ErrorKind::Closed)?;
    ensure_eq!(other.get("k").await?, found("1"), "through another handle");
    ensure_eq!(on.kvi().await?.get("k").await?, found("1"), "through a new handle");
    Ok(())
}

pub(super) async fn range(on: On) -> Proof {
    let kvi = on.kvi().await?;
    ensure_eq!(kvi.get_range("x1", "x9").await?, Vec::<Kvi_KV>::new());
    for key in ["x9", "x1", "x5/below", "x0", "x", "x90", "xa", "x1-", "x5"] {
        kvi.store(key, &format!("of {key}")).await?;
    }
    let keys = async |start: &str, end: &str| -> Proof<Vec<String>> {
        let pairs = kvi.get_range(start, end).await?;
        ensure!(pairs.iter().all(|pair| pair.value == format!("of {}", pair.key)), "the values of {pairs:?}");
        Ok(pairs.into_iter().map(|pair| pair.key).collect())
    };
    ensure_eq!(keys("x1", "x9").await?, ["x1", "x1-", "x5", "x5/below", "x9"]);
    ensure_eq!(keys("/x1", "//x9").await?, ["x1", "x1-", "x5", "x5/below", "x9"], "bounds with a slash");
    ensure_eq!(keys("x5", "x5").await?, ["x5"]);
    ensure_eq!(keys("x2", "x4").await?, [""; 0]);
    ensure_eq!(keys("x9", "x1").await?, [""; 0], "bounds the wrong way round");
    ensure_eq!(keys("", "x0").await?, ["x", "x0"]);
    ensure_eq!(keys("x", "").await?, [""; 0]);
    ensure_eq!(keys("", "y").await?.len(), 9);
    Ok(())
}

pub(super) async fn operators(on: On) -> Proof {
    let kvi = on.kvi().await?;
    kvi.store("k", "m").await?;
    for (op, value, holds) in [
        ("=", "m", true),
        ("=", "M", false),
        ("=", "", false),
        ("!=", "m", false),
        ("!=", "n", true),
        ("<", "n", true),
        ("<", "m", false),
        ("<", "a", false),
        (">", "a", true),
        (">", "m", false),
        (">", "mm", false),
    ] {
        kvi.delete("then").await?;
        kvi.delete("else").await?;
        let held = kvi.transaction("k", op, value, "then", "1", "else", "2").await?;
        ensure_eq!(held, holds, "m {op} {value:?}");
        let expected = if holds { (found("1"), absent_value()) } else { (absent_value(), found("2")) };
        ensure_eq!((kvi.get("then").await?, kvi.get("else").await?), expected, "m {op} {value:?}");
    }
    // Both branches on the tested key itself, as the library's text has it.
    ensure!(kvi.transaction("k", "=", "m", "k", "yes", "k", "no").await?, "m = m");
    ensure!(!kvi.transaction("k", "=", "m", "k", "yes", "k", "no").await?, "yes = m");
    ensure_eq!(kvi.get("k").await?, found("no"));
    Ok(())
}

pub(super) async fn absent(on: On) -> Proof {
    let kvi = on.kvi().await?;
    for op in ["=", "!=", "<", ">"] {
        for value in ["", "m"] {
            kvi.delete("else").await?;
            ensure!(!kvi.transaction("nothing", op, value, "then", "1", "else", "2").await?, "nothing {op} {value:?}");
            ensure_eq!(kvi.get("then").await?, absent_value(), "nothing {op} {value:?}");
            ensure_eq!(kvi.get("else").await?, found("2"), "nothing {op} {value:?}");
        }
    }
    ensure_eq!(kvi.get("nothing").await?, absent_value());
    Ok(())
}

pub(super) async fn no_operator(on: On) -> Proof {
    let kvi = on.kvi().await?;
    kvi.store("k", "m").await?;
    for op in ["", "==", "<=", ">=", "<>", "= ", "eq", "\n"] {
        let refused = kvi.transaction("k", op, "m", "then", "1", "else", "2").await;
        let error = expect_kind(refused, &ErrorKind::InvalidArgument)?;
        ensure!(!error.to_string().contains('\n'), "{error:?}");
    }
    expect_kind(kvi.transaction("k", "=", "m", "", "1", "else", "2").await, &ErrorKind::InvalidArgument)?;
    expect_kind(kvi.transaction("", "=", "m", "then", "1", "else", "2").await, &ErrorKind::InvalidArgument)?;
    ensure_eq!(kvi.get_range("", "z").await?.len(), 1, "what was written");
    Ok(())
}

const WRITERS: usize = 8;

pub(super) async fn one_step(on: On) -> Proof {
    let kvi = on.kvi().await?;
    kvi.store("turn", "0").await?;
    // Each writer waits for its turn and passes it on: a turn that two took, or nobody, ends the round.
    let writers = (0..WRITERS).map(|writer| {
        let kvi = kvi.clone();
        async move {
            let (mine, next) = (writer.to_string(), (writer + 1).to_string());
            let noted = format!("seen/{writer}");
            while !kvi.transaction("turn", "=", &mine, "turn", &next, &noted, "waiting").await? {}
            Ok::<_, Error>(())
        }
    });
    futures_util::future::try_join_all(writers).await?;
    ensure_eq!(kvi.get("turn").await?, found(&WRITERS.to_string()));
    Ok(())
}

pub(super) async fn tas(on: On) -> Proof {
    let kvi = on.kvi().await?;
    ensure!(!kvi.tas("k", "", "1").await?, "an absent key is not an empty one");
    ensure!(!kvi.tas("k", "1", "1").await?, "an absent key has no value");
    ensure_eq!(kvi.get("k").await?, absent_value());
    kvi.store("k", "free").await?;
    ensure!(!kvi.tas("k", "Free", "taken").await?, "case counts");
    let tries = (0..WRITERS).map(|n| {
        let kvi = kvi.clone();
        async move { kvi.tas("k", "free", &format!("taken by {n}")).await }
    });
    let won = futures_util::future::try_join_all(tries).await?;
    ensure_eq!(won.iter().filter(|won| **won).count(), 1, "winners of {won:?}");
    let winner = won.iter().position(|won| *won).unwrap_or_default();
    ensure_eq!(kvi.get("k").await?, found(&format!("taken by {winner}")));
    Ok(())
}

pub(super) async fn shared(_on: On) -> Proof {
    let key = format!("shared-{:016x}", rand::random::<u64>());
    let one = hmetcd::open("mem:", "").await?;
    one.store(&key, "1").await?;
    ensure_eq!(hmetcd::open("mem:", "").await?.get(&key).await?, found("1"), "another handle at the same time");
    ensure_eq!(hmetcd::open("mem", "").await?.get(&key).await?, found("1"), "without the colon");
    let named = hmetcd::open(&format!("mem:{key}"), "").await?;
    ensure_eq!(named.get(&key).await?, absent_value(), "a store of another name");
    named.store(&key, "2").await?;
    one.close().await?;
    named.close().await?;
    drop((one, named));
    // The runtime that made it may end too.
    let again = key.clone();
    let read = std::thread::spawn(move || -> Proof<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let shared = hmetcd::open("mem:", "").await?.get(&again).await?;
            Ok((shared, hmetcd::open(&format!("mem:{again}"), "").await?.get(&again).await?))
        })
    });
    let read = tokio::task::spawn_blocking(move || read.join().unwrap()).await??;
    ensure_eq!(read, (found("1"), found("2")), "after the last handle was closed");
    // No marker of the library's own.
    let all = hmetcd::open("mem:", "").await?.get_range("", "~").await?;
    ensure!(all.iter().all(|pair| pair.key.starts_with("shared-") || pair.key.starts_with("opened-")), "{all:?}");
    Ok(())
}

pub(super) async fn open(_on: On) -> Proof {
    let domain = format!("opened-{:016x}", rand::random::<u64>());
    let kvi = hmetcd::open("mem:", format!("domain={domain}&timeout=3s&lock_name=mine")).await?;
    ensure_eq!(kvi.handle().info().domain, domain);
    kvi.store("a", "1").await?;
    kvi.dist_lock().await?;
    ensure!(kvi.handle().lock_holder("mine").await?.is_some(), "the lock has another name");
    let typed = KviOptions::new().lock_name("mine").store(Options::new().set("domain", &domain));
    let same = hmetcd::open("mem:", typed).await?;
    ensure_eq!(same.get("a").await?, found("1"));
    expect_error(same.dist_timed_lock(0).await, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
    let query = hmetcd::open(&format!("mem:?domain={domain}"), "").await?;
    ensure_eq!(query.get("a").await?, found("1"), "options in the URI");
    kvi.close().await?;
    for (endpoint, options, meant) in [
        ("mem:", "timeuot=3s", "timeout"),
        ("mem:", "timeout", "timeout"),
        ("mem:", "end_on_delete=perhaps", "end_on_delete"),
        ("redb://dir/app.redb", "", "redb"),
    ] {
        let error = expect_kind(hmetcd::open(endpoint, options).await, &ErrorKind::InvalidConfig)?;
        ensure!(error.to_string().contains(meant), "{error} does not name {meant}");
    }
    let error = expect_kind(hmetcd::open("nothing://h1/app", "").await, &ErrorKind::UnknownBackend)?;
    ensure!(error.to_string().contains("mem"), "{error} does not list the linked ones");
    let hidden = hmetcd::open("mem:", "password=canary").await;
    let error = expect_error(hidden, "Unsupported", |kind| matches!(kind, ErrorKind::Unsupported(_)))?;
    ensure!(!format!("{error} {error:?}").contains("canary"), "{error:?} shows a secret");
    Ok(())
}

pub(super) async fn names(on: On) -> Proof {
    use hmetcd::*;
    ensure_eq!([KVC_KEYCHANGE_INVAL, KVC_KEYCHANGE_PUT, KVC_KEYCHANGE_DELETE], [0, 1, 2]);
    ensure_eq!(DIST_LOCK_KEY, "hbtd_dist_lock");
    let results: [KvcLockResult; 6] = [
        KVC_LOCK_RSLT_INVALID,
        KVC_LOCK_SET_FAIL,
        KVC_LOCK_OCCUPIED,
        KVC_LOCK_GRANTED,
        KVC_LOCK_RELEASE_FAIL,
        KVC_LOCK_RELEASED,
    ];
    ensure_eq!(results.map(|result| result as i32), [0, 1, 2, 3, 4, 5]);
    let kvi: Kvi = on.kvi().await?;
    let (as_etcd, as_memory): (&Kvs_etcd, &Kvs_mem) = (&kvi, &kvi);
    as_etcd.store("a", "1").await?;
    let pairs: Vec<Kvi_KV> = as_memory.get_range("a", "a").await?;
    ensure_eq!(pairs, [Kvi_KV { key: "a".to_owned(), value: "1".to_owned() }]);
    let callback: WatchCBFunc<u32> = Box::new(|_key, _val, _op, userdata| *userdata == 0);
    let handle: WatchCBHandle = kvi.watch_with_cb("a", KVC_KEYCHANGE_PUT, callback, 7).await?;
    kvi.watch_cb_cancel(&handle);
    ensure!(handle.is_finished(), "{handle:?}");
    Ok(())
}
