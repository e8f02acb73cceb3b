use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use kvdb_core::{
    AdminRequest, Capabilities, Error, ErrorKind, KvFlags, KvPair, KvdbExt, Operation, Options, Result, Retry, Secret,
};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::{expect_kind, soon};
use crate::logs::{self, CANARY, PROBE};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn carry(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let old = kv.put("a/k", "1").await?;
    kv.put("a/k", "2").await?;
    let past = old.modified_index.get() + 1_000_000;
    let mut answers: Vec<(Operation, &str, ErrorKind, Result<()>)> = vec![
        (Operation::Create, "a/k", ErrorKind::AlreadyExists, kv.create("a/k", "1").await.map(drop)),
        (Operation::Update, "none", ErrorKind::NotFound, kv.update("none", "1").await.map(drop)),
        (Operation::Delete, "none", ErrorKind::NotFound, kv.delete("none").await.map(drop)),
        (Operation::CompareAndSet, "a/k", ErrorKind::Modified, kv.put("a/k", "3").if_unchanged(&old).await.map(drop)),
        (Operation::CompareAndSet, "a/k", ErrorKind::ValueMismatch, kv.put("a/k", "3").if_value("1").await.map(drop)),
        (Operation::CompareAndDelete, "a/k", ErrorKind::Modified, kv.delete("a/k").if_unchanged(&old).await.map(drop)),
        (Operation::Put, "a/..", ErrorKind::InvalidArgument, kv.put("a/..", "1").await.map(drop)),
        (Operation::Get, "a/_kvdb", ErrorKind::InvalidArgument, kv.get("a/_kvdb").await.map(drop)),
        (Operation::List, "..", ErrorKind::InvalidArgument, kv.list("..").await.map(drop)),
        (Operation::DeleteTree, "..", ErrorKind::InvalidArgument, kv.delete_tree("..").await.map(drop)),
        (Operation::Watch, "..", ErrorKind::InvalidArgument, kv.watch_tree("..").await.map(drop)),
    ];
    if ctx.has(Capabilities::REVISION_READS) {
        let current = kv.put("a/k", "4").await?.modified_index;
        if ctx.store().counts_exactly() {
            let kind = ErrorKind::FutureRevision { current };
            answers.push((Operation::Get, "a/k", kind, kv.get("a/k").at(past).await.map(drop)));
        }
    }
    for (operation, key, kind, answer) in answers {
        let error = expect_kind(answer, &kind)?;
        ensure_eq!(error.operation(), Some(operation), "the operation of {error}");
        ensure_eq!(error.key(), Some(key), "the key of {error}");
        ensure_eq!(error.backend(), Some(ctx.store().name()), "the backend of {error}");
        ensure_eq!(error.retry(), Retry::Never, "the retry class of {error}");
        for part in [operation.as_str(), key, ctx.store().name(), kind.describe()] {
            ensure!(error.to_string().contains(part), "{error} does not say {part:?}");
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Root;

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the root of the failure")
    }
}

impl StdError for Root {}

pub(super) async fn source(ctx: Ctx) -> Proof {
    let broken = |call: &Call| match call {
        Call::Close => Fault::None,
        _ => Fault::Refuse(Error::new(ErrorKind::Corrupt, "broken for the trial").with_source(Root)),
    };
    let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, broken)).await?;
    let answers: Vec<(&str, Result<()>)> = vec![
        ("get", kv.get("k").await.map(drop)),
        ("list", kv.list("").await.map(drop)),
        ("put", kv.put("k", "1").await.map(drop)),
        ("create", kv.create("k", "1").await.map(drop)),
        ("delete", kv.delete("k").await.map(drop)),
        ("delete_tree", kv.delete_tree("").await.map(drop)),
    ];
    for (verb, answer) in answers {
        let error = expect_kind(answer, &ErrorKind::Corrupt)?;
        let source = error.source().ok_or_else(|| Failure::new(format_args!("the error of {verb} has no source")))?;
        ensure!(source.downcast_ref::<Root>().is_some(), "the source of {verb} is another one: {source}");
        ensure!(!error.to_string().contains(&Root.to_string()), "the source was turned into text: {error}");
    }
    // Readers of one upstream watch share its failure: its text stays, the source cannot be shared.
    let watch = soon("a watch on a broken store", async { kv.watch_tree("").await }).await?;
    expect_kind(watch, &ErrorKind::Corrupt)?;
    Ok(())
}

/// Every text of an error and of what caused it.
fn texts(error: &Error) -> String {
    let mut all = format!("{error} {error:?} {error:#?}");
    let mut next = error.source();
    while let Some(source) = next {
        all.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    all
}

pub(super) async fn canary(ctx: Ctx) -> Proof {
    let (before, probes) = logs::seen();
    tracing::trace!(text = PROBE, "a line of the trial's own");
    ensure!(logs::seen().1 > probes, "the log is not read along: another subscriber was set");

    let secret = Secret::new(CANARY);
    let mut shown: Vec<(&str, String)> = vec![("a secret", format!("{secret:?} {secret:#?}"))];
    let options = Options::new().username("me").password(&secret).set("acl_token", CANARY).set("ACLToken", CANARY);
    shown.push(("options", format!("{options:?} {options:#?}")));
    for name in ["password", "acl_token", "Password", "ACLToken"] {
        let one = Options::new().set(name, CANARY);
        shown.push((name, format!("{one:?}")));
        match ctx.connect(&one).await {
            Ok(backend) => shown.push((name, format!("{backend:?} {:?}", backend.details()))),
            Err(error) => shown.push((name, texts(&error))),
        }
    }
    if let Ok(kv) = ctx.open_with(options).await {
        shown.push(("a handle", format!("{kv:?} {:?}", kvdb_core::Kvdb::info(&kv))));
    }

    let request = AdminRequest::AddUser { name: "me".to_owned(), password: secret };
    shown.push(("a request", format!("{request:?}")));
    let kv = ctx.open().await?;
    let mut errors: Vec<(&str, Result<()>)> = vec![("add_user", kv.admin(request).await.map(drop))];
    let old = kv.put("k", CANARY).await?;
    let json = format!("{{\"field\": \"{CANARY}\"}}");
    kv.put("json", json.as_str()).await?;
    kv.put_val("text", CANARY).await?;
    let pair = KvPair::new("k", CANARY);
    errors.extend([
        ("create", kv.create("k", CANARY).await.map(drop)),
        ("update", kv.update("none", CANARY).await.map(drop)),
        ("if_value", kv.put("k", "x").if_value(format!("{CANARY} other")).await.map(drop)),
        ("if_revision", kv.put("k", CANARY).if_revision(old.modified_index.get() + 1).await.map(drop)),
        ("compare_and_set", kv.compare_and_set(&pair, KvFlags::empty(), None).await.map(drop)),
        ("compare_and_delete", kv.compare_and_delete(&KvPair::new("json", CANARY), KvFlags::empty()).await.map(drop)),
        ("get_val of text", kv.get_val::<u32>("text").await.map(drop)),
        ("get_val of a map", kv.get_val::<std::collections::BTreeMap<String, u32>>("json").await.map(drop)),
        ("get_val of no JSON", kv.get_val::<String>("k").await.map(drop)),
    ]);
    let large = CANARY.repeat(ctx.limits().value_bytes / CANARY.len() + 1);
    errors.push(("too large", kv.put("k", large).await.map(drop)));
    // The same where the store fails beneath.
    let broken = |call: &Call| match call {
        Call::Commit(_) | Call::NativeTxn(_) => {
            Fault::LoseReply(Error::new(ErrorKind::Unavailable, "cut").with_retry(Retry::Ambiguous))
        }
        _ => Fault::None,
    };
    let options = Options::new().timeout(Duration::from_millis(200));
    let faulty = ctx.open_over(options, |inner| Faulty::new(inner, broken)).await?;
    errors.push(("a lost reply", faulty.put("new", CANARY).if_absent().await.map(drop)));
    errors.push(("a lost reply", faulty.put("new", CANARY).await.map(drop)));
    for (verb, answer) in errors {
        match answer {
            Err(error) => shown.push((verb, texts(&error))),
            Ok(()) => ensure_eq!(verb, "add_user", "the call was expected to fail"),
        }
    }
    for (what, text) in &shown {
        ensure!(!text.contains(CANARY), "{what} shows a value or secret: {text}");
    }
    ensure_eq!(logs::seen().0, before, "log lines with a value or secret");
    Ok(())
}
