use std::sync::Arc;

use kvdb_core::Options;
use kvdb_core::prelude::*;
use kvdb_core::recipes::{Condition, wait_for};
use tokio::sync::mpsc;

use crate::common::{Faulty, open, soon, until};

#[tokio::test]
async fn a_watch_that_ends_without_an_error_is_no_success() {
    let faulty = Arc::new(Faulty::default());
    let kv = open(faulty.clone(), &Options::new());
    kv.put("a", "1").await.unwrap();
    let (script, told) = mpsc::unbounded_channel();
    *faulty.script.lock().unwrap() = Some(told);
    let waiting = tokio::spawn({
        let kv = kv.clone();
        async move { wait_for(&kv, "a", Condition::Absent).await }
    });
    until("the watch", || faulty.watches.lock().unwrap().len() == 1).await;
    drop(script);
    until("another watch", || faulty.watches.lock().unwrap().len() > 1).await;
    assert!(!waiting.is_finished(), "the key is there");
    kv.delete("a").await.unwrap();
    assert_eq!(soon("the deletion", waiting).await.unwrap().unwrap(), None);
}
