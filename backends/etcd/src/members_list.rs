//! The members and how each is doing: all are asked at the same time.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use etcd_client::{Member, StatusResponse};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kvdb_core::{Error, ErrorKind, MemberInfo, Result, Retry, Revision};
use tokio::time::Instant;

use crate::admin_error::{error, is_refusal};
use crate::client::Client;
use crate::error::Call;

/// What a member said, and how long that took.
struct Answer {
    status: StatusResponse,
    latency: Duration,
    /// As it knows them; a learner does not tell.
    members: Option<Vec<Member>>,
}

/// What has been said so far.
#[derive(Default)]
struct Heard {
    answers: BTreeMap<u64, Answer>,
}

/// Asks the endpoints, and the members that they name, for at most `within`. Who has not answered by then is unhealthy.
/// Needs no quorum.
pub(crate) async fn list(client: &Client, within: Duration) -> Result<BTreeMap<u64, MemberInfo>> {
    let mut over = pin!(tokio::time::sleep(within));
    let mut asked = HashSet::new();
    let mut open = FuturesUnordered::new();
    for endpoint in client.endpoints() {
        if asked.insert(endpoint.clone()) {
            open.push(ask(client, endpoint));
        }
    }
    let (mut heard, mut failed) = (Heard::default(), None);
    while !heard.everybody() {
        let answer = tokio::select! {
            answer = open.next() => answer,
            () = &mut over => break,
        };
        match answer {
            Some(Ok(answer)) => {
                for url in answer.members.iter().flatten().flat_map(Member::client_urls) {
                    if asked.insert(url.clone()) {
                        open.push(ask(client, url.clone()));
                    }
                }
                heard.keep(answer);
            }
            Some(Err(error)) if is_refusal(&error) => return Err(error),
            Some(Err(error)) => failed = Some(error),
            None => break,
        }
    }
    heard.members().ok_or_else(|| {
        failed.unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("no member answered within {within:?}")).with_retry(Retry::Safe)
        })
    })
}

async fn ask(client: &Client, endpoint: String) -> Result<Answer> {
    let started = Instant::now();
    let one = client.alone(&endpoint).await?;
    let status = one.maintenance_client().status().await.map_err(|source| error(Call::Read, source))?;
    let latency = started.elapsed();
    let members = one.cluster_client().member_list().await.ok().map(|list| list.members().to_vec());
    Ok(Answer { status, latency, members })
}

impl Heard {
    /// Keeps the first answer of each member, which may have several URLs; one that lists the members is better.
    fn keep(&mut self, answer: Answer) {
        let Some(id) = answer.status.header().map(|header| header.member_id()) else { return };
        let better = self.answers.get(&id).is_none_or(|known| known.members.is_none() && answer.members.is_some());
        if better {
            self.answers.insert(id, answer);
        }
    }

    /// The members as the one knows them that has applied most.
    fn list(&self) -> Option<&[Member]> {
        let telling = self.answers.values().filter_map(|answer| Some((answer, answer.members.as_deref()?)));
        telling.max_by_key(|(answer, _)| answer.status.raft_applied_index()).map(|(_, members)| members)
    }

    /// Whether every member that has started has answered.
    fn everybody(&self) -> bool {
        self.list().is_some_and(|members| {
            members.iter().all(|member| member.name().is_empty() || self.answers.contains_key(&member.id()))
        })
    }

    fn members(&self) -> Option<BTreeMap<u64, MemberInfo>> {
        // One that was cut off may still believe that it leads.
        let leader = self.answers.values().max_by_key(|answer| answer.status.raft_term());
        let leader = leader.map_or(0, |answer| answer.status.leader());
        let info = |member: &Member| info(member, self.answers.get(&member.id()), leader);
        self.list().map(|members| members.iter().map(|member| (member.id(), info(member))).collect())
    }
}

fn info(member: &Member, answer: Option<&Answer>, leader: u64) -> MemberInfo {
    let mut info = MemberInfo::default();
    info.id = format!("{:x}", member.id());
    info.name = member.name().to_owned();
    info.peer_urls = member.peer_urls().to_vec();
    info.client_urls = member.client_urls().to_vec();
    info.started = !member.name().is_empty();
    info.learner = member.is_learner();
    let Some(Answer { status, latency, .. }) = answer else { return info };
    info.leader = member.id() == leader;
    info.db_size = status.db_size();
    // Its errors are that it knows no leader, and the alarms.
    info.healthy = status.leader() != 0 && status.errors().is_empty();
    info.version = status.version().to_owned();
    let revision = status.header().map_or(0, |header| header.revision());
    info.revision = Revision::new(u64::try_from(revision).unwrap_or_default());
    info.latency = Some(*latency);
    info
}
