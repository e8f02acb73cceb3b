//! Consul: three servers that call an election after about a second.

use std::io;
use std::sync::Arc;

use kvdb_core::registry::BackendFactory;
use kvdb_servers::{Consul, ConsulSetup};
use libtest_mimic::{Failed, Trial};

use crate::cluster::{Cluster, Fault};
use crate::trials::{Start, Way, is_long, under_load};
use crate::{holder, quorum, refusals, restored, watch};

/// Starts three servers.
fn start() -> io::Result<Arc<dyn Cluster>> {
    Ok(Arc::new(Consul::start(ConsulSetup::default().nodes(3))?))
}

/// Every trial of Consul. Its servers have one port for each other that no proxy can stand before, so that none is cut
/// off from the others (F8): instead a leader that was paused goes on as one, with clients that reach it alone.
pub(crate) fn trials(seed: u64) -> Vec<Trial> {
    let trial = |what: &str, run: fn(&str, Start, u64) -> Result<(), Failed>| {
        Trial::test(format!("{what} [consul]"), move || run("consul", start, seed))
    };
    vec![
        trial("F4 F5 F8 leaders that are killed or paused lose, double and reorder nothing", servers),
        trial("F6 F7 lines that break, stall, trickle and lose answers lose, double and reorder nothing", lines),
        trial("F8 without a quorum calls end in time, and go on by themselves with it", quorum::lost),
        trial("F9 F12 a holder that is cut off says so, and its fenced writes are refused", holder::cut_off),
        trial("F4 a watch through kills and restarts adds up to the store, with each deletion by name", watch::held),
        trial("F14 an index that goes back is told as what is there, or ends the watch", restored::gone_back),
        trial("F16 F17 what Consul refuses is said with what to do", refusals::told),
    ]
}

fn servers(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let (operations, times) = if is_long() { (50_000, 10) } else { (2_500, 1) };
    let faults = [Fault::KillLeader, Fault::PauseLeader, Fault::KillLeader, Fault::PauseFollower].repeat(times);
    under_load(&format!("{name} F4 F5 F8"), start, seed, operations, &faults, Way::Pinned)
}

fn lines(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let (operations, times) = if is_long() { (50_000, 4) } else { (2_500, 1) };
    let kinds = [Fault::Cut, Fault::Stall, Fault::HalfOpen, Fault::Trickle, Fault::DropReplies];
    under_load(&format!("{name} F6 F7"), start, seed, operations, &kinds.repeat(times), Way::Lines)
}

impl Cluster for Consul {
    fn factory(&self) -> &'static BackendFactory {
        &kvdb_consul::FACTORY
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
        Err(io::Error::new(io::ErrorKind::Unsupported, "a Consul server has one port for clients of all kinds"))
    }

    fn rejoin(&self) -> io::Result<()> {
        Ok(())
    }

    fn ready(&self) -> io::Result<()> {
        Self::ready(self)
    }
}
