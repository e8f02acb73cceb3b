//! Contract chapter 4: transactions. What must hold however they are evaluated runs twice: as the store does it, and
//! with NATIVE_TXN taken away.

mod branches;
mod compares;
mod emulated;
mod fence;
mod limits;
mod serializable;
mod transact;
mod tx;
mod visible;

crate::trials! {
    "4.1 each compare holds and fails in each state of the key" => compares::table;
    "4.1 version compares", needs(KEY_VERSION) => compares::versions;
    "4.1 unsupported: version compares", lacks(KEY_VERSION) => compares::unsupported;
    "4.1 lease compares", needs(LEASES|SHARED_LEASES) => compares::leases;
    "4.1 unsupported: puts with a TTL without TTL", lacks(TTL) => branches::ttl_unsupported;
    "4.1 all compares must hold, and one of the branches runs" => branches::both;
    "4.1 operations run in order and see those before them" => branches::in_order;
    "4.1 a put takes a TTL or a lease", needs(TTL|LEASES|SHARED_LEASES) => branches::ttl_and_lease;
    "4.1 keys are spelled as everywhere, reserved and impossible ones refused" => branches::spelling;
    "4.1 a transaction takes one revision, one that only reads takes none" => branches::revisions;
    "4.2 a value compare on an absent key is false, also !=" => compares::absent_values;
    "4.3 a native transaction is one step and never Contention", needs(NATIVE_TXN) => emulated::native_is_one_step;
    "4.3 without NATIVE_TXN each compare holds and fails alike", lacks(NATIVE_TXN) => compares::table;
    "4.3 without NATIVE_TXN version compares are the same", needs(KEY_VERSION), lacks(NATIVE_TXN) => compares::versions;
    "4.3 without NATIVE_TXN lease compares are the same", needs(LEASES|SHARED_LEASES), lacks(NATIVE_TXN) => compares::leases;
    "4.3 without NATIVE_TXN one of the branches runs", lacks(NATIVE_TXN) => branches::both;
    "4.3 without NATIVE_TXN operations run in order", lacks(NATIVE_TXN) => branches::in_order;
    "4.3 without NATIVE_TXN a put takes a TTL or a lease", needs(TTL|LEASES|SHARED_LEASES), lacks(NATIVE_TXN) => branches::ttl_and_lease;
    "4.3 without NATIVE_TXN absent keys compare alike", lacks(NATIVE_TXN) => compares::absent_values;
    "4.3 without NATIVE_TXN a transaction takes one revision", lacks(NATIVE_TXN) => branches::revisions;
    "4.3 without NATIVE_TXN the branch is chosen anew after a conflict", lacks(NATIVE_TXN) => emulated::chosen_anew;
    "4.3 without NATIVE_TXN a conflict that does not end is Contention", lacks(NATIVE_TXN) => emulated::contention;
    "4.3 without NATIVE_TXN a lost reply is never its own conflict", lacks(NATIVE_TXN) => emulated::reply_lost;
    "4.3 without NATIVE_TXN what did not arrive and is guarded is made again", lacks(NATIVE_TXN) => emulated::not_arrived;
    "4.3 a native transaction with a lost reply is Ambiguous and stands once", needs(NATIVE_TXN) => emulated::native_reply_lost;
    "4.4 a branch writes a key once" => limits::written_once;
    "4.4 the store refuses a batch that writes a key twice, ranges included" => limits::batch_of_the_store;
    "4.4 the store refuses a range delete over other writes of the batch", needs(DELETE_RANGE) => limits::ranges_of_the_store;
    "4.4 the store refuses a transaction that writes a key twice", needs(NATIVE_TXN) => limits::native_of_the_store;
    "4.4 more leases than the store takes are refused", needs(LEASES) => limits::leases;
    "4.4 what is over a limit is TooLarge before anything is sent" => limits::too_large;
    "4.5 a Tx reads its own writes and shows nothing before its commit" => tx::own_writes;
    "4.5 reads of a Tx are repeatable" => tx::repeatable;
    "4.5 a commit is Modified when what was read has changed, in any way" => tx::conflicts;
    "4.5 a commit is one batch, in one revision" => tx::one_batch;
    "4.5 put_ttl and leases in a Tx", needs(TTL) => tx::with_ttl;
    "4.5 without NATIVE_TXN a commit is Modified when what was read has changed", lacks(NATIVE_TXN) => tx::conflicts;
    "4.5 transfers between accounts keep the sum, in every snapshot", needs(ATOMIC_LIST) => serializable::bank;
    "4.5 without NATIVE_TXN transfers keep the sum", needs(ATOMIC_LIST), lacks(NATIVE_TXN) => serializable::bank;
    "4.5 there is no write skew" => serializable::write_skew;
    "4.5 without NATIVE_TXN there is no write skew", lacks(NATIVE_TXN) => serializable::write_skew;
    "4.6 prepare fails where the commit would, and ends nothing" => tx::prepare;
    "4.6 prepare keeps to the limits of the commit" => tx::prepare_limits;
    "4.6 after commit or abort every call is InvalidArgument" => tx::ended;
    "4.7 transact: 64 tasks raise one counter and lose nothing" => transact::counter;
    "4.7 a closure that always conflicts is Contention within its time" => transact::always_conflicts;
    "4.7 the closure's own error counts only over reads that belong together" => transact::own_error;
    "4.7 a closure may end its transaction itself" => transact::ends_itself;
    "4.8 readers see all of a transaction or nothing" => visible::to_readers;
    "4.8 a watch is told a transaction's changes together", needs(ORDERED_UPDATES) => visible::to_watches;
    "4.8 a stream of cuts never shows half a transaction", lacks(ORDERED_UPDATES) => visible::to_cuts;
    "4.8 a reopened store has all of a transaction or nothing", needs(DURABLE) => visible::after_restart;
    "8.6 the fence of a lock decides a transaction", needs(LEASES) => fence::decides;
    "8.6 without NATIVE_TXN the fence of a lock decides a transaction", needs(LEASES), lacks(NATIVE_TXN) => fence::decides;
}

/// The deadline of transactions that many tasks fight for.
const LONG: std::time::Duration = std::time::Duration::from_secs(45);
