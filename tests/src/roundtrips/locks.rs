//! What locks cost.

use kvdb::prelude::*;
use kvdb_testsuite::{Proof, ensure_eq};
use libtest_mimic::Trial;

use super::etcd::{Calls, Counted, trial};

const LOCKS: u64 = 100;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("round trips: 100 free locks are 100 transactions, the handle's lease warm", free_locks),
        trial("round trips: releasing 100 locks is 100 transactions", releases),
    ]
}

async fn free_locks(counted: Counted) -> Proof {
    let _warm = counted.kv.lock("warm").await?;
    let before = counted.calls()?;
    let held = take_all(&counted).await?;
    let calls = counted.calls()?.since(before);
    ensure_eq!(calls, Calls { range: 0, put: 0, delete: 0, txn: LOCKS });
    ensure_eq!(held.iter().filter(|lock| lock.is_held()).count() as u64, LOCKS);
    Ok(())
}

async fn releases(counted: Counted) -> Proof {
    let held = take_all(&counted).await?;
    let before = counted.calls()?;
    for lock in held {
        lock.release().await?;
    }
    let calls = counted.calls()?.since(before);
    ensure_eq!(calls, Calls { range: 0, put: 0, delete: 0, txn: LOCKS });
    Ok(())
}

async fn take_all(counted: &Counted) -> Proof<Vec<LockGuard>> {
    let mut held = Vec::new();
    for n in 0..LOCKS {
        held.push(counted.kv.lock(&format!("lock-{n}")).await?);
    }
    Ok(held)
}
