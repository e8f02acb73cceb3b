//! Paired measurements of kvdb against raw clients; `--help` says what the figures mean.

mod pairs;
mod report;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Measures kvdb against the raw thing below it, in pairs.
///
/// Disks and shared machines drift by ten times in an hour, so no figure here is absolute: each is a ratio of two
/// sides that ran one after the other in the same process. A round runs raw, ours and raw again, in an order that
/// turns from round to round. `ours / raw` is the row; `raw / raw` of the same round is its control (A/A): where the
/// control's quartiles stray from 1.00, the machine is too noisy for the row to mean more than that.
///
/// Throughput rows are better above 1, latency rows below 1; the target stands beside each. CPU is user and system
/// time of the whole process per operation.
#[derive(Debug, Parser)]
#[command(
    name = "kvdb-bench",
    after_help = "Examples:\n  \
    cargo run --release -p kvdb-bench -- --list\n  \
    cargo run --release -p kvdb-bench -- P10 P11 P14 P15 P16\n  \
    cargo run --release -p kvdb-bench -- P14 --pairs 40 --window 2s --dir /mnt/disk --json > p14.json"
)]
struct Arguments {
    /// The rows to measure; all of them if none is named.
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
    /// Only gets 200,000 times from memory through so many wrappers (0 to 3) that do nothing, for a counter of
    /// instructions: `valgrind --tool=callgrind target/release/kvdb-bench --count-gets 3`.
    #[arg(long, value_name = "WRAPPERS", value_parser = clap::value_parser!(u8).range(..=3))]
    count_gets: Option<u8>,
    /// Prints JSON instead of a table: every round's ratio, not only the quartiles.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
    let place = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::Builder::new().prefix("kvdb-bench-").tempdir_in(".")?,
    };
    let mut results = Vec::new();
    if !arguments.json {
        report::head(place.path(), arguments.pairs)?;
    }
    for row in chosen {
        for pair in (row.open)(place.path())? {
            let result = pairs::run(row.name, pair, arguments.pairs, arguments.window)?;
            if !arguments.json {
                report::row(&result);
            }
            results.push(result);
        }
    }
    if arguments.json { report::json(&results) } else { Ok(()) }
}
