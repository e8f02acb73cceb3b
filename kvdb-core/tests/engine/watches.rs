//! Watches at the edges of history and under slow readers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use kvdb_core::prelude::*;
use kvdb_core::{Backend, Change, Changes, KeyRange, Scan};

use crate::common::{Faulty, open, soon, store};

async fn item(watch: &mut Watch) -> Result<Event> {
    soon("the next event", watch.next()).await.expect("the watch has ended")
}

#[tokio::test]
async fn a_change_that_is_compacted_before_it_was_read_is_told_or_its_loss_is() {
    let kv = store();
    let mut watch = kv.watch_key("a").await.unwrap();
    let written = kv.put("a", "1").await.unwrap().modified_index;
    kv.compact(written).await.unwrap();
    match item(&mut watch).await {
        Ok(event) => assert_eq!(event.pair().unwrap().modified_index, written),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Compacted { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_gap_is_bridged_by_the_differences_and_said_to_be_one() {
    let kv = store();
    kv.put("d/gone", "1").await.unwrap();
    kv.put("d/kept", "1").await.unwrap();
    kv.put("d/set", "1").await.unwrap();
    let mut watch = kv.watch_tree("d").on_gap(OnGap::Resync).await.unwrap();
    kv.delete("d/gone").await.unwrap();
    kv.put("d/set", "2").await.unwrap();
    let last = kv.put("d/new", "1").await.unwrap().modified_index;
    kv.compact(last).await.unwrap();
    let mut told = Vec::new();
    let complete = loop {
        match item(&mut watch).await.unwrap() {
            Event::Resynced { complete, .. } => break complete,
            event => told.push((event.pair().unwrap().key.clone(), matches!(event, Event::Put(_)))),
        }
    };
    let expected = [("d/set", true), ("d/new", true), ("d/gone", false)];
    assert_eq!(told, expected.map(|(key, put)| (key.to_owned(), put)));
    assert!(!complete);
    kv.put("d/kept", "2").await.unwrap();
    assert_eq!(item(&mut watch).await.unwrap().pair().unwrap().key, "d/kept");
}

#[tokio::test]
async fn from_the_very_beginning_with_resync_is_granted_with_and_without_its_history() {
    let kv = store();
    kv.put("a", "1").await.unwrap();
    let mut watch = kv.watch_tree("").after(0).on_gap(OnGap::Resync).await.unwrap();
    assert_eq!(item(&mut watch).await.unwrap().pair().unwrap().key, "a");
    let last = kv.put("b", "1").await.unwrap().modified_index;
    kv.compact(last).await.unwrap();
    let mut watch = kv.watch_tree("").after(0).on_gap(OnGap::Resync).await.unwrap();
    let mut keys = Vec::new();
    let complete = loop {
        match item(&mut watch).await.unwrap() {
            Event::Resynced { complete, .. } => break complete,
            event => keys.push(event.pair().unwrap().key.clone()),
        }
    };
    assert_eq!((keys, complete), (vec!["a".to_owned(), "b".to_owned()], true));
    let error = kv.watch_tree("").after(0).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Compacted { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_far_behind_the_others_still_gets_every_change_in_order() {
    const CHANGES: u64 = 3000;
    let kv = store();
    let mut slow = kv.watch_key("a").await.unwrap();
    let mut fast = kv.watch_key("a").await.unwrap();
    let first = kv.put("a", "").await.unwrap().modified_index;
    for _ in 1..CHANGES {
        kv.put("a", "").await.unwrap();
        item(&mut fast).await.unwrap();
    }
    for revision in first.get()..first.get() + CHANGES {
        assert_eq!(item(&mut slow).await.unwrap().pair().unwrap().modified_index, revision);
    }
}

#[tokio::test]
async fn a_dropped_next_loses_no_event() {
    let kv = store();
    let mut watch = kv.watch_key("a").await.unwrap();
    for round in 0..50_u64 {
        assert!(futures_util::poll!(Box::pin(watch.next())).is_pending());
        let written = kv.put("a", round.to_string()).await.unwrap().modified_index;
        let mut polls = 0;
        let event = loop {
            match futures_util::poll!(Box::pin(watch.next())) {
                std::task::Poll::Ready(event) => break event.unwrap().unwrap(),
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
            polls += 1;
            assert!(polls < 10_000, "the event of round {round} was lost");
        };
        assert_eq!(event.pair().unwrap().modified_index, written);
    }
}

/// The state of the whole store, as a store without history tells it after a break.
async fn state(backend: &dyn Backend) -> Changes {
    let page = backend.list(&KeyRange::all(), &Scan::default()).next().await.unwrap().unwrap();
    Changes::Resync { revision: page.revision, present: page.entries }
}

#[tokio::test]
async fn a_state_from_before_what_a_reader_was_told_takes_nothing_back() {
    let faulty = Arc::new(Faulty::default());
    faulty.forgets.store(true, Ordering::SeqCst);
    let (script, lines) = tokio::sync::mpsc::unbounded_channel();
    *faulty.script.lock().unwrap() = Some(lines);
    let kv = open(faulty.clone(), &Options::new());
    kv.put("d/a", "1").await.unwrap();
    // The shared watch breaks and reads the state anew; a write later a reader joins, and reads it for itself.
    let before = state(&*faulty).await;
    let Changes::Resync { revision, .. } = before else { unreachable!() };
    let told = kv.put("d/b", "1").await.unwrap().modified_index;
    let mut watch = kv.watch_tree("d").current().await.unwrap();
    for _ in 0..2 {
        assert!(matches!(item(&mut watch).await.unwrap(), Event::Put(_)));
    }
    assert_eq!(item(&mut watch).await.unwrap(), Event::Synced(told));
    script.send(before).unwrap();
    // The feed goes on behind that state.
    let after = state(&*faulty).await;
    let Changes::Resync { present, .. } = after else { unreachable!() };
    let again = present.into_iter().find(|entry| entry.modified == told).unwrap();
    assert!(revision < told);
    script
        .send(Changes::Batch { revision: told, changes: vec![Change::Put { entry: again, previous: None }] })
        .unwrap();
    assert_eq!(item(&mut watch).await.unwrap(), Event::Resynced { revision: told, complete: false });
    let last = kv.put("d/c", "1").await.unwrap();
    let present = match state(&*faulty).await {
        Changes::Resync { present, .. } => present,
        _ => unreachable!(),
    };
    let entry = present.into_iter().find(|entry| entry.modified == last.modified_index).unwrap();
    let changes = vec![Change::Put { entry, previous: None }];
    script.send(Changes::Batch { revision: last.modified_index, changes }).unwrap();
    assert_eq!(item(&mut watch).await.unwrap().pair().unwrap().key, "d/c");
}
