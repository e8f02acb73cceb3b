//! The reference library's own names of types and constants.
#![allow(non_upper_case_globals, reason = "they are the reference library's spellings")]

use std::time::Duration;

use crate::{Capabilities, ErrorKind, FatalCallback, KvAction, KvFlags, KvPair, PermissionType};

/// A key with its value.
pub type KVPair = KvPair;
/// Keys with their values.
pub type KVPairs = Vec<KvPair>;
/// What happened to a pair.
pub type KVAction = KvAction;
/// Flags of `compare_and_set` and `compare_and_delete`.
pub type KVFlags = KvFlags;
/// Called when something breaks that no call can report.
pub type FatalErrorCB = FatalCallback;
/// The name of a wrapper.
pub type WrapperName = &'static str;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $of:ty = $value:expr;)*) => {$(
        $(#[$doc])*
        pub const $name: $of = $value;
    )*};
}

names! {
    /// A present key was written.
    KVSet: KvAction = KvAction::Set;
    /// An absent key was written.
    KVCreate: KvAction = KvAction::Create;
    /// The pair was read.
    KVGet: KvAction = KvAction::Get;
    /// The key was deleted.
    KVDelete: KvAction = KvAction::Delete;
    /// The key was deleted because its TTL ran out.
    KVExpire: KvAction = KvAction::Expire;
    /// Nothing is known about the operation; spelt as the reference library spells it.
    KVUknown: KvAction = KvAction::Unknown;
}

names! {
    /// The key must be present.
    KVPrevExists: KvFlags = KvFlags::PREV_EXISTS;
    /// The key's created index must equal the pair's.
    KVCreatedIndex: KvFlags = KvFlags::CREATED_INDEX;
    /// The key's modified index must equal the pair's; 0 asks for an absent key.
    KVModifiedIndex: KvFlags = KvFlags::MODIFIED_INDEX;
    /// Write with the pair's TTL.
    KVTTL: KvFlags = KvFlags::TTL;
}

names! {
    /// The bit of [`super::Portworx::capabilities_number`] that says: a watch tells every write, in order.
    KVCapabilityOrderedUpdates: u32 = Capabilities::ORDERED_UPDATES.bits();
}

names! {
    /// Read access.
    ReadPermission: PermissionType = PermissionType::Read;
    /// Write access.
    WritePermission: PermissionType = PermissionType::Write;
    /// Read and write access.
    ReadWritePermission: PermissionType = PermissionType::ReadWrite;
}

names! {
    /// No wrapper.
    Wrapper_None: WrapperName = "Wrapper_None";
    /// The wrapper that writes one line per call.
    Wrapper_Log: WrapperName = "Wrapper_Log";
    /// The wrapper that refuses calls while the store has no quorum.
    Wrapper_NoQuorum: WrapperName = "Wrapper_NoQuorum";
}

names! {
    /// The option that names the user.
    UsernameKey: &str = "Username";
    /// The option with the user's password.
    PasswordKey: &str = "Password";
    /// The option with the path of the CA's certificate.
    CAFileKey: &str = "CAFile";
    /// The option with the path of the client's certificate.
    CertFileKey: &str = "CertFile";
    /// The option with the path of the client's private key.
    CertKeyFileKey: &str = "CertKeyFile";
    /// The option with the path of the trusted CA's certificate; wins over [`CAFileKey`].
    TrustedCAFileKey: &str = "TrustedCAFile";
    /// The option that makes a server ask for certificates; a client accepts it, without effect.
    ClientCertAuthKey: &str = "ClientCertAuth";
    /// The option with the number of retries.
    RetryCountKey: &str = "RetryCount";
    /// The option with the token of stores that have access lists.
    ACLTokenKey: &str = "ACLToken";
    /// The option with the TLS server name.
    CAAuthAddress: &str = "CAAuthAddress";
    /// The option that turns the check of the server's certificate off.
    InsecureSkipVerify: &str = "InsecureSkipVerify";
    /// The option with the endpoints' scheme, http or https.
    TransportScheme: &str = "TransportScheme";
    /// The option with the path of the log wrapper's file.
    LogPathOption: &str = "LogPathOption";
}

names! {
    /// Consul's API, as `version` names it.
    ConsulVersion1: &str = "consulv1";
    /// etcd's name without a version.
    EtcdBaseVersion: &str = "etcd";
    /// etcd's API, as `version` names it.
    EtcdVersion3: &str = "etcdv3";
    /// The memory store's API, as `version` names it.
    MemVersion1: &str = "memv1";
    /// The file store's API, as `version` names it.
    BoltVersion1: &str = "boltv1";
    /// ZooKeeper's API, as `version` names it.
    ZookeeperVersion1: &str = "zookeeperv1";
}

names! {
    /// How long taking a lock may wait unless told otherwise.
    DefaultLockTryDuration: Duration = Duration::from_secs(300);
    /// What separates the segments of a key.
    DefaultSeparator: &str = "/";
    /// The port on which members of an etcd cluster talk to each other.
    PeerPort: &str = "2380";
    /// The port on which clients talk to etcd.
    ClientPort: &str = "2379";
}

// Kinds that carry details (`TtlNotSupported`, `Unsupported`, `LockTimeout`, `Compacted`) are matched by their variant:
// a constant could only equal one of their many values.
names! {
    /// The watch was stopped.
    ErrWatchStopped: ErrorKind = ErrorKind::WatchStopped;
    /// The key is absent.
    ErrNotFound: ErrorKind = ErrorKind::NotFound;
    /// The key is present and should not be.
    ErrExist: ErrorKind = ErrorKind::AlreadyExists;
    /// A value could not be encoded or decoded.
    ErrUnmarshal: ErrorKind = ErrorKind::Serialization;
    /// The call's arguments make no sense.
    ErrIllegal: ErrorKind = ErrorKind::InvalidArgument;
    /// The key's value is not the one that was named.
    ErrValueMismatch: ErrorKind = ErrorKind::ValueMismatch;
    /// The key was written since the index that was named.
    ErrModified: ErrorKind = ErrorKind::Modified;
    /// The guard does not belong to this store or handle.
    ErrInvalidLock: ErrorKind = ErrorKind::InvalidLock;
    /// A user name without a password.
    ErrNoPassword: ErrorKind = ErrorKind::InvalidConfig;
    /// Half of a certificate pair.
    ErrNoCertificate: ErrorKind = ErrorKind::InvalidConfig;
    /// The permission is not known.
    ErrUnknownPermission: ErrorKind = ErrorKind::InvalidArgument;
    /// The cluster has no such member.
    ErrMemberDoesNotExist: ErrorKind = ErrorKind::MemberNotFound;
    /// The lock was lost.
    ErrLockRefreshFailed: ErrorKind = ErrorKind::LockLost;
    /// The lock was held longer than was allowed.
    ErrLockHoldTimeoutTriggered: ErrorKind = ErrorKind::LockHoldTimeout;
    /// The store cannot be reached.
    ErrNoConnection: ErrorKind = ErrorKind::Unavailable;
    /// The store's cluster has lost its quorum.
    ErrNoQuorum: ErrorKind = ErrorKind::NoQuorum;
}
