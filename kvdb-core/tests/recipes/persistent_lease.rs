use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::recipes::{PersistentLease, PersistentLeaseOptions, PersistentState};
use kvdb_core::{Before, Call, End, Interceptor, Operation, Options, Placement};

use crate::common::{Faulty, open, soon, until};

/// Refuses puts while it is told to, and writes down what passes.
#[derive(Debug, Default)]
struct Guarded {
    refuses: AtomicBool,
    refused: AtomicUsize,
    seen: Mutex<Vec<Operation>>,
}

#[derive(Clone, Debug)]
struct Guardian(Arc<Guarded>);

impl Interceptor for Guardian {
    type Note = ();

    fn name(&self) -> &'static str {
        "guardian"
    }

    fn placement(&self) -> Placement {
        Placement::Guard
    }

    fn before<'a>(&'a self, call: &Call<'_>) -> Before<'a, ()> {
        self.0.seen.lock().unwrap().push(call.operation);
        if call.operation == Operation::Put && self.0.refuses.load(Ordering::SeqCst) {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
            return Before::Refuse(Error::new(ErrorKind::PermissionDenied, "not yours"));
        }
        Before::Go(())
    }

    fn after(&self, (): (), _call: &Call<'_>, _end: &End<'_>) {}
}

fn guarded(backend: Arc<Faulty>) -> (Handle, Arc<Guarded>) {
    let (kv, guarded) = (open(backend, &Options::new()), Arc::new(Guarded::default()));
    kv.wrap(Arc::new(Guardian(Arc::clone(&guarded)))).unwrap();
    (kv, guarded)
}

fn lasting(ttl: Duration) -> PersistentLeaseOptions {
    PersistentLeaseOptions::default().ttl(ttl)
}

#[tokio::test]
async fn a_lease_that_ends_before_the_key_is_put_is_replaced_and_not_in_a_storm() {
    let faulty = Arc::new(Faulty::default());
    faulty.short_leases.store(5, Ordering::SeqCst);
    let kv = open(faulty.clone(), &Options::new());
    let held = PersistentLease::new(&kv, "a", "1", PersistentLeaseOptions::default()).await.unwrap();
    let pair = soon("the key", held.ready()).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap().and_then(|pair| pair.lease), pair.lease);
    let grants = faulty.take_calls().iter().filter(|call| **call == "grant").count();
    assert_eq!(grants, 6);
    held.close().await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_refused_is_told_by_ready_and_tried_on() {
    let (kv, guarded) = guarded(Arc::new(Faulty::default()));
    guarded.refuses.store(true, Ordering::SeqCst);
    let held = PersistentLease::new(&kv, "a", "1", PersistentLeaseOptions::default()).await.unwrap();
    let error = soon("the refusal", held.ready()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(held.state(), PersistentState::Pending);
    until("further tries", || guarded.refused.load(Ordering::SeqCst) > 3).await;
    guarded.refuses.store(false, Ordering::SeqCst);
    until("the key", || held.state() == PersistentState::Present).await;
    assert_eq!(soon("the key", held.ready()).await.unwrap().text(), Some("1"));
    // A value that is refused is told as well, while the one before stays.
    guarded.refuses.store(true, Ordering::SeqCst);
    held.set_value("2").unwrap();
    assert_eq!(*soon("the refusal", held.ready()).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(held.state(), PersistentState::Present);
    assert_eq!(kv.get("a").await.unwrap().as_ref().and_then(KvPair::text), Some("1"));
    held.close().await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn its_lease_is_kept_below_all_wrappers() {
    let faulty = Arc::new(Faulty::default());
    let (kv, guarded) = guarded(faulty.clone());
    let held = PersistentLease::new(&kv, "a", "1", lasting(Duration::from_millis(60))).await.unwrap();
    let first = soon("the key", held.ready()).await.unwrap();
    let kept = || faulty.calls.lock().unwrap().iter().filter(|call| **call == "keep_alive").count();
    until("keep-alives", || kept() >= 5).await;
    let seen = guarded.seen.lock().unwrap().clone();
    assert!(!seen.contains(&Operation::LeaseKeepAlive) && seen.contains(&Operation::LeaseGrant), "{seen:?}");
    assert!(kv.get("a").await.unwrap().is_some_and(|pair| pair.modified_index >= first.modified_index));
}

#[tokio::test]
async fn a_handle_that_is_dropped_lives_on_in_it() {
    let faulty = Arc::new(Faulty::default());
    let kv = open(faulty.clone(), &Options::new());
    let held = PersistentLease::new(&kv, "a", "1", PersistentLeaseOptions::default()).await.unwrap();
    soon("the key", held.ready()).await.unwrap();
    drop(kv);
    held.set_value("2").unwrap();
    assert_eq!(soon("the value", held.ready()).await.unwrap().text(), Some("2"));
    faulty.take_calls();
    drop(held);
    until("the end of its lease", || faulty.calls.lock().unwrap().contains(&"revoke")).await;
}
