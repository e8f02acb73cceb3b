use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{Kvdb, Options};

use crate::help::{drop_after, eventually, expect_kind, expect_next_key, next_event, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn outlives_deadline(ctx: Ctx) -> Proof {
    let deadline = Duration::from_millis(500);
    let kv = ctx.open_with(Options::new().timeout(deadline)).await?;
    let writer = ctx.open().await?;
    let mut watch = kv.watch_tree("d").timeout(deadline).await?;
    // The deadline is of the registration; here the time that passes is what is tested.
    let quiet = tokio::time::timeout(deadline * 4, watch.next()).await;
    ensure!(!matches!(&quiet, Ok(None | Some(Err(_)))), "a quiet watch ended: {quiet:?}");
    writer.put("d/a", "1").await?;
    expect_next_key(&mut watch, "d/a").await?;
    Ok(())
}

pub(super) async fn drop_ends(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    kv.put("d/a", "1").await?;
    let one = kv.watch_tree("d").await?;
    let mut two = kv.watch_key("d/a").previous().await?;
    let three = kv.watch_tree("").current().await?;
    ensure!(tap.record.open_feeds() >= 3, "{} feeds for three ranges", tap.record.open_feeds());
    drop(one);
    // Dropping the wait for an event is not dropping the watch.
    drop_after(two.next(), 1).await;
    kv.put("d/a", "2").await?;
    ensure_eq!(expect_next_key(&mut two, "d/a").await?.text(), Some("2"));
    drop(two);
    drop(three);
    eventually("all feeds end", async || Ok(tap.record.open_feeds() == 0)).await?;
    // A call that is given up leaves no feed either.
    for polls in 0..6 {
        drop_after(kv.watch_tree("d").into_future(), polls).await;
        drop_after(kv.watch_tree("d").current().into_future(), polls).await;
    }
    eventually("the feeds of dropped calls end", async || Ok(tap.record.open_feeds() == 0)).await
}

pub(super) async fn close_ends(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let mut theirs = other.watch_tree("d").await?;
    let mut idle = kv.watch_tree("d").await?;
    let mut unread = kv.watch_key("d/a").await?;
    let waiting = tokio::spawn(async move {
        let ended = idle.next().await;
        (ended, [idle.next().await, idle.next().await])
    });
    kv.close().await?;
    let (ended, after) = soon("the waiting reader is told", waiting).await??;
    let Some(ended) = ended else { crate::fail!("the watch ended without a reason") };
    expect_kind(ended, &ErrorKind::Closed)?;
    ensure!(after.iter().all(Option::is_none), "{after:?} after the end");
    let ended = soon("the other reader is told", unread.next()).await?;
    expect_kind(ended.transpose(), &ErrorKind::Closed)?;
    drop(unread);
    eventually("all feeds end", async || Ok(tap.record.open_feeds() == 0)).await?;
    other.put("d/a", "1").await?;
    expect_next_key(&mut theirs, "d/a").await?;
    Ok(())
}

pub(super) async fn share_one(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    kv.put("d/there", "1").await?;
    let before = tap.record.watches().len();
    let clone = kv.clone();
    let mut readers = Vec::new();
    for n in 0..100 {
        readers.push(match n % 4 {
            0 => clone.watch_tree("d").await?,
            // The same directory in other spellings.
            1 => kv.watch_tree("/d/").await?,
            2 => kv.watch_tree("d").current().await?,
            _ => kv.watch_tree("d").await?,
        });
    }
    ensure_eq!(tap.record.watches().len() - before, 1, "upstream watches for 100 readers");
    ensure_eq!(tap.record.open_feeds(), 1, "open feeds for 100 readers");
    let mut written = Vec::new();
    for n in 0..20 {
        written.push(kv.put(&format!("d/{n}"), "1").await?.modified_index);
    }
    for (n, reader) in readers.iter_mut().enumerate() {
        if n % 4 == 2 {
            while !matches!(next_event(reader).await?, Event::Synced(_)) {}
        }
        // What a late state shows already does not come again: the last one of all is what counts there.
        let from = if n % 4 == 2 { written.len() } else { 0 };
        for (at, expected) in written.iter().enumerate().skip(from) {
            ensure_eq!(expect_next_key(reader, &format!("d/{at}")).await?.modified_index, *expected);
        }
    }
    ensure_eq!(tap.record.watches().len() - before, 1, "upstream watches after the events");
    // One that leaves takes nothing from the others; the last one ends the upstream.
    let mut last = readers.pop().expect("a reader");
    drop(readers);
    kv.put("d/end", "1").await?;
    expect_next_key(&mut last, "d/end").await?;
    ensure_eq!(tap.record.open_feeds(), 1, "open feeds for the last reader");
    drop(last);
    eventually("the upstream ends with its last reader", async || Ok(tap.record.open_feeds() == 0)).await?;
    let mut again = kv.watch_tree("d").await?;
    kv.put("d/again", "1").await?;
    expect_next_key(&mut again, "d/again").await?;
    Ok(())
}
