//! Paired measurements of kvdb against raw clients; `--help` says what the figures mean.

mod pairs;
mod report;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};

/// Measures kvdb against the raw thing below it, in pairs.
///
/// Disks and shared machines drift by ten times in an hour, so no figure here is absolute: each is a ratio of two
/// sides that ran one after the other in the same process. A round runs raw, ours and raw again, in an order that
/// turns from round to round. `ours / raw` is the row; `raw / raw` of the same round is its control (A/A): where the
/// control's quartiles stray from 1.00, the machine is too noisy for the row to mean more than that.
///
/// Throughput rows are better above 1, latency rows below 1; the target stands beside each. CPU is user and system
/// time of this process per operation; that of servers is not in it.
///
/// Servers are real ones of one node, started for the row and ended with it; crates/kvdb-servers/fetch.sh brings them.
/// etcd does not sync to the disk unless told to: then it answers as fast as it ever can, and what the client adds
/// shows most. Consul and ZooKeeper always do.
#[derive(Debug, Parser)]
#[command(
    name = "kvdb-bench",
    after_help = "Examples:\n  \
    cargo run --release -p kvdb-bench -- --list\n  \
    cargo run --release -p kvdb-bench -- P1 P2 P3 P6 P7 P8 P9 P13 P17 P18\n  \
    cargo run --release -p kvdb-bench -- P10 P11 P14 P15 P16\n  \
    cargo run --release -p kvdb-bench -- P1 P7 --fsync\n  \
    cargo run --release -p kvdb-bench --no-default-features -- P10\n  \
    cargo run --release -p kvdb-bench -- P14 --pairs 40 --window 2s --dir /mnt/disk --json > p14.json"
)]
struct Arguments {
    /// The rows to measure; all that are built in if none is named.
    rows: Vec<String>,
    /// Lists the rows and ends.
    #[arg(long)]
    list: bool,
    /// Rounds of each row; a report needs 20 at least.
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// How long one side runs in one round; the default is the row's own.
    #[arg(long, value_parser = kvdb_core::options::duration::parse)]
    window: Option<Duration>,
    /// Where the files of durable stores go: the disk that is measured. Default: below the present directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// etcd syncs every write to the disk, as they do in earnest: then the disk is most of what both sides wait for.
    #[arg(long)]
    fsync: bool,
    /// Runs one side of each row alone, without figures, for a profiler: `perf record -g target/release/kvdb-bench P1
    /// --only ours`.
    #[arg(long, value_name = "SIDE", value_enum)]
    only: Option<pairs::Which>,
    /// Only gets 200,000 times from memory through so many wrappers (0 to 3) that do nothing, for a counter of
    /// instructions: `valgrind --tool=callgrind target/release/kvdb-bench --count-gets 3`.
    #[arg(long, value_name = "WRAPPERS", value_parser = clap::value_parser!(u8).range(..=3))]
    count_gets: Option<u8>,
    /// Prints JSON instead of a table: every round's ratio, not only the quartiles.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let command = Arguments::command();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let matches = command.after_help(format!("{}\n{examples}", report::rows())).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if arguments.list {
        report::list();
        return ExitCode::SUCCESS;
    }
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvdb-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), rows::Failure> {
    if cfg!(debug_assertions) {
        eprintln!("kvdb-bench: a debug build measures nothing; use `cargo run --release -p kvdb-bench`");
    }
    if let Some(wrappers) = arguments.count_gets {
        return rows::count_gets(wrappers.into(), 200_000);
    }
    let chosen = rows::choose(&arguments.rows)?;
    let directory = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::Builder::new().prefix("kvdb-bench-").tempdir_in(".")?,
    };
    let place = rows::Place { dir: directory.path(), fsync: arguments.fsync };
    let mut results = Vec::new();
    if !arguments.json && arguments.only.is_none() {
        report::head(&place, arguments.pairs)?;
    }
    for row in chosen {
        for (pair, asked) in row.pairs(&place)? {
            if let Some(which) = arguments.only {
                report::alone(row.name, pair.what, &pairs::alone(pair, which, arguments.pairs, arguments.window)?);
                continue;
            }
            let result = pairs::run(row.name, pair, asked, arguments.pairs, arguments.window)?;
            if !arguments.json {
                report::row(&result);
            }
            results.push(result);
        }
    }
    if arguments.json && arguments.only.is_none() { report::json(&results) } else { Ok(()) }
}
