//! What others put beside our nodes.

use super::*;
use zookeeper::{Acls, CreateMode};

#[tokio::test]
async fn znodes_of_others_are_no_keys_and_may_be_directories() {
    let (store, stranger) = (open().await, stranger().await);
    let place = place();
    let path = |name: &str| format!("/{place}{name}");
    let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
    stranger.create(path("").trim_end_matches('/'), b"theirs", &plain).await.unwrap();
    for name in ["plain", "plain/below", "%zz=", "%41=", "a==", "ours="] {
        stranger.create(&path(name), b"theirs", &plain).await.unwrap();
    }
    let key = |name: &str| Key::from(format!("{place}{name}"));
    let range = KeyRange::prefix(place.as_bytes());
    let mut feed = watch(&store, range.clone(), None).await;
    // A name that is one of ours is a key.
    assert_eq!(names(&store, &range).await, [key("ours").to_string()]);
    stranger.set_data(&path("plain"), b"more", None).await.unwrap();
    stranger.create(&path("other"), b"", &plain).await.unwrap();
    drop(written(&store, vec![Guard::Absent(key("plain"))], put(&key("plain"), "1")).await);
    drop(written(&store, vec![], put(&key("plain/below"), "1")).await);
    assert_eq!(cut(&mut feed).await.1, [format!("+{}=1", key("plain"))]);
    assert_eq!(cut(&mut feed).await.1, [format!("+{}=1", key("plain/below"))]);
    stranger.set_data(&path("ours="), b"by them", None).await.unwrap();
    assert_eq!(cut(&mut feed).await.1, [format!("+{}=by them", key("ours"))]);
    assert_eq!(stranger.get_data(&path("plain")).await.unwrap().0, b"more");
}

#[tokio::test]
async fn what_is_in_the_way_is_a_typed_error() {
    let (store, stranger) = (open().await, stranger().await);
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    let path = |name: &str| format!("/{place}{name}");
    drop(written(&store, vec![], put(&key("k"), "1")).await);
    let acls = Acls::anyone_all();
    stranger.create(&path("short"), b"", &CreateMode::Ephemeral.with_acls(acls)).await.unwrap();
    let batch = |op| Batch { guards: vec![], ops: vec![op] };
    let below = batch(put(&key("short/k"), "1"));
    assert_eq!(kind(store.commit(&below)).await, ErrorKind::InvalidArgument);
    stranger.create(&path("k=/child"), b"", &CreateMode::Persistent.with_acls(acls)).await.unwrap();
    let above = batch(delete(&key("k")));
    assert_eq!(kind(store.commit(&above)).await, ErrorKind::NotEmpty);
    assert_eq!(names(&store, &KeyRange::prefix(place.as_bytes())).await, [key("k").to_string()]);
}

#[tokio::test]
async fn empty_directories_go_away_and_generations_stay() {
    let (store, stranger) = (open().await, stranger().await);
    let place = place();
    let key = Key::from(format!("{place}a/b/c"));
    drop(written(&store, vec![], put(&key, "1")).await);
    drop(deleted(&store, &key).await);
    let directory = format!("/{place}a");
    until("the directory is removed", || async { stranger.check_stat(&directory).await.unwrap().is_none() }).await;
    let own = stranger.list_children(&format!("/{place}_kvdb/gen")).await.unwrap();
    assert_eq!(own.len(), 1);
    drop(written(&store, vec![], put(&key, "2")).await);
}
