use std::ops::Bound;

use kvdb_core::prelude::*;

use crate::help::{expect_next_key, next_change, next_event, next_pair};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn of_the_target(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let overlapping = ctx.open_in(&format!("{}2", ctx.domain())).await?;
    kv.put("d/old", "1").await?;
    let mut key = kv.watch_key("d/a").await?;
    let mut tree = kv.watch_tree("d").await?;
    let mut whole = kv.watch_tree("").await?;
    let mut range = kv.watch_range(Bound::Included("d/a"), Bound::Excluded("d/c")).await?;
    let mut expected = Vec::new();
    for written in ["d", "d-", "d/a", "d/a/child", "d0", "d/b", "d/c", "e"] {
        overlapping.put(written, "other domain").await?;
        expected.push(kv.put(written, "1").await?);
    }
    // A lock is kept in the same store and is nobody's event.
    if ctx.has(Capabilities::LEASES) {
        kv.lock("d").await?.release().await?;
    }
    let names = |pairs: &[KvPair]| pairs.iter().map(|pair| pair.key.clone()).collect::<Vec<_>>();

    let mut seen = Vec::new();
    for _ in 0..8 {
        let Event::Put(pair) = next_change(&mut whole).await? else { crate::fail!("not a put") };
        ensure_eq!(pair.action, KvAction::Create);
        seen.push(pair);
    }
    ensure_eq!(names(&seen), names(&expected));
    for (seen, expected) in seen.iter().zip(&expected) {
        ensure_eq!(
            (&seen.value, seen.created_index, seen.modified_index),
            (&expected.value, expected.created_index, expected.modified_index)
        );
        ensure_eq!(seen.version, expected.version);
        ensure_eq!(seen.previous, None);
    }
    let told = async |watch: &mut Watch, count: usize| -> Proof<Vec<String>> {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(next_pair(watch).await?.key);
        }
        Ok(told)
    };
    ensure_eq!(told(&mut tree, 4).await?, ["d/a", "d/a/child", "d/b", "d/c"]);
    ensure_eq!(told(&mut range, 3).await?, ["d/a", "d/a/child", "d/b"]);
    ensure_eq!(told(&mut key, 1).await?, ["d/a"]);
    let deleted = kv.delete("d/a").await?;
    for watch in [&mut whole, &mut tree, &mut range, &mut key] {
        let Event::Delete(pair) = next_change(watch).await? else { crate::fail!("not a delete") };
        ensure_eq!((pair.key.as_str(), pair.action), ("d/a", KvAction::Delete));
        // Who tells cuts has the revision of the cut (7.6).
        let cut = !ctx.has(Capabilities::ORDERED_UPDATES) && pair.modified_index > deleted.modified_index;
        ensure!(cut || pair.modified_index == deleted.modified_index, "deleted at {}", pair.modified_index);
    }
    kv.put("d/a~end", "1").await?;
    for watch in [&mut whole, &mut tree, &mut range] {
        expect_next_key(watch, "d/a~end").await?;
    }
    kv.put("d/a", "2").await?;
    expect_next_key(&mut key, "d/a").await?;
    Ok(())
}

pub(super) async fn previous(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("d/before", "0").await?;
    let mut watch = kv.watch_tree("d").previous().await?;
    let mut plain = kv.watch_tree("d").await?;
    let created = kv.put("d/a", "1").await?;
    let first = next_pair(&mut watch).await?;
    ensure_eq!((first.previous, first.action), (None, KvAction::Create));
    let set = kv.put("d/a", "2").await?;
    let second = next_pair(&mut watch).await?;
    ensure_eq!(second.action, KvAction::Set);
    let old = second.previous;
    ensure_eq!(old.as_ref().map(|old| (old.text(), old.modified_index)), Some((Some("1"), created.modified_index)));
    kv.delete("d/a").await?;
    let third = next_pair(&mut watch).await?;
    ensure_eq!((third.action, third.text(), third.created_index), (KvAction::Delete, Some("2"), created.created_index));
    let old = third.previous;
    ensure_eq!(old.as_ref().map(|old| (old.text(), old.modified_index)), Some((Some("2"), set.modified_index)));
    // Also of what was there before the watch began.
    kv.put("d/before", "1").await?;
    let fourth = next_pair(&mut watch).await?;
    ensure_eq!(fourth.previous.as_ref().and_then(|old| old.text()), Some("0"));
    let mut last = String::new();
    while last != "d/before" {
        let pair = next_pair(&mut plain).await?;
        ensure!(pair.previous.is_none(), "a previous pair that was not asked for: {pair:?}");
        last = pair.key;
    }
    Ok(())
}

pub(super) async fn not_there_yet(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut key = kv.watch_key("not/there").await?;
    let mut tree = kv.watch_tree("nothing/here").await?;
    let mut current = kv.watch_key("not/there").current().await?;
    let Event::Synced(_) = next_event(&mut current).await? else { crate::fail!("an absent key has a state") };
    let first = kv.create("not/there", "1").await?;
    kv.put("nothing/here/a", "1").await?;
    let told = next_pair(&mut key).await?;
    ensure_eq!((told.action, told.modified_index), (KvAction::Create, first.modified_index));
    expect_next_key(&mut current, "not/there").await?;
    expect_next_key(&mut tree, "nothing/here/a").await?;
    // Gone and back: still watched.
    kv.delete("not/there").await?;
    ensure_eq!(next_pair(&mut key).await?.action, KvAction::Delete);
    let second = kv.create("not/there", "2").await?;
    let told = next_pair(&mut key).await?;
    ensure_eq!((told.action, told.created_index), (KvAction::Create, second.modified_index));
    ensure!(told.created_index > first.created_index, "the new incarnation is not newer");
    Ok(())
}
