//! Rounds of raw, ours, raw: ratios from one process, close in time.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::rows::Failure;

/// One side of a comparison.
pub(crate) trait Side {
    /// Works for about `window`.
    fn run(&mut self, window: Duration) -> Result<Work, Failure>;
}

impl<F: FnMut(Duration) -> Result<Work, Failure>> Side for F {
    fn run(&mut self, window: Duration) -> Result<Work, Failure> {
        self(window)
    }
}

/// A side made of a closure.
pub(crate) fn side(run: impl FnMut(Duration) -> Result<Work, Failure> + 'static) -> Box<dyn Side> {
    Box::new(run)
}

/// What a side did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// So many operations; the figure is operations a second.
    Operations(u64),
    /// So many operations, and a latency as the figure.
    Latency(u64, Duration),
}

/// What is asked of the median ratio.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At least the first on a quiet disk, the second on a slow one.
    ByDisk(f64, f64),
    /// At most this.
    AtMost(f64),
    /// A latency at most this many nanoseconds above the other side's.
    AddsAtMost(f64),
}

impl Target {
    /// Whether the median ratio, or the figures behind it, reach the target.
    pub(crate) fn is_met(self, ratio: f64, ours: f64, raw: f64) -> bool {
        match self {
            Self::AtLeast(least) | Self::ByDisk(least, _) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::AddsAtMost(most) => ours - raw <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::ByDisk(quiet, slow) => write!(f, ">= {quiet} quiet disk, >= {slow} slow"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AddsAtMost(most) => write!(f, "<= {most} ns more"),
        }
    }
}

/// Two sides and what is asked of them.
pub(crate) struct Pair {
    pub(crate) what: &'static str,
    pub(crate) against: &'static str,
    pub(crate) target: Target,
    /// How long a side runs in a round unless the caller says otherwise.
    pub(crate) window: Duration,
    pub(crate) ours: Box<dyn Side>,
    pub(crate) raw: Box<dyn Side>,
}

/// One side in one round.
#[derive(Clone, Copy, Debug)]
struct Sample {
    figure: f64,
    cpu: f64,
}

/// The three quartiles.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len().saturating_sub(1)) as f64;
            let low = sorted.get(place.floor() as usize).copied().unwrap_or(f64::NAN);
            let high = sorted.get(place.ceil() as usize).copied().unwrap_or(f64::NAN);
            low + (high - low) * place.fract()
        };
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }
}

/// A measured row.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) row: &'static str,
    pub(crate) what: &'static str,
    pub(crate) against: &'static str,
    pub(crate) target: Target,
    pub(crate) met: bool,
    /// The figures are latencies in nanoseconds, not operations a second.
    pub(crate) latency: bool,
    pub(crate) ratio: Quartiles,
    pub(crate) control: Quartiles,
    pub(crate) ours: Quartiles,
    pub(crate) raw: Quartiles,
    /// Microseconds of CPU an operation.
    pub(crate) ours_cpu: Quartiles,
    pub(crate) raw_cpu: Quartiles,
    pub(crate) ratios: Vec<f64>,
    pub(crate) controls: Vec<f64>,
}

/// Measures one pair.
pub(crate) fn run(
    row: &'static str,
    mut pair: Pair,
    rounds: usize,
    window: Option<Duration>,
) -> Result<Measured, Failure> {
    let window = window.unwrap_or(pair.window);
    let mut latency = false;
    let mut once = |side: &mut dyn Side| sample(side, window, &mut latency);
    // The first runs fill caches, grow files and find pages; nobody counts them.
    once(&mut *pair.raw)?;
    once(&mut *pair.ours)?;
    let (mut ours, mut raw, mut ratios, mut controls) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds.max(1) {
        // Whatever drifts within a round must not always hit the same side.
        let (a, b, c);
        if round % 2 == 0 {
            a = once(&mut *pair.raw)?;
            b = once(&mut *pair.ours)?;
            c = once(&mut *pair.raw)?;
        } else {
            c = once(&mut *pair.raw)?;
            b = once(&mut *pair.ours)?;
            a = once(&mut *pair.raw)?;
        }
        ratios.push(b.figure / a.figure);
        controls.push(c.figure / a.figure);
        ours.push(b);
        raw.push(a);
        raw.push(c);
    }
    let figures = |samples: &[Sample]| Quartiles::of(&samples.iter().map(|s| s.figure).collect::<Vec<_>>());
    let cpu = |samples: &[Sample]| Quartiles::of(&samples.iter().map(|s| s.cpu).collect::<Vec<_>>());
    let ratio = Quartiles::of(&ratios);
    let (ours_figures, raw_figures) = (figures(&ours), figures(&raw));
    Ok(Measured {
        row,
        what: pair.what,
        against: pair.against,
        target: pair.target,
        met: pair.target.is_met(ratio.median, ours_figures.median, raw_figures.median),
        latency,
        ratio,
        control: Quartiles::of(&controls),
        ours: ours_figures,
        raw: raw_figures,
        ours_cpu: cpu(&ours),
        raw_cpu: cpu(&raw),
        ratios,
        controls,
    })
}

fn sample(side: &mut dyn Side, window: Duration, latency: &mut bool) -> Result<Sample, Failure> {
    let cpu = cpu_seconds();
    let began = Instant::now();
    let work = side.run(window)?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let (operations, figure) = match work {
        Work::Operations(operations) => (operations, operations as f64 / seconds),
        Work::Latency(operations, latency_of) => {
            *latency = true;
            (operations, latency_of.as_secs_f64() * 1e9)
        }
    };
    if operations == 0 {
        return Err("a side did nothing within its window; use a longer --window".into());
    }
    Ok(Sample { figure, cpu: cpu * 1e6 / operations as f64 })
}

/// User and system time of this process, all threads, ended ones included.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_neighbours() {
        let quartiles = Quartiles::of(&[4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!((quartiles.lower, quartiles.median, quartiles.upper), (2.0, 3.0, 4.0));
        let quartiles = Quartiles::of(&[1.0, 2.0]);
        assert_eq!((quartiles.lower, quartiles.median, quartiles.upper), (1.25, 1.5, 1.75));
    }

    #[test]
    fn a_side_that_does_half_the_work_has_half_the_ratio() {
        let pair = Pair {
            what: "half",
            against: "whole",
            target: Target::AtLeast(0.9),
            window: Duration::ZERO,
            ours: side(|_| Ok(Work::Latency(1, Duration::from_nanos(5)))),
            raw: side(|_| Ok(Work::Latency(1, Duration::from_nanos(10)))),
        };
        let measured = run("P0", pair, 3, None).unwrap();
        assert_eq!((measured.ratio.median, measured.control.median, measured.ratios.len()), (0.5, 1.0, 3));
        assert!(!measured.met && measured.latency);
    }
}
