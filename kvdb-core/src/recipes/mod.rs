//! Small uses of the verbs, each complete in itself.

mod callback;
mod collector;
mod diff;
mod dump;
mod election;
mod follow;
mod lock_manager;
mod membership;
mod mirror;
mod persistent_lease;
mod prefix_state;
mod rw_lock;
mod semaphore;
mod sorted;
mod temp_key;
mod tx;
mod wait_for;

pub use callback::{CallbackWatch, call_back};
pub use collector::{Replay, ReplayCallback, UpdatesCollector};
pub use diff::{Diff, Difference};
pub use dump::deserialize;
pub(crate) use dump::{import, serialize};
pub use election::{Campaign, Election, ElectionEvent, ElectionOptions, Leader, LeaderWatch};
pub use lock_manager::{LockLoss, LockManager, ManagedLock};
pub use membership::{Member, MemberRecord, Membership, MembershipWatch};
pub use mirror::{Mirror, MirrorProgress, MirrorReason, MirrorStage};
pub use persistent_lease::{OnConflict, PersistentLease, PersistentLeaseOptions, PersistentState, PersistentStates};
pub use prefix_state::{PrefixState, PrefixWatch, watch_prefix};
pub use rw_lock::RwLock;
pub use semaphore::Semaphore;
pub use temp_key::TempKey;
pub use tx::Tx;
pub(crate) use tx::transact;
pub use wait_for::{Condition, wait_for, wait_for_within};
