//! F16 and F17: what Consul refuses, the server or the library before it. Each error has its kind, and its text says
//! what to do about it. Certificates have their tests beside the backend.

use std::fmt::Debug;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb_servers::{Consul, ConsulSetup};
use libtest_mimic::Failed;

use crate::load::HANGS;
use crate::runtime;
use crate::trials::Start;

/// The deadline of a call on a line that says nothing.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The refusals that were as they are to be.
struct Refusals {
    count: usize,
    /// They show none of these.
    tokens: [String; 2],
}

impl Refusals {
    /// Wants a refusal of this kind, whose text has each of these words.
    fn expect<T: Debug>(
        &mut self,
        what: &str,
        answer: Result<T>,
        is: impl Fn(&ErrorKind) -> bool,
        words: &[&str],
    ) -> Result<(), Failed> {
        let Err(error) = answer else { return Err(format!("{what} is answered {answer:?}").into()) };
        // As the command shows it: with its causes.
        let causes = std::iter::successors(std::error::Error::source(&error), |&cause| cause.source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        if !is(error.kind()) || words.iter().any(|word| !text.contains(word)) {
            let kind = error.kind();
            return Err(format!("{what} is refused with {kind:?}, {text:?}, which lacks one of {words:?}").into());
        }
        if self.tokens.iter().any(|token| text.contains(token) || format!("{error:?}").contains(token)) {
            return Err(format!("{what} shows the token").into());
        }
        self.count += 1;
        Ok(())
    }
}

/// Asks for what cannot be had.
pub(crate) fn told(name: &str, _start: Start, _seed: u64) -> Result<(), Failed> {
    let consul = Consul::start(ConsulSetup::default().default_sessions().acl().client_proxy())?;
    let token = consul.token_for_prefix("mine/")?;
    let wrong = "deadbeef-0000-4000-8000-c0ffee000000";
    let mut refusals = Refusals { count: 0, tokens: [token.clone(), wrong.to_owned()] };
    let member = consul.member(0)?;
    let proxy = member.client_proxy()?;
    let endpoints = consul.endpoints();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let open = async |domain: &str, token: &str| {
        kvdb::new("consul", domain, &endpoints, Options::new().set("acl_token", token)).await
    };
    runtime().block_on(async {
        let kv = open("mine", &token).await?;
        kv.put("k", "1").await?;
        let (min, max) = (Duration::from_secs(10), Some(Duration::from_secs(24 * 3600)));
        let bounds = |kind: &ErrorKind| *kind == ErrorKind::TtlNotSupported { min, max };
        let short = Duration::from_secs(5);
        refusals.expect("a short TTL", kv.put("k", "2").ttl(short).await, bounds, &["10s", "86400s"])?;
        refusals.expect("a short lease", kv.lease(short).await, bounds, &["10s"])?;
        refusals.expect("a lock's short TTL", kv.lock("job").ttl(short).await, bounds, &["10s"])?;

        let sent = proxy.requests("PUT", "/v1/");
        let limits = kv.limits();
        let large = |limit| move |kind: &ErrorKind| *kind == ErrorKind::TooLarge { limit };
        let shown = limits.value_bytes.to_string();
        refusals.expect(
            "a large value",
            kv.put("k", vec![0; 400 << 10]).await,
            large(limits.value_bytes),
            &[&shown],
        )?;
        let many = (0..65).fold(kv.txn(), |txn, n| txn.then(kvdb::put(format!("k{n}"), "1")));
        let shown = limits.batch_ops.to_string();
        refusals.expect("65 operations", many.await, large(limits.batch_ops), &["65", &shown])?;
        if proxy.requests("PUT", "/v1/") != sent {
            return Err("what is too large was sent".into());
        }

        let denied = |kind: &ErrorKind| *kind == ErrorKind::PermissionDenied;
        let beside = open("theirs", &token).await?;
        for (what, answer) in [
            ("a read", beside.get("k").await.map(drop)),
            ("a write", beside.put("k", "1").await.map(drop)),
            ("a listing", beside.list("").await.map(drop)),
            ("a count", beside.count("").await.map(drop)),
            ("a snapshot", beside.snapshot(&[]).await.map(drop)),
            ("a watch", beside.watch_tree("").await.map(drop)),
            ("a lock", beside.lock("job").wait(Duration::from_secs(5)).await.map(drop)),
        ] {
            refusals.expect(what, answer, denied, &["key_prefix"])?;
        }
        let stranger = open("mine", wrong).await?;
        let unknown = |kind: &ErrorKind| *kind == ErrorKind::Unauthenticated;
        for (what, answer) in [
            ("a stranger's read", stranger.get("k").await.map(drop)),
            ("a stranger's write", stranger.put("k", "1").await.map(drop)),
            ("a stranger's listing", stranger.list("").await.map(drop)),
            ("a stranger's watch", stranger.watch_tree("").await.map(drop)),
            ("a stranger's lease", stranger.lease(min).await.map(drop)),
        ] {
            refusals.expect(what, answer, unknown, &["acl_token"])?;
        }

        // Connections that are half open, and then a line that says nothing at all.
        let silent = |kind: &ErrorKind| matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable);
        for stalled in [false, true] {
            if stalled {
                proxy.stall()
            } else {
                proxy.half_close()
            }
            let calls = async {
                let got = kv.get("k").timeout(TIMEOUT).await.map(drop);
                (got, kv.put("k", "3").timeout(TIMEOUT).await.map(drop))
            };
            let hung = |_| "calls on a silent line hang";
            let (got, put) = tokio::time::timeout(2 * HANGS * TIMEOUT, calls).await.map_err(hung)?;
            if stalled {
                refusals.expect("a read on a silent line", got, silent, &[])?;
                refusals.expect("a write on a silent line", put, silent, &[])?;
            }
            proxy.heal()?;
        }
        kv.get("k").await?.ok_or("the key is gone")?;
        println!(
            "faults {name} F16 F17: {} refusals, each of its kind and with what to do; nothing too large was sent, no \
             token shows, and calls on lines that say nothing end within {TIMEOUT:?}",
            refusals.count,
        );
        Ok(())
    })
}
