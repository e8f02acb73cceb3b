use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvdb::prelude::*;
use kvdb::{Error, ErrorKind};
use kvdb_testsuite::decorate::{Call, Fault};
use kvdb_testsuite::help::{eventually, expect_error, expect_kind, next_pair, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

/// How the store is now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    Up,
    NoQuorum,
    Away,
    Silent,
}

#[derive(Clone, Debug)]
struct Line {
    weather: Arc<Mutex<Weather>>,
    asked: Arc<AtomicUsize>,
}

impl Line {
    fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The deadline of a write to a healthy store, however busy its disk is.
const LONG: Duration = Duration::from_secs(20);
const UNREACHABLE: Duration = Duration::from_millis(1500);

/// A handle with short deadlines over a store whose weather can be set, with the wrapper on.
async fn open(on: &On) -> Proof<(Handle, Line)> {
    let line = Line { weather: Arc::new(Mutex::new(Weather::Up)), asked: Arc::default() };
    let seen = line.clone();
    let plan = move |_: &Call| {
        seen.asked.fetch_add(1, Ordering::SeqCst);
        match *seen.weather.lock().unwrap() {
            Weather::Up => Fault::None,
            Weather::NoQuorum => Fault::Refuse(Error::new(ErrorKind::NoQuorum, "no leader")),
            Weather::Away => Fault::Refuse(Error::new(ErrorKind::Unavailable, "no route")),
            Weather::Silent => Fault::Stall,
        }
    };
    let kv = on.over(Options::new().timeout(Duration::from_millis(150)), plan).await?;
    let options = Options::new().set("auto", true).set("unreachable", "1500ms").set("probe", "30ms");
    kv.add_wrapper("no-quorum", &options)?;
    Ok((kv, line))
}

/// Wants calls to be refused by the wrapper, which does not ask the store; only its probes do.
async fn refused(kv: &Handle, line: &Line) -> Proof {
    line.set(Weather::Silent);
    let error = expect_kind(soon("a refused call", kv.put("k", "refused").into_future()).await?, &ErrorKind::NoQuorum)?;
    ensure!(error.to_string().contains("no-quorum"), "the store itself answered: {error}");
    let (before, began) = (line.asked(), Instant::now());
    let mut probed = 0;
    for _ in 0..200 {
        expect_kind(kv.get("k").await, &ErrorKind::NoQuorum)?;
        probed = line.asked() - before;
    }
    // Two hundred calls in less than the time of one that waits for the store; on a stopped machine this says nothing.
    ensure!(probed < 100 || began.elapsed() > Duration::from_secs(2), "refused calls asked the store {probed} times");
    Ok(())
}

/// Wants the wrapper to fall by itself when the store is back.
async fn falls(kv: &Handle, line: &Line) -> Proof {
    line.set(Weather::Up);
    eventually("the wrapper is down again", async || Ok(kv.get("k").timeout(LONG).await.is_ok())).await?;
    kv.put("k", "back").timeout(LONG).await?;
    ensure_eq!(kv.get("k").timeout(LONG).await?.map(|pair| pair.value), Some("back".into()));
    ensure_eq!(kv.wrappers(), ["no-quorum"], "a wrapper that is down is still on");
    Ok(())
}

pub(super) async fn lost_quorum(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    kv.put("k", "1").timeout(LONG).await?;
    for round in 0..3 {
        line.set(Weather::NoQuorum);
        // The first one to meet it tells what the store said, and raises.
        let first = expect_kind(soon("the first call", kv.get("k").into_future()).await?, &ErrorKind::NoQuorum)?;
        ensure!(first.to_string().contains("no leader"), "round {round}: {first}");
        refused(&kv, &line).await?;
        let waiting = {
            let kv = kv.clone();
            tokio::spawn(async move { kv.watch_tree("").timeout(LONG).await })
        };
        tokio::task::yield_now().await;
        ensure!(!waiting.is_finished(), "round {round}: a watch did not wait");
        falls(&kv, &line).await?;
        let mut watch = soon("the watch that waited", waiting).await???;
        kv.put("seen", "1").timeout(LONG).await?;
        while next_pair(&mut watch).await?.key != "seen" {}
    }
    Ok(())
}

pub(super) async fn out_of_reach(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    for weather in [Weather::Away, Weather::Silent] {
        line.set(weather);
        let began = Instant::now();
        let raised = loop {
            let error = expect_error(kv.get("k").await, "a failure", |_| true)?;
            match error.kind() {
                ErrorKind::NoQuorum => break began.elapsed(),
                ErrorKind::Unavailable | ErrorKind::Timeout => {}
                other => kvdb_testsuite::fail!("{weather:?}: {other:?}"),
            }
            ensure!(began.elapsed() < Duration::from_secs(20), "{weather:?}: it does not rise");
        };
        ensure!(raised >= UNREACHABLE, "{weather:?}: up after {raised:?} of {UNREACHABLE:?}");
        refused(&kv, &line).await?;
        falls(&kv, &line).await?;
    }
    Ok(())
}

pub(super) async fn answer_in_between(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    let unavailable = |kind: &ErrorKind| matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
    line.set(Weather::Away);
    expect_error(kv.get("k").await, "Unavailable", unavailable)?;
    line.set(Weather::Up);
    // Any answer of the store counts, also one that is an error.
    expect_kind(kv.update("absent", "1").timeout(LONG).await, &ErrorKind::NotFound)?;
    // The time itself is what is tested: longer than it takes to rise.
    tokio::time::sleep(UNREACHABLE).await;
    line.set(Weather::Away);
    expect_error(kv.get("k").await, "Unavailable", unavailable)?;
    expect_error(kv.get("k").await, "Unavailable", unavailable)?;
    Ok(())
}

pub(super) async fn stays_down(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    let other = on.open().await?;
    // Errors of a healthy store are no outage.
    for n in 0..50 {
        expect_kind(kv.update("absent", "1").timeout(LONG).await, &ErrorKind::NotFound)?;
        expect_kind(kv.get("a/../b").await, &ErrorKind::InvalidArgument)?;
        other.put("k", format!("{n}")).await?;
        ensure!(kv.get("k").timeout(LONG).await?.is_some());
    }
    // Nobody probes a store that is not lost.
    let asked = line.asked();
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure_eq!(line.asked(), asked, "what an idle handle asked of the store");
    // Taken off while it is raised, it holds nothing back and asks for nothing more.
    line.set(Weather::NoQuorum);
    expect_kind(kv.get("k").await, &ErrorKind::NoQuorum)?;
    kv.remove_wrapper("no-quorum")?;
    line.set(Weather::Up);
    kv.put("k", "1").timeout(LONG).await?;
    kv.close().await?;
    Ok(())
}

/// Only what was asked of the store says how it is: not what is refused before it, and not a list that was never read.
pub(super) async fn only_what_was_asked(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    line.set(Weather::Away);
    let began = Instant::now();
    let up = |error: &Error| *error.kind() == ErrorKind::NoQuorum;
    while !up(&expect_error(kv.get("a/../b").await, "a failure", |_| true)?) {
        let error = expect_error(kv.list("").await, "a failure", |_| true)?;
        ensure!(began.elapsed() < Duration::from_secs(20), "lists alone do not make it rise: {error}");
    }
    ensure!(began.elapsed() >= UNREACHABLE, "up after {:?} of {UNREACHABLE:?}", began.elapsed());
    refused(&kv, &line).await?;
    falls(&kv, &line).await
}

/// What was under way when it rose ends while it is up, and says nothing of the time after.
pub(super) async fn forgets_the_outage(on: On) -> Proof {
    let (kv, line) = open(&on).await?;
    line.set(Weather::Silent);
    let under_way = {
        let kv = kv.clone();
        tokio::spawn(async move { kv.get("k").await })
    };
    let asked = line.asked();
    eventually("the call is under way", async || Ok(line.asked() > asked)).await?;
    line.set(Weather::NoQuorum);
    expect_kind(kv.get("k").await, &ErrorKind::NoQuorum)?;
    refused(&kv, &line).await?;
    expect_kind(soon("the call that was under way", under_way).await??, &ErrorKind::Timeout)?;
    line.set(Weather::Up);
    eventually("the wrapper is down again", async || {
        Ok(!kv.put("a/../b", "1").await.is_err_and(|error| *error.kind() == ErrorKind::NoQuorum))
    })
    .await?;
    // The time itself is what is tested: longer than it takes to rise.
    tokio::time::sleep(UNREACHABLE).await;
    line.set(Weather::Away);
    let error = expect_error(kv.get("k").await, "one failure", |_| true)?;
    ensure!(*error.kind() != ErrorKind::NoQuorum, "{error}");
    expect_kind(kv.put("a/../b", "1").await, &ErrorKind::InvalidArgument)?;
    Ok(())
}
