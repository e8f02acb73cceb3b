//! P18, second half: what wrappers cost that do nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb_core::{Before, Call, End, Handle, Interceptor, KvdbExt, Placement};
use tokio::runtime::Runtime;

use super::keys::{next, shuffled};
use super::memory::open;
use super::{Failure, Place};
use crate::pairs::{Pair, Work, side};

const WINDOW: Duration = Duration::from_millis(200);
const NAMES: [&str; 3] = ["pass-1", "pass-2", "pass-3"];

/// Lets every call pass and looks at nothing.
#[derive(Debug)]
struct Pass(&'static str);

impl Interceptor for Pass {
    type Note = ();

    fn name(&self) -> &'static str {
        self.0
    }

    fn placement(&self) -> Placement {
        Placement::Observe
    }

    fn before<'a>(&'a self, _call: &Call<'_>) -> Before<'a, ()> {
        Before::Go(())
    }

    fn after(&self, (): (), _call: &Call<'_>, _end: &End<'_>) {}
}

pub(super) fn get(_: &Place) -> Result<Vec<Pair>, Failure> {
    let (runtime, kv, _) = open()?;
    let (raw_runtime, raw_kv, _) = open()?;
    wrap(&kv, NAMES.len())?;
    Ok(vec![Pair {
        what: "memory get through 3 pass-through wrappers",
        against: "the same handle without wrappers",
        window: WINDOW,
        ours: gets(runtime, kv),
        raw: gets(raw_runtime, raw_kv),
    }])
}

fn wrap(kv: &Handle, count: usize) -> Result<(), Failure> {
    for name in NAMES.iter().take(count) {
        kv.wrap(Arc::new(Pass(name)))?;
    }
    Ok(())
}

fn gets(runtime: Runtime, kv: Handle) -> Box<dyn crate::pairs::Side> {
    let (keys, mut at) = (shuffled(), 0);
    side(move |window| {
        runtime.block_on(async {
            let (began, mut operations) = (Instant::now(), 0);
            while began.elapsed() < window {
                for _ in 0..256 {
                    kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
                }
                operations += 256;
            }
            let each = began.elapsed().as_secs_f64() / operations as f64;
            Ok(Work::Latency(operations, Duration::from_secs_f64(each)))
        })
    })
}

/// Gets `count` times through so many wrappers: for a counter of instructions.
pub(crate) fn count_gets(wrappers: usize, count: usize) -> Result<(), Failure> {
    let (runtime, kv, _) = open()?;
    wrap(&kv, wrappers)?;
    let (keys, mut at) = (shuffled(), 0);
    runtime.block_on(async {
        for _ in 0..count {
            kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
        }
        Ok(())
    })
}
