//! Members: added, promoted, moved and removed.

use std::collections::BTreeMap;

use etcd_client::{Member, MemberAddOptions};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kvdb_core::{Error, ErrorKind, Result, Retry};

use crate::admin_error::{MEMBER_NOT_FOUND, NOT_A_LEARNER, error, is_refusal, unless};
use crate::client::Client;
use crate::error::Call;
use crate::members_address::{Address, peer_url, scheme_of};

/// Peer URLs by name.
type PeerUrls = BTreeMap<String, Vec<String>>;

/// The scheme where no member tells one.
const SCHEME: &str = "http";

pub(crate) async fn add(client: &Client, host: &str, port: u16, name: &str, learner: bool) -> Result<PeerUrls> {
    if name.is_empty() {
        return Err(Error::invalid("the member's name is empty"));
    }
    let members = now(client).await?;
    if members.iter().any(|member| member.name() == name) {
        return Err(Error::new(ErrorKind::AlreadyExists, "a member of this name is there; remove it first"));
    }
    let scheme = members.iter().find_map(|member| scheme_of(member.peer_urls())).unwrap_or(SCHEME);
    let url = peer_url(scheme, host, port)?;
    let options = learner.then(|| MemberAddOptions::new().with_is_learner());
    // A member's id is a hash of its address and the clock's second, and no id is ever given twice.
    let added = unless(MEMBER_NOT_FOUND, client.cluster().member_add([url], options).await)?.ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, "a member of this address was removed in this very second")
            .with_retry(Retry::Safe)
    })?;
    let id = added.member().map(Member::id);
    Ok(peer_urls(added.member_list().iter().map(|member| {
        let name = if Some(member.id()) == id { name } else { member.name() };
        (member.id(), name, member.peer_urls().to_vec())
    })))
}

/// Lets a learner vote; one that votes already is Ok.
pub(crate) async fn promote(client: &Client, id: u64) -> Result<()> {
    unless(NOT_A_LEARNER, client.cluster().member_promote(id).await).map(drop)
}

pub(crate) async fn update(client: &Client, host: &str, port: u16, name: &str) -> Result<PeerUrls> {
    let members = now(client).await?;
    let mut named = members.iter().filter(|member| !name.is_empty() && member.name() == name);
    let Some(member) = named.next() else {
        return Err(Error::new(ErrorKind::MemberNotFound, format!("no member is called `{}`", name.escape_debug())));
    };
    if named.next().is_some() {
        return Err(several());
    }
    let url = peer_url(scheme_of(member.peer_urls()).unwrap_or(SCHEME), host, port)?;
    let updated = client.cluster().member_update(member.id(), [url]).await.map_err(write)?;
    Ok(peer_urls(updated.members().iter().map(|member| (member.id(), member.name(), member.peer_urls().to_vec()))))
}

pub(crate) async fn remove(client: &Client, name: &str, host: &str) -> Result<()> {
    let address = Address::parse(host)?;
    match chosen(&now(client).await?, name, &address)? {
        Some(id) => remove_by_id(client, id).await,
        None => Ok(()),
    }
}

/// Removes a member; one that is not there is Ok.
pub(crate) async fn remove_by_id(client: &Client, id: u64) -> Result<()> {
    unless(MEMBER_NOT_FOUND, client.cluster().member_remove(id).await).map(drop)
}

/// The members as every call that has ended left them, from whoever tells first.
async fn now(client: &Client) -> Result<Vec<Member>> {
    let mut asked: FuturesUnordered<_> =
        client.endpoints().into_iter().map(|endpoint| told_by(client, endpoint)).collect();
    let mut failed = None;
    while let Some(told) = asked.next().await {
        match told {
            Err(error) if !is_refusal(&error) => failed = Some(error),
            told => return told,
        }
    }
    Err(failed.unwrap_or_else(|| Error::invalid("there is no endpoint to talk to")))
}

/// A member lists the others as it knows them; the linearizable read before it, on the same connection, waits until that
/// is up to date.
async fn told_by(client: &Client, endpoint: String) -> Result<Vec<Member>> {
    let one = client.alone(&endpoint).await?;
    let read = |source| error(Call::Read, source);
    one.kv_client().get("\0", None).await.map_err(read)?;
    Ok(one.cluster_client().member_list().await.map_err(read)?.members().to_vec())
}

/// The one member of this name, of several the one at this address; or else the one without a name that was added there.
fn chosen(members: &[Member], name: &str, address: &Address) -> Result<Option<u64>> {
    let at = |member: &&Member| member.peer_urls().iter().any(|url| address.is_of(url));
    let named: Vec<&Member> = members.iter().filter(|member| !name.is_empty() && member.name() == name).collect();
    let found: Vec<&Member> = match named.len() {
        0 => members.iter().filter(|member| member.name().is_empty()).filter(at).collect(),
        1 => named,
        _ => named.into_iter().filter(at).collect(),
    };
    match *found.as_slice() {
        [] => Ok(None),
        [member] => Ok(Some(member.id())),
        _ => Err(several()),
    }
}

fn several() -> Error {
    Error::invalid("this is said of several members; name the port too, or the id")
}

/// As a new member wants them to start: one that has not started yet has no name, so its id stands for it.
fn peer_urls<'m>(members: impl Iterator<Item = (u64, &'m str, Vec<String>)>) -> PeerUrls {
    let mut all = PeerUrls::new();
    for (id, name, urls) in members {
        let free = !name.is_empty() && !all.contains_key(name);
        all.insert(if free { name.to_owned() } else { format!("{id:x}") }, urls);
    }
    all
}

fn write(source: etcd_client::Error) -> Error {
    error(Call::Write, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str, url: &str) -> Member {
        let text = str::to_owned;
        let mut member = etcd_client::proto::PbMember { id, name: text(name), ..Default::default() };
        member.peer_ur_ls = vec![text(url)];
        <&Member>::from(&member).clone()
    }

    fn removed(name: &str, host: &str) -> Result<Option<u64>> {
        let members = [
            member(1, "a", "http://10.0.0.1:2380"),
            member(2, "", "http://10.0.0.10:2380"),
            member(3, "", "http://10.0.0.3:2380"),
            member(4, "", "http://10.0.0.3:2381"),
            member(5, "twin", "http://10.0.0.5:2380"),
            member(6, "twin", "http://10.0.0.6:2380"),
        ];
        chosen(&members, name, &Address::parse(host)?)
    }

    #[test]
    fn the_member_to_remove_is_found_by_name_or_whole_address() {
        assert_eq!(removed("a", "10.0.0.1").unwrap(), Some(1));
        assert_eq!(removed("a", "10.9.9.9").unwrap(), Some(1), "its name says which");
        assert_eq!(removed("b", "10.0.0.1").unwrap(), None, "10.0.0.1 is not 10.0.0.10, and a is not b");
        assert_eq!(removed("b", "10.0.0.10").unwrap(), Some(2));
        assert_eq!(removed("b", "10.0.0.3:2381").unwrap(), Some(4));
        assert_eq!(*removed("b", "10.0.0.3").unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(removed("twin", "10.0.0.6").unwrap(), Some(6));
        assert_eq!(removed("", "10.0.0.1").unwrap(), None);
    }

    #[test]
    fn members_without_a_name_do_not_hide_each_other() {
        let url = |host: &str| vec![format!("http://{host}:2380")];
        let all = [(0xa, "a", url("a")), (0xb, "", url("b")), (0xc, "", url("c")), (0xd, "a", url("d"))];
        let urls = peer_urls(all.into_iter());
        assert_eq!(urls.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(urls["d"], url("d"));
    }
}
