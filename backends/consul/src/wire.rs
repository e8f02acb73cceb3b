//! What goes over the wire: entries, transactions, sessions.

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kvdb_core::{Entry, Key, LeaseId, Revision};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A stored key.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    pub(crate) key: String,
    #[serde(default, deserialize_with = "from_base64")]
    pub(crate) value: Option<Bytes>,
    pub(crate) flags: u64,
    #[serde(default)]
    pub(crate) session: Option<String>,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

impl Item {
    /// Who holds the key.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.session.as_deref().filter(|session| !session.is_empty())
    }

    pub(crate) fn entry(self) -> Entry {
        let lease = self.holder().map(|session| LeaseId::Text(session.into()));
        Entry {
            key: Key::from(self.key),
            value: self.value.unwrap_or_default(),
            created: Revision::new(self.create_index),
            modified: Revision::new(self.modify_index),
            version: None,
            lease,
            ttl: None,
        }
    }
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("base64 or null")
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_str(self)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            // The cause would show a part of the value.
            STANDARD.decode(text).map(|bytes| Some(bytes.into())).map_err(|_| E::custom("the value is not base64"))
        }
    }
    from.deserialize_option(Text)
}

/// One operation of a transaction.
#[derive(Debug, Serialize)]
pub(crate) struct TxnOp<'a> {
    #[serde(rename = "KV")]
    pub(crate) kv: KvOp<'a>,
}

/// An operation on a key; what a verb does not use stays away.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KvOp<'a> {
    pub(crate) verb: &'static str,
    pub(crate) key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Base64<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flags: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<&'a str>,
}

/// Bytes as JSON carries them.
pub(crate) struct Base64<'a>(pub(crate) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl fmt::Debug for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The answer to a transaction, committed or not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TxnAnswer {
    pub(crate) results: Option<Vec<TxnResult>>,
    pub(crate) errors: Option<Vec<TxnError>>,
}

/// What one operation left or read. Deletions and failed conditions have none.
#[derive(Debug, Deserialize)]
pub(crate) struct TxnResult {
    #[serde(rename = "KV")]
    pub(crate) kv: Item,
}

/// Why one operation refused.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TxnError {
    pub(crate) op_index: usize,
    pub(crate) what: String,
}

/// A session to be made: what it holds is deleted with it, keys that it held are free at once, and it lives by its
/// renewals alone and not by the agent's health, which it would without `NodeChecks`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NewSession<'a> {
    pub(crate) name: &'a str,
    #[serde(rename = "TTL")]
    pub(crate) ttl: String,
    pub(crate) behavior: &'a str,
    pub(crate) lock_delay: &'a str,
    pub(crate) node_checks: [&'a str; 0],
}

/// A session as the server tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(rename = "TTL", default)]
    pub(crate) ttl: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_read_whole() {
        let text = r#"{"LockIndex":1,"Key":"h\"x","Flags":18446744073709551615,"Value":"/wA=","Session":"s",
            "CreateIndex":15,"ModifyIndex":17}"#;
        let item: Item = serde_json::from_str(text).unwrap();
        assert_eq!((item.flags, item.holder()), (u64::MAX, Some("s")));
        let entry = item.entry();
        assert_eq!((entry.key, entry.value), (Key::from("h\"x"), Bytes::from_static(&[0xff, 0])));
        assert_eq!((entry.created.get(), entry.modified.get(), entry.version), (15, 17, None));
        assert_eq!(entry.lease, Some(LeaseId::Text("s".into())));
        let empty = r#"{"Key":"a","Flags":0,"Value":null,"CreateIndex":1,"ModifyIndex":1}"#;
        let entry = serde_json::from_str::<Item>(empty).unwrap().entry();
        assert_eq!((entry.value, entry.lease), (Bytes::new(), None));
    }

    #[test]
    fn a_value_that_is_not_base64_is_an_error_that_does_not_show_it() {
        let bad = r#"{"Key":"a","Flags":0,"Value":"hunter2!","CreateIndex":1,"ModifyIndex":1}"#;
        let error = serde_json::from_str::<Item>(bad).unwrap_err().to_string();
        assert!(error.contains("not base64") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_operation_carries_what_its_verb_uses() {
        let op = KvOp { verb: "cas", key: "a\"b", value: Some(Base64(b"v1")), index: Some(0), ..KvOp::default() };
        let text = serde_json::to_string(&TxnOp { kv: op }).unwrap();
        assert_eq!(text, r#"{"KV":{"Verb":"cas","Key":"a\"b","Value":"djE=","Index":0}}"#);
    }
}
