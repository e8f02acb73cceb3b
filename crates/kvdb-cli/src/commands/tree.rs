use std::collections::BTreeMap;

use clap::Args;
use kvdb::prelude::*;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::output;
use crate::store::Context;

/// Draw the keys below a directory as a tree
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb tree
  kvdb tree config
  kvdb tree --json      nested objects; a key's own value is under \"\"")]
pub(crate) struct Tree {
    /// The directory; the whole domain if left out
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
}

impl Tree {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .with_store(async |kv, out| {
                let pairs = kv.list(&self.prefix).await?;
                let mut root = Node::default();
                let skipped = self.prefix.split('/').filter(|segment| !segment.is_empty()).count();
                for pair in &pairs {
                    root.add(pair.key.split('/').skip(skipped), pair);
                }
                if out.is_json() {
                    return out.line(&root.json().to_string());
                }
                let name = self.prefix.trim_matches('/');
                out.line(if name.is_empty() { "." } else { name })?;
                let mut lines = Vec::new();
                root.draw("", &mut lines);
                lines.iter().try_for_each(|line| out.line(line))
            })
            .await
    }
}

/// A segment of keys: a value of its own, segments below it, or both.
#[derive(Debug, Default)]
struct Node<'a> {
    pair: Option<&'a KvPair>,
    below: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, segments: impl Iterator<Item = &'a str>, pair: &'a KvPair) {
        let mut node = self;
        for segment in segments {
            node = node.below.entry(segment).or_default();
        }
        node.pair = Some(pair);
    }

    fn draw(&self, indent: &str, lines: &mut Vec<String>) {
        let mut rest = self.below.len();
        for (name, node) in &self.below {
            rest -= 1;
            let (branch, below) = if rest == 0 { ("└── ", "    ") } else { ("├── ", "│   ") };
            let slash = if node.below.is_empty() { "" } else { "/" };
            let value = node.pair.map(|pair| format!(" = {}", output::brief(&pair.value))).unwrap_or_default();
            lines.push(format!("{indent}{branch}{}{slash}{value}", output::inline(name.as_bytes())));
            node.draw(&format!("{indent}{below}"), lines);
        }
    }

    fn json(&self) -> Value {
        match self.pair {
            Some(pair) if self.below.is_empty() => output::value_json(&pair.value),
            pair => {
                let own = pair.map(|pair| (String::new(), output::value_json(&pair.value)));
                let below = self.below.iter().map(|(name, node)| ((*name).to_owned(), node.json()));
                Value::Object(own.into_iter().chain(below).collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_shows_directories_values_and_keys_that_are_both() {
        let pairs = [KvPair::new("a", "1"), KvPair::new("a/b/c", "2"), KvPair::new("a/d", "3"), KvPair::new("e", "4")];
        let mut root = Node::default();
        for pair in &pairs {
            root.add(pair.key.split('/'), pair);
        }
        let mut lines = Vec::new();
        root.draw("", &mut lines);
        assert_eq!(lines, ["├── a/ = 1", "│   ├── b/", "│   │   └── c = 2", "│   └── d = 3", "└── e = 4"]);
        assert_eq!(root.json().to_string(), r#"{"a":{"":"1","b":{"c":"2"},"d":"3"},"e":"4"}"#);
    }
}
