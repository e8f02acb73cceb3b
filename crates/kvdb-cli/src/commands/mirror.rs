use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use kvdb::prelude::*;
use kvdb::recipes::{Mirror as Recipe, MirrorProgress, MirrorStage};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::duration;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Make one store what another one is, and follow it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb mirror etcd://h1,h2,h3/app redb:app.redb            until Ctrl-C
  kvdb mirror consul://h1/app etcd://h2/app --once         to move from one store to another
  kvdb mirror redb:a.redb redb:b.redb --prefix config      the keys below config/ only

TO gets what FROM has and loses what FROM has not, below the prefix; names are relative to each store's domain. First
everything is compared, then FROM's changes are followed; a transaction of FROM is one in TO where TO has room for it.
Leases and TTLs are not kept: a key goes when FROM's goes, not by itself.

How far it has come is kept in TO, in the same transactions as the keys. However it ended, the next run goes on from
there, and says how many keys it read. If FROM keeps no history (Consul, ZooKeeper) or has dropped it meanwhile, that is
said, everything is compared and what differs is written. What others wrote to TO is seen with --compare only, and only
with it does an empty FROM empty TO: one that is mistyped is empty, too.

One mirror at a time writes to a place: another one waits for its lock for a moment, and ends with exit code 5. After a
sudden death the lock is free within a few seconds. Ctrl-C ends it at any time: exit code 0, with --once 130.
--store is not used; --domain is for both, a domain in a URI for its own.")]
pub(crate) struct Mirror {
    /// The URI of the store that is read
    #[arg(value_name = "FROM")]
    from: String,
    /// The URI of the store that is written
    #[arg(value_name = "TO")]
    to: String,
    /// Only the keys below this directory
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// End when TO is what FROM is, in place of following it
    #[arg(long)]
    once: bool,
    /// Compare everything, whatever was done before
    #[arg(long)]
    compare: bool,
    /// How long after a sudden death the next mirror may begin [default: 5s, or what TO grants near it]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// How long to wait for another mirror to end [default: a little longer than its TTL]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    wait: Option<Duration>,
}

impl Mirror {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_two((&self.from, &self.to), async |from, to, out| self.mirror(from, to, out, &mut signals).await)
            .await
    }

    async fn mirror(&self, from: &Handle, to: &Handle, out: &mut Output, signals: &mut Signals) -> Result<(), Failure> {
        if !self.compare {
            self.refuse_to_empty(from, to).await?;
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        // It ends with the mirror, and so do the steps.
        let running = self.recipe(from, to).on_progress(move |step| drop(tell.send(step.clone()))).run();
        let mut running = std::pin::pin!(running);
        let mut show = Show { bar: progress::bar(None, "keys"), last: MirrorProgress::default() };
        let ended = loop {
            tokio::select! {
                biased;
                signal = signals.asked() => break Err(signal),
                Some(step) = told.recv() => show.step(step, out)?,
                ended = &mut running => break Ok(ended),
            }
        };
        while let Ok(step) = told.try_recv() {
            show.step(step, out)?;
        }
        show.bar.finish_and_clear();
        match ended {
            Ok(ended) => show.end("done", &ended?, out),
            Err(signal) => {
                show.end("ended", &show.last, out)?;
                if self.once { Err(Failure::Exit(signal_code(signal))) } else { Ok(()) }
            }
        }
    }

    /// A mistyped FROM is an empty store, and TO would be one, too.
    async fn refuse_to_empty(&self, from: &Handle, to: &Handle) -> Result<(), Failure> {
        let is_empty = async |kv: &Handle| Ok::<_, Error>(kv.list(&self.prefix).limit(1).await?.is_empty());
        if is_empty(from).await? && !is_empty(to).await? {
            let message = "FROM has no key there and TO would lose all of its own; say --compare if that is meant";
            return Err(Error::invalid(message).with_key(self.prefix.as_str()).into());
        }
        Ok(())
    }

    fn recipe(&self, from: &Handle, to: &Handle) -> Recipe {
        let mut recipe = Recipe::new(from, to).prefix(&self.prefix).id(format!("process {}", std::process::id()));
        if self.once {
            recipe = recipe.once();
        }
        if self.compare {
            recipe = recipe.compare();
        }
        if let Some(ttl) = self.ttl {
            recipe = recipe.ttl(ttl);
        }
        if let Some(wait) = self.wait {
            recipe = recipe.wait(wait);
        }
        // For the bar.
        if stderr().is_terminal() { recipe.counted() } else { recipe }
    }
}

/// What is shown of a mirror: a line for each stage, a bar between them.
struct Show {
    bar: ProgressBar,
    last: MirrorProgress,
}

impl Show {
    fn step(&mut self, step: MirrorProgress, out: &mut Output) -> Result<(), Failure> {
        if step.stage != self.last.stage {
            self.bar.suspend(|| out.either(|| told(stage_name(&step.stage), &step), || stage_line(&step)))?;
            self.bar.finish_and_clear();
            self.bar = progress::bar(None, "keys");
        }
        if step.total != self.last.total {
            self.bar.finish_and_clear();
            self.bar = progress::bar(step.total, "keys");
        }
        match step.stage {
            MirrorStage::Copying(_) => self.bar.set_position(step.read),
            MirrorStage::Following => self.bar.set_position(step.copied + step.deleted),
            _ => {}
        }
        self.last = step;
        Ok(())
    }

    fn end(&self, how: &str, step: &MirrorProgress, out: &mut Output) -> Result<(), Failure> {
        out.either(|| told(how, step), || format!("{how} at revision {}: {}", step.revision, counts(step)))
    }
}

const fn stage_name(stage: &MirrorStage) -> &'static str {
    match stage {
        MirrorStage::Waiting { .. } => "waiting",
        MirrorStage::Copying(_) => "copying",
        MirrorStage::Following => "following",
        _ => "beginning",
    }
}

fn stage_line(step: &MirrorProgress) -> String {
    let name = stage_name(&step.stage);
    match &step.stage {
        MirrorStage::Waiting { holder } => match holder {
            Some(holder) => format!("{name} for another mirror, of `{holder}`"),
            None => format!("{name} for another mirror"),
        },
        MirrorStage::Copying(reason) => format!("{name}: {}", reason.describe()),
        MirrorStage::Following => format!("{name} from revision {}: {}", step.revision, counts(step)),
        _ => name.to_owned(),
    }
}

fn counts(step: &MirrorProgress) -> String {
    format!("read {}, wrote {}, deleted {}, {} bytes", step.read, step.copied, step.deleted, step.bytes)
}

fn told(name: &str, step: &MirrorProgress) -> Value {
    let mut told = json!({
        "stage": name,
        "read": step.read,
        "written": step.copied,
        "deleted": step.deleted,
        "bytes": step.bytes,
        "revision": step.revision,
    });
    if let Some(object) = told.as_object_mut() {
        match &step.stage {
            MirrorStage::Copying(reason) => drop(object.insert("reason".to_owned(), json!(reason.describe()))),
            MirrorStage::Waiting { holder } => drop(object.insert("holder".to_owned(), json!(holder))),
            _ => {}
        }
    }
    told
}
