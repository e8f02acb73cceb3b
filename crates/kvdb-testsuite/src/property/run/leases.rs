//! The steps about leases and TTLs.

use std::time::{Duration, Instant};

use kvdb_core::{CallOptions, Capabilities, ErrorKind, KvAction, Kvdb, KvdbExt, Lease};

use super::{Check, Run, Stop, pairs, same};
use crate::property::model::{Asked, bytes_of};
use crate::property::step::{Over, Step};

/// A lease that no program outlives.
const LONG: Duration = Duration::from_secs(3600);
/// A TTL that is waited for.
const SHORT: Duration = Duration::from_millis(40);
/// A TTL that leaves time for two more writes.
const MEDIUM: Duration = Duration::from_millis(400);

impl Run<'_> {
    pub(super) async fn lease(&mut self, step: Step) -> Check {
        match step {
            Step::Grant { slot } => self.grant(slot).await,
            Step::PutLeased { key, value, slot } => self.put_leased(key, value, slot).await,
            Step::KeepAlive { slot } => {
                let Some(lease) = self.in_slot(slot) else { return Ok(()) };
                let ttl = self.kv.lease_keep_alive(&lease.id, CallOptions::default()).await?;
                same!(ttl, lease.ttl, "TTL of a kept lease");
                Ok(())
            }
            Step::LeaseInfo { slot } => {
                let (Some(lease), Some(index)) = (self.in_slot(slot), self.slots[slot]) else { return Ok(()) };
                let info = self.kv.lease_info(&lease.id, CallOptions::default()).await?;
                same!(info.granted, lease.ttl, "granted TTL");
                same!(info.remaining <= lease.ttl, true, "remaining {:?} within the TTL", info.remaining);
                same!(info.keys, self.model.attached(index), "keys of a lease");
                Ok(())
            }
            Step::Revoke { slot } => {
                let (Some(lease), Some(index)) = (self.in_slot(slot), self.slots[slot].take()) else { return Ok(()) };
                self.kv.lease_revoke(&lease.id, CallOptions::default()).await?;
                self.lease_ends(index, KvAction::Delete).await
            }
            Step::Expire { key, value } => self.expire(key, value, self.at_least(SHORT)).await,
            Step::ExpireLease { keys, value } => self.expire_lease(keys, value).await,
            Step::Overwrite { key, value, over } => self.overwrite(key, value, over).await,
            step => Err(Stop::Wrong(format!("{step:?} is not about leases"))),
        }
    }

    fn at_least(&self, ttl: Duration) -> Duration {
        self.kv.limits().ttl_min.max(ttl)
    }

    fn in_slot(&self, slot: usize) -> Option<Lease> {
        self.slots[slot].and_then(|index| self.leases.get(index)).cloned()
    }

    fn long(&self) -> Duration {
        LONG.min(self.kv.limits().ttl_max.unwrap_or(LONG))
    }

    async fn grant(&mut self, slot: usize) -> Check {
        if self.slots[slot].is_none() {
            self.slots[slot] = Some(self.granted(self.long()).await?);
        }
        Ok(())
    }

    async fn granted(&mut self, ttl: Duration) -> Check<usize> {
        let lease = self.kv.lease_grant(ttl, CallOptions::default()).await?;
        same!(lease.ttl >= ttl, true, "granted {:?} for {ttl:?}", lease.ttl);
        same!(self.leases.iter().any(|other| other.id == lease.id), false, "lease {} was granted before", lease.id);
        Ok(self.note(lease))
    }

    fn note(&mut self, lease: Lease) -> usize {
        self.model.ttls.push(lease.ttl);
        self.leases.push(lease);
        self.leases.len() - 1
    }

    async fn put_leased(&mut self, key: &str, value: u16, slot: usize) -> Check {
        if let Some(lease) = self.in_slot(slot) {
            let answer = self.kv.put(key, bytes_of(value)).lease(&lease.id).await;
            return self.written(key, value, self.slots[slot], &Asked::default(), answer).await;
        }
        // A lease that has ended: nothing may be written.
        let ended = (0..self.leases.len()).find(|index| !self.slots.contains(&Some(*index)));
        let Some(ended) = ended.and_then(|index| self.leases.get(index)).filter(|lease| self.has_ended(lease)) else {
            return Ok(());
        };
        match self.kv.put(key, bytes_of(value)).lease(&ended.id).await {
            Err(error) if *error.kind() == ErrorKind::LeaseNotFound => Ok(()),
            answer => Err(Stop::Wrong(format!("a put under an ended lease answers {answer:?}"))),
        }
    }

    /// Whether a lease that is in no slot has surely ended: the short ones may still run without keys.
    fn has_ended(&self, lease: &Lease) -> bool {
        lease.ttl == self.long() && !self.model.keys.values().any(|known| self.leases_id(known.lease) == Some(lease))
    }

    fn leases_id(&self, index: Option<usize>) -> Option<&Lease> {
        index.and_then(|index| self.leases.get(index))
    }

    /// The keys of a lease go: reads their events and compares them, one revision or several.
    async fn lease_ends(&mut self, index: usize, action: KvAction) -> Check {
        let keys = self.model.attached(index);
        let events = pairs(&mut self.live, keys.len()).await?;
        let from = self.model.happened.len();
        let mut gone: Vec<_> =
            events.iter().filter_map(|event| event.pair()).map(|pair| (pair.modified_index.get(), &pair.key)).collect();
        gone.sort();
        for together in gone.chunk_by(|a, b| a.0 == b.0) {
            let keys: Vec<String> = together.iter().map(|(_, key)| (*key).clone()).collect();
            let revision = self.next_revision(together[0].0)?;
            self.model.remove(revision, &keys, action);
        }
        self.compare_events(&events, self.model.happened.get(from..).unwrap_or_default())
    }

    /// Puts a key with a TTL and notes the lease the store made for it.
    async fn put_ttl(&mut self, key: &str, value: u16, ttl: Duration) -> Check<usize> {
        let pair = self.kv.put(key, bytes_of(value)).ttl(ttl).await?;
        let (Some(id), Some(granted)) = (pair.lease.clone(), pair.ttl) else {
            return Err(Stop::Wrong(format!("a put with a TTL answers no lease or no TTL: {pair:?}")));
        };
        let index = self.note(Lease::new(id, granted));
        self.written(key, value, Some(index), &Asked::default(), Ok(pair)).await?;
        Ok(index)
    }

    async fn expire(&mut self, key: &str, value: u16, ttl: Duration) -> Check {
        let began = Instant::now();
        let index = self.put_ttl(key, value, ttl).await?;
        self.lease_ends(index, KvAction::Expire).await?;
        same!(began.elapsed() >= ttl, true, "{key} gone after {:?} of {ttl:?}", began.elapsed());
        self.shares.expired += 1;
        Ok(())
    }

    async fn expire_lease(&mut self, keys: [&'static str; 2], value: u16) -> Check {
        let (began, ttl) = (Instant::now(), self.at_least(MEDIUM));
        let index = self.granted(ttl).await?;
        let id = self.leases[index].id.clone();
        for key in keys {
            let answer = self.kv.put(key, bytes_of(value)).lease(&id).await;
            if began.elapsed() >= ttl {
                return Err(Stop::TooSlow);
            }
            self.written(key, value, Some(index), &Asked::default(), answer).await?;
        }
        self.lease_ends(index, KvAction::Expire).await?;
        same!(began.elapsed() >= ttl, true, "{keys:?} gone after {:?} of {ttl:?}", began.elapsed());
        self.shares.expired += 1;
        Ok(())
    }

    /// Puts a key with a TTL and then over it: the first deadline must not count any more.
    async fn overwrite(&mut self, key: &str, value: u16, over: Over) -> Check {
        let (began, ttl) = (Instant::now(), self.at_least(MEDIUM));
        self.put_ttl(key, value, ttl).await?;
        let lease = match over {
            Over::Leased => Some(self.granted(self.long()).await?),
            _ => None,
        };
        if over == Over::Recreated {
            let answer = self.kv.delete(key).await;
            if began.elapsed() >= ttl {
                return Err(Stop::TooSlow);
            }
            self.deleted(key, &Asked { exists: Some(true), ..Asked::default() }, answer).await?;
        }
        let id = self.leases_id(lease).map(|lease| lease.id.clone());
        let write = self.kv.put(key, bytes_of(value + 1));
        let answer = match &id {
            Some(id) => write.lease(id).await,
            None => write.await,
        };
        if began.elapsed() >= ttl {
            return Err(Stop::TooSlow);
        }
        self.written(key, value + 1, lease, &Asked::default(), answer).await
    }

    /// Waits out every deadline of the program that must not count any more: a last one, which is later, is the next
    /// thing to happen.
    pub(super) async fn outlive_old_deadlines(&mut self) -> Check {
        if self.has(Capabilities::TTL | Capabilities::LEASES) {
            self.shares.steps += 1;
            self.expire("last", 1, self.at_least(MEDIUM)).await?;
        }
        Ok(())
    }
}
