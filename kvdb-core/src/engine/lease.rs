//! Leases of users.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::deadline::{Deadline, later};
use super::{Shared, closed_error};
use crate::{CallOptions, Capabilities, Error, ErrorKind, Lease, LeaseId, LeaseInfo, Limits, Result};

/// The leases that users of this handle were granted and that may still live: `close` revokes them.
#[derive(Debug, Default)]
pub(super) struct Granted(Mutex<HashMap<LeaseId, Instant>>);

impl Granted {
    /// Notes that a lease lives at most this long from now on.
    pub(super) fn note(&self, lease: LeaseId, ttl: Duration) {
        let mut granted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgetting the dead when the map would grow keeps it no larger than twice the living.
        if granted.len() == granted.capacity() {
            let now = Instant::now();
            granted.retain(|_, until| *until > now);
        }
        // Twice: the store may see a lease's end one TTL later than we do.
        granted.insert(lease, later(ttl.saturating_mul(2)));
    }

    fn knows(&self, lease: &LeaseId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(lease)
    }

    fn forget(&self, lease: &LeaseId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(lease);
    }

    pub(super) fn drain(&self) -> Vec<LeaseId> {
        let mut granted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        granted.drain().map(|(lease, _)| lease).collect()
    }
}

impl Shared {
    pub(super) async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease> {
        self.ensure_open()?;
        self.require(Capabilities::LEASES)?;
        self.check_ttl(ttl)?;
        let (id, granted) = self.grant(ttl, &mut self.deadline(options.timeout)).await?;
        self.granted.note(id.clone(), granted);
        if self.is_closed() {
            // The close did not see it any more.
            self.janitor.revoke(id);
            return Err(closed_error());
        }
        Ok(Lease::new(id, granted))
    }

    pub(super) async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration> {
        self.ensure_open()?;
        self.require(Capabilities::LEASES)?;
        // Keeping alive twice does what once does: an unknown outcome is tried again like a read.
        let ttl = self.deadline(options.timeout).read(|| self.backend.keep_alive(lease)).await?;
        if self.granted.knows(lease) {
            self.granted.note(lease.clone(), ttl);
        }
        Ok(ttl)
    }

    pub(super) async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()> {
        self.ensure_open()?;
        self.require(Capabilities::LEASES)?;
        let mut deadline = self.deadline(options.timeout);
        deadline.write(|| self.backend.revoke(lease)).await?;
        self.granted.forget(lease);
        // What is granted at this moment is another lease: nothing is lost by not waiting for it to the end.
        let _ = deadline.one(self.keepers.lose(lease).map(Ok)).await;
        Ok(())
    }

    pub(super) async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo> {
        self.ensure_open()?;
        self.require(Capabilities::LEASE_INFO)?;
        let mut info = self.deadline(options.timeout).read(|| self.backend.lease_info(lease)).await?;
        info.keys = info
            .keys
            .into_iter()
            .filter_map(|key| self.domain.relative(&crate::Key::from(key)).map(str::to_owned))
            .collect();
        Ok(info)
    }

    /// Grants a lease that is what was asked for, up to rounding: a clamped one is given back (contract 6.2).
    pub(super) async fn grant(&self, ttl: Duration, deadline: &mut Deadline) -> Result<(LeaseId, Duration)> {
        // Of a try whose reply was lost nobody knows the lease: it runs out by itself.
        let (lease, granted) = deadline.harmless(|| self.backend.grant(ttl)).await?;
        let limits = self.backend.limits();
        if granted < ttl || granted >= ttl.saturating_add(limits.ttl_granularity.max(Duration::from_nanos(1))) {
            self.janitor.revoke(lease);
            return Err(out_of_bounds(ttl, &limits));
        }
        Ok((lease, granted))
    }

    pub(super) fn check_ttl(&self, ttl: Duration) -> Result<()> {
        let limits = self.backend.limits();
        if ttl.is_zero() || ttl < limits.ttl_min || limits.ttl_max.is_some_and(|max| ttl > max) {
            return Err(out_of_bounds(ttl, &limits));
        }
        Ok(())
    }
}

/// Zero without a unit that nobody wrote.
fn shown(ttl: Duration) -> String {
    if ttl.is_zero() { "0s".to_owned() } else { format!("{ttl:?}") }
}

fn out_of_bounds(ttl: Duration, limits: &Limits) -> Error {
    let (min, max) = (limits.ttl_min, limits.ttl_max);
    let bounds = match max {
        Some(max) => format!("from {min:?} to {max:?}"),
        None => format!("from {min:?}"),
    };
    Error::new(
        ErrorKind::TtlNotSupported { min, max },
        format!("{} is not granted; the store takes TTLs {bounds}", shown(ttl)),
    )
}
