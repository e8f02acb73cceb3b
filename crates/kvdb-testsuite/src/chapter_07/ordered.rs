use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb};

use super::writers::{Writers, mark, read_to_marker};
use crate::checker::Checker;
use crate::help::next_event;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn concurrent(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let mut plain = kv.watch_tree("w").await?;
    let mut rich = other.watch_tree("w").previous().progress().await?;
    let start = plain.revision().max(rich.revision());
    let writers = Writers::start(&kv, 8, 80);
    let truth = writers.finish().await?;
    mark(&kv).await?;
    for (watch, mut checker) in
        [(&mut plain, Checker::from_empty("w/", start)), (&mut rich, Checker::from_empty("w/", start).with_previous())]
    {
        read_to_marker(watch, &mut checker).await?;
        checker.finish(&truth).map_err(Failure::new)?;
        ensure!(checker.told().len() > 400, "only {} events, this proves little", checker.told().len());
        // Resumable: from three places in the middle, the rest comes again exactly.
        if ctx.has(Capabilities::WATCH_RESUME) {
            for part in 1..4 {
                let at = checker.told()[checker.told().len() * part / 4].revision;
                let mut again = kv.watch_tree("w").after(at).await?;
                let mut second = Checker::from_the_middle("w/", at);
                read_to_marker(&mut again, &mut second).await?;
                checker.resume(&second).map_err(Failure::new)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn together(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut watch = kv.watch_tree("").progress().await?;
    let lease = match ctx.has(Capabilities::LEASES) {
        true => Some(kv.lease(ctx.ttl(std::time::Duration::from_secs(60))).await?),
        false => None,
    };
    let noise = Writers::start(&kv, 3, 30);
    for n in 0..50 {
        kv.put(&format!("tree/{n:02}"), "1").await?;
        if let Some(lease) = &lease {
            kv.put(&format!("leased/{n:02}"), "1").lease(&lease.id).await?;
        }
    }
    ensure_eq!(kv.delete_tree("tree").await?, 50);
    if let Some(lease) = &lease {
        kv.lease_revoke(&lease.id, CallOptions::default()).await?;
    }
    noise.finish().await?;
    kv.put("~end", "1").await?;
    let mut deleted = Vec::new();
    loop {
        match next_event(&mut watch).await? {
            Event::Delete(pair) => deleted.push((pair.modified_index, pair.key)),
            Event::Put(pair) if pair.key == "~end" => break,
            // What came before is done: nothing of that revision may follow.
            Event::Put(pair) => deleted.push((pair.modified_index, "put".to_owned())),
            Event::Progress(revision) => deleted.push((revision, "progress".to_owned())),
            event => crate::fail!("unasked {event:?}"),
        }
    }
    for directory in ["tree/", "leased/"] {
        let at: Vec<usize> = (0..deleted.len()).filter(|n| deleted[*n].1.starts_with(directory)).collect();
        if at.is_empty() && lease.is_none() {
            continue;
        }
        ensure_eq!(at.len(), 50, "deletions below {directory}");
        ensure_eq!(at[49] - at[0], 49, "something else between the deletions below {directory}");
        if ctx.has(Capabilities::DELETE_RANGE) {
            ensure!(at.iter().all(|n| deleted[*n].0 == deleted[at[0]].0), "more than one revision for {directory}");
        }
    }
    Ok(())
}
