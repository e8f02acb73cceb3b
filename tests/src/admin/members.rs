use std::collections::BTreeMap;
use std::time::Duration;

use kvdb::portworx::Controller as _;
use kvdb::prelude::*;
use kvdb::{AdminRequest, CallOptions, ErrorKind, Retry};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq, fail};

use super::{Place, blocking};

const HOST: &str = "127.0.0.1";

/// As `--initial-cluster` wants it.
fn initial_cluster(urls: &BTreeMap<String, Vec<String>>) -> String {
    let all = urls.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
    all.collect::<Vec<_>>().join(",")
}

fn names(on: &Place) -> Vec<String> {
    on.cluster.members().iter().map(|member| member.name().to_owned()).collect()
}

pub(super) async fn learner(on: Place) -> Proof {
    // The cluster is younger than the 5 s for which it answers that it is not healthy: that is waited out.
    let kv = on.open().await?;
    let spare = on.cluster.spare()?;
    let (name, port, url) = (spare.name().to_owned(), spare.peer_port().to_string(), spare.peer_url().to_owned());
    let urls = kv.add_learner(HOST, &port, &name).await?;
    let mut expected = names(&on);
    expected.push(name.clone());
    expected.sort();
    ensure_eq!(urls.keys().cloned().collect::<Vec<_>>(), expected);
    ensure_eq!(urls.get(&name), Some(&vec![url]));

    let (id, new) = {
        let members = kv.list_members().await?;
        let new: Vec<_> = members.iter().filter(|(_, member)| !member.started).collect();
        let [(id, new)] = *new else { fail!("not one is new in {members:?}") };
        (*id, new.clone())
    };
    ensure_eq!((new.learner, new.healthy, new.name.as_str()), (true, false, ""));
    // Nothing is in sync that has not started.
    let mut options = CallOptions::default();
    options.timeout = Some(Duration::from_millis(500));
    let error = kv.admin_opts(AdminRequest::PromoteMember { id }, options).await.unwrap_err();
    ensure_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Safe), "{error:?}");

    let (cluster, initial) = (on.cluster.clone(), initial_cluster(&urls));
    blocking(move || cluster.join(spare, &initial)).await?;
    let members = kv.list_members().await?;
    let Some(started) = members.get(&id) else { fail!("{id:x} is missing in {members:?}") };
    ensure_eq!((started.started, started.learner, started.name.as_str()), (true, true, name.as_str()));
    ensure!(started.healthy && started.latency.is_some(), "{started:?}");

    kv.promote_member(id).await?;
    kv.promote_member(id).await?;
    let members = kv.list_members().await?;
    ensure!(members.get(&id).is_some_and(|member| !member.learner), "{members:?}");
    expect_kind(kv.promote_member(7).await, &ErrorKind::MemberNotFound)?;

    kv.remove_member(&name, HOST).await?;
    kv.remove_member(&name, HOST).await?;
    ensure!(!kv.list_members().await?.contains_key(&id), "the member is there still");
    kv.put("k", "1").await?;
    Ok(())
}

pub(super) async fn moved(on: Place) -> Proof {
    let kv = on.open().await?;
    let all = names(&on);
    let (spare, name) = (on.cluster.spare()?, all[0].clone());
    let port = spare.peer_port().to_string();
    // One of this name is there.
    expect_kind(kv.add_member(HOST, &port, &name).await, &ErrorKind::AlreadyExists)?;
    let urls = kv.add_member(HOST, &port, "new").await?;
    ensure_eq!(urls.get("new"), Some(&vec![format!("http://{HOST}:{port}")]));
    ensure_eq!(urls.len(), 4);
    expect_kind(kv.add_member(HOST, &port, "newer").await, &ErrorKind::AlreadyExists)?;
    let members = kv.list_members().await?;
    let new: Vec<_> = members.values().filter(|member| !member.started).collect();
    ensure!(matches!(*new, [new] if !new.learner && !new.healthy), "{members:?}");
    kv.remove_member("new", &format!("{HOST}:{port}")).await?;
    ensure_eq!(kv.list_members().await?.len(), 3);

    // The same place by another name.
    let id = on.cluster.member(0)?.id()?;
    let members = kv.list_members().await?;
    let port = members[&id].peer_urls[0].rsplit(':').next().unwrap_or_default().to_owned();
    let urls = kv.update_member("localhost", &port, &name).await?;
    let there = vec![format!("http://localhost:{port}")];
    ensure_eq!(urls.keys().cloned().collect::<Vec<_>>(), all);
    ensure_eq!(urls[&name], there);
    ensure_eq!(kv.list_members().await?[&id].peer_urls, there);
    kv.put("k", "1").await?;
    Ok(())
}

pub(super) async fn removed(on: Place) -> Proof {
    let kv = on.open().await?;
    let there = async || -> Proof<bool> { Ok(kv.list_members().await?.len() == 4) };
    kv.add_learner("10.0.0.10", "2380", "new").await?;
    for other in ["10.0.0.1", "0.0.10", "10.0.0.10:238", "10.0.0.100"] {
        // Not an address at all, or another one's.
        let answer = kv.remove_member("new", other).await;
        ensure!(answer.is_ok() || answer.is_err_and(|error| *error.kind() == ErrorKind::InvalidArgument), "{other}");
        ensure!(there().await?, "{other} is 10.0.0.10");
    }
    // Its port is none of the others', its host is.
    expect_kind(kv.remove_member("new", "10.0.0.10/").await, &ErrorKind::InvalidArgument)?;
    kv.remove_member("new", "10.0.0.10").await?;
    ensure!(!there().await?, "the member is there still");
    kv.remove_member("new", "10.0.0.10").await?;

    // At once: that etcd gives no id twice is not seen.
    kv.add_learner("10.0.0.10", "2380", "new").await?;
    let members = kv.list_members().await?;
    let Some((id, _)) = members.iter().find(|(_, member)| !member.started) else { fail!("none is new: {members:?}") };
    kv.remove_member_by_id(id ^ 1).await?;
    ensure!(there().await?, "{id:x} is another one's id");
    kv.remove_member_by_id(*id).await?;
    ensure!(!there().await?, "the member is there still");
    kv.remove_member_by_id(*id).await?;
    ensure_eq!(kv.list_members().await?.len(), 3);
    Ok(())
}

pub(super) async fn unknown(on: Place) -> Proof {
    let kv = on.open().await?;
    let name = names(&on).swap_remove(0);
    for wrong in ["nobody", "", &name[..name.len() - 1]] {
        expect_kind(kv.update_member("10.0.0.9", "2380", wrong).await, &ErrorKind::MemberNotFound)?;
    }
    // One that has not started has no name yet, the empty one included.
    kv.add_learner("10.0.0.10", "2380", "new").await?;
    for wrong in ["new", ""] {
        expect_kind(kv.update_member("10.0.0.9", "2380", wrong).await, &ErrorKind::MemberNotFound)?;
    }
    expect_kind(kv.update_member("no host", "2380", &name).await, &ErrorKind::InvalidArgument)?;
    Ok(())
}
