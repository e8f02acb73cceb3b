//! Watches at the edges of history and under slow readers.

use kvdb_core::prelude::*;

use crate::common::{soon, store};

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
