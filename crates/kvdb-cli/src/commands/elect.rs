use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use kvdb::Operation;
use kvdb::prelude::*;
use kvdb::recipes::{Campaign, Election, ElectionEvent, ElectionOptions, Leader};
use serde_json::{Value, json};

use crate::duration;
use crate::failure::Failure;
use crate::job::{Job, as_ours};
use crate::output::{self, Output};
use crate::run::tell;
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Run a command while we are the leader, or see who leads
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb elect scheduler -- ./scheduler                              waits its turn, then runs the command
  kvdb elect scheduler --value 10.0.0.7:80 --again -- ./scheduler  campaigns anew after a loss
  kvdb elect scheduler                                             who leads, now and after every change

KVDB_FENCING_TOKEN rises with every leader: whatever the command writes to can refuse a smaller one.
If leadership is lost, the command is ended (TERM, after 5 seconds KILL) and kvdb exits with 1, or campaigns again with
--again; else it resigns when the command ends and exits with its code. Ctrl-C and TERM are passed on to the command; a
second one kills it.

Without a command a line has the leader's id, its token and its value, with tabs between, or `nobody`, until Ctrl-C.
Changes that come fast are one line.

A file is open in one process at a time: while the command runs, `kvdb elect` and `kvdb lock` on the same file wait, and
other commands answer that it is already open.")]
pub(crate) struct Elect {
    /// The election's name; the lock of this name is the same
    name: String,
    /// What the others see of the leader, such as its address
    #[arg(long, default_value = "", hide_default_value = true, requires = "command")]
    value: OsString,
    /// Who we are [default: a random id]
    #[arg(long, requires = "command")]
    id: Option<String>,
    /// How long after our sudden death another one leads [default: 16s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "command")]
    ttl: Option<Duration>,
    /// Campaign again when leadership is lost, and run the command anew
    #[arg(long, requires = "command")]
    again: bool,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Elect {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        if self.command.is_empty() {
            return context
                .with_store(async |kv, out| {
                    tokio::select! {
                        outcome = observe(Election::new(kv, &self.name), out) => outcome,
                        _ = signals.asked() => Ok(()),
                    }
                })
                .await;
        }
        // A file that another process has open is waited for as leadership is: mostly that process leads.
        let kv = tokio::select! {
            opened = context.open_within(Duration::MAX) => opened?,
            signal = signals.asked() => return Err(Failure::Exit(signal_code(signal))),
        };
        context.with_opened(kv, async |kv, _| self.campaign(kv, &mut signals).await).await
    }

    async fn campaign(&self, kv: &Handle, signals: &mut Signals) -> Result<(), Failure> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut options = ElectionOptions::new();
        options.id.clone_from(&self.id);
        options.ttl = self.ttl;
        let value = Bytes::copy_from_slice(self.value.as_bytes());
        let mut campaign = Election::new(kv, &self.name).campaign(value, options).await?;
        let ended = loop {
            let token = tokio::select! {
                token = elected(&mut campaign) => token?,
                signal = signals.asked() => break Err(Failure::Exit(signal_code(signal))),
            };
            match self.lead(&mut campaign, token, signals).await {
                Err(failure) if self.again && is_loss(&failure) => {
                    tell(&format!("kvdb: {}; campaigning again", failure.message().unwrap_or_default()));
                }
                ended => break ended,
            }
        };
        let resigned = campaign.resign().await;
        ended?;
        Ok(resigned?)
    }

    /// Runs the command while we lead.
    async fn lead(&self, campaign: &mut Campaign, token: Revision, signals: &mut Signals) -> Result<(), Failure> {
        let token = token.to_string();
        let job = Job::start(&self.command, &[("KVDB_FENCING_TOKEN", &token)])?;
        let status = job.run(self.deposed(campaign), signals).await?;
        // Leadership that ran out while the command ended by itself protected nothing.
        if !campaign.is_leader() {
            return Err(self.lost());
        }
        as_ours(status)
    }

    /// Resolves when we do not lead any more.
    async fn deposed(&self, campaign: &mut Campaign) -> Failure {
        match campaign.next().await {
            Some(Err(error)) => error.into(),
            _ => self.lost(),
        }
    }

    fn lost(&self) -> Failure {
        let error = Error::new(ErrorKind::LockLost, "another one may lead now");
        error.with_operation(Operation::Lock).with_key(self.name.as_str()).into()
    }
}

/// Waits until we lead; answers the token.
async fn elected(campaign: &mut Campaign) -> Result<Revision, Failure> {
    while let Some(event) = campaign.next().await {
        if let ElectionEvent::Leader { token } = event? {
            return Ok(token);
        }
    }
    Err(Error::new(ErrorKind::Closed, "the campaign ended by itself").into())
}

fn is_loss(failure: &Failure) -> bool {
    matches!(failure, Failure::Store(error) if *error.kind() == ErrorKind::LockLost)
}

async fn observe(election: Election, out: &mut Output) -> Result<(), Failure> {
    let mut leaders = election.observe().await?;
    while let Some(leader) = leaders.next().await {
        let leader = leader?;
        out.either(|| json!({ "leader": leader.as_ref().map(leader_json) }), || line(leader.as_ref()))?;
    }
    Ok(())
}

fn line(leader: Option<&Leader>) -> String {
    leader.map_or_else(
        || "nobody".to_owned(),
        |leader| {
            let (id, value) = (output::inline(leader.id.as_bytes()), output::inline(&leader.value));
            format!("{id}\t{}\t{value}", leader.token)
        },
    )
}

fn leader_json(leader: &Leader) -> Value {
    json!({ "id": leader.id, "token": leader.token, "value": output::value_json(&leader.value) })
}
