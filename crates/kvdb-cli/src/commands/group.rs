use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand};
use kvdb::prelude::*;
use kvdb::recipes::{MemberRecord, Membership, PersistentLeaseOptions};
use serde_json::{Value, json};

use crate::duration;
use crate::failure::Failure;
use crate::job::{Job, as_ours};
use crate::output::{self, Output};
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Join a group, or see who is in it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb group join workers --data 10.0.0.7:80 -- ./worker
  kvdb group list workers
  kvdb group watch workers --json

A group is a directory: each member is a key GROUP/ID, there for as long as its command runs.")]
pub(crate) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command as a member of a group
    #[command(after_help = "\
Examples:
  kvdb group join workers -- ./worker
  kvdb group join workers --id $HOSTNAME --data 10.0.0.7:80 -- ./worker

The member is there for everybody before the command starts, and gone when kvdb has ended; after a sudden death it goes
within its TTL. KVDB_MEMBER_ID tells the command its id. kvdb exits with the command's code. Ctrl-C and TERM are passed
on to the command; a second one kills it.")]
    Join(Join),
    /// Print the members: id, revision since which it is there, data
    List(Named),
    /// Print the ids of the members, now and after every change, until Ctrl-C
    #[command(after_help = "\
A line has the number of members and their ids, with tabs between; changes that come fast are one line. With --json a
document has the members with their data.")]
    Watch(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The group
    group: String,
}

#[derive(Debug, Args)]
struct Join {
    /// The group
    group: String,
    /// Who we are: one segment of a key [default: a random id]
    #[arg(long)]
    id: Option<String>,
    /// What the others see of us
    #[arg(long, default_value = "", hide_default_value = true)]
    data: OsString,
    /// How long after our sudden death we are out of it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    ttl: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Group {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_store(async |kv, out| match self.command {
                Command::Join(join) => join.run(kv, &mut signals).await,
                Command::List(named) => {
                    for member in Membership::new(kv, &named.group).members().await? {
                        out.either(|| member_json(&member), || line(&member))?;
                    }
                    Ok(())
                }
                Command::Watch(named) => {
                    tokio::select! {
                        outcome = watch(Membership::new(kv, &named.group), out) => outcome,
                        _ = signals.asked() => Ok(()),
                    }
                }
            })
            .await
    }
}

impl Join {
    async fn run(self, kv: &Handle, signals: &mut Signals) -> Result<(), Failure> {
        use std::os::unix::ffi::OsStringExt as _;
        let options = PersistentLeaseOptions::default().ttl(self.ttl);
        let group = Membership::new(kv, &self.group);
        let member = tokio::select! {
            joined = group.join(self.id, Bytes::from(self.data.into_vec()), options) => joined?,
            signal = signals.asked() => return Err(Failure::Exit(signal_code(signal))),
        };
        let ended = match Job::start(&self.command, &[("KVDB_MEMBER_ID", member.id())]) {
            // A member that was cut off comes back by itself: the command goes on.
            Ok(job) => job.run(std::future::pending(), signals).await,
            Err(failure) => Err(failure),
        };
        let left = member.leave().await;
        let status = ended?;
        left?;
        as_ours(status)
    }
}

async fn watch(group: Membership, out: &mut Output) -> Result<(), Failure> {
    let mut sets = group.watch()?;
    while let Some(members) = sets.next().await {
        let members = members?;
        out.either(
            || json!({ "members": members.iter().map(member_json).collect::<Vec<_>>() }),
            || {
                let ids = members.iter().map(|member| output::inline(member.id.as_bytes()));
                std::iter::once(members.len().to_string().into()).chain(ids).collect::<Vec<_>>().join("\t")
            },
        )?;
    }
    Ok(())
}

fn line(member: &MemberRecord) -> String {
    let (id, data) = (output::inline(member.id.as_bytes()), output::inline(&member.data));
    format!("{id}\t{}\t{data}", member.since)
}

fn member_json(member: &MemberRecord) -> Value {
    json!({ "id": member.id, "since": member.since, "data": output::value_json(&member.data) })
}
