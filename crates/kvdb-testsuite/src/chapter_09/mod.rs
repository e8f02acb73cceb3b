//! Contract chapter 9: snapshots, the collector of updates, dumps. What holds for a snapshot is tried on each of its
//! kinds: a pin of the store, a copy read at one past revision, a copy read in one listing.

mod collector;
mod content;
mod dump;
mod import;
mod onward;
mod prefixes;
mod readonly;
mod seed_dump;
mod writers;

use std::sync::Arc;

use kvdb_core::{Capabilities, Handle, Options};

use crate::decorate::Without;
use crate::{Ctx, Proof};

crate::trials! {
    "9.1 a snapshot under eight writers is the history up to its revision", needs(ATOMIC_LIST) => content::under_writers;
    "9.1 without history a snapshot under eight writers is the history up to its revision", needs(ATOMIC_LIST), lacks(REVISION_READS) => content::under_writers;
    "9.1 a snapshot answers the same whatever becomes of the store", needs(ATOMIC_LIST) => content::stays;
    "9.1 every read of a snapshot shows its revision", needs(ATOMIC_LIST) => content::every_read;
    "9.1 without history every read of a snapshot shows its revision", needs(ATOMIC_LIST), lacks(REVISION_READS) => content::every_read;
    "9.1 a snapshot outlives the compaction of its revision", needs(ATOMIC_LIST|COMPACT) => content::compacted;
    "9.1 unsupported: a consistent snapshot of several prefixes without ATOMIC_LIST", lacks(ATOMIC_LIST) => content::unsupported;
    "9.2 overlapping, equal and no prefixes", needs(ATOMIC_LIST) => prefixes::lists;
    "9.2 without history overlapping, equal and no prefixes", needs(ATOMIC_LIST), lacks(REVISION_READS) => prefixes::lists;
    "9.2 prefixes are directories, reserved and impossible ones refused", needs(ATOMIC_LIST) => prefixes::directories;
    "9.3 without consistency a snapshot still holds what was there all along" => prefixes::inconsistent;
    "9.4 a snapshot writes nothing" => prefixes::no_marker;
    "9.4 a snapshot never hangs" => prefixes::never_hangs;
    "9.5 snap_put changes a snapshot alone", needs(ATOMIC_LIST) => readonly::snap_put;
    "9.5 every write on a snapshot is ReadOnly", needs(ATOMIC_LIST) => readonly::every_verb;
    "7.3 from a snapshot under writers has no gap and no repeat", needs(ATOMIC_LIST|ORDERED_UPDATES|WATCH_RESUME) => onward::by_history;
    "7.3 from a snapshot without history tells the differences, then every change", needs(ATOMIC_LIST), lacks(WATCH_RESUME) => onward::by_differences;
    "7.3 from a snapshot whose history is gone is Compacted", needs(ATOMIC_LIST|WATCH_RESUME|COMPACT) => onward::compacted;
    "9.6 a collector keeps every update from its own base on" => collector::from_its_base;
    "9.6 a replay gives each its prefix above its index, in order" => collector::filters;
    "9.6 a collector may start in the past", needs(WATCH_RESUME) => collector::from_the_past;
    "9.6 a stopped collector collects no more" => collector::stopped;
    "9.6 a watch error is kept and returned" => collector::watch_error;
    "9.6 a collector whose history is gone says so", needs(WATCH_RESUME|COMPACT) => collector::compacted;
    "9.6 without history a collector of the past says so", lacks(WATCH_RESUME) => collector::no_history;
    "9.6 a collector is bounded, and an overflow is an error" => collector::overflow;
    "9.6 a snapshot and what was collected since are the present", needs(ATOMIC_LIST) => collector::with_a_snapshot;
    "9.7 a dump is JSON with a format version and base64 values" => dump::format;
    "9.7 a failed read is an error, never an empty or a short dump" => dump::failed_read;
    "9.8 what serialize writes reads back the same" => dump::round_trip;
    "9.8 a newer format, another JSON and damaged dumps are Serialization" => dump::damaged;
    "9.8 the array that portworx/kvdb writes reads" => seed_dump::reads;
    "9.8 a damaged array is Serialization" => seed_dump::damaged;
    "9.9 import keeps values, and nothing else of what was" => import::values;
    "9.9 imported keys are permanent", needs(TTL|LEASES|SHARED_LEASES) => import::permanent;
    "9.9 import keeps to the limits, each part whole" => import::parts;
    "9.10 the same history in two places serializes to the same pairs", needs(ATOMIC_LIST) => dump::same_history;
}

/// A handle for each kind of snapshot that the store can have.
async fn kinds(ctx: &Ctx) -> Proof<Vec<(&'static str, Handle)>> {
    let listed = Without::new(ctx.backend().await?, Capabilities::REVISION_READS);
    let mut kinds = vec![
        ("as the store does it", ctx.open().await?),
        ("one listing", ctx.handle(Arc::new(listed), ctx.domain(), Options::new())?),
    ];
    if ctx.has(Capabilities::REVISION_READS) {
        let copied = Without::pins(ctx.backend().await?);
        kinds.push(("listings at one revision", ctx.handle(Arc::new(copied), ctx.domain(), Options::new())?));
    }
    Ok(kinds)
}
