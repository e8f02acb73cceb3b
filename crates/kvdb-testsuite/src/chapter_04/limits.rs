use std::ops::Bound;
use std::sync::Arc;

use kvdb_core::prelude::*;
use kvdb_core::{
    Backend, Batch, CallOptions, Comparison, KeyRange, LeaseChange, Limits, NativeCompare, NativeOp, NativeSubject,
    NativeTxn, Op, Options, Outcome, Scan, Txn,
};

use crate::decorate::{Faulty, Limited};
use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn written_once(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("a/b", "1").await?;
    let twice = [
        (put("a/b", "2"), put("a/b", "3")),
        (put("a/b", "2"), put("/a//b/", "2")),
        (put("a/b", "2"), delete("a/b")),
        (delete("a/b"), put("a/b", "2")),
        (delete("a/b"), delete("//a/b")),
    ];
    for (one, other) in twice {
        let invalid = &ErrorKind::InvalidArgument;
        let then = kv.txn().then(put("left", "1")).then(one.clone()).then(get("a/b")).then(other.clone());
        let error = expect_kind(then.await, invalid)?;
        ensure_eq!(error.key(), Some(other.key()), "the key that {error} names");
        let unlikely = kv.txn().then(put("left", "1")).otherwise(one).otherwise(other);
        expect_kind(unlikely.await, invalid)?;
    }
    ensure_eq!(kv.list("").names().await?, ["a/b"], "what refused transactions left");
    // Once in each branch, and read as often as one likes.
    let txn = kv.txn().when(value("a/b").eq("1")).when(present("a/b")).then(get("a/b")).then(put("a/b", "2"));
    let reply = txn.then(get("a/b")).then(get("a/b")).otherwise(delete("a/b")).await?;
    ensure_eq!((reply.succeeded, reply.results.len()), (true, 4));
    Ok(())
}

fn put_op(key: &kvdb_core::Key) -> Op {
    Op::Put { key: key.clone(), value: "x".into(), lease: None, previous: false }
}

fn delete_op(key: &kvdb_core::Key) -> Op {
    Op::Delete { key: key.clone(), previous: false }
}

fn range(ctx: &Ctx, from: &str, to: &str) -> KeyRange {
    KeyRange { start: Bound::Included(ctx.absolute(from)), end: Bound::Excluded(ctx.absolute(to)) }
}

async fn refused(store: &Arc<dyn Backend>, ctx: &Ctx, ops: Vec<Op>) -> Proof {
    let written = Op::Put { key: ctx.absolute("left"), value: "x".into(), lease: None, previous: false };
    let ops = std::iter::once(written).chain(ops).collect();
    expect_kind(store.commit(&Batch { guards: Vec::new(), ops }).await, &ErrorKind::InvalidArgument)?;
    let left = store.get(&ctx.absolute("left"), &kvdb_core::Read::default()).await?.entry;
    ensure_eq!(left, None, "what a refused batch left");
    Ok(())
}

pub(super) async fn batch_of_the_store(ctx: Ctx) -> Proof {
    let store = ctx.backend().await?;
    let (a, b) = (ctx.absolute("a"), ctx.absolute("b"));
    for ops in [
        vec![put_op(&a), put_op(&a)],
        vec![put_op(&a), delete_op(&a)],
        vec![delete_op(&a), put_op(&b), put_op(&a)],
        vec![delete_op(&a), delete_op(&a)],
    ] {
        refused(&store, &ctx, ops).await?;
    }
    let outcome = store.commit(&Batch { guards: Vec::new(), ops: vec![put_op(&a), delete_op(&b)] }).await?;
    ensure!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    Ok(())
}

pub(super) async fn ranges_of_the_store(ctx: Ctx) -> Proof {
    let store = ctx.backend().await?;
    let (a, b) = (ctx.absolute("d/a"), ctx.absolute("e"));
    let whole = || Op::DeleteRange { range: range(&ctx, "d/", "d0") };
    for ops in [
        vec![put_op(&a), whole()],
        vec![whole(), put_op(&a)],
        vec![whole(), delete_op(&a)],
        vec![whole(), whole()],
        vec![Op::DeleteRange { range: range(&ctx, "d/a", "d/b") }, whole()],
    ] {
        refused(&store, &ctx, ops).await?;
    }
    store.commit(&Batch { guards: Vec::new(), ops: vec![put_op(&a), put_op(&b)] }).await?;
    let beside = Op::DeleteRange { range: range(&ctx, "c", "d/") };
    let outcome = store.commit(&Batch { guards: Vec::new(), ops: vec![whole(), put_op(&b), beside] }).await?;
    ensure!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    Ok(())
}

pub(super) async fn native_of_the_store(ctx: Ctx) -> Proof {
    let store = ctx.backend().await?;
    let set = |key: &str| NativeOp::Put {
        key: ctx.absolute(key),
        value: Some("x".into()),
        lease: LeaseChange::Set(None),
        previous: false,
    };
    let gone = |key: &str| NativeOp::Delete { key: ctx.absolute(key), previous: false };
    let whole = || NativeOp::DeleteRange { range: range(&ctx, "d/", "d0") };
    let nested = |then: Vec<NativeOp>| NativeOp::Txn(NativeTxn { then, ..NativeTxn::default() });
    store.native_txn(&NativeTxn { then: vec![set("d/a"), set("d/b")], ..NativeTxn::default() }).await?;
    for then in [
        vec![set("left"), set("a"), set("a")],
        vec![set("left"), set("a"), gone("a")],
        vec![set("left"), set("d/a"), whole()],
        vec![set("left"), whole(), set("d/a")],
        vec![set("left"), set("a"), nested(vec![set("a")])],
        vec![nested(vec![set("left"), set("a")]), nested(vec![nested(vec![gone("a")])])],
        vec![set("left"), nested(vec![whole()]), set("d/b")],
    ] {
        let txn = NativeTxn { then, ..NativeTxn::default() };
        expect_kind(store.native_txn(&txn).await, &ErrorKind::InvalidArgument)?;
    }
    // What is kept must be there; nothing is written if it is not.
    for (value, lease) in [(None, LeaseChange::Set(None)), (Some("x".into()), LeaseChange::Keep)] {
        let kept = NativeOp::Put { key: ctx.absolute("absent"), value, lease, previous: false };
        let txn = NativeTxn { then: vec![set("left"), kept], ..NativeTxn::default() };
        expect_kind(store.native_txn(&txn).await, &ErrorKind::NotFound)?;
    }
    // A range that is empty compares as an absent key.
    let nothing = NativeCompare {
        range: range(&ctx, "none/", "none0"),
        comparison: Comparison::Equal,
        subject: NativeSubject::Created(Revision::ZERO),
    };
    let listing = NativeOp::List { range: range(&ctx, "d/", "d0"), scan: Scan::default() };
    let txn = NativeTxn { compares: vec![nothing], then: vec![listing, whole()], otherwise: vec![set("a")] };
    let reply = store.native_txn(&txn).await?;
    ensure!(reply.succeeded && reply.results.len() == 2, "{reply:?}");
    let kv = ctx.open().await?;
    ensure_eq!(kv.list("").names().await?, Vec::<String>::new(), "what refused transactions left");
    Ok(())
}

pub(super) async fn leases(ctx: Ctx) -> Proof {
    let most = ctx.limits().leases_per_batch.min(2);
    let inner = Faulty::recording(ctx.backend().await?);
    let calls = inner.calls();
    let narrow = Limited::new(Arc::new(inner), move |limits: &mut Limits| limits.leases_per_batch = most);
    let kv = ctx.handle(Arc::new(narrow), ctx.domain(), Options::new())?;
    let ttl = ctx.ttl(std::time::Duration::from_secs(60));
    let mut ids = Vec::new();
    for _ in 0..=most {
        ids.push(kv.lease(ttl).await?.id);
    }
    calls.lock().unwrap().clear();
    let op = |n: usize, lease: usize| put(format!("k{n}"), "1").lease(&ids[lease]);
    let branches = |then: Vec<TxnOp>, otherwise: Vec<TxnOp>| {
        let mut txn = Txn::default();
        (txn.then, txn.otherwise) = (then, otherwise);
        kv.txn_opts(txn, CallOptions::default())
    };
    let beyond = || (0..=most).map(|n| op(n, n)).collect::<Vec<_>>();
    expect_kind(branches(beyond(), Vec::new()).await, &ErrorKind::InvalidArgument)?;
    expect_kind(branches(Vec::new(), beyond()).await, &ErrorKind::InvalidArgument)?;
    ensure_eq!(*calls.lock().unwrap(), [], "what was asked of the store");
    // As many as it takes, however often, and another one in the other branch.
    let often = (0..2 * most).map(|n| op(n, n % most)).chain([put("free", "1")]).collect();
    ensure_eq!(branches(often, vec![op(0, most)]).await?.results.len(), 2 * most + 1);
    // A put with a TTL brings a lease of its own.
    if ctx.has(Capabilities::TTL) {
        let with_ttl = (0..most).map(|n| op(n, n)).chain([put("ttl", "1").ttl(ttl)]).collect();
        expect_kind(branches(with_ttl, Vec::new()).await, &ErrorKind::InvalidArgument)?;
    }
    for id in &ids {
        kv.lease_revoke(id, CallOptions::default()).await?;
    }
    ensure_eq!(kv.list("").names().await?, ["free"]);
    Ok(())
}

pub(super) async fn too_large(ctx: Ctx) -> Proof {
    const OPS: usize = 8;
    const BYTES: usize = 4096;
    let inner = Faulty::recording(ctx.backend().await?);
    let calls = inner.calls();
    let narrow = Limited::new(Arc::new(inner), |limits: &mut Limits| {
        (limits.batch_ops, limits.batch_bytes) = (OPS, BYTES);
        (limits.value_bytes, limits.key_bytes) = (2000, 200);
    });
    let kv = ctx.handle(Arc::new(narrow), ctx.domain(), Options::new())?;
    let puts = |count: usize| (0..count).map(|n| put(format!("k{n}"), "1"));
    let branch = |then: Vec<TxnOp>| {
        let mut txn = Txn::default();
        txn.then = then;
        txn
    };
    let otherwise = |ops: Vec<TxnOp>| {
        let mut txn = Txn::default();
        txn.otherwise = ops;
        txn
    };
    let mut compared = branch(puts(OPS).collect());
    compared.when = vec![absent("k")];
    let fat = vec![b'x'; 1900];
    for (txn, limit) in [
        (branch(puts(OPS + 1).collect()), OPS),
        (otherwise(puts(OPS + 1).collect()), OPS),
        (compared, OPS),
        (branch((0..3).map(|n| put(format!("k{n}"), fat.clone())).collect()), BYTES),
        (otherwise((0..3).map(|n| put(format!("k{n}"), fat.clone())).collect()), BYTES),
        (branch(vec![put("k", vec![b'x'; 2001])]), 2000),
        (branch(vec![put("k".repeat(200), "1")]), 200),
    ] {
        let answer = kv.txn_opts(txn, CallOptions::default()).await;
        expect_kind(answer, &ErrorKind::TooLarge { limit })?;
    }
    ensure_eq!(*calls.lock().unwrap(), [], "what was asked of the store");
    kv.txn_opts(branch(puts(OPS).collect()), CallOptions::default()).await?;
    // A value that is compared counts, too.
    let wide = |value_size: usize| kv.txn().when(value("k0").ne(vec![b'y'; value_size])).then(put("k1", fat.clone()));
    ensure!(wide(1900).await?.succeeded);
    expect_kind(wide(BYTES).await, &ErrorKind::TooLarge { limit: BYTES })?;
    ensure_eq!(kv.count("").await?, OPS as u64, "keys after refused transactions");
    Ok(())
}
