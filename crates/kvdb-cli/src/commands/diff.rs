use clap::Args;
use kvdb::prelude::*;
use kvdb::recipes::{Diff as Comparison, Difference};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Show what differs between two stores
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb diff redb:a.redb redb:b.redb
  kvdb diff etcd://h1/app zk://h2/app --prefix config --keys
  kvdb diff redb:a.redb redb:b.redb > /dev/null && echo the same

A line has a sign, the key and the value, with tabs between the last two: `-` only the first store has it, `+` only the
second, `~` both have it with different values, the first one's first. Long values are cut. Names are relative to each
store's domain; revisions, leases and times to live are not compared.

Exit codes: 0 the same, 1 different (or an error, told on stderr), 2 wrong usage. --store is not used; --domain is for
both, a domain in a URI for its own.")]
pub(crate) struct Diff {
    /// The first store's URI
    #[arg(value_name = "A")]
    one: String,
    /// The second store's URI
    #[arg(value_name = "B")]
    other: String,
    /// Only the keys below this directory
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Names only
    #[arg(long)]
    keys: bool,
}

impl Diff {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_two((&self.one, &self.other), async |one, other, out| {
                tokio::select! {
                    outcome = self.compare(one, other, out) => outcome,
                    signal = signals.asked() => Err(Failure::Exit(signal_code(signal))),
                }
            })
            .await
    }

    async fn compare(&self, one: &Handle, other: &Handle, out: &mut Output) -> Result<(), Failure> {
        let mut comparison = Comparison::new(one, other, &self.prefix)?;
        let mut same = true;
        while let Some(difference) = comparison.next().await? {
            same = false;
            out.either(|| self.json(&difference), || self.line(&difference))?;
        }
        if same { Ok(()) } else { Err(Failure::Exit(1)) }
    }

    fn line(&self, difference: &Difference) -> String {
        let key = output::inline(difference.key().as_bytes());
        let (sign, values) = match difference {
            Difference::OnlyLeft(pair) => ('-', vec![&pair.value]),
            Difference::OnlyRight(pair) => ('+', vec![&pair.value]),
            Difference::Changed { left, right } => ('~', vec![&left.value, &right.value]),
        };
        let mut line = format!("{sign} {key}");
        for value in values.iter().filter(|_| !self.keys) {
            line.push('\t');
            line.push_str(&output::brief(value));
        }
        line
    }

    fn json(&self, difference: &Difference) -> Value {
        let (change, one, other) = match difference {
            Difference::OnlyLeft(pair) => ("removed", Some(pair), None),
            Difference::OnlyRight(pair) => ("added", None, Some(pair)),
            Difference::Changed { left, right } => ("changed", Some(left), Some(right)),
        };
        let mut told = json!({ "change": change, "key": difference.key() });
        if let Some(object) = told.as_object_mut().filter(|_| !self.keys) {
            for (name, pair) in [("a", one), ("b", other)] {
                object.extend(pair.map(|pair| (name.to_owned(), output::value_json(&pair.value))));
            }
        }
        told
    }
}
