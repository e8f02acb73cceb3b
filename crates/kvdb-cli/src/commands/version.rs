use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::store::Context;

/// Print the version of this command, of its backends, and of the store if one is named
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb version
  kvdb --store redb:app.redb version

A store that does not tell its version is an error, after the rest is printed. On etcd with users only root may ask.")]
pub(crate) struct Version {}

impl Version {
    pub(crate) async fn run(self, mut context: Context) -> Result<(), Failure> {
        let command = env!("CARGO_PKG_VERSION");
        let backends = kvdb::backends();
        // Without a store that is named: the default one need not be there just to tell a version.
        let store = match context.store {
            Some(_) => Some(kvdb::version_at(context.uri(), context.options()).await),
            None => None,
        };
        let (store, failure) = match store {
            Some(Ok(version)) => (Some(version), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        context.out.either(
            || {
                json!({
                    "kvdb": command,
                    "backends": backends.iter().map(|backend| backend.package).collect::<Vec<_>>(),
                    "store": store.as_ref().map(|store| json!({ "api": store.api, "server": store.server })),
                })
            },
            || {
                let mut lines = vec![format!("kvdb {command}")];
                lines.extend(backends.iter().map(|backend| format!("backend {}: {}", backend.name, backend.package)));
                lines.extend(store.as_ref().map(|store| format!("store: API {}, {}", store.api, store.server)));
                lines.join("\n")
            },
        )?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
