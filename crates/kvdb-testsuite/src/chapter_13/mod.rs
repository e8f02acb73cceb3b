//! Chapter 13: the other seeds.

mod persistent;
mod persistent_conflicts;
mod persistent_faults;
mod temp_key;

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
    "13.7 failing, it leaves another's value alone and says so", needs(LEASES) => persistent_conflicts::fails;
    "13.7 two that reassert do not keep the store busy", needs(LEASES) => persistent_conflicts::fight;
}
