//! Words and quotes, by etcdctl's rules: those of Go's strings.

/// What is left of a line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    rest: &'a str,
}

/// A word of an operation.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) bytes: Vec<u8>,
    /// Whether it stood in quotes: then it is no option.
    pub(super) quoted: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.trim() }
    }

    /// What comes next, for a refusal.
    pub(super) fn found(&self) -> String {
        match self.rest.chars().next() {
            Some(_) => format!("`{}`", crate::output::brief(self.rest.as_bytes())),
            None => "the end of the line".to_owned(),
        }
    }

    /// The letters that come next.
    pub(super) fn name(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        name
    }

    /// Whether this sign comes next; then it is taken.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    pub(super) fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("expected `{sign}`, found {}", self.found())) }
    }

    pub(super) fn end(&self) -> Result<(), String> {
        if self.rest.trim().is_empty() {
            Ok(())
        } else {
            Err(format!("expected the end of the line, found {}", self.found()))
        }
    }

    /// A text in double quotes, or as it is in back quotes.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Vec<u8>, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return self.double();
        }
        if self.rest.starts_with('`') {
            return self.plain('`');
        }
        Err(format!("expected {what}, found {}", self.found()))
    }

    /// Everything that is left, as a shell would take it apart.
    pub(super) fn words(mut self) -> Result<Vec<Word>, String> {
        let mut words = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let (bytes, quoted) = match self.rest.chars().next() {
                None => return Ok(words),
                Some('"') => (self.double()?, true),
                Some(quote @ '\'') => (self.plain(quote)?, true),
                Some(_) => {
                    let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
                    self.rest = rest;
                    (word.as_bytes().to_vec(), false)
                }
            };
            if quoted && self.rest.chars().next().is_some_and(|c| !c.is_whitespace()) {
                return Err(format!("expected a blank behind the quotes, found {}", self.found()));
            }
            words.push(Word { bytes, quoted });
        }
    }

    /// A text that stands as it is between two of these.
    fn plain(&mut self, quote: char) -> Result<Vec<u8>, String> {
        let inside = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        let (text, rest) = inside.split_once(quote).ok_or_else(|| format!("expected a closing quote {quote}"))?;
        self.rest = rest;
        Ok(text.as_bytes().to_vec())
    }

    /// A text with escapes between double quotes.
    fn double(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut rest = self.rest.strip_prefix('"').unwrap_or(self.rest).chars();
        loop {
            match rest.next() {
                None => return Err("expected a closing quote \"".to_owned()),
                Some('"') => {
                    self.rest = rest.as_str();
                    return Ok(bytes);
                }
                Some('\\') => escape(&mut rest, &mut bytes)?,
                Some(c) => drop(text(c, &mut bytes)),
            }
        }
    }
}

/// What follows a backslash.
fn escape(rest: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let done = match rest.next() {
        Some('n') => one(b'\n', bytes),
        Some('t') => one(b'\t', bytes),
        Some('r') => one(b'\r', bytes),
        Some('a') => one(0x07, bytes),
        Some('b') => one(0x08, bytes),
        Some('f') => one(0x0c, bytes),
        Some('v') => one(0x0b, bytes),
        Some(sign @ ('"' | '\\')) => text(sign, bytes),
        Some('x') => number(rest, 2, 16).and_then(|byte| one(u8::try_from(byte).ok()?, bytes)),
        Some('u') => number(rest, 4, 16).and_then(char::from_u32).and_then(|c| text(c, bytes)),
        Some('U') => number(rest, 8, 16).and_then(char::from_u32).and_then(|c| text(c, bytes)),
        Some(first @ '0'..='7') => {
            let low = number(rest, 2, 8);
            first.to_digit(8).zip(low).and_then(|(high, low)| one(u8::try_from(high * 64 + low).ok()?, bytes))
        }
        _ => None,
    };
    done.ok_or_else(|| {
        "expected an escape that is one: \\n \\t \\r \\a \\b \\f \\v \\\" \\\\ \\xHH \\OOO \\uHHHH \\UHHHHHHHH"
            .to_owned()
    })
}

fn one(byte: u8, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.push(byte);
    Some(())
}

fn text(c: char, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// A number of exactly so many digits.
fn number(rest: &mut std::str::Chars<'_>, count: usize, base: u32) -> Option<u32> {
    (0..count).try_fold(0_u32, |number, _| number.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        let text = r#""\n\t\r\a\b\f\v\"\\\x00\xff\101\u00fc\U0001F600ü""#;
        let mut expected = b"\n\t\r\x07\x08\x0c\x0b\"\\\0\xffA".to_vec();
        expected.extend_from_slice("ü😀ü".as_bytes());
        assert_eq!(Line::new(text).quoted("").unwrap(), expected);
        for text in [r#""\400""#, r#""\8""#, r#""\x1""#, r#""\U00110000""#, r#""\""#] {
            assert!(Line::new(text).quoted("").is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_taken_apart_as_a_shell_would() {
        let words = Line::new("  put 'a \\n'  \"b c\" it's \"\" ").words().unwrap();
        let words: Vec<_> = words.iter().map(|word| (std::str::from_utf8(&word.bytes).unwrap(), word.quoted)).collect();
        assert_eq!(words, [("put", false), ("a \\n", true), ("b c", true), ("it's", false), ("", true)]);
        assert!(Line::new("'a'b").words().is_err());
    }
}
