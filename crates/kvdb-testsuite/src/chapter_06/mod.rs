//! Contract chapter 6: TTL and leases.

mod leases;
mod refused;
mod restart;
mod ttl;

crate::trials! {
    "6.1 the write that granted a TTL answers it, a read fills the lease", needs(TTL|LEASES) => ttl::granted_is_answered;
    "6.1 unsupported: a put with a TTL", lacks(TTL) => ttl::unsupported;
    "6.2 a TTL out of bounds is refused with the bounds", needs(TTL|LEASES) => refused::out_of_bounds;
    "6.2 a TTL that the server clamps is refused and its lease revoked", needs(TTL|LEASES) => refused::clamped;
    "6.3 a key with a TTL is never gone early and gone in time", needs(TTL|LEASES) => ttl::never_early_gone_in_time;
    "6.4 a later put replaces or clears the TTL", needs(TTL|LEASES) => ttl::replaced_or_cleared;
    "6.4 a later put moves the key from lease to lease", needs(LEASES) => leases::moved;
    "6.5 an expiry is told as Expire on memory and redb, as Delete elsewhere", needs(TTL|LEASES) => ttl::told;
    "6.6 the lease of a put that did not happen is revoked", needs(TTL|LEASES) => refused::lease_is_revoked;
    "6.6 a put that is given up leaves its key with its lease or neither", needs(TTL|LEASES) => refused::given_up;
    "6.7 keep_alive keeps the keys of a lease, revoke removes them", needs(LEASES) => leases::kept_and_revoked;
    "6.7 a lease lives by keep_alive calls alone", needs(LEASES) => leases::lives_by_keep_alive_alone;
    "6.7 unsupported: leases", lacks(LEASES) => leases::unsupported;
    "6.8 a restart keeps deadlines, and what expired meanwhile is gone before the first read", needs(DURABLE|TTL|LEASES) => restart::deadlines;
    "6.8 a kept lease goes on after a restart, never with more than its TTL", needs(DURABLE|LEASES|LEASE_INFO) => restart::goes_on;
    "6.9 a lease id works in another handle where leases are shared", needs(LEASES) => leases::shared;
    "6.10 lease_info tells granted, remaining and the keys", needs(LEASES|LEASE_INFO) => leases::info;
    "6.10 unsupported: lease_info", lacks(LEASE_INFO) => leases::info_unsupported;
}
