use kvdb_core::{Handle, KvAction, KvdbExt};

use crate::help::eventually;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn get(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.get("a/b").await?, None);
    let written = kv.put("a/b", "1").await?;
    let found = kv.get("a/b").await?.ok_or_else(|| Failure::new("the key is absent"))?;
    ensure_eq!(found.action, KvAction::Get);
    ensure_eq!((found.key, found.value), (written.key, written.value));
    ensure_eq!(found.modified_index, written.modified_index);
    ensure_eq!(kv.get("a").await?, None);
    ensure_eq!(kv.get("a/b/c").await?, None);
    ensure_eq!(kv.get("a/").await?, None);
    kv.delete("a/b").await?;
    ensure_eq!(kv.get("a/b").await?, None);
    Ok(())
}

/// One client writes, the others read right after the answer: each must see that write.
async fn seen_at_once(ctx: &Ctx, strict: bool) -> Proof {
    let writer = ctx.open().await?;
    let readers = [ctx.open().await?, ctx.open().await?];
    let number = |kv: Handle| async move {
        let get = kv.get("k");
        let found = if strict { get.strict().await? } else { get.await? };
        let text = found.and_then(|pair| pair.text().map(str::to_owned)).unwrap_or_default();
        text.parse::<u64>().map_err(|_| Failure::new(format_args!("{text:?} is no number")))
    };
    for round in 0..50_u64 {
        writer.put("k", round.to_string()).await?;
        for reader in &readers {
            let seen = number(reader.clone()).await?;
            ensure_eq!(seen, round, "what a read after the write's answer shows");
        }
    }
    // While the writer goes on, what one reader saw the next read of another must not go behind.
    let writing = tokio::spawn(async move {
        for round in 50..150_u64 {
            writer.put("k", round.to_string()).await?;
        }
        Ok::<_, kvdb_core::Error>(())
    });
    let mut last = 0;
    while last < 149 {
        for reader in &readers {
            let seen = number(reader.clone()).await?;
            ensure!(seen >= last, "a read shows {seen} after another showed {last}");
            last = seen;
        }
        // A store that answers at once lets no other task run in between.
        tokio::task::yield_now().await;
    }
    writing.await??;
    Ok(())
}

pub(super) async fn linearizable(ctx: Ctx) -> Proof {
    seen_at_once(&ctx, false).await
}

pub(super) async fn strict(ctx: Ctx) -> Proof {
    seen_at_once(&ctx, true).await
}

pub(super) async fn stale(ctx: Ctx) -> Proof {
    let writer = ctx.open().await?;
    let reader = ctx.open().await?;
    for round in 0..20_u64 {
        writer.put("k", round.to_string()).await?;
        if let Some(found) = reader.get("k").stale().await? {
            let seen: u64 = found.text().unwrap_or_default().parse().map_err(Failure::from)?;
            ensure!(seen <= round, "a stale read shows {seen}, which was never written");
        }
    }
    eventually("a stale read shows the last write", || async {
        Ok(reader.get("k").stale().await?.is_some_and(|pair| pair.value == "19"))
    })
    .await?;
    eventually("a stale list shows the last write", || async {
        Ok(reader.list("").stale().await?.first().is_some_and(|pair| pair.value == "19"))
    })
    .await
}
