//! F1: the process is killed in the middle of its writes, again and again on the same file.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb_redb::{RedbBackend, RedbConfig};
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;

use crate::history;
use crate::model::Model;
use crate::note::Note;
use crate::work::{self, Sink, Store, wall};

/// The promise is 8 at least; on a slow disk more of them are what makes a round worth its kill.
const WRITERS: u32 = 32;
/// Kills of one file: each recovers from the one before.
const KILLS_A_FILE: u64 = 10;
/// What a round must bring on average, so that the run means something.
const ACKS_A_ROUND: usize = 20;
/// How long a child may take to its first acknowledgement.
const FIRST_ACK: Duration = Duration::from_secs(30);

const FILE: &str = "KVDB_CRASH_FILE";
const ROUND: &str = "KVDB_CRASH_ROUND";

fn config() -> RedbConfig {
    // The whole history, so that every revision can be looked up at the end.
    Options::new().set("history_revisions", 0).backend_config().unwrap()
}

async fn open(path: &Path) -> Result<Store> {
    Store::over(Arc::new(RedbBackend::open(path, config()).await?))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What the child does: writes until it is killed. `None` in the parent.
pub(crate) fn child() -> Option<ExitCode> {
    let file = std::env::var_os(FILE)?;
    let round: u64 = std::env::var(ROUND).ok()?.parse().ok()?;
    let sink: Sink = Arc::new(|note| {
        // One write a line: a pipe takes it whole or not at all.
        let line = format!("{note}\n");
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    });
    let ended = runtime().block_on(async {
        let store = open(Path::new(&file)).await?;
        tokio::spawn(history::follow(store.clone(), Arc::clone(&sink)));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let first = round * 1_000_000 + u64::from(writer);
            writers.spawn(work::write(store.clone(), writer, first, Arc::clone(&sink)));
        }
        let ended = writers.join_next().await;
        Ok::<_, Error>(ended)
    });
    sink(Note::Wrong(format!("the writers ended by themselves: {ended:?}")));
    Some(ExitCode::FAILURE)
}

/// Kills the child over and over and compares each time.
pub(crate) fn rounds(seed: u64) -> Result<(), Failed> {
    let rounds: u64 = std::env::var("KVDB_CRASH_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut acks, mut seen, mut mid_commit, mut in_flight, mut whole) = (0, 0, 0, 0, 0);
    let mut losses = Vec::new();
    let mut done = 0;
    while done < rounds {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("crash.redb");
        let mut model = Model::default();
        for round in done..(done + KILLS_A_FILE).min(rounds) {
            model.absorb(run_and_kill(&path, round, Duration::from_millis(rng.random_range(1..=50)))?);
            let opening = wall();
            let left = runtime().block_on(async {
                let store = open(&path).await?;
                let left = model.verify(&store, opening).await?;
                store.kv.close().await?;
                Ok::<_, Error>(left)
            })?;
            mid_commit += usize::from(left.steps > 0);
            in_flight += left.steps;
            whole += left.whole;
        }
        runtime().block_on(async {
            let store = open(&path).await?;
            model.verify_history(&history::all(&store).await?);
            store.kv.close().await
        })?;
        done += KILLS_A_FILE;
        acks += model.acks;
        seen += model.seen();
        losses.append(&mut model.losses);
    }
    println!(
        "crash F1: {rounds} kills, {acks} acknowledged steps, {seen} events seen; {mid_commit} kills in mid-commit with \
         {in_flight} steps in flight, of which {whole} stand whole and the others left nothing; {} losses",
        losses.len()
    );
    report(&losses)?;
    if acks < ACKS_A_ROUND * rounds as usize {
        return Err(format!("{acks} acknowledgements in {rounds} rounds prove too little").into());
    }
    if mid_commit == 0 {
        return Err("no kill hit a commit".into());
    }
    Ok(())
}

/// Fails with the first of the losses.
pub(crate) fn report(losses: &[String]) -> Result<(), Failed> {
    if losses.is_empty() {
        return Ok(());
    }
    let first: Vec<_> = losses.iter().take(5).map(String::as_str).collect();
    Err(format!("{} broken promises, the first are:\n{}", losses.len(), first.join("\n")).into())
}

fn run_and_kill(path: &Path, round: u64, after: Duration) -> Result<Vec<Note>, Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(FILE, path)
        .env(ROUND, round.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let (first, reader) = read(&mut child)?;
    let acknowledged = first.recv_timeout(FIRST_ACK);
    // The moment of the kill is what is tested: it must fall anywhere in the cycle of commits.
    std::thread::sleep(after);
    child.kill()?;
    child.wait()?;
    let notes = reader.join().map_err(|_| "the reader of the pipe panicked")?;
    match acknowledged {
        Ok(()) => Ok(notes),
        Err(_) => Err(format!("no acknowledgement within {FIRST_ACK:?}: {:?}", notes.last()).into()),
    }
}

/// Reads the child's notes to the end of the pipe; tells when the first acknowledgement has come.
fn read(child: &mut Child) -> Result<(Receiver<()>, JoinHandle<Vec<Note>>), Failed> {
    let pipe = child.stdout.take().ok_or("the child has no pipe")?;
    let (tell, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let (mut notes, mut line) = (Vec::new(), String::new());
        while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
            // A line that the kill cut off acknowledges nothing.
            let Some(whole) = line.strip_suffix('\n') else { break };
            let note = whole.parse().unwrap_or_else(Note::Wrong);
            if matches!(note, Note::Wrote(..) | Note::Wrong(_)) {
                let _ = tell.send(());
            }
            notes.push(note);
            line.clear();
        }
        notes
    });
    Ok((first, reader))
}
