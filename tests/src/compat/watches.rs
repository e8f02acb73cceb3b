use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb::prelude::*;
use kvdb::{Before, Call, End, ErrorKind, Interceptor, Operation, Placement};
use kvdb_compat::hmetcd::{KVC_KEYCHANGE_DELETE, KVC_KEYCHANGE_INVAL, KVC_KEYCHANGE_PUT, Kvi};
use kvdb_testsuite::help::{eventually, expect_kind, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};
use tokio::sync::mpsc;

use super::On;

/// Counts the watches that are registered.
#[derive(Debug, Default)]
struct Registered(AtomicUsize);

impl Interceptor for Registered {
    type Note = ();

    fn name(&self) -> &'static str {
        "registered"
    }

    fn placement(&self) -> Placement {
        Placement::Observe
    }

    fn before<'a>(&'a self, _call: &Call<'_>) -> Before<'a, ()> {
        Before::Go(())
    }

    fn after(&self, (): (), call: &Call<'_>, _end: &End<'_>) {
        if call.operation == Operation::Watch {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(super) async fn first_change(on: On) -> Proof {
    let (handle, other) = (on.open().await?, on.kvi().await?);
    let registered = Arc::<Registered>::default();
    handle.wrap(Arc::clone(&registered) as _)?;
    let kvi = Kvi::over(handle);
    for (round, (value, expected)) in [
        (Some("1"), ("1", KVC_KEYCHANGE_PUT)),
        (Some("1"), ("1", KVC_KEYCHANGE_PUT)),
        (None, ("", KVC_KEYCHANGE_DELETE)),
        (Some(""), ("", KVC_KEYCHANGE_PUT)),
    ]
    .into_iter()
    .enumerate()
    {
        let watching = kvi.clone();
        let watching = tokio::spawn(async move { watching.watch("k").await });
        eventually("the watch is registered", || async { Ok(registered.0.load(Ordering::SeqCst) == round + 1) })
            .await?;
        other.store("k/below", "of another key").await?;
        ensure!(!watching.is_finished(), "another key's change is told");
        match value {
            Some(value) => other.store("k", value).await?,
            None => other.delete("k").await?,
        }
        let (value, op) = soon("the change", watching).await???;
        ensure_eq!((value.as_str(), op), expected, "round {round}");
    }
    let watching = kvi.clone();
    let watching = tokio::spawn(async move { watching.watch("k").await });
    eventually("the watch is registered", || async { Ok(registered.0.load(Ordering::SeqCst) == 5) }).await?;
    kvi.close().await?;
    expect_kind(soon("the end", watching).await??, &ErrorKind::Closed)?;
    Ok(())
}

/// What a callback was called with.
type Told = (String, String, i32, u32);

/// A callback that sends on what it is called with and answers what `goes_on` says.
fn tell(
    goes_on: impl Fn(&str) -> bool + Send + 'static,
) -> (impl FnMut(&str, &str, i32, &u32) -> bool + Send + 'static, mpsc::UnboundedReceiver<Told>) {
    let (told, heard) = mpsc::unbounded_channel();
    let callback = move |key: &str, val: &str, op: i32, userdata: &u32| {
        // Nobody may be left to hear it.
        let _ = told.send((key.to_owned(), val.to_owned(), op, *userdata));
        goes_on(val)
    };
    (callback, heard)
}

fn change(value: &str, op: i32) -> Option<Told> {
    Some(("k".to_owned(), value.to_owned(), op, 7))
}

pub(super) async fn calls(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?.with_end_on_delete(false), on.kvi().await?);
    let (callback, mut puts) = tell(|_| true);
    kvi.watch_with_cb("/k/", KVC_KEYCHANGE_PUT, callback, 7).await?;
    let (callback, mut deletes) = tell(|_| true);
    kvi.watch_with_cb("k", KVC_KEYCHANGE_DELETE, callback, 7).await?;
    for round in 0..2 {
        for value in ["1", "1", ""] {
            other.store("k", value).await?;
            ensure_eq!(soon("a put", puts.recv()).await?, change(value, KVC_KEYCHANGE_PUT), "round {round}");
        }
        other.delete("k").await?;
        ensure_eq!(soon("a deletion", deletes.recv()).await?, change("", KVC_KEYCHANGE_DELETE), "round {round}");
    }
    ensure!(puts.is_empty() && deletes.is_empty(), "called with what its op is not about");
    for op in [KVC_KEYCHANGE_INVAL, 3, -1] {
        expect_kind(kvi.watch_with_cb("k", op, |_, _, _, _| true, ()).await, &ErrorKind::InvalidArgument)?;
    }
    expect_kind(kvi.watch_with_cb("", KVC_KEYCHANGE_PUT, |_, _, _, _| true, ()).await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

pub(super) async fn ends_on_false(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?, on.kvi().await?);
    let (callback, mut heard) = tell(|value| value != "last");
    let watch = kvi.watch_with_cb("k", KVC_KEYCHANGE_PUT, callback, 7).await?;
    for value in ["first", "last"] {
        other.store("k", value).await?;
        ensure_eq!(soon("a put", heard.recv()).await?, change(value, KVC_KEYCHANGE_PUT));
    }
    // The callback is dropped, and with it its sender.
    ensure_eq!(soon("the end", heard.recv()).await?, None);
    eventually("the watch has ended", || async { Ok(watch.is_finished()) }).await?;
    ensure_eq!(watch.failure(), None, "an end that was meant");
    // Late, and any number of times.
    for _ in 0..3 {
        kvi.watch_cb_cancel(&watch);
    }
    Ok(())
}

pub(super) async fn ends_on_delete(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?, on.kvi().await?);
    for op in [KVC_KEYCHANGE_PUT, KVC_KEYCHANGE_DELETE] {
        other.store("k", "1").await?;
        let (callback, mut heard) = tell(|_| true);
        let watch = kvi.watch_with_cb("k", op, callback, 7).await?;
        other.delete("k").await?;
        if op == KVC_KEYCHANGE_DELETE {
            ensure_eq!(soon("the deletion", heard.recv()).await?, change("", op));
        }
        ensure_eq!(soon("the end", heard.recv()).await?, None, "a watch of {op}");
        ensure_eq!(watch.failure(), None, "a watch of {op}");
    }
    // Put off, the PUT watch of `calls` lives on; so does one of deletions until it answers false.
    let kvi = on.kvi().await?.with_end_on_delete(false);
    let (callback, mut heard) = tell(|_| false);
    kvi.watch_with_cb("k", KVC_KEYCHANGE_DELETE, callback, 7).await?;
    other.store("k", "1").await?;
    other.delete("k").await?;
    ensure_eq!(soon("the deletion", heard.recv()).await?, change("", KVC_KEYCHANGE_DELETE));
    ensure_eq!(soon("the end", heard.recv()).await?, None);
    Ok(())
}

pub(super) async fn cancelled(on: On) -> Proof {
    let other = on.kvi().await?;
    let mut writes = 0;
    for way in ["cancel", "close", "drop"] {
        let kvi = on.kvi().await?;
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let count = move |_: &str, _: &str, _: i32, (): &()| {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        };
        let watch = kvi.watch_with_cb("k", KVC_KEYCHANGE_PUT, count, ()).await?;
        // One that lives on tells when the store has told what came later.
        let marker = on.kvi().await?;
        let (callback, mut heard) = tell(|_| true);
        marker.watch_with_cb("k", KVC_KEYCHANGE_PUT, callback, 7).await?;
        let storm = tokio::spawn({
            let other = other.clone();
            async move {
                for n in 0..20 {
                    other.store("k", &n.to_string()).await?;
                }
                Ok::<_, Error>(())
            }
        });
        eventually("a call", || async { Ok(calls.load(Ordering::SeqCst) > 0) }).await?;
        match way {
            "cancel" => (0..3).for_each(|_| kvi.watch_cb_cancel(&watch)),
            "close" => kvi.close().await?,
            _ => drop(kvi),
        }
        let before = calls.load(Ordering::SeqCst);
        storm.await??;
        writes += 1;
        let last = format!("marker {writes}");
        other.store("k", &last).await?;
        while soon("the marker", heard.recv()).await?.is_some_and(|(_, value, _, _)| value != last) {}
        ensure_eq!(calls.load(Ordering::SeqCst), before, "calls after {way}");
        ensure!(watch.is_finished() && watch.failure().is_none(), "{watch:?} after {way}");
    }
    Ok(())
}

pub(super) async fn breaks(on: On) -> Proof {
    let (handle, other) = (on.open().await?, on.open().await?);
    let kvi = Kvi::over(handle.clone());
    let (callback, mut heard) = tell(|_| true);
    let watch = kvi.watch_with_cb("k", KVC_KEYCHANGE_PUT, callback, 7).await?;
    other.put("k", vec![0xff]).await?;
    ensure_eq!(soon("the end", heard.recv()).await?, None, "called with a value that is no text");
    ensure_eq!(watch.failure(), Some(ErrorKind::Serialization));
    let (callback, mut heard) = tell(|_| true);
    let watch = kvi.watch_with_cb("k", KVC_KEYCHANGE_PUT, callback, 7).await?;
    // Below the `Kvi`, which knows nothing of it.
    handle.close().await?;
    ensure_eq!(soon("the end", heard.recv()).await?, None, "called with an error");
    ensure_eq!(watch.failure(), Some(ErrorKind::Closed));
    Ok(())
}
