//! The Go package's constants and types by their names.

use super::Kvi;

/// No change: what a watch is never about.
pub const KVC_KEYCHANGE_INVAL: i32 = 0;
/// The key was written.
pub const KVC_KEYCHANGE_PUT: i32 = 1;
/// The key was deleted, or its time to live ran out.
pub const KVC_KEYCHANGE_DELETE: i32 = 2;

/// The name of the lock that [`Kvi::dist_lock`] takes unless another one is set: one for all programs that share a
/// store and a domain.
pub const DIST_LOCK_KEY: &str = "hbtd_dist_lock";

/// How a lock call ended. As in the Go package no call answers it: it is here for programs that carry it around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum KvcLockResult {
    /// Nothing is known (0).
    Invalid = 0,
    /// The lock could not be asked for (1).
    SetFail = 1,
    /// Somebody else holds it (2).
    Occupied = 2,
    /// It is held (3).
    Granted = 3,
    /// It could not be released (4).
    ReleaseFail = 4,
    /// It is released (5).
    Released = 5,
}

/// Nothing is known.
pub const KVC_LOCK_RSLT_INVALID: KvcLockResult = KvcLockResult::Invalid;
/// The lock could not be asked for.
pub const KVC_LOCK_SET_FAIL: KvcLockResult = KvcLockResult::SetFail;
/// Somebody else holds the lock.
pub const KVC_LOCK_OCCUPIED: KvcLockResult = KvcLockResult::Occupied;
/// The lock is held.
pub const KVC_LOCK_GRANTED: KvcLockResult = KvcLockResult::Granted;
/// The lock could not be released.
pub const KVC_LOCK_RELEASE_FAIL: KvcLockResult = KvcLockResult::ReleaseFail;
/// The lock is released.
pub const KVC_LOCK_RELEASED: KvcLockResult = KvcLockResult::Released;

/// A key with its value.
#[allow(non_camel_case_types, reason = "it is the Go package's spelling")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kvi_KV {
    /// The key, relative to the domain.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A [`Kvi`] on etcd: one type serves every store.
#[allow(non_camel_case_types, reason = "it is the Go package's spelling")]
pub type Kvs_etcd = Kvi;

/// A [`Kvi`] in memory: one type serves every store.
#[allow(non_camel_case_types, reason = "it is the Go package's spelling")]
pub type Kvs_mem = Kvi;
