//! Random programs against a model: every answer, every revision, every event, the whole history.

mod model;
mod run;
mod step;

use std::time::{Duration, Instant};

use kvdb_core::Capabilities;
use run::{Run, Shares, Stop};
use step::{Rng, Step};

use crate::{Ctx, Failure, Proof, ensure};

crate::trials! {
    "property random programs answer, tell and remember what the model says" => random_programs;
}

/// Steps of one program: enough for history to build up, few enough to read.
const STEPS: usize = 150;
/// No new program begins after this long, once the least number is done.
const BUDGET: Duration = Duration::from_secs(15);
const LEAST: usize = 4;
/// The same where a TTL takes seconds to run out.
const LEAST_OF_LONG_TTLS: usize = 2;
const MOST: usize = 40;
/// Making a failing program shorter ends after this long.
const SHRINK: Duration = Duration::from_secs(15);

async fn random_programs(ctx: Ctx) -> Proof {
    let seed = match std::env::var("KVDB_SEED") {
        Ok(text) => text.parse().map_err(|_| Failure::new(format_args!("KVDB_SEED={text} is no number")))?,
        Err(_) => rand::random::<u32>().into(),
    };
    let can = ctx.capabilities();
    let mut rng = Rng::new(seed);
    let (mut sum, mut programs, mut slow) = (Shares::default(), 0, 0);
    let began = Instant::now();
    let quick = ctx.limits().ttl_min < Duration::from_millis(500);
    let least = if quick { LEAST } else { LEAST_OF_LONG_TTLS };
    while programs < least || programs < MOST && began.elapsed() < BUDGET {
        let program = step::program(rng.next(), STEPS, can, quick);
        match run(&ctx, &program).await? {
            Ok(shares) => {
                sum.steps += shares.steps;
                sum.conflict += shares.conflict;
                sum.not_found += shares.not_found;
                sum.expired += shares.expired;
                sum.transactions += shares.transactions;
                programs += 1;
            }
            Err((_, Stop::TooSlow)) => {
                slow += 1;
                ensure!(slow < MOST, "the machine is too slow for TTLs of some hundred milliseconds; KVDB_SEED={seed}");
            }
            Err((at, Stop::Wrong(why))) => {
                eprintln!(
                    "property [{}]: KVDB_SEED={seed}: step {at}: {why}; looking for a shorter program",
                    ctx.store().label()
                );
                let (short, why) = shrink(&ctx, program[..=at.min(program.len() - 1)].to_vec(), why).await?;
                let listing: String = short.iter().map(|step| format!("\n  {step:?}")).collect();
                return Err(Failure::new(format_args!("KVDB_SEED={seed}: {why}\nthe program:{listing}\n")));
            }
        }
    }
    report(&ctx, seed, programs, &sum)
}

fn report(ctx: &Ctx, seed: u64, programs: usize, sum: &Shares) -> Proof {
    let share = |count: usize| count as f64 * 100.0 / sum.steps.max(1) as f64;
    let (conflict, not_found, expired) = (share(sum.conflict), share(sum.not_found), share(sum.expired));
    let transactions = share(sum.transactions);
    eprintln!(
        "property [{}]: KVDB_SEED={seed}: {programs} programs, {} steps, Conflict {conflict:.1} %, \
         NotFound {not_found:.1} %, expiry {expired:.1} %, transactions {transactions:.1} %",
        ctx.store().label(),
        sum.steps
    );
    // Of few steps the shares are further from what they are of many.
    let (twentieth, tenth, hundredth) = if programs < LEAST { (40, 20, 200) } else { (20, 10, 100) };
    ensure!(sum.conflict * twentieth >= sum.steps, "only {conflict:.1} % of the steps were conflicts");
    ensure!(sum.not_found * twentieth >= sum.steps, "only {not_found:.1} % of the steps found nothing");
    ensure!(sum.transactions * tenth >= sum.steps, "only {transactions:.1} % of the steps were transactions");
    let expires = ctx.has(Capabilities::TTL | Capabilities::LEASES);
    ensure!(sum.expired * hundredth >= sum.steps || !expires, "only {expired:.1} % of the steps were expiries");
    Ok(())
}

type Ended = Result<Shares, (usize, Stop)>;

/// Runs a program in an empty domain; a failure names the step.
async fn run(ctx: &Ctx, program: &[Step]) -> Proof<Ended> {
    let domain = format!("{}/{:08x}", ctx.domain(), rand::random::<u32>());
    let kv = ctx.open_in(&domain).await?;
    let mut run = match Run::begin(&kv, ctx.store()).await {
        Ok(run) => run,
        Err(stop) => return Ok(Err((0, stop))),
    };
    for (at, step) in program.iter().enumerate() {
        if let Err(stop) = run.step(*step).await {
            return Ok(Err((at, stop)));
        }
    }
    match run.finish().await {
        Ok(()) => Ok(Ok(run.shares)),
        Err(stop) => Ok(Err((program.len(), stop))),
    }
}

/// Leaves out whatever the failure does not need, while the time lasts.
async fn shrink(ctx: &Ctx, mut program: Vec<Step>, mut why: String) -> Proof<(Vec<Step>, String)> {
    let began = Instant::now();
    let mut chunk = program.len() / 2;
    while chunk > 0 {
        let mut from = 0;
        while from < program.len() {
            if began.elapsed() > SHRINK {
                return Ok((program, why));
            }
            let mut shorter = program.clone();
            shorter.drain(from..(from + chunk).min(program.len()));
            match run(ctx, &shorter).await? {
                Err((_, Stop::Wrong(again))) => (program, why) = (shorter, again),
                _ => from += chunk,
            }
        }
        chunk /= 2;
    }
    Ok((program, why))
}
