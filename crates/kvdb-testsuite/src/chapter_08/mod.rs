//! Contract chapter 8: locks.

mod calls;
mod fences;
mod hold;
mod holder;
mod keep;
mod late;
mod leave;
mod queue;
mod release;
mod wait;

use kvdb_core::{Key, KeyRange, Scan};

use crate::{Ctx, Proof};

crate::trials! {
    "8.1 contenders hold one at a time and tokens rise strictly", needs(LEASES) => queue::one_at_a_time;
    "8.1 first come, first served", needs(LEASES) => queue::first_come_first_served;
    "8.1 a waiter watches its predecessor alone and does not poll", needs(LEASES) => queue::no_polling;
    "8.1 a free lock takes one call of the store, one that is tried and held two", needs(LEASES|NATIVE_TXN) => calls::counted;
    "8.1 unsupported: locks without leases", lacks(LEASES) => queue::unsupported;
    "8.2 a lock frees itself within TTL and slack after its holder died", needs(LEASES) => keep::frees_itself;
    "8.2 a lock frees itself after the holder's runtime is gone", needs(LEASES) => keep::runtime_gone;
    "8.2 the TTL is 16 s unless an option says otherwise", needs(LEASES) => keep::default_ttl;
    "8.3 the wait ends with LockTimeout naming the holder", needs(LEASES) => wait::names_the_holder;
    "8.3 the wait is 300 s unless an option says otherwise", needs(LEASES) => wait::default_wait;
    "8.3 a dead store answers Unavailable, not LockTimeout", needs(LEASES) => wait::dead_store;
    "8.4 a waiter that gives up leaves nothing behind", needs(LEASES) => leave::gives_up;
    "8.4 a call dropped at any await leaves nothing behind", needs(LEASES) => leave::dropped_at_any_await;
    "8.4 a dropped call whose enqueue is on its way leaves nothing behind", needs(LEASES) => leave::dropped_in_flight;
    "8.4 a lost reply to the enqueue is settled", needs(LEASES) => leave::lost_reply;
    "8.4 an enqueue that arrives after it was given up blocks nobody", needs(LEASES) => late::enqueue;
    "8.4 a waiter that loses its lease is told and blocks nobody", needs(LEASES) => leave::loses_lease;
    "8.5 lost() resolves when the store says so", needs(LEASES|SHARED_LEASES) => keep::lost_by_the_store;
    "8.5 lost() resolves by the local deadline before anybody else can hold the lock", needs(LEASES) => keep::lost_by_deadline;
    "8.6 tokens rise with every holder, and a stale fence refuses every write", needs(LEASES) => fences::stale;
    "8.6 the fence of a lost lock refuses, whoever holds it next", needs(LEASES) => fences::lost;
    "8.6 a fence does not hide the other conditions", needs(LEASES) => fences::with_conditions;
    "8.7 a second release, or one after loss, is Ok and never touches the next holder", needs(LEASES) => release::only_ours;
    "8.7 drop releases in the background", needs(LEASES) => release::by_drop;
    "8.7 a release that the store did not hear of is made up for", needs(LEASES) => release::made_up_for;
    "8.8 held too long: the fatal callback once, and the lock stays", needs(LEASES) => hold::too_long;
    "8.8 lost: the fatal callback once", needs(LEASES) => hold::lost_once;
    "8.8 the fatal callback may call anything", needs(LEASES) => hold::may_call_anything;
    "8.9 lock_holder tells id, since and token", needs(LEASES) => holder::tells;
    "8.10 lock names and data keys never meet", needs(LEASES) => holder::apart_from_data;
    "8.11 locks of a handle share one kept-alive lease per TTL", needs(LEASES) => keep::one_lease;
}

/// How many waiters stand in a lock's queue, the holder included: what the store itself has there.
pub(crate) async fn queued(ctx: &Ctx, name: &str) -> Proof<usize> {
    Ok(kept(ctx, name).await?.iter().filter(|key| !is_void(key)).count())
}

/// The keys that the store itself has for a lock.
async fn kept(ctx: &Ctx, name: &str) -> Proof<Vec<Key>> {
    use futures_util::StreamExt;
    let range = KeyRange::prefix(ctx.absolute(&format!("_kvdb/lock/{name}/")).as_bytes());
    let store = ctx.backend().await?;
    let mut pages = store.list(&range, &Scan::default());
    let mut kept = Vec::new();
    while let Some(page) = pages.next().await {
        kept.extend(page?.entries.into_iter().map(|entry| entry.key));
    }
    Ok(kept)
}

/// Whether a key of a lock keeps an enqueue from arriving late, and is no waiter.
fn is_void(key: &Key) -> bool {
    key.to_string().contains("/_kvdb/void/")
}
