use std::sync::Arc;

use kvdb_core::{Batch, Error, Handle, KvPair, KvdbExt, Listing, Op, Result, Revision};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::chapter_03::fill;
use crate::help::eventually;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Several thousand keys of 2 KiB, many times a page's megabyte.
const KEYS: usize = 3000;
const VALUE: usize = 2048;

/// Writers in the midst of the keys that are listed. They write as much as `more` lets them: without a bound they would
/// outrun the history that a list at a past revision needs.
struct Writers {
    permits: Arc<Semaphore>,
    tasks: Vec<JoinHandle<Result<u64>>>,
}

/// Far apart, so that pages at different revisions would show different texts.
const TOGETHER: [&str; 3] = ["d/000000", "d/001500", "d/002999"];

impl Writers {
    /// Two tasks write the same text to keys far apart in one batch, two come and go with keys of their own.
    async fn start(ctx: &Ctx, kv: &Handle) -> Proof<Self> {
        let permits = Arc::new(Semaphore::new(0));
        let mut tasks = Vec::new();
        for task in 0..2 {
            let (store, permits) = (ctx.backend().await?, Arc::clone(&permits));
            let keys = TOGETHER.map(|key| ctx.absolute(key));
            tasks.push(tokio::spawn(async move {
                let mut round = 0;
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    round += 1;
                    let value = format!("{task}-{round}");
                    let put = |key: &kvdb_core::Key| Op::Put {
                        key: key.clone(),
                        value: value.clone().into(),
                        lease: None,
                        previous: false,
                    };
                    store.commit(&Batch { guards: Vec::new(), ops: keys.iter().map(put).collect() }).await?;
                    tokio::task::yield_now().await;
                }
                Ok(round)
            }));
        }
        for task in 0..2 {
            let (kv, permits) = (kv.clone(), Arc::clone(&permits));
            tasks.push(tokio::spawn(async move {
                let mut round = 0;
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    round += 1;
                    let key = format!("d/{:06}-{task}", round * 7 % KEYS as u64);
                    kv.put(&key, "here and gone").await?;
                    kv.delete(&key).await?;
                    tokio::task::yield_now().await;
                }
                Ok(round)
            }));
        }
        Ok(Self { permits, tasks })
    }

    /// Lets the writers go on by a good number of writes, while the next pages are read.
    async fn more(&self) {
        self.permits.add_permits(40);
        tokio::task::yield_now().await;
    }

    async fn end(self) -> Proof {
        // Not before all was used: a store that answers at once may have left them no turn yet.
        eventually("the writers have written", || async { Ok(self.permits.available_permits() == 0) }).await?;
        self.permits.close();
        let mut rounds = 0;
        for task in self.tasks {
            rounds += task.await??;
        }
        ensure!(rounds > 0, "nothing was written while the lists were read");
        Ok(())
    }
}

fn is_lasting(pair: &KvPair) -> bool {
    pair.key.len() == "d/000000".len()
}

/// The listing is one revision's: sorted, whole, nothing above it, and what was written together is shown together.
fn check(listing: &Listing) -> Proof {
    let pairs = &listing.pairs;
    ensure!(pairs.is_sorted_by(|a, b| a.key < b.key), "the keys are not in order, or one comes twice");
    let lasting: Vec<&KvPair> = pairs.iter().filter(|pair| is_lasting(pair)).collect();
    ensure_eq!(lasting.len(), KEYS, "keys that were there all along");
    let newest = pairs.iter().map(|pair| pair.modified_index).max().unwrap_or_default();
    ensure!(newest <= listing.revision, "a pair of {newest} in a list as of {}", listing.revision);
    let together: Vec<(&KvPair, &str)> = lasting
        .iter()
        .filter_map(|pair| TOGETHER.iter().find(|key| pair.key == **key).map(|key| (*pair, *key)))
        .collect();
    ensure_eq!(together.len(), TOGETHER.len());
    for (pair, key) in &together {
        ensure_eq!(pair.value, together[0].0.value, "the value of {key}, written together with the first");
        ensure_eq!(pair.modified_index, together[0].0.modified_index, "the revision of {key}");
    }
    Ok(())
}

pub(super) async fn one_revision(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", KEYS, &vec![b'x'; VALUE]).await?;
    let first = Op::Put { key: ctx.absolute(TOGETHER[0]), value: "start".into(), lease: None, previous: false };
    let others = TOGETHER[1..].iter().map(|key| Op::Put {
        key: ctx.absolute(key),
        value: "start".into(),
        lease: None,
        previous: false,
    });
    let ops = std::iter::once(first).chain(others).collect();
    ctx.backend().await?.commit(&Batch { guards: Vec::new(), ops }).await?;
    let writers = Writers::start(&ctx, &kv).await?;
    let mut last = Revision::ZERO;
    for round in 0..6 {
        let list = kv.list("d");
        let mut pages = if round % 2 == 0 { list } else { list.reverse() }.pages().await?;
        let mut all = Listing::default();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            let page = page?;
            ensure!(count == 0 || page.revision == all.revision, "page {count} shows another revision than the first");
            all.revision = page.revision;
            all.pairs.extend(page.pairs);
            count += 1;
            writers.more().await;
        }
        ensure!(count > 3, "{KEYS} keys came in {count} pages; the trial wants many");
        if round % 2 != 0 {
            all.pairs.reverse();
        }
        check(&all)?;
        ensure!(all.revision >= last, "a later list shows an earlier revision");
        last = all.revision;
    }
    writers.end().await
}

pub(super) async fn complete(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", KEYS, b"1").await?;
    let writers = Writers::start(&ctx, &kv).await?;
    for _ in 0..5 {
        writers.more().await;
        let listed = kv.list("d").await?.into_iter().filter(is_lasting).count();
        ensure_eq!(listed, KEYS, "keys that were there all along");
        writers.more().await;
        let named = kv.list("d").names().await?.into_iter().filter(|name| name.len() == "d/000000".len()).count();
        ensure_eq!(named, KEYS, "names that were there all along");
        let counted = kv.count("d").await? as usize;
        ensure!((KEYS..=KEYS + 2).contains(&counted), "the count is {counted}");
    }
    writers.end().await
}

pub(super) async fn slow_reader(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", KEYS, &vec![b'x'; VALUE]).await?;
    let before = kv.list("d").listing().await?;
    let mut pages = kv.list("d").pages().await?;
    let mut found = Vec::new();
    let mut revision = None;
    while let Some(page) = pages.next().await {
        let page = page?;
        let first = *revision.get_or_insert(page.revision);
        ensure_eq!(page.revision, first, "the revision of a later page");
        found.extend(page.pairs.into_iter().map(|pair| (pair.key, pair.modified_index)));
        // Between two pages all that is still to be shown changes: keys go, come and are written.
        kv.delete("d/002990").await.or_else(absent_is_fine)?;
        kv.put("d/002991", "changed").await?;
        kv.put("d/002991-new", "new").await?;
        kv.delete_tree("d/none").await?;
    }
    let expected: Vec<_> = before.pairs.into_iter().map(|pair| (pair.key, pair.modified_index)).collect();
    ensure!(found == expected, "the pages show changes that were made while they were read");
    Ok(())
}

fn absent_is_fine(error: Error) -> Result<KvPair> {
    if *error.kind() == kvdb_core::ErrorKind::NotFound { Ok(KvPair::new("", "")) } else { Err(error) }
}

pub(super) async fn at_a_past_revision(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", KEYS, &vec![b'x'; VALUE]).await?;
    let before = kv.list("d").listing().await?;
    kv.delete("d/000007").await?;
    let writers = Writers::start(&ctx, &kv).await?;
    for _ in 0..4 {
        writers.more().await;
        let then = kv.list("d").at(before.revision).listing().await?;
        ensure_eq!(then.revision, before.revision, "the revision of a list at a revision");
        ensure_eq!(then.pairs.len(), before.pairs.len(), "keys at the past revision");
        for (then, before) in then.pairs.iter().zip(&before.pairs) {
            ensure_eq!((&then.key, then.modified_index), (&before.key, before.modified_index));
            ensure_eq!(then.value, before.value, "the value of {} then", then.key);
        }
        ensure_eq!(kv.list("d").at(before.revision).names().await?.len(), KEYS);
    }
    writers.end().await
}
