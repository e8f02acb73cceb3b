//! ZooKeeper: three servers with ticks of half a second, and sessions that the longer ones of the faults outlast.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb::prelude::*;
use kvdb_core::registry::BackendFactory;
use kvdb_servers::{Proxy, ZooKeeper, ZooKeeperSetup};
use libtest_mimic::{Failed, Trial};

use crate::cluster::{Cluster, Fault};
use crate::trials::{Start, Way, is_long, under_load};
use crate::{holder, quorum, watch};

/// Of the sessions that carry calls and watches.
const SESSION: Duration = Duration::from_secs(2);
/// How long a session may take to end whose client is out of reach.
const ENDS: Duration = Duration::from_secs(60);

/// Starts three servers.
fn start() -> io::Result<Arc<dyn Cluster>> {
    Ok(Arc::new(ZooKeeper::start(ZooKeeperSetup::default().nodes(3))?))
}

/// Every trial of ZooKeeper. Its servers' ports for each other have no proxies before them, so that none is cut off
/// from the others (F8): instead a leader that was paused goes on as one, with clients that reach it alone.
pub(crate) fn trials(seed: u64) -> Vec<Trial> {
    let trial = |what: &str, run: fn(&str, Start, u64) -> Result<(), Failed>| {
        Trial::test(format!("{what} [zookeeper]"), move || run("zookeeper", start, seed))
    };
    vec![
        trial("F4 F5 F8 leaders that are killed or paused lose, double and reorder nothing", servers),
        trial("F6 F7 lines that break, stall, trickle and lose answers lose, double and reorder nothing", lines),
        trial("F8 without a quorum calls end in time, and go on by themselves with it", quorum::lost),
        trial("F9 F12 a holder that is cut off says so, and its fenced writes are refused", holder::cut_off),
        trial(
            "F4 F9 a watch through kills and an expired session adds up to the store, deletions by name",
            watch::held,
        ),
    ]
}

fn servers(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let (operations, times) = if is_long() { (50_000, 10) } else { (1_500, 1) };
    let mut faults = vec![Fault::KillLeader, Fault::PauseLeader, Fault::PauseFollower];
    if is_long() {
        faults.push(Fault::KillLeader);
    }
    under_load(&format!("{name} F4 F5 F8"), start, seed, operations, &faults.repeat(times), Way::Pinned)
}

fn lines(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let (operations, times) = if is_long() { (50_000, 4) } else { (1_500, 1) };
    let mut kinds = vec![Fault::Stall, Fault::HalfOpen, Fault::DropReplies];
    if is_long() {
        kinds.extend([Fault::Cut, Fault::Trickle]);
    }
    under_load(&format!("{name} F6 F7"), start, seed, operations, &kinds.repeat(times), Way::Lines)
}

impl Cluster for ZooKeeper {
    fn factory(&self) -> &'static BackendFactory {
        &kvdb_zookeeper::FACTORY
    }

    fn options(&self) -> Options {
        let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
        let options = Options::new().set("session_timeout", milliseconds(SESSION));
        options.set("dial_timeout", milliseconds(SESSION / 2))
    }

    fn endpoints(&self) -> Vec<String> {
        Self::endpoints(self)
    }

    fn leader(&self) -> io::Result<usize> {
        Self::leader(self)
    }

    fn kill(&self, member: usize) -> io::Result<()> {
        self.member(member)?.kill()
    }

    fn launch(&self, member: usize) -> io::Result<()> {
        self.member(member)?.launch()
    }

    fn pause(&self, member: usize) -> io::Result<()> {
        self.member(member)?.pause()
    }

    fn resume(&self, member: usize) -> io::Result<()> {
        self.member(member)?.resume()
    }

    fn isolate(&self, _member: usize) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the servers' ports for each other have no proxies"))
    }

    fn rejoin(&self) -> io::Result<()> {
        Ok(())
    }

    fn ready(&self) -> io::Result<()> {
        Self::ready(self)
    }

    fn expire(&self, lines: &[Proxy]) -> io::Result<usize> {
        let before = self.sessions()?;
        lines.iter().try_for_each(Proxy::cut)?;
        let cut = Instant::now();
        while cut.elapsed() < ENDS {
            // Those of clients that reach the servers past the lines live on.
            let ended = before.difference(&self.sessions()?).count();
            if ended > 0 {
                lines.iter().try_for_each(Proxy::heal)?;
                return Ok(ended);
            }
            std::thread::sleep(SESSION / 100);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "a session outlives its lines"))
    }
}
