//! What the examples have in common: the store's URI as the first argument.

use std::process::ExitCode;

/// The store that an example is to use, `mem:` unless the first argument names one; or how the example ends at once.
pub(crate) fn store(about: &str) -> Result<String, ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok("mem:".to_owned()),
        [help] if help == "-h" || help == "--help" => {
            println!(
                "{about}\n\nUsage: [URI]\n\nURI names the store, `mem:` unless it is given: etcd://127.0.0.1:2379, redb:app.redb"
            );
            Err(ExitCode::SUCCESS)
        }
        [uri] if !uri.starts_with('-') => Ok(uri.clone()),
        _ => {
            eprintln!("one argument at most, the URI of a store; --help tells more");
            Err(ExitCode::from(2))
        }
    }
}

/// How an example ends: an error is told on stderr.
pub(crate) fn ended(result: kvdb::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The two halves of a URI as the Go packages take them: a store's name, and its addresses.
#[allow(dead_code, reason = "not every example opens a store so")]
pub(crate) fn name_and_addresses(uri: &str) -> (&str, Vec<&str>) {
    let (name, rest) = uri.split_once(':').unwrap_or((uri, ""));
    (name, rest.trim_start_matches("//").split(',').filter(|address| !address.is_empty()).collect())
}
