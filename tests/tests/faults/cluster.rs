//! A store of several servers that can be made to fail, and the faults that befall it under load.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kvdb::prelude::*;
use kvdb_core::registry::BackendFactory;
use kvdb_servers::Proxy;
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::{Load, Open, TIMEOUT};
use crate::run::progress;

/// Real servers of one store. The calls block and have deadlines of their own.
pub(crate) trait Cluster: fmt::Debug + Send + Sync + 'static {
    /// The backend that talks to it.
    fn factory(&self) -> &'static BackendFactory;
    /// What a client of it needs besides its endpoints.
    fn options(&self) -> Options {
        Options::new()
    }
    /// The endpoint of each member.
    fn endpoints(&self) -> Vec<String>;
    /// The member that leads.
    fn leader(&self) -> io::Result<usize>;
    /// Kills a member with SIGKILL.
    fn kill(&self, member: usize) -> io::Result<()>;
    /// Starts a killed member without waiting until it serves.
    fn launch(&self, member: usize) -> io::Result<()>;
    /// Stops a member with SIGSTOP.
    fn pause(&self, member: usize) -> io::Result<()>;
    /// Lets it go on.
    fn resume(&self, member: usize) -> io::Result<()>;
    /// Cuts a member off from the others, not from its clients.
    fn isolate(&self, member: usize) -> io::Result<()>;
    /// Joins all of them again.
    fn rejoin(&self) -> io::Result<()>;
    /// Waits until every member serves.
    fn ready(&self) -> io::Result<()>;
    /// Breaks these lines until the sessions behind them have ended, and mends them; answers how many have. A store
    /// whose watches have none does nothing.
    fn expire(&self, _lines: &[Proxy]) -> io::Result<usize> {
        Ok(0)
    }
}

/// Longer than a server needs to apply a request whose answer is swallowed.
const APPLIED: Duration = Duration::from_millis(200);

/// What befalls a cluster or the lines to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// F4: the leader is killed and started again.
    KillLeader,
    /// F5: the leader is stopped for 1 to 5 s.
    PauseLeader,
    /// F5: a follower is.
    PauseFollower,
    /// F8: the leader is cut off from the others for 1 to 5 s, not from its clients.
    IsolateLeader,
    /// F6: every connection is reset and no new one is taken for a moment.
    Cut,
    /// F6: the lines carry nothing, and say nothing, for 1 to 5 s.
    Stall,
    /// F6: the server has closed its side of every connection, and takes what comes.
    HalfOpen,
    /// F6: requests arrive a byte a second.
    Trickle,
    /// F7: requests reach the server and are carried out, the answers do not come back, then the line breaks.
    DropReplies,
}

/// Runs a blocking call of a cluster.
pub(crate) async fn blocking<T: Send + 'static>(
    cluster: &Arc<dyn Cluster>,
    call: impl FnOnce(&dyn Cluster) -> io::Result<T> + Send + 'static,
) -> Result<T, Failed> {
    let cluster = Arc::clone(cluster);
    Ok(tokio::task::spawn_blocking(move || call(&*cluster)).await??)
}

/// A line to each member, and the endpoints at its near end.
pub(crate) fn lines(cluster: &dyn Cluster) -> Result<(Vec<Proxy>, Vec<String>), Failed> {
    let mut lines = (Vec::new(), Vec::new());
    for endpoint in cluster.endpoints() {
        let (host, port) = endpoint.rsplit_once(':').ok_or("an endpoint has a port")?;
        let line = Proxy::start(port.parse()?)?;
        lines.1.push(format!("{host}:{}", line.port()));
        lines.0.push(line);
    }
    Ok(lines)
}

/// Opens clients of these endpoints.
pub(crate) fn opener(cluster: &Arc<dyn Cluster>, endpoints: Vec<String>) -> Open {
    let (factory, options) = (cluster.factory(), cluster.options().timeout(TIMEOUT));
    Arc::new(move |domain| {
        let (endpoints, options) = (endpoints.clone(), options.clone());
        async move {
            let backend = (factory.connect)(endpoints, options.clone()).await?;
            Handle::open(factory.name, backend, domain, &options)
        }
        .boxed()
    })
}

/// Lets the faults befall the cluster, in an order that the seed tells, with work between them; answers what happened.
pub(crate) async fn befall(
    cluster: &Arc<dyn Cluster>,
    lines: &[Proxy],
    faults: &[Fault],
    load: &Load,
    (seed, between): (u64, usize),
) -> Result<String, Failed> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0xfa);
    let mut faults = faults.to_vec();
    for n in (1..faults.len()).rev() {
        faults.swap(n, rng.random_range(0..=n));
    }
    for fault in &faults {
        progress(load, load.acknowledged() + between).await?;
        one(cluster, lines, *fault, &mut rng).await.map_err(|failed| format!("{fault:?}: {failed:?}"))?;
    }
    progress(load, load.acknowledged() + between).await?;
    faults.sort_unstable();
    let counted = faults.chunk_by(|a, b| a == b).map(|same| format!("{} x {:?}", same.len(), same[0]));
    Ok(counted.collect::<Vec<_>>().join(", "))
}

async fn one(cluster: &Arc<dyn Cluster>, lines: &[Proxy], fault: Fault, rng: &mut StdRng) -> Result<(), Failed> {
    let mut lasts = |from: u64, to: u64| Duration::from_millis(rng.random_range(from..=to));
    let (moment, long) = (lasts(100, 1000), lasts(1000, 5000));
    match fault {
        Fault::KillLeader => {
            let leader = blocking(cluster, |cluster| cluster.leader()).await?;
            blocking(cluster, move |cluster| cluster.kill(leader)).await?;
            tokio::time::sleep(moment).await;
            blocking(cluster, move |cluster| cluster.launch(leader)).await?;
            // The next one must not take the quorum.
            blocking(cluster, |cluster| cluster.ready()).await
        }
        Fault::PauseLeader | Fault::PauseFollower => {
            let leader = blocking(cluster, |cluster| cluster.leader()).await?;
            let paused = if fault == Fault::PauseLeader { leader } else { (leader + 1) % cluster.endpoints().len() };
            blocking(cluster, move |cluster| cluster.pause(paused)).await?;
            tokio::time::sleep(long).await;
            blocking(cluster, move |cluster| cluster.resume(paused)).await?;
            blocking(cluster, |cluster| cluster.ready()).await
        }
        Fault::IsolateLeader => {
            let leader = blocking(cluster, |cluster| cluster.leader()).await?;
            blocking(cluster, move |cluster| cluster.isolate(leader)).await?;
            tokio::time::sleep(long).await;
            blocking(cluster, |cluster| cluster.rejoin()).await?;
            blocking(cluster, |cluster| cluster.ready()).await
        }
        Fault::Cut | Fault::Stall | Fault::HalfOpen | Fault::Trickle | Fault::DropReplies => {
            for line in lines {
                match fault {
                    Fault::Cut => line.cut()?,
                    Fault::Stall => line.stall(),
                    Fault::HalfOpen => line.half_close(),
                    Fault::Trickle => line.limit(1),
                    _ => line.drop_replies(APPLIED),
                }
            }
            tokio::time::sleep(if fault == Fault::Cut { moment } else { long }).await;
            Ok(lines.iter().try_for_each(Proxy::heal)?)
        }
    }
}
