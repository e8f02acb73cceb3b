//! A key goes away by itself: not early, and not late.

use std::time::{Duration, Instant};

use kvdb::Capabilities;
use kvdb::prelude::*;
use tokio::time::timeout;

use super::report::{Proof, Shown, ensure};

/// Short for those who watch, long enough to see the key before it goes.
const SHORT: Duration = Duration::from_millis(500);

/// For the way of the news, on a machine with much else to do.
const NEWS: Duration = Duration::from_secs(5);

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let (capabilities, limits) = (kv.capabilities(), kv.limits());
    let key = &format!("{base}/session");
    let ttl = limits.ttl_min.max(SHORT);
    let mut changes = kv.watch_key(key).await?;
    // Counted from before the store could know of it: gone sooner is gone early.
    let begun = Instant::now();
    let (how, written) = if capabilities.contains(Capabilities::TTL) {
        ("a put with a TTL", kv.put(key, "here").ttl(ttl).await?)
    } else if capabilities.contains(Capabilities::LEASES) {
        let lease = kv.lease(ttl).await?;
        ("a put with a lease", kv.put(key, "here").lease(&lease.id).await?)
    } else {
        return Ok(Proof::Absent(Capabilities::TTL | Capabilities::LEASES));
    };
    let ttl = written.ttl.unwrap_or(ttl);
    let latest = ttl + limits.ttl_slack + NEWS;
    let told = timeout(latest, async {
        loop {
            match changes.next().await {
                Some(Ok(Event::Expire(_))) => return Ok("Expire"),
                Some(Ok(Event::Delete(_))) => return Ok("Delete"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the watch ended by itself".into()),
            }
        }
    });
    let told: Result<_, super::report::Broken> = match told.await {
        Ok(told) => told,
        Err(_) => return Err(format!("a key with a TTL of {ttl:?} was still there after {latest:?}").into()),
    };
    let (told, lived) = (told?, begun.elapsed());
    ensure!(lived >= ttl, "a key with a TTL of {ttl:?} was gone after {lived:?}");
    ensure!(kv.get(key).await?.is_none(), "a key is there although its end was told");
    Ok(Proof::Held(format!("{how} of {ttl:?} was gone after {} ms, told as {told}", lived.as_millis())))
}
