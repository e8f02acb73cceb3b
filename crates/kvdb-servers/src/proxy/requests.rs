//! Counts the HTTP/1.1 requests that go through.

use crate::wait::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A head that is longer is not looked at any more.
const LONGEST_HEAD: usize = 64 * 1024;

/// Requests by method and path.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<(String, String), u64>>);

impl Requests {
    pub(super) fn add(&self, method: &str, path: &str) {
        *lock(&self.0).entry((method.to_owned(), path.to_owned())).or_default() += 1;
    }

    pub(super) fn count(&self, method: &str, path_prefix: &str) -> u64 {
        let all = lock(&self.0);
        all.iter().filter(|((m, path), _)| m == method && path.starts_with(path_prefix)).map(|(_, n)| n).sum()
    }
}

/// Where in the requests of one connection we are; what is not HTTP/1.1 is passed over in silence.
#[derive(Debug)]
pub(super) enum Parser {
    Head(Vec<u8>),
    Body(u64),
    ChunkSize(Vec<u8>),
    Chunk(u64),
    Trailer(Vec<u8>),
    Blind,
}

impl Default for Parser {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Parser {
    /// Reads on, and tells the method and the path, without the query, of each request whose head is complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&str, &str)) {
        while !bytes.is_empty() && !matches!(self, Self::Blind) {
            let state = std::mem::replace(self, Self::Blind);
            (*self, bytes) = state.step(bytes, &mut tell);
        }
    }

    fn step<'a>(self, bytes: &'a [u8], tell: &mut impl FnMut(&str, &str)) -> (Self, &'a [u8]) {
        match self {
            Self::Head(mut head) => match take_until(&mut head, bytes, b"\r\n\r\n") {
                Some(rest) => (after_head(&head, tell).unwrap_or(Self::Blind), rest),
                None if head.len() > LONGEST_HEAD || !may_be_request(&head) => (Self::Blind, &[]),
                None => (Self::Head(head), &[]),
            },
            Self::Body(left) => match skip(left, bytes) {
                (0, rest) => (Self::default(), rest),
                (left, rest) => (Self::Body(left), rest),
            },
            Self::ChunkSize(mut line) => match take_until(&mut line, bytes, b"\r\n") {
                Some(rest) => (after_size(&line).unwrap_or(Self::Blind), rest),
                None => (Self::ChunkSize(line), &[]),
            },
            Self::Chunk(left) => match skip(left, bytes) {
                (0, rest) => (Self::ChunkSize(Vec::new()), rest),
                (left, rest) => (Self::Chunk(left), rest),
            },
            Self::Trailer(mut line) => match take_until(&mut line, bytes, b"\r\n") {
                Some(rest) if line == b"\r\n" => (Self::default(), rest),
                Some(rest) => (Self::Trailer(Vec::new()), rest),
                None => (Self::Trailer(line), &[]),
            },
            Self::Blind => (Self::Blind, &[]),
        }
    }
}

/// Adds bytes to `seen` until it ends with `end`; the bytes after that, if it came.
fn take_until<'a>(seen: &mut Vec<u8>, bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    for (index, byte) in bytes.iter().enumerate() {
        seen.push(*byte);
        if seen.ends_with(end) {
            return bytes.get(index + 1..);
        }
    }
    None
}

fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left - here as u64, bytes.get(here..).unwrap_or_default())
}

/// A method is of capital letters: what begins otherwise is another protocol.
fn may_be_request(head: &[u8]) -> bool {
    head.iter().take_while(|byte| **byte != b' ').all(u8::is_ascii_uppercase)
}

fn after_head(head: &[u8], tell: &mut impl FnMut(&str, &str)) -> Option<Parser> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    if first.next()? != "HTTP/1.1" {
        return None;
    }
    tell(method, target.split('?').next()?);
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => return Some(Parser::ChunkSize(Vec::new())),
            "upgrade" => return None,
            _ => {}
        }
    }
    Some(if length == 0 { Parser::default() } else { Parser::Body(length) })
}

fn after_size(line: &[u8]) -> Option<Parser> {
    let size = std::str::from_utf8(line).ok()?.split(';').next()?.trim();
    match u64::from_str_radix(size, 16).ok()? {
        0 => Some(Parser::Trailer(Vec::new())),
        size => Some(Parser::Chunk(size.checked_add(2)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &[u8], step: usize) -> Vec<String> {
        let (mut parser, mut all) = (Parser::default(), Vec::new());
        for piece in text.chunks(step) {
            parser.feed(piece, |method, path| all.push(format!("{method} {path}")));
        }
        all
    }

    const TEXT: &[u8] = b"PUT /v1/kv/a?cas=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\nGET /no HTTP/1.1\n\
        GET /v1/kv/b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n\
        DELETE /d HTTP/1.1\r\n\r\n";

    #[test]
    fn every_request_of_a_connection_is_told_once_however_it_is_cut() {
        for step in 1..TEXT.len() {
            assert_eq!(told(TEXT, step), ["PUT /v1/kv/a", "GET /v1/kv/b", "POST /c", "DELETE /d"], "pieces of {step}");
        }
    }

    #[test]
    fn other_protocols_are_not_taken_for_requests() {
        for text in
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), b"\x16\x03\x01 GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"]
        {
            assert!(told(text, 3).is_empty());
        }
    }

    #[test]
    fn requests_are_counted_by_method_and_beginning_of_the_path() {
        let requests = Requests::default();
        for (method, path) in [("GET", "/v1/kv/a"), ("GET", "/v1/kv/b"), ("PUT", "/v1/kv/a"), ("GET", "/v1/session")] {
            requests.add(method, path);
        }
        assert_eq!(
            [requests.count("GET", "/v1/kv"), requests.count("PUT", "/"), requests.count("DELETE", "/")],
            [2, 1, 0]
        );
    }
}
