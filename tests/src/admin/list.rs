use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kvdb::prelude::*;
use kvdb::{AdminReply, AdminRequest, CallOptions, MemberInfo};
use kvdb_testsuite::{Proof, ensure, ensure_eq, fail};

use super::{Place, blocking};

/// Longer than a member that runs takes, on a machine with much else to do.
const WITHIN: Duration = Duration::from_secs(3);

/// Asks each member for at most `WITHIN`, and has time for one such wait, not for two.
async fn list(kv: &Handle) -> Proof<BTreeMap<u64, MemberInfo>> {
    let mut options = CallOptions::default();
    options.timeout = Some(WITHIN + WITHIN / 2);
    match kv.admin_opts(AdminRequest::ListMembers { within: Some(WITHIN) }, options).await? {
        AdminReply::Members(members) => Ok(members),
        other => fail!("{other:?}"),
    }
}

/// Lists until exactly these are healthy and exactly these have answered, while the trial's time lasts.
async fn until(kv: &Handle, healthy: &[u64], answered: &[u64]) -> Proof<BTreeMap<u64, MemberInfo>> {
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
    loop {
        let members = list(kv).await?;
        ensure_eq!(members.len(), 3, "{members:?}");
        let those = |holds: fn(&MemberInfo) -> bool| -> BTreeSet<u64> {
            members.iter().filter(|(_, member)| holds(member)).map(|(id, _)| *id).collect()
        };
        let seen = (those(|member| member.healthy), those(|member| member.latency.is_some()));
        if seen == (set(healthy), set(answered)) {
            return Ok(members);
        }
    }
}

pub(super) async fn unhealthy(on: Place) -> Proof {
    let kv = on.open().await?;
    let written = kv.put("k", "1").await?.modified_index;
    let cluster = on.cluster.clone();
    let leader = blocking(move || cluster.leader()).await?;
    let ids = on.cluster.members().iter().map(|member| member.id()).collect::<Result<Vec<u64>, _>>()?;
    let members = until(&kv, &ids, &ids).await?;
    for (member, id) in on.cluster.members().iter().zip(&ids) {
        let Some(told) = members.get(id) else { fail!("{id:x} is missing in {members:?}") };
        ensure_eq!((told.id.as_str(), told.name.as_str()), (format!("{id:x}").as_str(), member.name()));
        ensure_eq!(told.client_urls, [member.endpoint()]);
        ensure!(told.peer_urls.iter().all(|url| url.starts_with("http://127.0.0.1:")), "{told:?}");
        ensure_eq!((told.started, told.learner), (true, false), "{told:?}");
        ensure!(told.db_size > 0 && told.version.starts_with("3."), "{told:?}");
    }
    ensure!(members.values().any(|member| member.revision >= written), "{members:?}");
    ensure_eq!(members.values().filter(|member| member.leader).count(), 1, "{members:?}");

    // One is dead, then another one is stopped: it takes connections and answers nothing.
    let others = |id: u64| ids.iter().copied().filter(|other| *other != id).collect::<Vec<u64>>();
    let followers: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
    let (dead, gone) = (on.cluster.member(followers[0])?, others(ids[followers[0]]));
    let end = dead.clone();
    blocking(move || end.kill()).await?;
    let members = until(&kv, &gone, &gone).await?;
    ensure!(members.values().all(|member| member.started), "{members:?}");
    blocking(move || dead.restart()).await?;
    let (stopped, silent) = (on.cluster.member(followers[1])?, others(ids[followers[1]]));
    let still = stopped.clone();
    blocking(move || still.pause()).await?;
    until(&kv, &silent, &silent).await?;
    blocking(move || stopped.resume()).await?;
    until(&kv, &ids, &ids).await?;
    Ok(())
}

pub(super) async fn no_quorum(on: Place) -> Proof {
    let kv = on.open().await?;
    kv.put("k", "1").await?;
    for index in [0, 1] {
        let member = on.cluster.member(index)?;
        blocking(move || member.pause()).await?;
    }
    // Both that are stopped are waited for at the same time; the third one finds out that nobody leads.
    let last = on.cluster.member(2)?.id()?;
    let members = until(&kv, &[], &[last]).await?;
    ensure!(members.values().all(|member| !member.leader), "{members:?}");
    for index in [0, 1] {
        let member = on.cluster.member(index)?;
        blocking(move || member.resume()).await?;
    }
    Ok(())
}
