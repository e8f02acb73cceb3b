use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc as blocking};

use kvdb_core::portworx::*;
use kvdb_core::{Error, ErrorKind, Event, KvAction};
use tokio::sync::mpsc;

use crate::help::{eventually, next_change, next_event, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

type Calls = mpsc::UnboundedReceiver<(String, u32, Result<KvPair>)>;
type Send = mpsc::UnboundedSender<(String, u32, Result<KvPair>)>;

fn calls() -> (Send, Calls) {
    mpsc::unbounded_channel()
}

async fn next(calls: &mut Calls) -> Proof<(String, u32, Result<KvPair>)> {
    match soon("the callback is called", calls.recv()).await? {
        Some(call) => Ok(call),
        None => crate::fail!("the callback was dropped, a call was expected"),
    }
}

pub(super) async fn tells(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let first = kv.put("d/a", "0", 0).await?;
    let (send, mut tree) = calls();
    let watch = kv
        .watch_tree("d", 0, 7, move |prefix, opaque, change| {
            send.send((prefix.to_owned(), *opaque, change)).map_err(|_| Error::invalid("nobody listens"))
        })
        .await?;
    let (send, mut one) = calls();
    let key = kv
        .watch_key("d/a", 0, 8, move |key, opaque, change| {
            send.send((key.to_owned(), *opaque, change)).map_err(|_| Error::invalid("nobody listens"))
        })
        .await?;
    kv.put("d/a", "1", 0).await?;
    kv.put("d/b", "2", 0).await?;
    // A stream of cuts leaves out what is undone within one, and keeps values on request alone (7.1, 7.6).
    let ordered = ctx.has(kvdb_core::Capabilities::ORDERED_UPDATES);
    let mut deleted = if ordered { Some(kv.delete("d/a").await?) } else { None };
    let expected = [
        ("d/a", KvAction::Set, "1"),
        ("d/b", KvAction::Create, "2"),
        ("d/a", KvAction::Delete, if ordered { "1" } else { "" }),
    ];
    for (key, action, value) in expected {
        if action == KvAction::Delete && deleted.is_none() {
            ensure_eq!(next(&mut one).await?.2?.action, KvAction::Set);
            deleted = Some(kv.delete("d/a").await?);
        }
        let (prefix, opaque, change) = next(&mut tree).await?;
        ensure_eq!((prefix.as_str(), opaque), ("d", 7));
        let pair = change?;
        ensure_eq!((pair.key.as_str(), pair.action, pair.text()), (key, action, Some(value)));
    }
    for expected in [KvAction::Set, KvAction::Delete].into_iter().skip(usize::from(!ordered)) {
        let (prefix, opaque, change) = next(&mut one).await?;
        ensure_eq!((prefix.as_str(), opaque, change?.action), ("d/a", 8, expected));
    }
    if ctx.has(kvdb_core::Capabilities::WATCH_RESUME) {
        let (send, mut late) = calls();
        let replay = kv
            .watch_tree("d", first.modified_index, 9, move |prefix, opaque, change| {
                send.send((prefix.to_owned(), *opaque, change)).map_err(|_| Error::invalid("nobody listens"))
            })
            .await?;
        for _ in 0..2 {
            next(&mut late).await?.2?;
        }
        let last = next(&mut late).await?.2?.modified_index;
        ensure_eq!(Some(last), deleted.map(|pair| pair.modified_index));
        replay.cancel();
    }
    ensure!(!watch.is_finished() && !key.is_finished(), "a watch is finished though nothing ended it");
    watch.cancel();
    key.cancel();
    Ok(())
}

pub(super) async fn stops_once(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let (send, mut told) = calls();
    let mut count = 0;
    let watch = kv
        .watch_tree("d", 0, 0, move |prefix, opaque, change| {
            let _ = send.send((prefix.to_owned(), *opaque, change));
            count += 1;
            // The answer to the last call is nobody's any more.
            if count >= 2 { Err(Error::new(ErrorKind::Internal, "enough of it")) } else { Ok(()) }
        })
        .await?;
    let mut beside = kvdb_core::KvdbExt::watch_tree(&kv, "d").await?;
    for n in 0..5 {
        kv.put("d/a", n, 0).await?;
        // One event each, also of a stream of cuts.
        let Event::Put(_) = next_change(&mut beside).await? else { crate::fail!("not a put") };
    }
    next(&mut told).await?.2?;
    next(&mut told).await?.2?;
    let (prefix, _, last) = next(&mut told).await?;
    let Err(last) = last else { crate::fail!("a change after the callback's error: {last:?}") };
    ensure_eq!((prefix.as_str(), last.kind()), ("d", &ErrorKind::WatchStopped));
    let source = std::error::Error::source(&last).map(ToString::to_string);
    ensure!(source.is_some_and(|text| text.contains("enough of it")), "the callback's own error is lost: {last:?}");
    // The callback is dropped with the watch, and with it the last sender: exactly three calls.
    let after = soon("the callback is dropped", told.recv()).await?;
    ensure!(after.is_none(), "called after WatchStopped: {after:?}");
    eventually("the watch is finished", async || Ok(watch.is_finished())).await?;
    watch.cancel();
    Ok(())
}

pub(super) async fn cancel(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    // From inside, twice, with further changes waiting.
    let own: Arc<OnceLock<CallbackWatch>> = Arc::default();
    let (send, mut told) = calls();
    let inside = Arc::clone(&own);
    let (ready, is_ready) = blocking::channel::<()>();
    let is_ready = Mutex::new(is_ready);
    let watch = kv
        .watch_tree("d", 0, 0, move |prefix, opaque, change| {
            let _ = is_ready.lock().expect("a lock").recv();
            let own = inside.get().expect("set before the first change");
            own.cancel();
            own.cancel();
            let _ = send.send((prefix.to_owned(), *opaque, change));
            Ok(())
        })
        .await?;
    let _ = own.set(watch.clone());
    for n in 0..5 {
        kv.put("d/a", n, 0).await?;
    }
    drop(ready);
    next(&mut told).await?.2?;
    let after = soon("the callback is dropped", told.recv()).await?;
    ensure!(after.is_none(), "called after cancel: {after:?}");
    watch.cancel();
    ensure!(watch.is_finished(), "a cancelled watch is not finished");

    // From outside while a call is under way: waits for it, and nothing comes after.
    let (entered, has_entered) = blocking::channel::<()>();
    let (leave, may_leave) = blocking::channel::<()>();
    let may_leave = Mutex::new(may_leave);
    let calls: Arc<[AtomicUsize; 2]> = Arc::default();
    let count = Arc::clone(&calls);
    let watch = kv
        .watch_tree("e", 0, (), move |_, (), _| {
            count[0].fetch_add(1, Ordering::SeqCst);
            let _ = entered.send(());
            let _ = may_leave.lock().expect("a lock").recv();
            count[1].fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .await?;
    for n in 0..5 {
        kv.put("e/a", n, 0).await?;
    }
    let counted = Arc::clone(&calls);
    let cancelled = tokio::task::spawn_blocking(move || {
        has_entered.recv().expect("the callback is called");
        let other = watch.clone();
        let second = std::thread::spawn(move || other.cancel());
        std::thread::spawn(move || drop(leave));
        watch.cancel();
        let at_return = [&counted[0], &counted[1]].map(|count| count.load(Ordering::SeqCst));
        second.join().expect("a second cancel");
        watch.cancel();
        (at_return, watch)
    });
    let (at_return, watch) = soon("cancel returns", cancelled).await??;
    ensure!(at_return[0] >= 1, "no call was under way, this proves nothing");
    ensure_eq!(at_return[0], at_return[1], "calls begun and ended when cancel returned");
    let mut beside = kvdb_core::KvdbExt::watch_tree(&kv, "e").await?;
    kv.put("e/b", 1, 0).await?;
    next_event(&mut beside).await?;
    ensure_eq!(calls[0].load(Ordering::SeqCst), at_return[0], "calls after cancel");
    ensure!(watch.is_finished(), "a cancelled watch is not finished");
    Ok(())
}

pub(super) async fn ends(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let (send, mut told) = calls();
    let watch = kv
        .watch_tree("d", 0, 0, move |prefix, opaque, change| {
            let _ = send.send((prefix.to_owned(), *opaque, change));
            Ok(())
        })
        .await?;
    kv.put("d/a", "1", 0).await?;
    next(&mut told).await?.2?;
    kv.close().await?;
    let (_, _, last) = next(&mut told).await?;
    let Err(last) = last else { crate::fail!("a change after close: {last:?}") };
    ensure_eq!(*last.kind(), ErrorKind::Closed);
    let after = soon("the callback is dropped", told.recv()).await?;
    ensure!(after.is_none(), "called after the end: {after:?}");
    eventually("the watch is finished", async || Ok(watch.is_finished())).await?;
    Ok(())
}
