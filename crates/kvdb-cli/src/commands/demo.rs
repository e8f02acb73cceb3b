use clap::Args;
use kvdb::Options;
use serde_json::json;

use crate::demo;
use crate::failure::Failure;
use crate::run::tell;
use crate::store::{Context, without_secrets};

/// See every promise hold, one a line, on a fresh file or on the store that --store names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb demo                         on a fresh file in the directory for temporary files
  kvdb --store mem: demo            in memory: says what that store does not have
  kvdb --store redb:app.redb demo   beside your keys, below kvdb-demo/, removed at the end

Exits with 0 only if every promise held that the store has a capability for.")]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self, mut context: Context) -> Result<(), Failure> {
        let directory;
        let uri = if context.store.is_some() {
            context.uri().to_owned()
        } else {
            directory = tempfile::Builder::new()
                .prefix("kvdb-demo-")
                .tempdir()
                .map_err(|error| Failure::Io("cannot make a directory for the demo".to_owned(), error))?;
            let path = directory.path().join("demo.redb");
            format!("redb:{}", path.to_string_lossy().replace('%', "%25").replace('?', "%3F"))
        };
        if !context.out.is_json() {
            context.out.line(&format!("kvdb demo on {}", without_secrets(&uri)))?;
        }
        let options: Options = context.options();
        let open = || kvdb::connect_with(&uri, options.clone());
        let report = demo::run(open, &mut |line| {
            context.out.either(
                || {
                    json!({
                        "promise": line.promise,
                        "outcome": line.verdict.name(),
                        "proof": line.proof,
                    })
                },
                || line.to_string(),
            )
        })
        .await?;
        if !context.out.is_json() {
            context.out.line(&report.summary())?;
        }
        match report.exit_code() {
            0 => Ok(()),
            code => {
                if context.out.is_json() {
                    tell(
                        &json!({ "kind": "Demo", "message": report.summary(), "key": null, "retry": "never" })
                            .to_string(),
                    );
                }
                Err(Failure::Exit(code))
            }
        }
    }
}
