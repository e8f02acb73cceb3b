//! A transaction as etcdctl takes it: three parts with empty lines between.

use kvdb::prelude::*;
use kvdb::{Compare, Comparison, Txn};

use super::text::{Line, Word};
use crate::duration;

/// A part of the form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    Compares,
    Success,
    Failure,
    End,
}

/// Reads the form line by line.
#[derive(Debug, Default)]
pub(super) struct Form {
    part: Part,
    number: usize,
    txn: Txn,
}

impl Form {
    /// The part that the next line belongs to.
    pub(super) const fn part(&self) -> Part {
        self.part
    }

    /// Whether every part was ended by an empty line.
    pub(super) fn is_complete(&self) -> bool {
        self.part == Part::End
    }

    /// What the next lines are, for somebody who types.
    pub(super) const fn wants(&self) -> &'static str {
        match self.part {
            Part::Compares => "compares, then an empty line:",
            Part::Success => "success requests (get, put, del), then an empty line:",
            Part::Failure => "failure requests (get, put, del), then an empty line:",
            Part::End => "",
        }
    }

    /// Takes the next line; a refusal names it and what was expected.
    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.number += 1;
        self.read(bytes).map_err(|refusal| format!("line {}: {refusal}", self.number))
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| "expected UTF-8; write other bytes as \"\\xff\"".to_owned())?;
        let empty = text.trim().is_empty();
        match self.part {
            Part::Compares if empty => self.part = Part::Success,
            Part::Success if empty => self.part = Part::Failure,
            Part::Failure if empty => self.part = Part::End,
            Part::End if empty => {}
            Part::Compares => self.txn.when.push(compare(text)?),
            Part::Success => self.txn.then.push(operation(text)?),
            Part::Failure => self.txn.otherwise.push(operation(text)?),
            Part::End => {
                return Err(
                    "expected the end: compares, success and failure requests were each ended by an empty line \
                            already"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    /// The transaction; parts that never came are empty.
    pub(super) fn finish(self) -> Txn {
        self.txn
    }
}

/// Reads `mod("k") > "0"`.
fn compare(text: &str) -> Result<Compare, String> {
    let mut line = Line::new(text);
    let target = line.name();
    let known = ["value", "val", "mod", "m", "create", "c", "ver", "version", "lease"];
    if !known.contains(&target) {
        return Err(format!(
            "expected a compare such as value(\"key\") = \"x\" (value, mod, create, ver or lease) or an empty line before \
             the operations, found {}",
            found(text)
        ));
    }
    line.expect("(")?;
    let key = line.quoted("a key in quotes")?;
    let key = utf8(key)?;
    line.expect(")")?;
    let comparison = comparison(&mut line)?;
    let wanted = line.quoted("what to compare with, in quotes")?;
    line.end()?;
    Ok(match target {
        "value" | "val" => Compare::Value(key, comparison, wanted.into()),
        "mod" | "m" => Compare::Modified(key, comparison, Revision::new(number(wanted)?)),
        "create" | "c" => Compare::Created(key, comparison, Revision::new(number(wanted)?)),
        "lease" => {
            if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                return Err("expected = or != behind lease(..): leases have no order".to_owned());
            }
            let id = utf8(wanted)?;
            let none = id.bytes().all(|digit| digit == b'0');
            Compare::Lease(key, comparison, (!none).then(|| lease_id(&id)))
        }
        _ => Compare::Version(key, comparison, number(wanted)?),
    })
}

fn comparison(line: &mut Line<'_>) -> Result<Comparison, String> {
    const ALL: [(&str, Comparison); 4] =
        [("!=", Comparison::NotEqual), ("=", Comparison::Equal), ("<", Comparison::Less), (">", Comparison::Greater)];
    let found = ALL.into_iter().find(|(sign, _)| line.take(sign));
    found.map(|(_, comparison)| comparison).ok_or_else(|| format!("expected =, !=, < or >, found {}", line.found()))
}

/// Reads `put k v`, `get k` or `del k`.
fn operation(text: &str) -> Result<TxnOp, String> {
    let words = Line::new(text).words()?;
    let (verb, rest) = words.split_first().ok_or_else(|| "expected put, get or del".to_owned())?;
    let verb = (!verb.quoted).then(|| utf8(verb.bytes.clone())).transpose()?.unwrap_or_default();
    match (verb.as_str(), rest) {
        ("put", rest) => put_op(rest),
        ("get", [key]) => Ok(TxnOp::Get { key: word(key)? }),
        ("del" | "delete", [key]) => Ok(TxnOp::Delete { key: word(key)? }),
        ("get" | "del" | "delete", _) => Err(format!("expected one key: {verb} KEY")),
        _ => Err(format!("expected put KEY VALUE, get KEY, del KEY or an empty line, found {}", found(text))),
    }
}

fn put_op(words: &[Word]) -> Result<TxnOp, String> {
    const FORM: &str = "expected put KEY VALUE [--ttl DURATION | --lease ID]";
    let (mut plain, mut ttl, mut lease) = (Vec::new(), None, None);
    let mut words = words.iter();
    let mut flags = true;
    while let Some(next) = words.next() {
        let text = if flags && !next.quoted { std::str::from_utf8(&next.bytes).unwrap_or_default() } else { "" };
        if text == "--" {
            flags = false;
            continue;
        }
        let (name, given) = text.split_once('=').map_or((text, None), |(name, given)| (name, Some(given.to_owned())));
        if !matches!(name, "--ttl" | "--lease") {
            plain.push(next);
            continue;
        }
        let argument = match given {
            Some(given) => given,
            None => word(words.next().ok_or_else(|| format!("{FORM}; {name} has no argument"))?)?,
        };
        match name {
            "--ttl" => ttl = Some(duration::parse(&argument)?),
            _ => lease = Some(lease_id(&argument)),
        }
    }
    if ttl.is_some() && lease.is_some() {
        return Err(format!("{FORM}; a TTL or a lease, not both"));
    }
    let [key, value] = plain.as_slice() else {
        return Err(format!("{FORM}; put quotes around a value with blanks"));
    };
    Ok(TxnOp::Put { key: word(key)?, value: value.bytes.clone().into(), ttl, lease })
}

fn lease_id(text: &str) -> LeaseId {
    let parsed: Result<LeaseId, std::convert::Infallible> = text.parse();
    match parsed {
        Ok(id) => id,
        Err(never) => match never {},
    }
}

fn word(word: &Word) -> Result<String, String> {
    utf8(word.bytes.clone())
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "expected UTF-8: keys are text".to_owned())
}

fn number(bytes: Vec<u8>) -> Result<u64, String> {
    let text = utf8(bytes)?;
    text.parse().map_err(|_| format!("expected a whole number in the quotes, found {}", found(&text)))
}

/// What was found instead, short.
fn found(text: &str) -> String {
    format!("`{}`", crate::output::brief(text.trim().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Txn, String> {
        let mut form = Form::default();
        text.lines().try_for_each(|line| form.line(line.as_bytes()))?;
        Ok(form.finish())
    }

    #[test]
    fn every_compare_of_etcdctl_is_read() {
        let txn = read(
            "mod(\"a b\") > \"0\"\nm(\"k\")<\"3\"\nvalue(\"k\") = \"v\"\nval(\"k\") != \"\\xff\\\"\"\ncreate(\"k\") = \
             \"0\"\nc(\"k\") = \"7\"\nver(\"k\") = \"2\"\nversion(\"k\") != \"2\"\nlease(\"k\") = \"00ff\"\nlease(\"k\") != \
             \"0\"",
        )
        .unwrap();
        assert_eq!(
            txn.when,
            [
                modified("a b").gt(0),
                modified("k").lt(3),
                value("k").eq("v"),
                value("k").ne(b"\xff\""),
                created("k").eq(0),
                created("k").eq(7),
                version("k").eq(2_u64),
                version("k").ne(2_u64),
                attached("k", &LeaseId::Number(0xff)),
                Compare::Lease("k".to_owned(), Comparison::NotEqual, None),
            ]
        );
    }

    #[test]
    fn operations_go_to_the_part_they_stand_in() {
        let txn = read(
            "\nput a 1\nput \"b c\" 'it \\n is'\nget a\n\ndel a\nput t v --ttl 3s\nput l v --lease=ff\nput -- --ttl x\nput \
             d \"--ttl\"\n",
        )
        .unwrap();
        assert!(txn.when.is_empty());
        assert_eq!(txn.then, [put("a", "1"), put("b c", "it \\n is"), get("a")]);
        assert_eq!(
            txn.otherwise,
            [
                delete("a"),
                put("t", "v").ttl(std::time::Duration::from_secs(3)),
                put("l", "v").lease(&LeaseId::Number(0xff)),
                put("--ttl", "x"),
                put("d", "--ttl"),
            ]
        );
        assert_eq!(read("").unwrap(), Txn::default());
    }

    #[test]
    fn what_is_no_transaction_is_refused_with_its_line_and_what_was_expected() {
        for (text, line, expected) in [
            ("put a 1", 1, "compare"),
            ("size(\"a\") = \"1\"", 1, "value, mod, create, ver or lease"),
            ("mod(a) = \"1\"", 1, "in quotes"),
            ("mod(\"a) = 1", 1, "quote"),
            ("mod(\"a\" = \"1\"", 1, "expected `)`"),
            ("mod(\"a\") ~ \"1\"", 1, "expected =, !=, < or >"),
            ("mod(\"a\") = 1", 1, "in quotes"),
            ("mod(\"a\") = \"x\"", 1, "whole number"),
            ("mod(\"a\") = \"-1\"", 1, "whole number"),
            ("mod(\"a\") = \"1\" and", 1, "end of the line"),
            ("lease(\"a\") > \"1\"", 1, "= or !="),
            ("value(\"\\q\") = \"1\"", 1, "escape"),
            ("value(\"\\xf\") = \"1\"", 1, "escape"),
            ("value(\"\\ud800\") = \"1\"", 1, "escape"),
            ("value(\"\\xff\") = \"1\"", 1, "keys are text"),
            ("\nput a", 2, "put KEY VALUE"),
            ("\nput a b c", 2, "put KEY VALUE"),
            ("\nput a b --ttl", 2, "no argument"),
            ("\nput a b --ttl soon", 2, "duration"),
            ("\nput a b --ttl 1s --lease 1", 2, "not both"),
            ("\nget", 2, "one key"),
            ("\n\ndel a b", 3, "one key"),
            ("\nfrob a", 2, "put KEY VALUE, get KEY, del KEY"),
            ("\nput a \"b", 2, "quote"),
            ("\nput a 'b", 2, "quote"),
            ("\n\n\nput a b", 4, "expected the end"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(
                refusal.starts_with(&format!("line {line}: ")) && refusal.contains(expected),
                "{text:?}: {refusal}"
            );
        }
        assert!(Form::default().line(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
