use std::ops::Bound;
use std::time::Duration;

use futures_util::StreamExt;
use kvdb_core::{
    Backend, Batch, Bytes, CallOptions, Capabilities, DeleteOptions, ErrorKind, Guard, Handle, Key, KeyRange, KvFlags,
    KvPair, Kvdb, KvdbExt, LeaseId, ListOptions, Op, Precondition, PutOptions, Read, Revision, Scan, Target, WatchSpec,
};

use crate::help::soon;
use crate::verbs::{KEY_VERBS, LOCK_VERBS, PREFIX_VERBS, with_key, with_lock_name, with_prefix};
use crate::{Ctx, Failure, Proof, ensure, fail};

/// Numbers that a seed repeats.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    /// From `KVDB_SEED`, else anew.
    fn new() -> Self {
        let given = std::env::var("KVDB_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or_else(rand::random))
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn text(&mut self) -> String {
        const PIECES: &[&str] = &[
            "a",
            "b",
            "/",
            "/",
            "//",
            ".",
            "..",
            "_kvdb",
            "_",
            "lock",
            "ä",
            "🦀",
            "\0",
            "\n",
            "\u{7f}",
            "\u{85}",
            "\u{fffd}",
            "\u{10ffff}",
            "\u{202e}",
            "%2f",
            "=",
            " ",
            "e\u{301}",
            "\u{d7ff}",
            "0",
            "~",
            "\\",
        ];
        let mut text = String::new();
        for _ in 0..self.below(8) {
            if self.chance(6) {
                text.extend(char::from_u32(self.next() as u32 & 0x1f_ffff));
            } else {
                text.push_str(self.one(PIECES));
            }
        }
        if self.chance(200) { text.repeat(1 + self.below(40_000)) } else { text }
    }

    fn bytes(&mut self) -> Bytes {
        let length = if self.chance(50) { self.below(100_000) } else { self.below(12) };
        (0..length).map(|_| self.next() as u8).collect::<Vec<u8>>().into()
    }

    fn number(&mut self) -> u64 {
        let small = self.next() % 50;
        self.one(&[0, 1, 2, small, u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 32])
    }

    fn duration(&mut self) -> Duration {
        let some = Duration::from_millis(self.next() % 5_000);
        self.one(&[Duration::ZERO, Duration::from_nanos(1), some, Duration::from_secs(u64::MAX), Duration::MAX])
    }

    fn bound<'t>(&mut self, text: &'t str) -> Bound<&'t str> {
        self.one(&[Bound::Unbounded, Bound::Included(text), Bound::Excluded(text)])
    }
}

/// Runs a body whose failure and whose panic both name the seed.
async fn seeded<F, Fut>(body: F) -> Proof
where
    F: FnOnce(Dice) -> Fut,
    Fut: Future<Output = Proof> + Send + 'static,
{
    let dice = Dice::new();
    let seed = dice.0;
    let named = |text: String| Failure::new(format_args!("KVDB_SEED={seed}: {text}"));
    match tokio::spawn(body(dice)).await {
        Ok(proof) => proof.map_err(|failure| named(failure.to_string())),
        Err(join) => Err(named(join.to_string())),
    }
}

/// An answer or an error of the caller's making: no text may look like a bug or a broken store.
fn tame<T>(what: &str, answer: &kvdb_core::Result<T>) -> Proof {
    match answer {
        Err(error) if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt | ErrorKind::Unavailable) => {
            fail!("{what} answers {error:?}")
        }
        _ => Ok(()),
    }
}

pub(super) async fn texts(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    seeded(|mut dice| async move {
        for _ in 0..400 {
            let (text, value) = (dice.text(), dice.bytes());
            let verb = dice.one(KEY_VERBS);
            let answer = soon(verb, with_key(&kv, verb, &text, value)).await?;
            tame(&format!("{verb} {:?}", text.get(..100).unwrap_or(&text)), &answer)?;
            let verb = dice.one(PREFIX_VERBS);
            tame(verb, &soon(verb, with_prefix(&kv, verb, &text)).await?)?;
            if kv.capabilities().contains(Capabilities::LEASES) && dice.chance(8) {
                let verb = dice.one(LOCK_VERBS);
                tame(verb, &soon(verb, with_lock_name(&kv, verb, &text)).await?)?;
            }
            let other = dice.text();
            let (start, end) = (dice.bound(&text), dice.bound(&other));
            tame("list_range", &soon("list_range", async { kv.list_range(start, end).await }).await?)?;
            tame("watch_range", &soon("watch_range", async { kv.watch_range(start, end).await }).await?)?;
            if dice.chance(10) {
                let target = Target::Range(start, end);
                tame("delete range", &kv.delete_opts(target, DeleteOptions::default()).await)?;
            }
            tame("keys", &soon("keys", async { kv.keys(&text).separator(&other).await }).await?)?;
            tame("domain", &kv_in(&kv, &text))?;
        }
        // After all that the store still does its work.
        kv.put("last", "1").await?;
        ensure!(kv.get("last").await?.is_some(), "the store lost its last key");
        Ok(())
    })
    .await
}

/// A key's text as part of an error must not break the error's own text.
fn kv_in(kv: &Handle, text: &str) -> kvdb_core::Result<()> {
    let error = kvdb_core::Error::invalid("for the trial").with_key(text);
    let shown = format!("{error} {error:?} {kv:?}");
    if shown.contains('\0') {
        Err(kvdb_core::Error::new(ErrorKind::Internal, "a control character is shown"))
    } else {
        Ok(())
    }
}

pub(super) async fn options(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    seeded(|mut dice| async move {
        kv.put("k", "1").await?;
        for _ in 0..300 {
            let key = dice.one(&["k", "l", "m/n", "", ".."]);
            let mut put = PutOptions::default();
            let mut when = Precondition::none();
            when.exists = dice.one(&[None, None, Some(true), Some(false)]);
            when.created = dice.chance(4).then(|| dice.number().into());
            when.modified = dice.chance(4).then(|| dice.number().into());
            when.value = dice.chance(4).then(|| dice.bytes());
            put.when = when.clone();
            put.ttl = dice.chance(4).then(|| dice.duration());
            put.lease = dice.chance(6).then(|| LeaseId::from(dice.number() as i64));
            put.previous = dice.chance(2);
            let timeout = Duration::from_millis(dice.next() % 3 * 1000);
            put.timeout = dice.chance(6).then_some(timeout);
            tame("put", &soon("put", kv.put_opts(key, dice.bytes(), put)).await?)?;
            let mut delete = DeleteOptions::default();
            delete.when = when;
            let target =
                dice.one(&[Target::Key(key), Target::Tree(key), Target::Range(Bound::Included(key), Bound::Unbounded)]);
            tame("delete", &soon("delete", kv.delete_opts(target, delete)).await?)?;
            let mut list = ListOptions::default();
            list.at = dice.chance(3).then(|| dice.number().into());
            list.limit = dice.chance(2).then(|| dice.number() as usize);
            list.reverse = dice.chance(2);
            list.keys_only = dice.chance(2);
            list.count_only = dice.chance(3);
            let listed = soon("list", async { kv.list_opts(target, list).await?.collect().await }).await?;
            tame("list", &listed)?;
            tame("get", &soon("get", async { kv.get(key).at(dice.number()).await }).await?)?;
            let mut pair = KvPair::new(key, dice.bytes());
            pair.modified_index = dice.number().into();
            pair.created_index = dice.number().into();
            pair.ttl = dice.chance(3).then(|| dice.duration());
            let flags = KvFlags::from_bits_retain(dice.next() & 0x1f);
            let set = soon("compare_and_set", async { kv.compare_and_set(&pair, flags, None).await }).await?;
            tame("compare_and_set", &set)?;
            let deleted = soon("compare_and_delete", async { kv.compare_and_delete(&pair, flags).await }).await?;
            tame("compare_and_delete", &deleted)?;
            tame("lease", &soon("lease", kv.lease(dice.duration())).await?)?;
            let number = dice.number() as i64;
            let lease = dice.one(&[LeaseId::from(number), LeaseId::Text("no lease".into())]);
            tame("keep_alive", &soon("keep_alive", kv.lease_keep_alive(&lease, CallOptions::default())).await?)?;
            tame("revoke", &soon("revoke", kv.lease_revoke(&lease, CallOptions::default())).await?)?;
            tame("lease_info", &soon("lease_info", kv.lease_info(&lease, CallOptions::default())).await?)?;
            tame("watch after", &soon("watch", async { kv.watch_tree("").after(dice.number()).await }).await?)?;
            if dice.chance(20) {
                tame("compact", &soon("compact", kv.compact(dice.number())).await?)?;
            }
        }
        kv.put("last", "1").await?;
        ensure!(kv.get("last").await?.is_some(), "the store lost its last key");
        Ok(())
    })
    .await
}

pub(super) async fn backend(ctx: Ctx) -> Proof {
    let store = ctx.backend().await?;
    let inside = ctx.domain().to_owned();
    seeded(|mut dice| async move {
        // Random bytes where the store takes them; else random text of the domain.
        let binary = store.capabilities().contains(Capabilities::BINARY_KEYS);
        let key = |dice: &mut Dice| {
            let mut bytes = format!("{inside}/").into_bytes();
            if binary {
                let length = dice.below(6);
                bytes.extend((0..length).map(|_| dice.one(&[0, 1, b'/', b'a', 0x7f, 0xff, 0xfe])));
            } else {
                bytes.push(b'a' + dice.below(4) as u8);
            }
            Key::new(bytes)
        };
        for _ in 0..300 {
            let (one, two) = (key(&mut dice), key(&mut dice));
            let bounds = [Bound::Included(one.clone()), Bound::Excluded(two.clone()), Bound::Included(two.clone())];
            let range = KeyRange { start: dice.one(&bounds), end: dice.one(&bounds) };
            let mut read = Read::default();
            read.at = dice.chance(3).then(|| Revision::new(dice.number()));
            tame("get", &soon("get", store.get(&one, &read)).await?)?;
            let mut scan = Scan::default();
            scan.read = read;
            scan.keys_only = dice.chance(2);
            scan.count_only = dice.chance(3);
            scan.total = dice.chance(3);
            scan.reverse = dice.chance(2);
            scan.limit = dice.chance(2).then(|| dice.number() as usize);
            scan.page_bytes = dice.number() as usize;
            // As many pages as there can be keys: a listing that never ends must not keep the trial from ending.
            let pages: Vec<_> = soon("list", store.list(&range, &scan).take(10_000).collect()).await?;
            ensure!(!pages.is_empty(), "a listing of {range:?} has no page at all");
            ensure!(pages.len() < 10_000, "the pages of {range:?} have no end, by {scan:?}");
            for page in &pages {
                tame("list", page)?;
            }
            let mut batch = Batch::default();
            for _ in 0..dice.below(4) {
                let (key, revision) = (key(&mut dice), Revision::new(dice.number()));
                let guard = dice.one(&[
                    Guard::Absent(key.clone()),
                    Guard::Present(key.clone()),
                    Guard::Unchanged(key, revision),
                ]);
                batch.guards.push(guard);
            }
            for _ in 0..dice.below(5) {
                let lease = dice.chance(6).then(|| LeaseId::from(dice.number() as i64));
                let put = Op::Put { key: key(&mut dice), value: dice.bytes(), lease, previous: dice.chance(2) };
                let delete = Op::Delete { key: key(&mut dice), previous: dice.chance(2) };
                let mut ops = vec![put, delete];
                if store.capabilities().contains(Capabilities::DELETE_RANGE) {
                    ops.push(Op::DeleteRange { range: range.clone() });
                }
                batch.ops.push(dice.one(&ops));
            }
            tame("commit", &soon("commit", store.commit(&batch)).await?)?;
            let after = dice.chance(2).then(|| Revision::new(dice.number()));
            tame("watch", &soon("watch", store.watch(&WatchSpec::new(range, after, dice.chance(2)))).await?)?;
            tame("grant", &soon("grant", store.grant(dice.duration())).await?)?;
            let lease = LeaseId::from(dice.number() as i64);
            tame("keep_alive", &soon("keep_alive", store.keep_alive(&lease)).await?)?;
            tame("revoke", &soon("revoke", store.revoke(&LeaseId::Text("none".into()))).await?)?;
        }
        twice(&*store, &inside).await
    })
    .await
}

/// A batch writes a key at most once, ranges included.
async fn twice(store: &dyn Backend, inside: &str) -> Proof {
    let key = Key::from(format!("{inside}/twice"));
    let put = Op::Put { key: key.clone(), value: "1".into(), lease: None, previous: false };
    let delete = Op::Delete { key: key.clone(), previous: false };
    let mut batches =
        vec![vec![put.clone(), put.clone()], vec![put.clone(), delete.clone()], vec![delete.clone(), delete]];
    if store.capabilities().contains(Capabilities::DELETE_RANGE) {
        batches.push(vec![put, Op::DeleteRange { range: KeyRange::prefix(inside.as_bytes()) }]);
    }
    for ops in batches {
        let answer = store.commit(&Batch { guards: Vec::new(), ops }).await;
        crate::help::expect_kind(answer, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}
