//! One member of an etcd cluster.

use crate::member::{Member, Probe};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::{http, metrics};
use std::io;
use std::ops::Deref;

/// One member of an etcd cluster: a [`Member`] that also tells its id and its metrics.
#[derive(Debug)]
pub struct EtcdMember {
    pub(super) member: Member,
    pub(super) ports: Ports,
    pub(super) peer_proxy: Option<Proxy>,
}

/// Where a member listens itself, behind its proxies if it has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) metrics: u16,
}

impl Deref for EtcdMember {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

impl EtcdMember {
    /// Its member id.
    ///
    /// # Errors
    /// See [`metrics`](Self::metrics).
    pub fn id(&self) -> io::Result<u64> {
        let text = self.metrics()?;
        let id = metrics::label(&text, "etcd_server_id", "server_id").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        id.ok_or_else(|| self.error(io::ErrorKind::InvalidData, "tells no id"))
    }

    /// The text of its `/metrics`.
    ///
    /// # Errors
    /// If it is dead or paused, or does not answer within 2 s.
    pub fn metrics(&self) -> io::Result<String> {
        self.ports.metrics(&*self.process()?)
    }

    /// The sum of the samples of a metric that have all of these labels, 0 if there is none.
    ///
    /// # Errors
    /// See [`metrics`](Self::metrics).
    pub fn metric_sum(&self, name: &str, labels: &[(&str, &str)]) -> io::Result<f64> {
        Ok(metrics::sum(&self.metrics()?, name, labels).unwrap_or(0.0))
    }

    /// The proxy between it and its peers: what they send to it goes through.
    ///
    /// # Errors
    /// If the setup asked for none.
    pub fn peer_proxy(&self) -> io::Result<&Proxy> {
        self.peer_proxy.as_ref().ok_or_else(|| self.lacks("peer_proxy"))
    }
}

impl Ports {
    pub(super) fn probe(self) -> Probe {
        Box::new(move |process| {
            process.listens_on(self.client)
                && process.listens_on(self.metrics)
                && (self.healthy() || self.follows_as_learner(process))
        })
    }

    fn metrics(self, process: &Process) -> io::Result<String> {
        if process.is_paused() || !process.listens_on(self.metrics) {
            return Err(process.error(io::ErrorKind::NotConnected, "etcd is dead or paused"));
        }
        Ok(http::get(self.metrics, "/metrics")?.text())
    }

    fn healthy(self) -> bool {
        http::get(self.metrics, "/health")
            .is_ok_and(|reply| reply.status == 200 && reply.text().contains("\"health\":\"true\""))
    }

    fn follows_as_learner(self, process: &Process) -> bool {
        self.metrics(process).is_ok_and(|text| {
            let is_one = |name| metrics::sum(&text, name, &[]) == Some(1.0);
            is_one("etcd_server_is_learner") && is_one("etcd_server_has_leader")
        })
    }
}
