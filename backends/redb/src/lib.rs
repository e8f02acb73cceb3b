//! The embedded file store of kvdb, on redb.
