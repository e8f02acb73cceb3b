use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use kvdb::prelude::*;
use kvdb::{Limits, recipes};
use serde_json::json;

use crate::failure::Failure;
use crate::files::{Bad, Item, Source, load, refusal, scan};
use crate::output::{self, Output};
use crate::progress;
use crate::run::tell;
use crate::store::Context;

/// Write the keys of a JSON dump or of a directory into the store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb import backup.json                          what `kvdb export` or `kvdb snapshot` wrote
  ssh host kvdb snapshot | kvdb import -           from stdin
  kvdb import /usr/share/zoneinfo --under zones    every file is a key: zones/Europe/Paris
  kvdb import tree/ --dry-run                      says each key and its bytes, and opens no store

Reads the array that portworx/kvdb writes, too. Keys that are there get the new value, others stay. Leases and TTLs of a
dump are not kept: keys become permanent. Many keys are one transaction; if one fails, those before it stand, and doing
it again is safe.

Of a directory, links are followed, a file named `.value` is the value of its directory's key, and an empty directory is
nothing. What cannot be a key (a name that is not UTF-8, has control characters or is `_kvdb`, a link to nowhere or back
to where it came from, a file that is too large) is named on stderr: exit code 1, and nothing is written, unless
--skip-bad.")]
pub(crate) struct Import {
    /// The JSON file, `-` for stdin, or the directory
    path: PathBuf,
    /// Put all keys below this directory of the store
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    under: String,
    /// Leave out what cannot be a key
    #[arg(long)]
    skip_bad: bool,
    /// Only say what would be written, judged by the limits that the store has by default
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(crate) async fn run(self, mut context: Context) -> Result<(), Failure> {
        // Read before the store is opened: one that is damaged opens nothing.
        let (items, bad) = self.read()?;
        if self.dry_run
            && let Some(limits) = usual_limits(context.uri())
        {
            let domain = context.domain.clone().unwrap_or_default();
            return self.rehearse(items, bad, &limits, &domain, &mut context.out);
        }
        context
            .with_store(async |kv, out| {
                let (limits, domain) = (kv.limits(), kv.info().domain);
                if self.dry_run {
                    return self.rehearse(items, bad, &limits, &domain, out);
                }
                let (items, skipped) = self.sort_out(items, bad, &limits, &domain, out)?;
                let progress = progress::bar(Some(items.len() as u64), "keys");
                let loaded = load(kv, items, &progress).await;
                progress.finish_and_clear();
                let (keys, bytes) = loaded?;
                out.either(
                    || json!({ "imported": keys, "bytes": bytes, "skipped": skipped }),
                    || format!("imported {}{}", count(keys), left_out(skipped)),
                )
            })
            .await
    }

    fn read(&self) -> Result<(Vec<Item>, Vec<Bad>), Failure> {
        if self.path.is_dir() {
            return scan(&self.path);
        }
        let pairs = recipes::deserialize(&read_file(&self.path)?)?;
        let items = pairs.into_iter().map(|pair| Item {
            key: pair.key,
            bytes: pair.value.len() as u64,
            source: Source::Value(pair.value),
        });
        Ok((items.collect(), Vec::new()))
    }

    /// Names what cannot be a key; answers the rest and how many were left out.
    fn sort_out(
        &self,
        items: Vec<Item>,
        mut bad: Vec<Bad>,
        limits: &Limits,
        domain: &str,
        out: &Output,
    ) -> Result<(Vec<Item>, usize), Failure> {
        let mut good = Vec::with_capacity(items.len());
        for mut item in items {
            item.key = format!("{}/{}", self.under, item.key);
            match refusal(&item.key, item.bytes, limits, domain) {
                None => {
                    item.key = plain(&item.key);
                    good.push(item);
                }
                Some(why) => bad.push(Bad { name: item.name(), why }),
            }
        }
        for Bad { name, why } in &bad {
            let shown = output::inline(name.as_bytes());
            tell(&match out.is_json() {
                true => json!({ "kind": "BadName", "message": why, "key": name, "retry": "never" }).to_string(),
                false => format!("kvdb: {shown}: {why}"),
            });
        }
        if !bad.is_empty() && !self.skip_bad {
            let message =
                format!("{} cannot be imported and nothing was; --skip-bad imports the rest", count(bad.len() as u64));
            return Err(Failure::Refused { kind: "BadNames", message });
        }
        Ok((good, bad.len()))
    }

    fn rehearse(
        &self,
        items: Vec<Item>,
        bad: Vec<Bad>,
        limits: &Limits,
        domain: &str,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let (items, skipped) = self.sort_out(items, bad, limits, domain, out)?;
        for item in &items {
            out.either(
                || json!({ "key": item.key, "bytes": item.bytes }),
                || format!("{}\t{}", output::inline(item.key.as_bytes()), item.bytes),
            )?;
        }
        let bytes: u64 = items.iter().map(|item| item.bytes).sum();
        out.either(
            || json!({ "would_import": items.len(), "bytes": bytes, "skipped": skipped }),
            || format!("would import {}{}", count(items.len() as u64), left_out(skipped)),
        )
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut content).map(drop)
    } else {
        std::fs::read(path).map(|read| content = read)
    };
    read.map_err(|error| Failure::Io(format!("cannot read {}", path.display()), error))?;
    Ok(content)
}

/// The key without the slashes that mean nothing, so that one spelt twice is one.
fn plain(key: &str) -> String {
    key.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}

/// The limits of the store behind a URI, unless its options change them.
fn usual_limits(uri: &str) -> Option<Limits> {
    let name = uri.split([':', '+']).next()?;
    let backends = kvdb::backends();
    let backend = backends.iter().find(|backend| backend.name == name || backend.aliases.contains(&name))?;
    Some((backend.limits)())
}

fn count(keys: u64) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}

fn left_out(skipped: usize) -> String {
    if skipped == 0 { String::new() } else { format!(", left out {skipped}") }
}
