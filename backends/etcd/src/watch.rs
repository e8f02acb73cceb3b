//! Registering a watch: one stream of its own for each, which ends with the feed.

use std::sync::Arc;

use etcd_client::{WatchOptions, WatchStream};
use futures_util::future::{self, Either};
use futures_util::stream;
use kvdb_core::toolkit::Gate;
use kvdb_core::{Changes, Error, ErrorKind, Feed, Result, Revision, WatchSpec};

use crate::backend::Shared;
use crate::changes::refused;
use crate::client::Client;
use crate::convert::{number, shown};
use crate::error::{Call, error};
use crate::feed::Follower;
use crate::read::{future, present};
use crate::span::{Span, probe_key};

/// Registers a watch.
///
/// A member may lag behind the store. A feed from now on therefore begins behind the store's own revision, which is
/// asked for while the watch is being registered: whatever the member had still to learn by then is not told.
pub(crate) async fn open(shared: &Arc<Shared>, spec: &WatchSpec) -> Result<Feed> {
    let Some(span) = Span::of(&spec.range) else { return quiet(shared, spec).await };
    match register(shared, spec, span.clone()).await {
        // Our token may have run out: a watch is refused by an answer, for which the client renews none.
        Err(error) if *error.kind() == ErrorKind::Unauthenticated => {
            shared.client()?.authenticate().await?;
            register(shared, spec, span).await
        }
        registered => registered,
    }
}

async fn register(shared: &Arc<Shared>, spec: &WatchSpec, span: Span) -> Result<Feed> {
    let client = shared.client()?;
    let key = span.key.clone();
    let store = match spec.after {
        None => Either::Left(present(&client, key.clone())),
        Some(_) => Either::Right(future::ready(Ok(Revision::ZERO))),
    };
    let ((stream, member), store) = future::try_join(create(&client, spec, span), store).await?;
    let mut revision = member.max(store);
    if spec.after.is_some_and(|after| after > revision) {
        revision = present(&client, key).await?;
    }
    if let Some(after) = spec.after
        && after > revision
    {
        return Err(future(revision));
    }
    let mut follower = Follower::new(Arc::clone(shared), stream, spec.after.unwrap_or(revision), spec.previous);
    match spec.after {
        None => {}
        // There is no history: what comes is new.
        Some(after) if after == revision => follower.caught_up(revision),
        Some(_) => follower.catch_up(revision).await?,
    }
    Ok(Feed { revision, changes: stream_of(follower) })
}

/// A stream with a registered watch, and the revision that the member was at: nothing above is missed.
async fn create(client: &Client, spec: &WatchSpec, span: Span) -> Result<(WatchStream, Revision)> {
    let broken = |source| error(Call::Read, source);
    // The entry before always comes: a deletion has its pair (contract 2.4), and etcd tells no other way.
    let mut options = WatchOptions::new().with_range(span.end).with_fragment().with_prev_key();
    if let Some(after) = spec.after {
        // Inclusive. From a revision still to come a watch is served at once, from an earlier one every 100 ms.
        options = options.with_start_revision(number(after).saturating_add(1));
    }
    let mut watch = client.watch().max_decoding_message_size(usize::MAX);
    let mut stream = watch.watch(span.key, Some(options)).await.map_err(broken)?;
    let created = stream.message().await.map_err(broken)?.ok_or_else(ended)?.0;
    if created.canceled {
        return Err(refused(&created));
    }
    let revision = shown(created.header.as_ref())?;
    Ok((stream, revision))
}

/// A feed of a range in which no key can lie.
async fn quiet(shared: &Arc<Shared>, spec: &WatchSpec) -> Result<Feed> {
    let revision = present(&*shared.client()?, probe_key(&spec.range)).await?;
    if let Some(after) = spec.after
        && after > revision
    {
        return Err(future(revision));
    }
    let caught_up = stream::iter(spec.after.map(|_| Ok(Changes::Progress(revision))));
    let shared = Arc::clone(shared);
    let end = stream::once(async move {
        shared.closed().await;
        Err(Gate::closed_error())
    });
    Ok(Feed { revision, changes: Box::pin(stream::StreamExt::chain(caught_up, end)) })
}

fn stream_of(follower: Follower) -> futures_core::stream::BoxStream<'static, Result<Changes>> {
    Box::pin(stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(changes) => Some((Ok(changes), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

pub(crate) fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "etcd ended the watch")
}
