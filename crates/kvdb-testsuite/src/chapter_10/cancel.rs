use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::PoisonError;
use std::time::Duration;

use kvdb_core::{Bytes, ErrorKind, Handle, KvFlags, Kvdb, KvdbExt, Options};

use crate::chapter_03::fill;
use crate::decorate::{Call, Fault, Faulty};
use crate::help::{drop_after, eventually, soon};
use crate::{Ctx, Proof, ensure, ensure_eq, fail};

/// More awaits than any call has.
const POLLS: usize = 16;

/// Each call to the store takes a moment, so that a call has awaits to be dropped at.
async fn slow(ctx: &Ctx) -> Proof<Handle> {
    let delay = |_: &Call| Fault::Delay(Duration::from_millis(2));
    Ok(ctx.open_over(Options::new(), |inner| Faulty::new(inner, delay)).await?)
}

pub(super) async fn writes(ctx: Ctx) -> Proof {
    let kv = slow(&ctx).await?;
    let other = ctx.open().await?;
    let mut endings = BTreeSet::new();
    for verb in ["put", "create", "update", "if_value", "delete", "compare_and_delete"] {
        for polls in 0..POLLS {
            let key = format!("{verb}/{polls}");
            let before = if verb == "create" { None } else { Some(other.put(&key, "before").await?) };
            let pair = before.clone().unwrap_or(kvdb_core::KvPair::new(&key, ""));
            let answer = match verb {
                "put" => drop_after(kv.put(&key, "after").into_future(), polls).await,
                "create" => drop_after(kv.create(&key, "after").into_future(), polls).await,
                "update" => drop_after(kv.update(&key, "after").into_future(), polls).await,
                "if_value" => drop_after(kv.put(&key, "after").if_value("before").into_future(), polls).await,
                "delete" => drop_after(kv.delete(&key).into_future(), polls).await,
                _ => drop_after(kv.compare_and_delete(&pair, KvFlags::MODIFIED_INDEX).into_future(), polls).await,
            };
            let answered = answer.transpose()?.is_some();
            endings.insert((verb, answered));
            // What the dropped call still does is over when a later write of the same key was answered.
            let now = other.get(&key).await?;
            let value = now.as_ref().map(|pair| pair.value.clone());
            let after = if verb.contains("delete") { None } else { Some(Bytes::from("after")) };
            let untouched = before.as_ref().map(|pair| pair.value.clone());
            ensure!(value == after || value == untouched, "{verb} dropped at poll {polls} left {value:?}");
            ensure!(!answered || value == after, "{verb} was answered and left {value:?}");
            let writes = now.and_then(|pair| pair.version);
            ensure!(writes.is_none_or(|writes| writes <= 2), "{verb} dropped at poll {polls} wrote more than once");
        }
    }
    for verb in ["put", "create", "update", "if_value", "delete", "compare_and_delete"] {
        ensure!(endings.contains(&(verb, false)), "{verb} was never dropped before its end");
        ensure!(endings.contains(&(verb, true)), "{verb} never came to its end in {POLLS} polls");
    }
    Ok(())
}

pub(super) async fn delete_tree(ctx: Ctx) -> Proof {
    const KEYS: usize = 200;
    let kv = slow(&ctx).await?;
    let other = ctx.open().await?;
    for polls in 0..POLLS {
        fill(&ctx, "d", KEYS, b"1").await?;
        let dropped = drop_after(kv.delete_tree("d").into_future(), polls).await.transpose()?;
        let left = other.count("d").await? as usize;
        ensure!(left == 0 || left == KEYS, "dropped at poll {polls} it left {left} of {KEYS} keys");
        ensure!(dropped.is_none() || left == 0, "it answered {dropped:?} and left {left} keys");
    }
    Ok(())
}

pub(super) async fn put_with_ttl(ctx: Ctx) -> Proof {
    let delay = |_: &Call| Fault::Delay(Duration::from_millis(2));
    let faulty = Faulty::new(ctx.backend().await?, delay);
    let calls = faulty.calls();
    let kv = ctx.open_over(Options::new(), |_| faulty).await?;
    let other = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_secs(600));
    other.put("taken", "1").await?;
    for polls in 0..POLLS {
        let key = format!("k{polls}");
        drop(drop_after(kv.create(&key, "1").ttl(ttl).into_future(), polls).await.transpose()?);
        // A put that fails for its condition leaves no lease either, dropped or not.
        match drop_after(kv.create("taken", "2").ttl(ttl).into_future(), polls).await {
            None => {}
            Some(Err(error)) if *error.kind() == ErrorKind::AlreadyExists => {}
            Some(answer) => fail!("a create of a present key answered {answer:?}"),
        }
    }
    let count = |wanted: fn(&Call) -> bool| {
        calls.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|call| wanted(call)).count()
    };
    eventually("every lease granted has its key or was revoked", || async {
        let granted = count(|call| matches!(call, Call::Grant(_)));
        let revoked = count(|call| matches!(call, Call::Revoke(_)));
        let kept = other.list("").await?.into_iter().filter(|pair| pair.lease.is_some()).count();
        Ok(granted > 0 && granted == revoked + kept)
    })
    .await
}

pub(super) async fn reads(ctx: Ctx) -> Proof {
    let kv = slow(&ctx).await?;
    fill(&ctx, "d", 50, b"1").await?;
    let before = ctx.backend().await?.get(&ctx.absolute("k"), &kvdb_core::Read::default()).await?.revision;
    for polls in 0..POLLS {
        drop(drop_after(kv.get("d/000001").into_future(), polls).await);
        drop(drop_after(kv.list("d").into_future(), polls).await);
        drop(drop_after(kv.keys("d").into_future(), polls).await);
        drop(drop_after(kv.count("d"), polls).await);
        drop(drop_after(kv.watch_tree("d").into_future(), polls).await);
        drop(drop_after(kv.watch_tree("d").current().into_future(), polls).await);
        drop(drop_after(kv.lock_holder("l"), polls).await);
    }
    let mut watch = kv.watch_key("k").await?;
    for polls in 0..POLLS {
        // Dropping `next` before its event is there must lose no event.
        let next = tokio::time::timeout(Duration::from_millis(1), watch.next());
        ensure!(next.await.is_err(), "an event came before the write, after {polls} polls");
    }
    let after = ctx.backend().await?.get(&ctx.absolute("k"), &kvdb_core::Read::default()).await?.revision;
    if ctx.store().counts_exactly() {
        ensure_eq!(after, before, "the revision after reads that were dropped");
    }
    let written = kv.put("k", "1").await?;
    let event = soon("the event", watch.next()).await?.ok_or_else(|| crate::Failure::new("the watch has ended"))??;
    ensure_eq!(event.pair().map(|pair| pair.modified_index), Some(written.modified_index));
    kv.close().await?;
    Ok(())
}
