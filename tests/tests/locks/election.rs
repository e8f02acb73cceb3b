//! A leader that stands still for longer than its TTL, and goes on as if nothing had happened.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kvdb::prelude::*;
use kvdb::recipes::{Campaign, Election, ElectionEvent, ElectionOptions};
use kvdb_testsuite::{Place, Store};
use libtest_mimic::Failed;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::child::COMES;
use crate::runtime;

/// Elections at the same time, for most of a round is waiting for a TTL to end; and the terms of each.
const INSIDE: (usize, usize) = (4, 25);
const ON_SERVERS: (usize, usize) = (10, 3);
/// The leader's TTL, where the store grants one that short.
const TTL: Duration = Duration::from_millis(30);
/// How often a machine that starves a leader, so that it loses its place before it stands still, is given another term.
const TRIES: usize = 20;

/// What a leader did that stood still in the middle of its work.
struct Woken {
    /// The store took what it wrote under its fence.
    fenced: bool,
    /// It wrote over what the next leader had written.
    unfenced: bool,
}

/// What came of the terms of one election.
#[derive(Default)]
struct Terms {
    rounds: usize,
    overlaps: usize,
    unfenced: usize,
}

/// How the two meet in a round: the old leader leads with this token, and stands still until it is woken.
struct StandsStill {
    token: Revision,
    wake: mpsc::Sender<()>,
    woken: oneshot::Receiver<Result<Woken, String>>,
}

/// Makes leaders stand still while the next one is elected.
pub(crate) fn paused(store: &Arc<dyn Store>) -> Result<(), Failed> {
    let (lanes, rounds) = if store.counts_exactly() { INSIDE } else { ON_SERVERS };
    let began = Instant::now();
    let (terms, ttl) = runtime().block_on(async {
        let place: Arc<dyn Place> = store.place().await?.into();
        // A place may be shared.
        let domain = format!("trial-{:016x}", rand::random::<u64>());
        let open = Open { name: store.name(), place, domain };
        let kv = open.handle().await?;
        let ttl = TTL.max(kv.limits().ttl_min);
        let mut elections = JoinSet::new();
        for n in 0..lanes {
            let (kv, open) = (kv.clone(), open.clone());
            elections.spawn(async move { terms(&kv, open, &format!("job{n}"), ttl, rounds).await });
        }
        let mut all = Terms::default();
        while let Some(ended) = elections.join_next().await {
            let terms = ended??;
            all.rounds += terms.rounds;
            all.overlaps += terms.overlaps;
            all.unfenced += terms.unfenced;
        }
        kv.close().await?;
        Ok::<_, Failed>((all, ttl))
    })?;
    println!(
        "locks {} election: {} rounds, overlap by token {}, unfenced control {}; leaders stood still past a TTL of \
         {ttl:?}, {:.1} s",
        store.name(),
        terms.rounds,
        terms.overlaps,
        terms.unfenced,
        began.elapsed().as_secs_f64(),
    );
    if terms.overlaps != 0 || terms.rounds != lanes * rounds {
        return Err(format!("{} leaders of {} wrote beside the next one", terms.overlaps, terms.rounds).into());
    }
    if terms.unfenced == 0 {
        return Err("no leader ever stood still at the wrong moment: this proves nothing".into());
    }
    Ok(())
}

/// Opens handles on one domain of one place.
#[derive(Clone)]
struct Open {
    name: &'static str,
    place: Arc<dyn Place>,
    domain: String,
}

impl Open {
    async fn handle(&self) -> Result<Handle> {
        let options = Options::new();
        Handle::open(self.name, self.place.connect(&options).await?, &self.domain, &options)
    }
}

/// One election, of which the old leaders live on a thread of their own: standing still, they stop all that belongs to
/// them, keep-alives and clocks included.
async fn terms(kv: &Handle, open: Open, name: &str, ttl: Duration, rounds: usize) -> Result<Terms, Failed> {
    let (meet, mut met) = tokio::sync::mpsc::unbounded_channel();
    let election = name.to_owned();
    let old = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let kv = open.handle().await?;
            for _ in 0..rounds {
                lead(&kv, &election, ttl, &meet).await?;
            }
            kv.close().await?;
            Ok::<_, Failed>(())
        })
    });
    let mut terms = Terms::default();
    let mut last = Revision::ZERO;
    while let Some(StandsStill { token, wake, woken }) = met.recv().await {
        // Its own TTL is a longer one: a busy machine must not cost it its place.
        let mut next = Election::new(kv, name).campaign("next", ElectionOptions::new().id("next")).await?;
        let after = leads(&mut next).await?;
        if token <= last || after <= token {
            return Err(format!("{name}: tokens {last}, {token}, {after}").into());
        }
        last = after;
        let fence = next.fence().ok_or("a leader without a fence")?;
        for key in ["fenced", "unfenced"] {
            kv.put(&format!("{name}/{key}"), after.to_string()).fenced_by(fence.clone()).await?;
        }
        wake.send(())?;
        let woken = tokio::time::timeout(COMES, woken).await.map_err(|_| "the old leader does not wake up")???;
        terms.rounds += 1;
        terms.overlaps += usize::from(woken.fenced || value_of(kv, name, "fenced").await? != after.to_string());
        // The control: without a fence the old leader writes over what the next one wrote.
        terms.unfenced += usize::from(woken.unfenced && value_of(kv, name, "unfenced").await? == token.to_string());
        if !next.is_leader() {
            return Err(format!("{name}: the old leader took the next one's place").into());
        }
        next.resign().await?;
    }
    tokio::task::spawn_blocking(move || old.join()).await?.map_err(|_| "the old leader panicked")??;
    Ok(terms)
}

/// One term of an old leader: it looks whether it leads, stands still, and then writes.
async fn lead(
    kv: &Handle,
    name: &str,
    ttl: Duration,
    meet: &tokio::sync::mpsc::UnboundedSender<StandsStill>,
) -> Result<(), Failed> {
    let options = ElectionOptions::new().id("old").ttl(ttl);
    let mut campaign = Election::new(kv, name).campaign("old", options).await?;
    let mut tries = 0;
    let (token, fence) = loop {
        let token = leads(&mut campaign).await?;
        if let Some(fence) = campaign.fence().filter(|fence| fence.token() == token) {
            break (token, fence);
        }
        tries += 1;
        if tries == TRIES {
            return Err("the machine lets nobody lead for as long as a look takes".into());
        }
    };
    let (wake, asleep) = mpsc::channel();
    let (tell, woken) = oneshot::channel();
    meet.send(StandsStill { token, wake, woken })?;
    // The whole thread, for as long as it takes the next one to lead.
    if asleep.recv_timeout(COMES * 2).is_err() {
        return Err("nobody else came to lead".into());
    }
    let _ = tell.send(wake_up(kv, name, token, fence).await);
    // It hears of it, late.
    match tokio::time::timeout(COMES, campaign.next()).await {
        Ok(Some(Ok(ElectionEvent::Lost))) if !campaign.is_leader() => {}
        other => return Err(format!("a leader that stood still is told {other:?}").into()),
    }
    campaign.resign().await?;
    Ok(())
}

async fn wake_up(kv: &Handle, name: &str, token: Revision, fence: Fence) -> Result<Woken, String> {
    let unfenced = format!("{name}/unfenced");
    let unfenced = settled(|| kv.put(&unfenced, token.to_string())).await.map_err(|error| error.to_string())?;
    let fenced = format!("{name}/fenced");
    let fenced = match settled(|| kv.put(&fenced, token.to_string()).fenced_by(fence.clone())).await {
        Ok(_) => true,
        Err(error) if *error.kind() == ErrorKind::LockLost => false,
        Err(error) => return Err(format!("a fenced write of an old leader is answered {error:?}")),
    };
    Ok(Woken { fenced, unfenced: unfenced.value == token.to_string() })
}

/// The token with which it leads, however often it loses before.
async fn leads(campaign: &mut Campaign) -> Result<Revision, Failed> {
    loop {
        let event = tokio::time::timeout(COMES, campaign.next()).await.map_err(|_| "nobody leads")?;
        if let ElectionEvent::Leader { token } = event.ok_or("the campaign has ended")?? {
            return Ok(token);
        }
    }
}

/// Repeats a call until the store is in reach again: a client that stood still may have lost its connection.
async fn settled<T, F: IntoFuture<Output = Result<T>>>(mut call: impl FnMut() -> F) -> Result<T> {
    let began = Instant::now();
    loop {
        match call().await {
            Err(error) if error.retry() != Retry::Never && began.elapsed() < COMES => {}
            ended => return ended,
        }
    }
}

async fn value_of(kv: &Handle, name: &str, key: &str) -> Result<String, Failed> {
    let pair = kv.get(&format!("{name}/{key}")).await?;
    Ok(pair.and_then(|pair| pair.text().map(str::to_owned)).ok_or("the key has no text")?)
}
