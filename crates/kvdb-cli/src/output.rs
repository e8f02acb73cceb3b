//! What commands print on stdout, as text or as JSON.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kvdb::KvPair;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Stdout, and how to write to it.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is asked for.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the JSON document or the text, by what was asked for, and flushes it: watches are read while they run.
    pub(crate) fn either(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json { json().to_string() } else { text() };
        self.line(&line)
    }

    /// Prints a line and flushes it.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(broken)
    }

    /// Prints a value: its bytes and nothing else, but for a terminal a line break behind text.
    pub(crate) fn value(&mut self, value: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let unfinished = out.is_terminal() && std::str::from_utf8(value).is_ok_and(|text| !text.ends_with('\n'));
        out.write_all(value)
            .and_then(|()| if unfinished { out.write_all(b"\n") } else { Ok(()) })
            .and_then(|()| out.flush())
            .map_err(broken)
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::Io("cannot write the output".to_owned(), error)
}

/// A pair as JSON: `value` where it is UTF-8, else `value_base64`; durations in milliseconds.
pub(crate) fn pair_json(pair: &KvPair) -> Value {
    let mut object = Map::new();
    object.insert("key".to_owned(), json!(pair.key));
    match pair.text() {
        Some(text) => object.insert("value".to_owned(), json!(text)),
        None => object.insert("value_base64".to_owned(), json!(STANDARD.encode(&pair.value))),
    };
    object.insert("action".to_owned(), json!(format!("{:?}", pair.action).to_lowercase()));
    object.insert("created_index".to_owned(), json!(pair.created_index));
    object.insert("modified_index".to_owned(), json!(pair.modified_index));
    object.insert("version".to_owned(), json!(pair.version));
    object.insert("kvdb_index".to_owned(), json!(pair.kvdb_index));
    if let Some(ttl) = pair.ttl {
        object.insert("ttl_ms".to_owned(), json!(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
    }
    if let Some(lease) = &pair.lease {
        object.insert("lease".to_owned(), json!(lease.to_string()));
    }
    Value::Object(object)
}

/// A pair as a line: the key and the value with a tab between them.
pub(crate) fn pair_line(pair: &KvPair) -> String {
    format!("{}\t{}", inline(pair.key.as_bytes()), inline(&pair.value))
}

/// A value alone as JSON: a text, or an object with `base64`.
pub(crate) fn value_json(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(value) }),
    }
}

/// A value inside a line of text: control characters escaped, bytes that are no text named by their number.
pub(crate) fn inline(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().any(char::is_control) => text
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
            .collect::<String>()
            .into(),
        Ok(text) => text.into(),
        Err(_) => format!("({} bytes, not text)", value.len()).into(),
    }
}

/// The beginning of a value inside a line of text, where a long one would hide the rest.
pub(crate) fn brief(value: &[u8]) -> String {
    /// What leaves room for a key in a line of a terminal.
    const CHARACTERS: usize = 60;
    let text = inline(value);
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_text_is_base64_in_json_and_named_in_a_line() {
        let pair = KvPair::new("a", vec![0xff, 0x00]);
        assert_eq!(pair_json(&pair)["value_base64"], "/wA=");
        assert_eq!(pair_json(&pair).get("value"), None);
        assert_eq!(inline(&pair.value), "(2 bytes, not text)");
        assert_eq!(pair_json(&KvPair::new("a", "ü"))["value"], "ü");
    }

    #[test]
    fn a_value_never_breaks_its_line() {
        assert_eq!(inline("a\nb\u{1b}[0m ü".as_bytes()), "a\\nb\\u{1b}[0m ü");
        assert_eq!(brief("ü".repeat(61).as_bytes()), format!("{}…", "ü".repeat(60)));
    }
}
