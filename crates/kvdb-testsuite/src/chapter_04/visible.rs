use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_core::prelude::*;
use kvdb_core::{Error, Options};
use tokio::task::JoinSet;

use crate::help::next_event;
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// Far apart in every order, and one that comes and goes.
const KEYS: [&str; 4] = ["d/a", "d/m/n", "e", "z"];
const FLEETING: &str = "d/fleeting";
const WRITERS: usize = 6;

/// Writes the same text to all keys at once, again and again; in every other transaction one more key is there.
async fn write(kv: Handle, writer: usize, rounds: usize, stop: Arc<AtomicBool>) -> kvdb_core::Result<usize> {
    for round in 0..rounds {
        if stop.load(Ordering::SeqCst) {
            return Ok(round);
        }
        let text = format!("{writer}-{round}");
        let mut txn = kv.txn();
        for key in KEYS {
            txn = txn.then(put(key, text.clone()));
        }
        txn = if round % 2 == 0 { txn.then(put(FLEETING, text)) } else { txn.then(delete(FLEETING)) };
        txn.await?;
        tokio::task::yield_now().await;
    }
    Ok(rounds)
}

fn writers(kv: &Handle, rounds: usize, stop: &Arc<AtomicBool>) -> JoinSet<kvdb_core::Result<usize>> {
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(write(kv.clone(), writer, rounds, Arc::clone(stop)));
    }
    tasks
}

/// What was written together is the same, and so is its revision.
fn together(found: &[(String, Revision)]) -> Proof {
    ensure_eq!(found.len(), KEYS.len(), "keys that were written together");
    for other in found {
        ensure_eq!(*other, found[0], "what was written together, of {found:?}");
    }
    Ok(())
}

pub(super) async fn to_readers(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let stop = Arc::new(AtomicBool::new(false));
    write(kv.clone(), 9, 1, Arc::clone(&stop)).await?;
    let mut tasks = writers(&kv, usize::MAX, &stop);
    let of = |pair: &KvPair| (String::from_utf8_lossy(&pair.value).into_owned(), pair.modified_index);
    let mut seen = std::collections::BTreeSet::new();
    let mut looks = 0;
    while looks < 60 || seen.len() < 20 {
        looks += 1;
        // A store that answers at once would let no writer have a turn.
        tokio::task::yield_now().await;
        let reply = other.txn().then(get(KEYS[0])).then(get(KEYS[1])).then(get(KEYS[2])).then(get(KEYS[3])).await?;
        let read: Vec<_> = reply.results.iter().filter_map(TxnResult::pair).map(of).collect();
        together(&read)?;
        seen.insert(read[0].1);
        if ctx.has(Capabilities::ATOMIC_LIST) {
            let pairs = other.list("").await?;
            let (fleeting, lasting): (Vec<_>, Vec<_>) = pairs.iter().partition(|pair| pair.key == FLEETING);
            together(&lasting.iter().map(|pair| of(pair)).collect::<Vec<_>>())?;
            // The key that comes and goes is of the same transaction, if it is there.
            ensure!(fleeting.iter().all(|pair| of(pair) == of(lasting[0])), "{fleeting:?} beside {lasting:?}");
            let snapshot = other.snapshot(&["d", ""]).await?;
            let mut found = Vec::new();
            for key in KEYS {
                found.extend(snapshot.get(key).await?.as_ref().map(of));
            }
            together(&found)?;
        }
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ensure!(ended?? > 0, "a writer wrote nothing");
    }
    Ok(())
}

pub(super) async fn to_watches(ctx: Ctx) -> Proof {
    const ROUNDS: usize = 20;
    let kv = ctx.open().await?;
    let mut watch = kv.watch_tree("").progress().await?;
    let mut part = kv.watch_tree("d").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = writers(&kv, ROUNDS, &stop);
    while let Some(ended) = tasks.join_next().await {
        ensure_eq!(ended??, ROUNDS);
    }
    kv.put("d/end", "1").await?;
    // Every revision is told whole: all its keys in a row, with nothing and no Progress of it in between.
    let mut of: BTreeMap<Revision, Vec<(String, String)>> = BTreeMap::new();
    let mut last = Revision::ZERO;
    loop {
        match next_event(&mut watch).await? {
            Event::Progress(revision) => ensure!(revision >= last, "Progress({revision}) behind {last}"),
            Event::Put(pair) | Event::Delete(pair) => {
                if pair.key == "d/end" {
                    break;
                }
                ensure!(pair.modified_index >= last, "{} after {last}", pair.modified_index);
                if pair.modified_index > last
                    && let Some(before) = of.get(&last)
                {
                    ensure!(before.len() >= KEYS.len(), "half a transaction at {last}: {before:?}");
                }
                last = pair.modified_index;
                of.entry(last).or_default().push((pair.key.clone(), String::from_utf8_lossy(&pair.value).into_owned()));
            }
            event => crate::fail!("unasked {event:?}"),
        }
    }
    ensure_eq!(of.len(), WRITERS * ROUNDS, "revisions that were told");
    for (revision, told) in &of {
        let lasting: Vec<_> = told.iter().filter(|(key, _)| key != FLEETING).collect();
        let names: Vec<_> = lasting.iter().map(|(key, _)| key.as_str()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        ensure_eq!(sorted, KEYS, "the keys of {revision}");
        ensure!(lasting.iter().all(|(_, text)| *text == lasting[0].1), "the values of {revision}: {told:?}");
    }
    // A watch of a part is told its part of each.
    let mut parts: BTreeMap<Revision, Vec<String>> = BTreeMap::new();
    loop {
        let event = next_event(&mut part).await?;
        let Some(pair) = event.pair() else { continue };
        if pair.key == "d/end" {
            break;
        }
        parts.entry(pair.modified_index).or_default().push(pair.key.clone());
    }
    for (revision, told) in &of {
        let mut expected: Vec<_> =
            told.iter().map(|(key, _)| key.clone()).filter(|key| key.starts_with("d/")).collect();
        let mut found = parts.remove(revision).unwrap_or_default();
        expected.sort();
        found.sort();
        ensure_eq!(found, expected, "the part of {revision}");
    }
    Ok(())
}

pub(super) async fn to_cuts(ctx: Ctx) -> Proof {
    const ROUNDS: usize = 20;
    let (kv, _tap) = Tap::without(ctx.backend().await?, Capabilities::ORDERED_UPDATES).serve(&ctx, Options::new())?;
    let other = ctx.open().await?;
    let mut watch = kv.watch_tree("").await?;
    let writing = tokio::spawn(async move {
        let mut tasks = writers(&other, ROUNDS, &Arc::default());
        while let Some(ended) = tasks.join_next().await {
            ensure_eq!(ended??, ROUNDS);
        }
        other.put("end", "1").await?;
        Ok::<_, Failure>(())
    });
    // Read meanwhile: one that lies behind is told everything in one cut.
    let mut state: BTreeMap<String, (String, Revision)> = BTreeMap::new();
    let mut cuts = 0;
    loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => {
                state
                    .insert(pair.key.clone(), (String::from_utf8_lossy(&pair.value).into_owned(), pair.modified_index));
            }
            Event::Delete(pair) => drop(state.remove(&pair.key)),
            Event::Progress(revision) => {
                cuts += 1;
                let lasting: Vec<_> = KEYS.iter().filter_map(|key| state.get(*key).cloned()).collect();
                if !lasting.is_empty() {
                    together(&lasting)?;
                }
                if let Some(fleeting) = state.get(FLEETING) {
                    ensure_eq!(
                        Some(fleeting),
                        lasting.first(),
                        "the key that comes and goes, in the cut at {revision}"
                    );
                }
                if state.contains_key("end") {
                    break;
                }
            }
            event => return Err(Failure::new(format_args!("unasked {event:?}"))),
        }
    }
    ensure!(cuts > 1, "one cut of all proves little");
    writing.await?
}

pub(super) async fn after_restart(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = writers(&kv, usize::MAX, &stop);
    let seen = kv.watch_key(KEYS[0]).await?;
    let mut seen = seen;
    for _ in 0..30 {
        next_event(&mut seen).await?;
    }
    // The store goes away under its writers.
    ctx.restart().await?;
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        match ended? {
            // A writer that reaches the store again goes on.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::Unavailable) => {}
            other => crate::fail!("a writer on a store that went away ended with {other:?}"),
        }
    }
    drop((kv, seen));
    let kv = ctx.open().await?;
    let pairs: Vec<KvPair> = kv.list("").await?;
    let of = |pair: &KvPair| (String::from_utf8_lossy(&pair.value).into_owned(), pair.modified_index);
    together(&pairs.iter().filter(|pair| pair.key != FLEETING).map(of).collect::<Vec<_>>())?;
    let fleeting = pairs.iter().find(|pair| pair.key == FLEETING);
    ensure!(fleeting.is_none_or(|pair| of(pair) == of(&pairs[0])), "{fleeting:?}");
    kv.close().await.map_err(|error: Error| Failure::new(error))
}
