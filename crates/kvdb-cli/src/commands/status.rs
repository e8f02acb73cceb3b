use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use kvdb::MemberInfo;
use serde_json::json;

use super::cluster::{member_json, members, of_health};
use crate::duration;
use crate::failure::Failure;
use crate::store::Context;

/// Show how each member of a cluster is doing: health, leader, size, revision, version, latency
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb status
  kvdb status --within 500ms      who has not answered by then is unhealthy
  kvdb status --json              one document: healthy, quorum, leader, members

Exits with 0 if all is well, and with 1 if a member is unhealthy, no member leads, or too few answer for a quorum. All
members are asked at the same time; none of that needs a quorum, but where there are users only root may ask, and to
log in does need one. Stores without members, such as a file, answer `not supported`.")]
pub(crate) struct Status {
    /// How long a member may take to answer
    #[arg(long, default_value = "2s", value_parser = duration::parse)]
    within: Duration,
}

/// What is to be said about all members together.
#[derive(Debug, PartialEq, Eq)]
struct Verdict<'m> {
    healthy: bool,
    quorum: bool,
    leader: Option<&'m str>,
}

impl Status {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .with_store(async |kv, out| {
                let members = members(kv, Some(self.within)).await?;
                let verdict = judge(&members);
                out.either(
                    || {
                        json!({
                            "healthy": verdict.healthy,
                            "quorum": verdict.quorum,
                            "leader": verdict.leader,
                            "members": members.values().map(member_json).collect::<Vec<_>>(),
                        })
                    },
                    || format!("{}\n{}", of_health(&members), verdict.text()),
                )?;
                if verdict.healthy { Ok(()) } else { Err(Failure::Exit(1)) }
            })
            .await
    }
}

fn judge(members: &BTreeMap<u64, MemberInfo>) -> Verdict<'_> {
    let leader = members.values().find(|member| member.leader).map(|member| member.id.as_str());
    let voters = members.values().filter(|member| !member.learner);
    let (all, well) = voters.fold((0, 0), |(all, well), member| (all + 1, well + usize::from(member.healthy)));
    let quorum = leader.is_some() && well > all / 2;
    Verdict { healthy: quorum && members.values().all(|member| member.healthy), quorum, leader }
}

impl Verdict<'_> {
    fn text(&self) -> &'static str {
        match self {
            Self { healthy: true, .. } => "healthy",
            Self { quorum: true, .. } => "UNHEALTHY: a member is down; there is a quorum",
            _ => "UNHEALTHY: no quorum; nothing can be written",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members by `L`eader, `h`ealthy, `d`own, `n`ew healthy learner, `u`nhealthy learner.
    fn verdict(letters: &str) -> (bool, bool, bool) {
        let member = |letter| {
            let mut member = MemberInfo::default();
            member.leader = letter == 'L';
            member.healthy = "Lhn".contains(letter);
            member.learner = "nu".contains(letter);
            member
        };
        let members = (0..).zip(letters.chars().map(member)).collect();
        let verdict = judge(&members);
        (verdict.healthy, verdict.quorum, verdict.leader.is_some())
    }

    #[test]
    fn all_is_well_when_all_are_and_a_quorum_is_more_than_half_of_the_voters() {
        assert_eq!(verdict("Lhh"), (true, true, true));
        assert_eq!(verdict("L"), (true, true, true));
        assert_eq!(verdict("Lhd"), (false, true, true));
        assert_eq!(verdict("Ldd"), (false, false, true));
        assert_eq!(verdict("Lhdd"), (false, false, true));
        assert_eq!(verdict("hhh"), (false, false, false), "nobody leads");
        assert_eq!(verdict("Lhhu"), (false, true, true));
        assert_eq!(verdict("Lhdnnn"), (false, true, true), "learners do not vote");
        assert_eq!(verdict("Lddnnn"), (false, false, true), "learners do not vote");
    }
}
