//! Contract chapter 13: the recipes.

mod election;
mod election_watch;
mod lock_manager;
mod membership;
mod persistent;
mod persistent_conflicts;
mod persistent_faults;
mod prefix;
mod prefix_faults;
mod rw_lock;
mod semaphore;
mod temp_key;
mod waiting;

use kvdb_core::Capabilities;

use crate::Ctx;

crate::trials! {
    "13.3 temp_key is there on return, stays, and comes back", needs(LEASES) => temp_key::stays;
    "13.3 temp_key goes with its handle", needs(LEASES) => temp_key::goes_with_its_handle;
    "13.7 ready() answers the put pair, and the key outlives its TTL", needs(LEASES) => persistent::ready;
    "13.7 after close the key is gone, and a second close is Ok", needs(LEASES) => persistent::close;
    "13.7 a dropped one is given up in the background", needs(LEASES) => persistent::dropped;
    "13.7 a closed handle closes it", needs(LEASES) => persistent::handle_closed;
    "13.7 the latest value wins", needs(LEASES) => persistent::latest_wins;
    "13.7 keys, values and TTLs out of bounds are refused at once", needs(LEASES) => persistent::refused;
    "13.7 unsupported: a persistent lease without leases", lacks(LEASES) => persistent::unsupported;
    "13.7 it heals deletion, overwrite and the loss of its lease", needs(LEASES) => persistent::heals;
    "13.7 every state is told", needs(LEASES) => persistent::states;
    "13.7 set_value does not block while the store is out of reach", needs(LEASES) => persistent_faults::set_while_away;
    "13.7 it heals a partition longer than the TTL", needs(LEASES) => persistent_faults::partition;
    "13.7 the loss of the lease is told by the local deadline", needs(LEASES) => persistent_faults::local_deadline;
    "13.7 a key put right after a restart is held by the new lease", needs(LEASES|DURABLE) => persistent_faults::restart;
    "13.7 close tells when the store is out of reach, and the key goes all the same", needs(LEASES) => persistent_faults::close_while_away;
    "13.7 a lost reply to the put is made up for", needs(LEASES) => persistent_faults::lost_reply;
    "13.7 yielding, it leaves another's value alone and takes the key after it", needs(LEASES) => persistent_conflicts::yields;
    "13.7 a key under its own lost lease is nobody else's", needs(LEASES|SHARED_LEASES) => persistent_conflicts::own_lost_lease;
    "13.7 failing, it leaves another's value alone and says so", needs(LEASES) => persistent_conflicts::fails;
    "13.7 two that reassert do not keep the store busy", needs(LEASES) => persistent_conflicts::fight;
    "13.7 it heals a restart of the servers", needs(LEASES|DURABLE|SHARED) => persistent_faults::servers_restart;
    "13.8 the first state always comes, even an empty one" => prefix::first;
    "13.8 a record that does not decode is listed, and the one before is not kept" => prefix::bad_records;
    "13.8 every change comes, deletions by the raw key" => prefix::changes;
    "13.8 it ends by close, drop and a typed error alone" => prefix::ends;
    "13.8 a slow reader sees the newest, and little is kept for it" => prefix_faults::slow_reader;
    "13.8 after a gap the state is right and says resynced" => prefix_faults::resynced;
    "13.8 it reconnects, and begins before the store is in reach" => prefix_faults::reconnects;
    "13.8 a state shows whole transactions" => prefix_faults::whole_transactions;
    "13.9 what holds already is answered with its pair" => waiting::holds_already;
    "13.9 each condition is met by the write that meets it" => waiting::comes_later;
    "13.9 it reconnects and finds what happened meanwhile" => waiting::reconnects;
    "13.9 no false success when the handle is closed" => waiting::no_false_success;
    "13.9 it can be bounded, and dropped it leaves nothing" => waiting::bounded_and_dropped;
    "13.10 managed locks take turns, show the manager's value, and unlock is idempotent", needs(LEASES) => lock_manager::takes_turns;
    "13.10 the loss of a managed lock is told before the key goes", needs(LEASES) => lock_manager::told_before;
    "13.10 the loss of a managed lock is told by the store, the deadline and a close", needs(LEASES) => lock_manager::loss;
    "13.10 a managed lock that is given up leaves nothing behind", needs(LEASES) => lock_manager::gives_up;
    "13.10 a member is visible when join returns and gone when leave does", needs(LEASES) => membership::join_and_leave;
    "13.10 groups do not meet, and an id is one segment", needs(LEASES) => membership::apart;
    "13.10 a dead member is gone within TTL and slack, and comes back in reach", needs(LEASES) => membership::dead_member;
    "13.10 a loss is told before anything is done about it", needs(LEASES) => membership::lost_before_healing;
    "13.10 watching, the first is the present set", needs(LEASES) => membership::watched;
    "13.13 events come in order, and resigning hands over", needs(LEASES) => election::hands_over;
    "13.13 never two leaders, and tokens rise", needs(LEASES) => election::never_two;
    "13.13 the loss is told before it campaigns anew, and the fence refuses", needs(LEASES) => election::loss;
    "13.13 a closed handle ends its campaigns", needs(LEASES) => election::closed;
    "13.13 a dead leader makes way within TTL and slack, and campaigns again", needs(LEASES) => election::dead_leader;
    "13.13 who resigns is gone on return, who is dropped soon after", needs(LEASES) => election::leaves;
    "13.13 a campaign waits for a store that is out of reach", needs(LEASES) => election::out_of_reach;
    "13.13 names, values and TTLs out of bounds are refused", needs(LEASES) => election::refused;
    "13.13 unsupported: elections without leases", lacks(LEASES) => election::unsupported;
    "13.13 the leader is observed, and that there is none", needs(LEASES) => election_watch::leader_and_none;
    "13.13 an observer asks nothing while the leader stays", needs(LEASES) => election_watch::no_polling;
    "13.13 an observer goes on when its watch breaks", needs(LEASES) => election_watch::breaks;
    "13.14 readers hold it together, a writer alone, and tokens rise", needs(LEASES) => rw_lock::together_or_alone;
    "13.14 first come, first served: a reader behind a waiting writer waits", needs(LEASES) => rw_lock::first_come_first_served;
    "13.14 who waits asks nothing, and one release wakes who waits for it", needs(LEASES) => rw_lock::no_polling;
    "13.14 a dead reader or writer frees it within TTL and slack", needs(LEASES) => rw_lock::frees_itself;
    "13.14 a call dropped at any await blocks nobody", needs(LEASES) => rw_lock::dropped_at_any_await;
    "13.14 a try is answered at once", needs(LEASES) => rw_lock::tries;
    "13.14 a plain lock of its name is its writer", needs(LEASES) => rw_lock::plain_lock;
    "13.14 fences of readers and writers refuse once they are lost", needs(LEASES) => rw_lock::fences;
    "13.15 never more holders than permits, and tokens rise", needs(LEASES) => semaphore::never_more;
    "13.15 permits are handed over in order, one by one and without polling", needs(LEASES) => semaphore::no_polling;
    "13.15 a permit is handed over where watches forget and break", needs(LEASES) => semaphore::forgetful;
    "13.15 a dead holder's permit goes to the next within TTL and slack", needs(LEASES) => semaphore::frees_itself;
    "13.15 a call dropped at any await blocks nobody", needs(LEASES) => semaphore::dropped_at_any_await;
    "13.15 a name has one meaning: another number or way is refused", needs(LEASES) => semaphore::one_meaning;
    "13.15 the fence of a lost permit refuses beside those who hold on", needs(LEASES) => semaphore::fences;
}

/// How often a waiter for a lock looks at the store before it waits: at the queue it stands in, unless its enqueue told,
/// and at what happened before its watch, unless that begins in the past.
fn looks(ctx: &Ctx) -> usize {
    let told = [Capabilities::NATIVE_TXN, Capabilities::WATCH_RESUME];
    told.into_iter().filter(|capability| !ctx.has(*capability)).count()
}
