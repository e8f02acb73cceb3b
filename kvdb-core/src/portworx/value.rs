use bytes::Bytes;
use serde::Serialize;

use crate::{Error, ErrorKind, IntoValue, Result};

/// A value by the reference library's rule: text and bytes are stored as they are, anything else as JSON.
///
/// Text and bytes, numbers and `bool` convert by themselves; for the rest there is [`Value::json`].
#[derive(Debug)]
pub struct Value(Result<Bytes>);

impl Value {
    /// Stores anything as JSON. A value without a JSON form is refused by the verb that it is given to, as
    /// `Serialization` naming the key.
    ///
    /// Text and bytes become JSON here too: `Value::json("a")` is stored with its quotes, `Value::from("a")` without.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(
            serde_json::to_vec(value).map(Bytes::from).map_err(|source| {
                Error::new(ErrorKind::Serialization, "the value has no JSON form").with_source(source)
            }),
        )
    }

    pub(super) fn into_bytes(self) -> Result<Bytes> {
        self.0
    }
}

impl<T: IntoValue> From<T> for Value {
    fn from(value: T) -> Self {
        Self(Ok(value.into_value()))
    }
}

/// The reference library's nil: JSON `null`.
impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::json(&())
    }
}

macro_rules! as_json {
    ($($plain:ty),*) => {$(
        impl From<$plain> for Value {
            fn from(value: $plain) -> Self {
                Self::json(&value)
            }
        }
    )*};
}
as_json!(bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn text_and_bytes_are_stored_as_they_are_anything_else_as_json() {
        #[derive(serde::Serialize)]
        struct Disk {
            name: String,
            size: u64,
        }
        for (value, stored) in [
            (Value::from("a \"b\""), &b"a \"b\""[..]),
            (Value::from(String::from("a")), b"a"),
            (Value::from(""), b""),
            (Value::from(vec![0, 255]), b"\x00\xff"),
            (Value::from(b"\xff"), b"\xff"),
            (Value::from(Bytes::from_static(b"x")), b"x"),
            (Value::from(12), b"12"),
            (Value::from(-1.5), b"-1.5"),
            (Value::from(true), b"true"),
            (Value::from(()), b"null"),
            (Value::json("a"), b"\"a\""),
            (Value::json(&[1, 2]), b"[1,2]"),
            (Value::json(&Disk { name: "sda".into(), size: 7 }), br#"{"name":"sda","size":7}"#),
        ] {
            assert_eq!(value.into_bytes().unwrap(), stored);
        }
    }

    #[test]
    fn a_value_without_a_json_form_is_refused() {
        let no_text_keys = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(*Value::json(&no_text_keys).into_bytes().unwrap_err().kind(), ErrorKind::Serialization);
    }
}
