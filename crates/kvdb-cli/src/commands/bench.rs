use std::time::Duration;

use clap::{Args, ValueEnum};
use kvdb::prelude::*;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::run::tell;
use crate::signals::Signals;
use crate::store::Context;
use crate::{duration, progress};

mod measure;
mod work;

use measure::{Measured, Until, measure};
use work::Work;

/// Measure how fast the store does one kind of work
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb bench put                                   8 clients for 5 seconds on ./kvdb.redb
  kvdb --store mem: bench get --clients 1
  kvdb bench mixed --ops 100000 --keys 10000 --value-size 4096
  kvdb bench lock --keys 1 --json                  every client wants the same lock

Kinds of work, one operation each:
  put      write a random one of the keys
  get      read a random one of the keys
  mixed    nine times of ten a get, else a put
  watch    write a key and wait until one's own watch tells it
  lock     take a random one of so many locks and release it

A client does one operation after the other; all of them share one handle. Keys are below kvdb-bench/, and removed at
the end. Ctrl-C prints what was measured so far. Numbers of an unoptimised build say little: build with --release.")]
pub(crate) struct Bench {
    /// The kind of work
    #[arg(value_enum, default_value_t = Kind::Mixed)]
    kind: Kind,
    /// How many operations are under way at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    value_size: usize,
    /// How many keys or locks
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// How long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5s", conflicts_with = "ops")]
    duration: Duration,
    /// How many operations, however long they take
    #[arg(long, value_name = "N")]
    ops: Option<u64>,
}

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Put,
    Get,
    Mixed,
    Watch,
    Lock,
}

impl Bench {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_store(async |kv, out| {
                let directory = format!("kvdb-bench/{:016x}", rand::random::<u64>());
                let work = Work::new(kv, self.kind, &directory, self.keys, self.value_size);
                let outcome = self.measure(&work, &mut signals, out).await;
                let cleaned = kv.delete_tree(&directory).timeout(Duration::from_secs(60)).await;
                outcome?;
                cleaned?;
                Ok(())
            })
            .await
    }

    async fn measure(&self, work: &Work, signals: &mut Signals, out: &mut Output) -> Result<(), Failure> {
        tokio::select! {
            prepared = work.prepare() => prepared?,
            _ = signals.asked() => return Ok(()),
        }
        let until = self.ops.map_or(Until::Elapsed(self.duration), Until::Done);
        let bar = progress::bar(self.ops, "operations");
        let stop = async {
            signals.asked().await;
        };
        let (measured, error) = measure(work, self.clients, until, stop, &bar).await;
        bar.finish_and_clear();
        if measured.interrupted && !out.is_json() {
            tell("kvdb: interrupted; this is what was measured so far");
        }
        out.either(|| self.json(&measured), || self.text(&measured))?;
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    fn json(&self, measured: &Measured) -> Value {
        json!({
            "kind": self.name(),
            "clients": self.clients,
            "value_size": self.value_size,
            "keys": self.keys,
            "ops": measured.ops(),
            "seconds": measured.elapsed.as_secs_f64(),
            "ops_per_second": measured.rate(),
            "p50_us": measured.percentile_us(0.5),
            "p90_us": measured.percentile_us(0.9),
            "p99_us": measured.percentile_us(0.99),
            "p999_us": measured.percentile_us(0.999),
            "max_us": measured.percentile_us(1.0),
            "interrupted": measured.interrupted,
        })
    }

    fn text(&self, measured: &Measured) -> String {
        let time = |quantile| brief(measured.percentile(quantile));
        format!(
            "{}: {} operations, {} at a time, in {:.2} s: {:.0} a second\np50 {}, p90 {}, p99 {}, p999 {}, max {}",
            self.name(),
            measured.ops(),
            self.clients,
            measured.elapsed.as_secs_f64(),
            measured.rate(),
            time(0.5),
            time(0.9),
            time(0.99),
            time(0.999),
            time(1.0),
        )
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Put => "put",
            Kind::Get => "get",
            Kind::Mixed => "mixed",
            Kind::Watch => "watch",
            Kind::Lock => "lock",
        }
    }
}

/// A time with the digits that mean something.
fn brief(nanoseconds: u64) -> String {
    let unit = if nanoseconds < 1_000_000 { 10 } else { 10_000 };
    format!("{:?}", Duration::from_nanos(nanoseconds / unit * unit))
}
