use std::fmt;

use bitflags::bitflags;

bitflags! {
    /// What a store can do. Where it cannot, the call answers `Unsupported` naming the capability.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u32 {
        /// Every write is one watch event, in revision order (the reference library's number 1).
        const ORDERED_UPDATES = 1;
        /// Keys may be any bytes.
        const BINARY_KEYS = 1 << 1;
        /// Leases can be granted, kept alive and revoked.
        const LEASES = 1 << 2;
        /// A lease id works in another handle.
        const SHARED_LEASES = 1 << 3;
        /// A put can carry a TTL.
        const TTL = 1 << 4;
        /// A watch can start in history.
        const WATCH_RESUME = 1 << 5;
        /// A past revision can be read.
        const REVISION_READS = 1 << 6;
        /// A listing shows one revision.
        const ATOMIC_LIST = 1 << 7;
        /// Plain reads are linearizable.
        const LINEARIZABLE_READS = 1 << 8;
        /// A whole range is deleted in one step.
        const DELETE_RANGE = 1 << 9;
        /// The store evaluates if/then/else itself.
        const NATIVE_TXN = 1 << 10;
        /// History can be compacted.
        const COMPACT = 1 << 11;
        /// Users and permissions can be administered.
        const USERS = 1 << 12;
        /// Cluster members can be listed and administered.
        const MEMBERS = 1 << 13;
        /// Keys count their writes.
        const KEY_VERSION = 1 << 14;
        /// Other processes can use the store at the same time.
        const SHARED = 1 << 15;
        /// What was answered survives the death of the process.
        const DURABLE = 1 << 16;
        /// A lease can be asked for what is left of it and for its keys.
        const LEASE_INFO = 1 << 17;
    }
}

/// The names joined by ` | `, as the capability table writes them.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}
