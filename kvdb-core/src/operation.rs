use std::fmt;

/// What a call was about; errors and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a store.
    Connect,
    /// Reading a key.
    Get,
    /// Listing keys.
    List,
    /// Writing a key without a condition.
    Put,
    /// Writing an absent key.
    Create,
    /// Writing a present key.
    Update,
    /// Writing a key under conditions.
    CompareAndSet,
    /// Deleting a key without a condition.
    Delete,
    /// Deleting a key under conditions.
    CompareAndDelete,
    /// Deleting a directory or range.
    DeleteTree,
    /// A transaction.
    Txn,
    /// Taking a snapshot.
    Snapshot,
    /// Watching keys.
    Watch,
    /// Taking a lock.
    Lock,
    /// Releasing a lock.
    Unlock,
    /// Asking who holds a lock.
    LockHolder,
    /// Granting a lease.
    LeaseGrant,
    /// Keeping a lease alive.
    LeaseKeepAlive,
    /// Revoking a lease.
    LeaseRevoke,
    /// Asking about a lease.
    LeaseInfo,
    /// Compacting history.
    Compact,
    /// Administering the store.
    Admin,
    /// Closing the handle.
    Close,
}

impl Operation {
    /// Its name as logs and errors write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Get => "get",
            Self::List => "list",
            Self::Put => "put",
            Self::Create => "create",
            Self::Update => "update",
            Self::CompareAndSet => "compare_and_set",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compare_and_delete",
            Self::DeleteTree => "delete_tree",
            Self::Txn => "txn",
            Self::Snapshot => "snapshot",
            Self::Watch => "watch",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::LockHolder => "lock_holder",
            Self::LeaseGrant => "lease_grant",
            Self::LeaseKeepAlive => "lease_keep_alive",
            Self::LeaseRevoke => "lease_revoke",
            Self::LeaseInfo => "lease_info",
            Self::Compact => "compact",
            Self::Admin => "admin",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
