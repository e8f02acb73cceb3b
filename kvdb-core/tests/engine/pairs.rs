use kvdb_core::prelude::*;
use kvdb_core::{IntoValue, KvFlags, Precondition};

use crate::common::store;

#[test]
fn a_hand_made_pair_knows_its_key_and_value_only() {
    let pair = KvPair::new("a/b", "text");
    assert_eq!((pair.key.as_str(), pair.text(), pair.action), ("a/b", Some("text"), KvAction::Unknown));
    assert_eq!((pair.created_index, pair.modified_index, pair.kvdb_index), Default::default());
    assert_eq!((pair.ttl, &pair.lease, pair.version, &pair.previous), (None, &None, None, &None));
}

#[test]
fn a_pair_shows_text_only_where_it_is_text() {
    assert_eq!(KvPair::new("a", "").text(), Some(""));
    assert_eq!(KvPair::new("a", vec![0xff]).text(), None);
}

#[test]
fn json_is_decoded_or_refused_with_the_key_and_without_the_value() {
    assert_eq!(KvPair::new("a", "[1,2]").json::<Vec<u8>>().unwrap(), [1, 2]);
    let error = KvPair::new("a/b", "hunter2").json::<Vec<u8>>().unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrorKind::Serialization, Some("a/b")));
    assert!(std::error::Error::source(&error).is_some());
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn owned_bytes_are_moved_and_not_copied() {
    let bytes = Bytes::from(vec![7; 64]);
    let place = bytes.as_ptr();
    assert_eq!((&bytes).into_value().as_ptr(), place);
    assert_eq!(bytes.into_value().as_ptr(), place);
    let text = String::from("some text");
    let place = text.as_ptr();
    assert_eq!(text.into_value().as_ptr(), place);
}

#[test]
fn flags_become_conditions_and_contradictions_are_refused() {
    let pair = KvPair::new("a", "");
    let when = |flags, previous| Precondition::from_flags(&pair, flags, previous);
    assert_eq!(when(KvFlags::MODIFIED_INDEX, None).unwrap(), Precondition::absent());
    assert_eq!(when(KvFlags::PREV_EXISTS | KvFlags::TTL, None).unwrap(), Precondition::present());
    for (flags, previous) in [
        (KvFlags::empty(), None),
        (KvFlags::TTL, None),
        (KvFlags::MODIFIED_INDEX | KvFlags::PREV_EXISTS, None),
        (KvFlags::MODIFIED_INDEX, Some(Bytes::new())),
    ] {
        assert_eq!(*when(flags, previous).unwrap_err().kind(), ErrorKind::InvalidArgument, "{flags:?}");
    }
}

#[tokio::test]
async fn a_read_pair_says_where_it_stands_in_history() {
    let kv = store();
    let first = kv.put("a", "1").await.unwrap();
    kv.put("b", "1").await.unwrap();
    let second = kv.put("a", "2").await.unwrap();
    let read = kv.get("a").await.unwrap().unwrap();
    assert_eq!((read.created_index, read.modified_index), (first.modified_index, second.modified_index));
    assert_eq!((read.version, read.action), (Some(2), KvAction::Get));
    assert!(read.kvdb_index >= second.modified_index);
    assert_eq!((first.modified_index, second.modified_index), (Revision::new(2), Revision::new(4)));
}
