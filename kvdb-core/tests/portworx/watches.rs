//! Watches that call back (contract 7.13).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc as plain};

use kvdb_core::portworx::*;
use kvdb_core::{Error, ErrorKind, recipes};
use tokio::sync::mpsc;

use crate::common::{PATIENCE, next, soon, store, until};

/// What a callback was told: the prefix, the opaque and the pair or the kind of error.
type Told = (String, u32, Result<KvPair, ErrorKind>);

type Callback = Box<dyn FnMut(&str, &u32, Result<KvPair>) -> Result<()> + Send>;

/// A callback that passes on what it is told and answers an error to a value of `stop`.
fn recorder() -> (Callback, mpsc::UnboundedReceiver<Told>) {
    let (told, heard) = mpsc::unbounded_channel();
    let callback = move |prefix: &str, opaque: &u32, change: Result<KvPair>| {
        let stop = change.as_ref().is_ok_and(|pair| pair.value == "stop");
        let change = change.map_err(|error| error.kind().clone());
        // A test that has seen enough hangs up.
        let _ = told.send((prefix.to_owned(), *opaque, change));
        if stop { Err(Error::new(ErrorKind::Internal, "enough")) } else { Ok(()) }
    };
    (Box::new(callback), heard)
}

fn unused() -> Error {
    Error::new(ErrorKind::Internal, "enough")
}

#[tokio::test]
async fn every_change_is_told_in_order_with_the_prefix_and_the_opaque() {
    let kv = store();
    let (callback, mut heard) = recorder();
    let watch = kv.watch_tree("d", 0, 7, callback).await.unwrap();
    let put = kv.put("d/a", "1", 0).await.unwrap();
    kv.put("other", "1", 0).await.unwrap();
    kv.put("d/a", "2", 0).await.unwrap();
    kv.delete("d/a").await.unwrap();
    for (action, value) in [(KVCreate, "1"), (KVSet, "2"), (KVDelete, "2")] {
        let (prefix, opaque, pair) = next(&mut heard).await;
        let pair = pair.unwrap();
        assert_eq!((prefix.as_str(), opaque, pair.key.as_str()), ("d", 7, "d/a"));
        assert_eq!((pair.action, pair.text(), pair.created_index), (action, Some(value), put.created_index));
    }
    watch.cancel();
}

#[tokio::test]
async fn a_wait_index_is_exclusive_and_zero_begins_now() {
    let kv = store();
    kv.put("a", "1", 0).await.unwrap();
    let second = kv.put("a", "2", 0).await.unwrap();
    kv.put("a", "3", 0).await.unwrap();
    let (callback, mut after) = recorder();
    let after_watch = kv.watch_key("a", second.modified_index, 0, callback).await.unwrap();
    let (callback, mut now) = recorder();
    let now_watch = kv.watch_key("a", 0, 0, callback).await.unwrap();
    kv.put("a", "4", 0).await.unwrap();
    kv.put("a/b", "below", 0).await.unwrap();
    kv.put("a", "5", 0).await.unwrap();
    for (heard, values) in [(&mut after, &["3", "4", "5"][..]), (&mut now, &["4", "5"])] {
        for value in values {
            assert_eq!(next(heard).await.2.unwrap().text(), Some(*value));
        }
    }
    after_watch.cancel();
    now_watch.cancel();
}

#[tokio::test]
async fn an_error_of_the_callback_stops_the_watch_and_one_call_says_so() {
    let kv = store();
    let (callback, mut heard) = recorder();
    let watch = kv.watch_key("a", 0, 0, callback).await.unwrap();
    for value in ["1", "stop", "2", "stop"] {
        kv.put("a", value, 0).await.unwrap();
    }
    assert_eq!(next(&mut heard).await.2.unwrap().text(), Some("1"));
    assert_eq!(next(&mut heard).await.2.unwrap().text(), Some("stop"));
    assert_eq!(next(&mut heard).await.2.unwrap_err(), ErrWatchStopped);
    // The channel closes when the callback is dropped: nothing can come any more.
    assert_eq!(soon("the end of the callback", heard.recv()).await, None);
    until("the end of the watch", || watch.is_finished()).await;
    watch.cancel();
}

#[tokio::test]
async fn the_last_call_keeps_the_callbacks_own_error_as_its_source() {
    let kv = store();
    let (told, mut heard) = mpsc::unbounded_channel();
    let watch = recipes::call_back(
        kv.watch_opts(kvdb_core::Target::Key("a"), kvdb_core::WatchOptions::default()).await.unwrap(),
        move |change| match change {
            Ok(_) => Err(unused()),
            Err(error) => {
                told.send(std::error::Error::source(&error).map(ToString::to_string)).unwrap();
                // An error here must not call again.
                Err(error)
            }
        },
    )
    .unwrap();
    kv.put("a", "1", 0).await.unwrap();
    assert_eq!(next(&mut heard).await, Some("internal error: enough".to_owned()));
    assert_eq!(soon("the end of the callback", heard.recv()).await, None);
    until("the end of the watch", || watch.is_finished()).await;
}

#[tokio::test]
async fn nothing_is_called_after_cancel_returned() {
    let kv = store();
    let (callback, mut heard) = recorder();
    let watch = kv.watch_key("a", 0, 0, callback).await.unwrap();
    kv.put("a", "1", 0).await.unwrap();
    assert_eq!(next(&mut heard).await.2.unwrap().text(), Some("1"));
    watch.cancel();
    watch.clone().cancel();
    assert!(watch.is_finished());
    kv.put("a", "2", 0).await.unwrap();
    // Neither the write nor a last word: the callback is dropped without another call.
    assert_eq!(soon("the end of the callback", heard.recv()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_begins_or_runs_once_cancel_returned_whatever_the_moment() {
    let kv = store();
    for round in 0..200 {
        let (cancelled, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let calls = Arc::new(AtomicUsize::new(0));
        let watch = {
            let (cancelled, late, calls) = (Arc::clone(&cancelled), Arc::clone(&late), Arc::clone(&calls));
            kv.watch_key("a", 0, (), move |_, (), _| {
                calls.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                late.fetch_add(usize::from(cancelled.load(Ordering::SeqCst)), Ordering::SeqCst);
                Ok(())
            })
        }
        .await
        .unwrap();
        let writer = tokio::spawn({
            let kv = kv.clone();
            async move {
                for _ in 0..5 {
                    kv.put("a", "1", 0).await.unwrap();
                }
            }
        });
        if round % 2 == 0 {
            until("a first call", || calls.load(Ordering::SeqCst) > 0).await;
        }
        watch.cancel();
        cancelled.store(true, Ordering::SeqCst);
        let before = calls.load(Ordering::SeqCst);
        writer.await.unwrap();
        assert_eq!((late.load(Ordering::SeqCst), calls.load(Ordering::SeqCst)), (0, before), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_waits_for_the_call_under_way() {
    let kv = store();
    let (entered, mut inside) = mpsc::unbounded_channel();
    let (go_on, gate) = plain::channel::<()>();
    let done = Arc::new(AtomicBool::new(false));
    let watch = {
        let done = Arc::clone(&done);
        let gate = Mutex::new(gate);
        kv.watch_key("a", 0, (), move |_, (), _| {
            entered.send(()).unwrap();
            gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            done.store(true, Ordering::SeqCst);
            Ok(())
        })
        .await
        .unwrap()
    };
    kv.put("a", "1", 0).await.unwrap();
    next(&mut inside).await;
    let canceller = std::thread::spawn({
        let (watch, done) = (watch.clone(), Arc::clone(&done));
        move || {
            watch.cancel();
            done.load(Ordering::SeqCst)
        }
    });
    until("cancel to begin", || watch.is_finished()).await;
    go_on.send(()).unwrap();
    assert!(tokio::task::spawn_blocking(|| canceller.join().unwrap()).await.unwrap());
}

#[tokio::test]
async fn cancel_from_inside_makes_the_call_under_way_the_last() {
    for answer in [Ok(()), Err(())] {
        let kv = store();
        let (told, mut heard) = mpsc::unbounded_channel();
        let own: Arc<OnceLock<CallbackWatch>> = Arc::default();
        let watch = {
            let own = Arc::clone(&own);
            kv.watch_key("a", 0, (), move |_, (), change| {
                own.get().unwrap().cancel();
                own.get().unwrap().cancel();
                told.send(change.map(|pair| pair.value)).unwrap();
                answer.map_err(|()| unused())
            })
            .await
            .unwrap()
        };
        own.set(watch.clone()).unwrap();
        kv.put("a", "1", 0).await.unwrap();
        kv.put("a", "2", 0).await.unwrap();
        assert_eq!(next(&mut heard).await.unwrap(), "1");
        assert!(soon("the end of the callback", heard.recv()).await.is_none());
        assert!(watch.is_finished());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn two_callbacks_that_cancel_each_other_do_not_wait_for_each_other() {
    let kv = store();
    let watches: Arc<OnceLock<[CallbackWatch; 2]>> = Arc::default();
    let both = Arc::new(std::sync::Barrier::new(2));
    let (told, mut heard) = mpsc::unbounded_channel();
    let mut made = Vec::new();
    for (index, key) in ["a", "b"].into_iter().enumerate() {
        let (watches, both, told) = (Arc::clone(&watches), Arc::clone(&both), told.clone());
        let callback = move |_: &str, (): &(), _: Result<KvPair>| {
            both.wait();
            watches.get().unwrap()[1 - index].cancel();
            told.send(index).unwrap();
            Ok(())
        };
        made.push(kv.watch_key(key, 0, (), callback).await.unwrap());
    }
    watches.set(made.try_into().unwrap()).unwrap();
    kv.put("a", "1", 0).await.unwrap();
    kv.put("b", "1", 0).await.unwrap();
    let mut finished = [next(&mut heard).await, next(&mut heard).await];
    finished.sort_unstable();
    assert_eq!(finished, [0, 1]);
}

#[tokio::test]
async fn a_callback_that_panics_is_not_called_again_and_blocks_no_cancel() {
    let kv = store();
    let calls = Arc::new(AtomicUsize::new(0));
    let watch = {
        let calls = Arc::clone(&calls);
        kv.watch_key("a", 0, (), move |_, (), _| {
            calls.fetch_add(1, Ordering::SeqCst);
            panic!("the callback's own bug, on purpose");
        })
        .await
        .unwrap()
    };
    kv.put("a", "1", 0).await.unwrap();
    until("the end of the watch", || watch.is_finished()).await;
    kv.put("a", "2", 0).await.unwrap();
    watch.cancel();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn closing_the_store_is_told_once_as_the_last_call() {
    let kv = store();
    let (callback, mut heard) = recorder();
    let watch = kv.watch_tree("", 0, 0, callback).await.unwrap();
    kv.put("a", "1", 0).await.unwrap();
    assert_eq!(next(&mut heard).await.2.unwrap().text(), Some("1"));
    kv.close().await.unwrap();
    assert_eq!(next(&mut heard).await.2.unwrap_err(), ErrorKind::Closed);
    assert_eq!(soon("the end of the callback", heard.recv()).await, None);
    until("the end of the watch", || watch.is_finished()).await;
}

#[tokio::test]
async fn a_dropped_handle_of_the_watch_leaves_it_running() {
    let kv = store();
    let (callback, mut heard) = recorder();
    drop(kv.watch_key("a", 0, 0, callback).await.unwrap());
    kv.put("a", "1", 0).await.unwrap();
    assert_eq!(next(&mut heard).await.2.unwrap().text(), Some("1"));
}

#[tokio::test]
async fn a_watch_that_cannot_begin_is_refused_by_the_call() {
    let kv = store();
    for (key, index) in [("", 0), ("a/../b", 0), ("_kvdb/lock", 0), ("a", 1000)] {
        let (callback, mut heard) = recorder();
        let error = kv.watch_key(key, index, 0, callback).await.map(|watch| watch.cancel()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::FutureRevision { .. }), "{error}");
        assert_eq!(heard.recv().await, None);
    }
}
