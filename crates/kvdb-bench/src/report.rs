//! Prints what was measured.
#![allow(clippy::print_stdout, reason = "printing is what this binary is for")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::pairs::{Measured, Quartiles};
use crate::rows::{Failure, ROWS};

/// Lists the rows.
pub(crate) fn list() {
    for row in ROWS {
        println!("{:4} {}", row.name, row.what);
    }
}

/// Says on what ground the figures stand.
pub(crate) fn head(dir: &Path, rounds: usize) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "{cores} cores; this disk does {:.0} fdatasync/s now (thousands: quiet, hundreds: slow); {rounds} rounds a row",
        syncs_a_second(dir)?
    );
    println!(
        "ratio: ours / raw of one round, median [lower quartile .. upper quartile]; A/A: raw / raw of the same rounds"
    );
    Ok(())
}

/// Prints one row.
pub(crate) fn row(measured: &Measured) {
    let Measured { row, what, against, target, .. } = measured;
    let verdict = if measured.met { "met" } else { "MISSED" };
    println!("\n{row}  {what}, against {against}");
    println!("     ratio {}   target {target}: {verdict}", ratio(measured.ratio));
    println!("     A/A   {}", ratio(measured.control));
    println!("     ours  {}   cpu {}", figure(measured.latency, measured.ours), cpu(measured.ours_cpu));
    println!("     raw   {}   cpu {}", figure(measured.latency, measured.raw), cpu(measured.raw_cpu));
}

/// Prints all rows as JSON.
pub(crate) fn json(results: &[Measured]) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(results)?);
    Ok(())
}

fn ratio(of: Quartiles) -> String {
    format!("{:6.2} [{:.2} .. {:.2}]", of.median, of.lower, of.upper)
}

fn cpu(of: Quartiles) -> String {
    format!("{:.2} us/op [{:.2} .. {:.2}]", of.median, of.lower, of.upper)
}

fn figure(latency: bool, of: Quartiles) -> String {
    if latency {
        format!("{:9.0} ns [{:.0} .. {:.0}]", of.median, of.lower, of.upper)
    } else {
        format!("{:9.0} /s [{:.0} .. {:.0}]", of.median, of.lower, of.upper)
    }
}

/// How often this disk takes a small write for good in a second; taken for a quarter of one.
fn syncs_a_second(dir: &Path) -> Result<f64, Failure> {
    let mut file = File::create(dir.join("probe"))?;
    let began = Instant::now();
    let mut syncs = 0_u32;
    while began.elapsed() < Duration::from_millis(250) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / began.elapsed().as_secs_f64())
}
