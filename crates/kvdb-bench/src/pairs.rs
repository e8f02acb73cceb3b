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
    /// So many things, and the bytes of memory of all of them; the figure is bytes a thing.
    #[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only its rows measure memory"))]
    Memory(u64, u64),
}

/// What a side's figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Operations a second.
    PerSecond,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes each.
    Bytes,
}

/// What is asked of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) figure: Target,
    /// The most that the median ratio of CPU time an operation may be.
    pub(crate) cpu: Option<f64>,
}

impl Asked {
    /// Of the figure alone.
    pub(crate) const fn of(figure: Target) -> Self {
        Self { figure, cpu: None }
    }

    /// Of the figure and of CPU time an operation.
    pub(crate) const fn with_cpu(figure: Target, cpu: f64) -> Self {
        Self { figure, cpu: Some(cpu) }
    }

    /// Whether the median ratio of CPU time is low enough.
    pub(crate) fn is_cpu_met(self, ratio: f64) -> bool {
        self.cpu.is_none_or(|most| ratio <= most)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, cpu } = self;
        write!(f, "{figure}")?;
        cpu.map_or(Ok(()), |cpu| write!(f, ", cpu <= {cpu}"))
    }
}

/// What is asked of the figure: of the median ratio, or of the figures behind it.
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
    /// A latency at most one in so many of the other side's.
    Faster(f64),
    /// At most this many bytes each, whatever the other side takes.
    Bytes(f64),
}

impl Target {
    /// Whether the median ratio, or the figures behind it, reach the target.
    pub(crate) fn is_met(self, ratio: f64, ours: f64, raw: f64) -> bool {
        match self {
            Self::AtLeast(least) | Self::ByDisk(least, _) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::AddsAtMost(most) => ours - raw <= most,
            Self::Faster(times) => ratio * times <= 1.0,
            Self::Bytes(most) => ours <= most,
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
            Self::Faster(times) => write!(f, ">= {times}x faster"),
            Self::Bytes(most) => write!(f, "<= {most} bytes"),
        }
    }
}

/// Two sides.
pub(crate) struct Pair {
    pub(crate) what: &'static str,
    pub(crate) against: &'static str,
    /// How long a side runs in a round unless the caller says otherwise.
    pub(crate) window: Duration,
    pub(crate) ours: Box<dyn Side>,
    pub(crate) raw: Box<dyn Side>,
}

/// One side in one round.
#[derive(Clone, Copy, Debug)]
struct Sample {
    figure: f64,
    /// Microseconds an operation.
    cpu: f64,
    unit: Unit,
    operations: u64,
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
    pub(crate) cpu_target: Option<f64>,
    pub(crate) met: bool,
    pub(crate) cpu_met: bool,
    pub(crate) unit: Unit,
    pub(crate) ratio: Quartiles,
    pub(crate) control: Quartiles,
    pub(crate) ours: Quartiles,
    pub(crate) raw: Quartiles,
    /// Microseconds of CPU an operation.
    pub(crate) ours_cpu: Quartiles,
    pub(crate) raw_cpu: Quartiles,
    pub(crate) cpu_ratio: Quartiles,
    pub(crate) cpu_control: Quartiles,
    pub(crate) ratios: Vec<f64>,
    pub(crate) controls: Vec<f64>,
    pub(crate) cpu_ratios: Vec<f64>,
}

/// Measures one pair.
pub(crate) fn run(
    row: &'static str,
    mut pair: Pair,
    asked: Asked,
    rounds: usize,
    window: Option<Duration>,
) -> Result<Measured, Failure> {
    let window = window.unwrap_or(pair.window);
    let once = |side: &mut dyn Side| sample(side, window);
    // The first runs fill caches, grow files and find pages; nobody counts them.
    let unit = once(&mut *pair.raw)?.unit;
    once(&mut *pair.ours)?;
    let (mut ours, mut raw) = (vec![], vec![]);
    let (mut ratios, mut controls, mut cpu_ratios, mut cpu_controls) = (vec![], vec![], vec![], vec![]);
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
        cpu_ratios.push(b.cpu / a.cpu);
        cpu_controls.push(c.cpu / a.cpu);
        ours.push(b);
        raw.push(a);
        raw.push(c);
    }
    let figures = |samples: &[Sample]| Quartiles::of(&samples.iter().map(|s| s.figure).collect::<Vec<_>>());
    let cpu = |samples: &[Sample]| Quartiles::of(&samples.iter().map(|s| s.cpu).collect::<Vec<_>>());
    let (ratio, cpu_ratio) = (Quartiles::of(&ratios), Quartiles::of(&cpu_ratios));
    let (ours_figures, raw_figures) = (figures(&ours), figures(&raw));
    Ok(Measured {
        row,
        what: pair.what,
        against: pair.against,
        target: asked.figure,
        cpu_target: asked.cpu,
        met: asked.figure.is_met(ratio.median, ours_figures.median, raw_figures.median),
        cpu_met: asked.is_cpu_met(cpu_ratio.median),
        unit,
        ratio,
        control: Quartiles::of(&controls),
        ours: ours_figures,
        raw: raw_figures,
        ours_cpu: cpu(&ours),
        raw_cpu: cpu(&raw),
        cpu_ratio,
        cpu_control: Quartiles::of(&cpu_controls),
        ratios,
        controls,
        cpu_ratios,
    })
}

/// Which side of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// kvdb.
    Ours,
    /// What it is measured against.
    Raw,
}

/// What one side did on its own.
pub(crate) struct Alone {
    pub(crate) operations: u64,
    /// Microseconds of CPU an operation.
    pub(crate) cpu: Quartiles,
}

/// Runs one side alone, for a profiler or a counter of instructions to look at.
pub(crate) fn alone(mut pair: Pair, which: Which, rounds: usize, window: Option<Duration>) -> Result<Alone, Failure> {
    let window = window.unwrap_or(pair.window);
    let side = match which {
        Which::Ours => &mut *pair.ours,
        Which::Raw => &mut *pair.raw,
    };
    let samples = (0..rounds.max(1)).map(|_| sample(side, window)).collect::<Result<Vec<_>, _>>()?;
    let cpu = Quartiles::of(&samples.iter().map(|sample| sample.cpu).collect::<Vec<_>>());
    Ok(Alone { operations: samples.iter().map(|sample| sample.operations).sum(), cpu })
}

fn sample(side: &mut dyn Side, window: Duration) -> Result<Sample, Failure> {
    let cpu = cpu_seconds();
    let began = Instant::now();
    let work = side.run(window)?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let (operations, figure, unit) = match work {
        Work::Operations(operations) => (operations, operations as f64 / seconds, Unit::PerSecond),
        Work::Latency(operations, latency) => (operations, latency.as_secs_f64() * 1e9, Unit::Nanoseconds),
        Work::Memory(things, bytes) => (things, bytes as f64 / things as f64, Unit::Bytes),
    };
    if operations == 0 {
        return Err("a side did nothing within its window; use a longer --window".into());
    }
    Ok(Sample { figure, cpu: cpu * 1e6 / operations as f64, unit, operations })
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
            window: Duration::ZERO,
            ours: side(|_| Ok(Work::Latency(1, Duration::from_nanos(5)))),
            raw: side(|_| Ok(Work::Latency(1, Duration::from_nanos(10)))),
        };
        let measured = run("P0", pair, Asked::of(Target::AtLeast(0.9)), 3, None).unwrap();
        assert_eq!((measured.ratio.median, measured.control.median, measured.ratios.len()), (0.5, 1.0, 3));
        assert!(!measured.met && measured.cpu_met && measured.unit == Unit::Nanoseconds);
    }

    #[test]
    fn a_side_alone_is_run_as_often_as_rounds_say_and_the_other_never() {
        let pair = || Pair {
            what: "alone",
            against: "nobody",
            window: Duration::ZERO,
            ours: side(|_| Ok(Work::Operations(2))),
            raw: side(|_| Err("it ran".into())),
        };
        assert_eq!(alone(pair(), Which::Ours, 3, None).unwrap().operations, 6);
        assert!(alone(pair(), Which::Raw, 3, None).is_err());
    }

    #[test]
    fn a_target_says_what_it_asks() {
        assert!(Target::Faster(50.0).is_met(0.02, 2.0, 100.0) && !Target::Faster(50.0).is_met(0.021, 2.1, 100.0));
        assert!(Target::Bytes(1024.0).is_met(9.0, 1024.0, 1.0) && !Target::Bytes(1024.0).is_met(0.1, 1025.0, 9999.0));
        let with_cpu = Asked::with_cpu(Target::AtLeast(0.97), 1.03);
        assert!(
            with_cpu.is_cpu_met(1.03) && !with_cpu.is_cpu_met(1.04) && Asked::of(Target::AtLeast(1.0)).is_cpu_met(9.0)
        );
        assert_eq!(with_cpu.to_string(), ">= 0.97, cpu <= 1.03");
        assert_eq!(Asked::of(Target::Faster(50.0)).to_string(), ">= 50x faster");
    }
}
