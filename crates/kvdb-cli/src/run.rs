//! The whole command: arguments in, exit code out.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::store::Context;

/// Runs the command with these arguments, the program's name first, and answers its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(refusal) => return ExitCode::from(refuse(&refusal, arguments.iter().any(|text| text == "--json"))),
    };
    let json = cli.json;
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    // Threads beside the one that waits for a terminal or a child: a lock is kept alive whatever that one does.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Io("cannot start".to_owned(), error))?;
    // An empty variable is one that is not set, as with other commands.
    let store = cli.store.filter(|uri| !uri.is_empty());
    let context = Context { store, domain: cli.domain, log: cli.log, out: Output::new(cli.json) };
    runtime.block_on(async {
        match cli.command {
            Command::Get(get) => get.run(context).await,
            Command::Put(put) => put.run(context).await,
            Command::Del(del) => del.run(context).await,
            Command::Ls(ls) => ls.run(context).await,
            Command::Tree(tree) => tree.run(context).await,
            Command::Watch(watch) => watch.run(context).await,
            Command::Wait(wait) => wait.run(context).await,
            Command::Lock(lock) => lock.run(context).await,
            Command::Elect(elect) => elect.run(context).await,
            Command::Temp(temp) => temp.run(context).await,
            Command::Group(group) => group.run(context).await,
            Command::Lease(lease) => lease.run(context).await,
            Command::Txn(txn) => txn.run(context).await,
            Command::Snapshot(snapshot) => snapshot.run(context).await,
            Command::Export(export) => export.run(context).await,
            Command::Import(import) => import.run(context).await,
            Command::Mirror(mirror) => mirror.run(context).await,
            Command::Diff(diff) => diff.run(context).await,
            Command::Compact(compact) => compact.run(context).await,
            Command::Status(status) => status.run(context).await,
            Command::Cluster(cluster) => cluster.run(context).await,
            Command::Users(users) => users.run(context).await,
            Command::Backends(backends) => backends.run(context),
            Command::Version(version) => version.run(context).await,
            Command::Demo(demo) => demo.run(context).await,
            Command::Bench(bench) => bench.run(context).await,
            Command::Completions(completions) => completions.run(context),
        }
    })
}

/// Tells a failure on stderr.
pub(crate) fn report(failure: &Failure, json: bool) {
    if let Some(message) = failure.message() {
        tell(&if json { failure.json().to_string() } else { format!("kvdb: {message}") });
    }
}

/// Writes a line to stderr; if that fails nobody is listening.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints help or what is wrong with the arguments; answers the exit code.
fn refuse(refusal: &clap::Error, json: bool) -> u8 {
    if json && refusal.use_stderr() {
        let message = refusal.render().to_string();
        tell(&json!({ "kind": "Usage", "message": message.trim(), "key": null, "retry": "never" }).to_string());
    } else if refusal.print().is_err() {
        // The reader has gone.
    }
    u8::try_from(refusal.exit_code()).unwrap_or(2)
}
