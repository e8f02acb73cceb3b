//! Who is in a group (contract 13.10).
//!
//! Key layout: each member is the key `<group>/<id>` with the member's data as its value, held as a
//! [`super::PersistentLease`]. Timing and what happens on loss are the persistent lease's: a member that died is out of
//! the group within its TTL (default 10 s) and the store's slack, one that was cut off comes back by itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use super::prefix_state::{PrefixState, PrefixWatch, watch_prefix};
use super::{PersistentLease, PersistentLeaseOptions, PersistentState, PersistentStates};
use crate::engine::{directory_len, normalize};
use crate::{Error, Handle, IntoValue, KvPair, KvdbExt, Operation, Result, Revision};

/// A group of members, as one handle sees it. Holds nothing: a group is there while it has a member.
#[derive(Clone, Debug)]
pub struct Membership {
    kv: Handle,
    group: String,
}

/// One member of a group, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberRecord {
    /// Its name in the group.
    pub id: String,
    /// What it tells about itself.
    pub data: Bytes,
    /// Since when it is there without a break.
    pub since: Revision,
}

impl Membership {
    /// The group whose members are the keys below the directory `group`.
    #[must_use]
    pub fn new(kv: &Handle, group: &str) -> Self {
        Self { kv: kv.clone(), group: group.to_owned() }
    }

    /// Joins with this id, or with a random one; returns once the member is there for everybody.
    ///
    /// Two members that live under one id take it from each other unless `options` say otherwise; a member that came
    /// back under its id takes the place of what its former self has left.
    ///
    /// # Errors
    /// `InvalidArgument` for an id that is not one segment of a key; as [`PersistentLease::new`] and
    /// [`PersistentLease::ready`]. It waits as long as the store is out of reach: bound it where that matters.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing: the member is given up.
    pub async fn join(
        &self,
        id: Option<String>,
        data: impl IntoValue + Send,
        options: PersistentLeaseOptions,
    ) -> Result<Member> {
        let data = data.into_value();
        let id = id.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        if id.is_empty() || id.contains('/') || normalize(&self.group).is_ok_and(|group| group.is_empty()) {
            let error =
                Error::invalid("a group has a name, and a member's id is one segment of a key: text without `/`");
            return Err(error.with_operation(Operation::Put).with_key(id));
        }
        let lease = PersistentLease::new(&self.kv, &format!("{}/{id}", self.group), data, options).await?;
        lease.ready().await?;
        Ok(Member { id, lease })
    }

    /// The members at this moment, sorted by id.
    ///
    /// # Errors
    /// Those of a listing.
    pub async fn members(&self) -> Result<Vec<MemberRecord>> {
        let len = directory_len(&self.group);
        let pairs = self.kv.list(&self.group).await?;
        Ok(pairs.iter().filter_map(|pair| record(pair, len)).collect())
    }

    /// The members, now and after every change; the first item is the present set, even an empty one. A slow reader
    /// sees the newest.
    ///
    /// # Errors
    /// As [`watch_prefix`].
    pub fn watch(&self) -> Result<MembershipWatch> {
        let len = directory_len(&self.group);
        let decode = move |pair: &KvPair| Ok::<_, Infallible>((pair.key.clone(), record(pair, len)));
        watch_prefix(&self.kv, &self.group, decode).map(MembershipWatch)
    }
}

/// The member behind a key of the group; keys further down are not members.
fn record(pair: &KvPair, directory: usize) -> Option<MemberRecord> {
    let id = pair.key.get(directory..)?;
    let member = || MemberRecord { id: id.to_owned(), data: pair.value.clone(), since: pair.created_index };
    (!id.contains('/')).then(member)
}

/// Our own place in a group, until it is left or dropped.
#[derive(Debug)]
#[must_use = "the group is left when this is dropped"]
pub struct Member {
    id: String,
    lease: PersistentLease,
}

impl Member {
    /// Its name in the group.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets what it tells about itself; never blocks, and the latest wins.
    ///
    /// # Errors
    /// As [`PersistentLease::set_value`].
    pub fn set_data(&self, data: impl IntoValue) -> Result<()> {
        self.lease.set_value(data)
    }

    /// Resolves once others see the data that was set last.
    ///
    /// # Errors
    /// As [`PersistentLease::ready`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<KvPair> {
        self.lease.ready().await
    }

    /// Where it stands, as far as is known here.
    #[must_use]
    pub fn state(&self) -> PersistentState {
        self.lease.state()
    }

    /// Its states from now on, the present one first.
    #[must_use]
    pub fn states(&self) -> PersistentStates {
        self.lease.states()
    }

    /// Resolves once others may not see it any more, before anything is done about it; at once while that is so.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn lost(&self) -> PersistentState {
        self.lease.changed(PersistentState::Present).await
    }

    /// Leaves the group: once this has returned it is not there for anybody. A second time is Ok.
    ///
    /// # Errors
    /// As [`PersistentLease::close`].
    ///
    /// # Cancel safety
    /// As [`PersistentLease::close`].
    pub async fn leave(&self) -> Result<()> {
        self.lease.close().await
    }
}

/// The members of a group over time.
#[must_use = "the watch ends when it is dropped"]
pub struct MembershipWatch(PrefixWatch<String, Option<MemberRecord>>);

impl MembershipWatch {
    /// The members, sorted by id, once there is a set that was not read yet; `None` after the error that ended it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Vec<MemberRecord>>> {
        self.0.next().await.map(|state| state.map(members))
    }
}

impl Stream for MembershipWatch {
    type Item = Result<Vec<MemberRecord>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context).map(|state| state.map(|state| state.map(members)))
    }
}

impl fmt::Debug for MembershipWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MembershipWatch").field(&self.0).finish()
    }
}

fn members(state: PrefixState<String, Option<MemberRecord>>) -> Vec<MemberRecord> {
    let tree: BTreeMap<_, _> = state.tree;
    tree.into_values().flatten().collect()
}
