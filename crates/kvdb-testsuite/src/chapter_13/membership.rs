use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::{Member, MemberRecord, Membership, MembershipWatch, PersistentState};
use kvdb_core::{Kvdb, Options};

use super::persistent::{long, short};
use crate::help::{eventually, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

fn ids(members: &[MemberRecord]) -> Vec<&str> {
    members.iter().map(|member| member.id.as_str()).collect()
}

async fn join(ctx: &Ctx, group: &Membership, id: &str) -> Proof<Member> {
    Ok(soon("the member joins", group.join(Some(id.to_owned()), id, long(ctx))).await??)
}

/// The next set of members, which must come.
async fn next(watch: &mut MembershipWatch) -> Proof<Vec<MemberRecord>> {
    let members = soon("the next set of members", watch.next()).await?;
    Ok(members.ok_or_else(|| Failure::new("the watch has ended"))??)
}

/// Reads sets until one has these ids.
async fn until(watch: &mut MembershipWatch, wanted: &[&str]) -> Proof<Vec<MemberRecord>> {
    loop {
        let members = next(watch).await?;
        if ids(&members) == wanted {
            return Ok(members);
        }
    }
}

pub(super) async fn join_and_leave(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (group, seen) = (Membership::new(&kv, "g"), Membership::new(&other, "/g/"));
    ensure!(seen.members().await?.is_empty(), "an empty group has members");
    // On return it is there, for everybody.
    for id in ["m", "b", "z", "a-1"] {
        let member = join(&ctx, &group, id).await?;
        ensure_eq!(member.id(), id);
        ensure!(ids(&seen.members().await?).contains(&id), "{id} has joined and is not there");
        // Each of these is dropped or left below.
        if id == "z" {
            drop(member);
            eventually("a dropped member is gone", async || Ok(!ids(&seen.members().await?).contains(&"z"))).await?;
        } else {
            member.leave().await?;
            ensure!(!ids(&seen.members().await?).contains(&id), "{id} has left and is there");
            member.leave().await?;
            expect_kind(member.set_data("late"), &ErrorKind::Closed)?;
        }
    }
    let [m, b, made] = [Some("m".to_owned()), Some("b".to_owned()), None].map(|id| group.join(id, "data", long(&ctx)));
    let members = [soon("m", m).await??, soon("b", b).await??, soon("one with a made id", made).await??];
    let mut expected: Vec<_> = members.iter().map(Member::id).collect();
    expected.sort_unstable();
    let found = seen.members().await?;
    ensure_eq!(ids(&found), expected);
    ensure!(found.iter().all(|member| member.data == "data" && member.since > Revision::ZERO), "{found:?}");
    members[0].set_data("other data")?;
    soon("the data is there", members[0].ready()).await??;
    let found = seen.members().await?;
    ensure!(found.iter().any(|member| member.id == "m" && member.data == "other data"), "{found:?}");
    ensure!(found.iter().filter(|member| member.data == "data").count() == 2, "{found:?}");
    // With its handle all of them go.
    kv.close().await?;
    ensure!(seen.members().await?.is_empty(), "members of a closed handle");
    Ok(())
}

pub(super) async fn apart(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let group = Membership::new(&kv, "g");
    for id in ["", "a/b", "..", "_kvdb"] {
        expect_kind(group.join(Some(id.to_owned()), "1", long(&ctx)).await, &ErrorKind::InvalidArgument)?;
    }
    expect_kind(Membership::new(&kv, "").join(None, "1", long(&ctx)).await, &ErrorKind::InvalidArgument)?;
    let beside = join(&ctx, &Membership::new(&kv, "g2"), "a").await?;
    let below = join(&ctx, &Membership::new(&kv, "g/sub"), "b").await?;
    let member = join(&ctx, &group, "c").await?;
    ensure_eq!(ids(&group.members().await?), ["c"]);
    ensure_eq!(ids(&next(&mut group.watch()?).await?), ["c"]);
    drop((beside, below, member));
    Ok(())
}

pub(super) async fn dead_member(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let (group, seen) = (Membership::new(&kv, "g"), Membership::new(&other, "g"));
    let living = join(&ctx, &seen, "living").await?;
    let options = short(&ctx);
    let member = soon("it joins", group.join(Some("dying".to_owned()), "1", options.clone())).await??;
    ensure_eq!(ids(&seen.members().await?), ["dying", "living"]);
    tap.faults.die();
    let died = Instant::now();
    eventually("a dead member is gone", async || Ok(ids(&seen.members().await?) == ["living"])).await?;
    // A second for being looked at on a busy machine.
    let bound = options.ttl + ctx.limits().ttl_slack + Duration::from_secs(1);
    ensure!(died.elapsed() <= bound, "gone after {:?}, promised {bound:?}", died.elapsed());
    ensure_eq!(soon("it is told that it is lost", member.lost()).await?, PersistentState::Lost);
    // Back in reach it is a member again.
    tap.faults.revive();
    eventually("it is back", async || Ok(ids(&seen.members().await?) == ["dying", "living"])).await?;
    soon("it is told", member.ready()).await??;
    member.leave().await?;
    ensure_eq!(ids(&seen.members().await?), ["living"]);
    living.leave().await?;
    Ok(())
}

pub(super) async fn lost_before_healing(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let member = join(&ctx, &Membership::new(&kv, "g"), "a").await?;
    let mut lost = Box::pin(member.lost());
    ensure!(futures_util::poll!(&mut lost).is_pending(), "lost while it is there");
    // The healing put gets no answer: the loss is told before it.
    tap.faults.stall(&[crate::tap::Call::Commit]);
    other.delete("g/a").await?;
    ensure_eq!(soon("the loss", lost).await?, PersistentState::Lost);
    ensure_eq!(other.get("g/a").await?, None);
    tap.faults.revive();
    soon("it is back", member.ready()).await??;
    ensure!(other.get("g/a").await?.is_some(), "told to be back, and is not");
    member.leave().await?;
    Ok(())
}

pub(super) async fn watched(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (group, seen) = (Membership::new(&kv, "g"), Membership::new(&other, "g"));
    let mut from_empty = seen.watch()?;
    ensure!(next(&mut from_empty).await?.is_empty(), "an empty group has members");
    let b = join(&ctx, &group, "b").await?;
    let a = join(&ctx, &group, "a").await?;
    let mut watch = seen.watch()?;
    ensure_eq!(ids(&next(&mut watch).await?), ["a", "b"], "the first is the present set");
    b.set_data("new")?;
    let changed = next(&mut watch).await?;
    ensure!(ids(&changed) == ["a", "b"] && changed[1].data == "new", "{changed:?}");
    let c = join(&ctx, &group, "c").await?;
    until(&mut watch, &["a", "b", "c"]).await?;
    a.leave().await?;
    until(&mut watch, &["b", "c"]).await?;
    drop((b, c));
    until(&mut watch, &[]).await?;
    other.close().await?;
    let ended = loop {
        match soon("the end", watch.next()).await? {
            Some(Ok(_)) => {}
            ended => break ended,
        }
    };
    ensure!(matches!(&ended, Some(Err(error)) if *error.kind() == ErrorKind::Closed), "ended with {ended:?}");
    ensure!(watch.next().await.is_none(), "a set after the end");
    Ok(())
}
