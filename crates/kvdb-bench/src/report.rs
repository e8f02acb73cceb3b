//! Prints what was measured.
#![allow(clippy::print_stdout, reason = "printing is what this binary is for")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::pairs::{Alone, Measured, Quartiles, Unit};
use crate::rows::{Failure, Place, ROWS};

/// The rows, the servers that they start and what is asked of them.
pub(crate) fn rows() -> String {
    let mut text = "Rows:\n".to_owned();
    for row in ROWS {
        let asked = row.asked.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let _ = writeln!(text, "  {:4} {:6} {}\n              {asked}", row.name, row.server, row.what);
    }
    text
}

/// Lists the rows.
pub(crate) fn list() {
    print!("{}", rows());
}

/// Says on what ground the figures stand.
pub(crate) fn head(place: &Place<'_>, rounds: usize) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "{cores} cores; this disk does {:.0} fdatasync/s now (thousands: quiet, hundreds: slow); {rounds} rounds a row",
        syncs_a_second(place)?
    );
    println!(
        "servers: one node on this machine; etcd with fsync {}, Consul always with it",
        if place.fsync { "on" } else { "off" }
    );
    println!(
        "ratio: ours / raw of one round, median [lower quartile .. upper quartile]; A/A: raw / raw of the same rounds"
    );
    Ok(())
}

/// Prints one row.
pub(crate) fn row(measured: &Measured) {
    let Measured { row, what, against, target, unit, .. } = measured;
    println!("\n{row}  {what}, against {against}");
    println!("     ratio {}   target {target}: {}", ratio(measured.ratio), verdict(measured.met));
    println!("     A/A   {}", ratio(measured.control));
    if let Some(most) = measured.cpu_target {
        println!("     cpu   {}   target <= {most}: {}", ratio(measured.cpu_ratio), verdict(measured.cpu_met));
        println!("     A/A   {}", ratio(measured.cpu_control));
    }
    println!("     ours  {}   cpu {}", figure(*unit, measured.ours), cpu(measured.ours_cpu));
    println!("     raw   {}   cpu {}", figure(*unit, measured.raw), cpu(measured.raw_cpu));
}

/// Prints what one side did alone.
pub(crate) fn alone(row: &str, what: &str, alone: &Alone) {
    println!("{row}  {what}: {} operations, cpu {}", alone.operations, cpu(alone.cpu));
}

/// Prints all rows as JSON.
pub(crate) fn json(results: &[Measured]) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(results)?);
    Ok(())
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Enough digits to tell 50 times from 60.
fn ratio(of: Quartiles) -> String {
    let digits = if of.median < 0.1 { 5 } else { 3 };
    format!("{:8.digits$} [{:.digits$} .. {:.digits$}]", of.median, of.lower, of.upper)
}

fn cpu(of: Quartiles) -> String {
    format!("{:.2} us/op [{:.2} .. {:.2}]", of.median, of.lower, of.upper)
}

fn figure(unit: Unit, of: Quartiles) -> String {
    let unit = match unit {
        Unit::PerSecond => "/s",
        Unit::Nanoseconds => "ns",
        Unit::Bytes => "bytes",
    };
    format!("{:9.0} {unit} [{:.0} .. {:.0}]", of.median, of.lower, of.upper)
}

/// How often this disk takes a small write for good in a second; taken for a quarter of one.
fn syncs_a_second(place: &Place<'_>) -> Result<f64, Failure> {
    let mut file = File::create(place.dir.join("probe"))?;
    let began = Instant::now();
    let mut syncs = 0_u32;
    while began.elapsed() < Duration::from_millis(250) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_listed_with_its_server_and_what_is_asked() {
        let text = rows();
        for row in ROWS {
            assert!(text.contains(&format!("  {:4} {:6} {}\n", row.name, row.server, row.what)), "{text}");
        }
        assert!(
            text.contains(">= 0.97, cpu <= 1.03; >= 0.97, cpu <= 1.03") && text.contains(">= 50x faster"),
            "{text}"
        );
    }
}
