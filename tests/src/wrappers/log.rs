use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kvdb::prelude::*;
use kvdb::{AdminRequest, Error, ErrorKind, KvFlags, Secret};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event as Line, Metadata, Subscriber};

use super::On;

/// A text that goes where values and secrets go, and into no line.
const CANARY: &str = "canary-of-the-log";

/// Keeps every line of the log wrapper that this thread writes, and counts the canaries of all others.
#[derive(Clone, Debug, Default)]
struct Kept {
    lines: Arc<Mutex<Vec<serde_json::Map<String, Value>>>>,
    canaries: Arc<Mutex<Vec<String>>>,
}

#[derive(Default)]
struct Fields(serde_json::Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, line: &Line<'_>) {
        let mut fields = Fields::default();
        line.record(&mut fields);
        let text = format!("{:?}", fields.0);
        if text.contains(CANARY) {
            self.canaries.lock().unwrap().push(text);
        }
        if line.metadata().target() == "kvdb::log" {
            fields.0.insert("level".to_owned(), line.metadata().level().to_string().into());
            self.lines.lock().unwrap().push(fields.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn read(path: &Path) -> Proof<Vec<serde_json::Map<String, Value>>> {
    let text = std::fs::read_to_string(path)?;
    ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    text.lines()
        .map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(fields)) => Ok(fields),
            other => Err(Failure::new(format_args!("{line:?} is no JSON object: {other:?}"))),
        })
        .collect()
}

/// One call of every kind that a store answers, by the verb and key that its line must have.
async fn work(on: &On, kv: &Handle) -> Proof<Vec<(&'static str, &'static str, Option<ErrorKind>)>> {
    let mut made = Vec::new();
    let mut note = |verb, key, error: Option<Error>| made.push((verb, key, error.map(|error| error.kind().clone())));
    note("put", "a/b", kv.put("a/b", CANARY).await.err());
    note("create", "a/b", kv.create("a/b", CANARY).await.err());
    note("create", "a/c", kv.create("a/c", CANARY).await.err());
    note("update", "absent", kv.update("absent", CANARY).await.err());
    note("get", "a/b", kv.get("a/b").await.err());
    note("get", "a/../b", kv.get("a/../b").await.err());
    note("get", "absent", kv.get_val::<u32>("absent").await.err());
    let pair = KvPair::new("a/b", CANARY);
    note("compare_and_set", "a/b", kv.compare_and_set(&pair, KvFlags::empty(), Some("other".into())).await.err());
    note("compare_and_set", "a/b", kv.put("a/b", "new").if_value(CANARY).await.err());
    note("compare_and_delete", "a/b", kv.compare_and_delete(&pair, KvFlags::empty()).await.err());
    note("delete", "a/c", kv.delete("a/c").await.err());
    note("list", "a", kv.list("a").await.err());
    note("list", "", kv.serialize().await.err());
    note("delete_tree", "nothing", kv.delete_tree("nothing").await.err());
    let txn = kv.txn().when(value("a/b").eq(CANARY)).then(put("x", CANARY)).otherwise(put("y", CANARY));
    note("txn", "", txn.await.err());
    note("snapshot", "a", kv.snapshot(&["a"]).await.err());
    note("watch", "a", kv.watch_tree("a").await.err());
    if on.has(Capabilities::LEASES) {
        let lock = kv.lock("job").id("me").await;
        note("lock", "job", None);
        note("lock_holder", "job", kv.lock_holder("job").await.err());
        note("unlock", "job", lock?.release().await.err());
    }
    let secret = AdminRequest::AddUser { name: "me".into(), password: Secret::new(CANARY) };
    let error = kv.admin(secret).await.err();
    note("admin", "", error);
    Ok(made)
}

pub(super) async fn lines(on: On) -> Proof {
    let kept = Kept::default();
    let _reading = tracing::subscriber::set_default(kept.clone());
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("calls.log");
    let kv = on.open().await?;
    kv.put("before", "1").await?;
    kv.add_wrapper("log", &Options::new().set("LogPathOption", path.display()))?;
    let made = work(&on, &kv).await?;
    kv.remove_wrapper("log")?;
    kv.put("after", "1").await?;
    let (told, written) = (kept.lines.lock().unwrap().clone(), read(&path)?);
    for (what, lines) in [("tracing", &told), ("the file", &written)] {
        let found: Vec<_> = lines.iter().map(|line| (line["verb"].as_str(), line["key"].as_str())).collect();
        let expected: Vec<_> = made.iter().map(|(verb, key, _)| (Some(*verb), Some(*key))).collect();
        ensure_eq!(found, expected, "the lines in {what}");
        for ((verb, _, error), line) in made.iter().zip(lines) {
            let outcome = if error.is_some() { "error" } else { "ok" };
            ensure_eq!(line["outcome"].as_str(), Some(outcome), "{verb} in {what}");
            let kind = line.get("kind").and_then(Value::as_str);
            ensure_eq!(kind, error.as_ref().map(ErrorKind::describe), "the error of {verb} in {what}");
            ensure!(line["elapsed_us"].is_u64(), "{verb} in {what}: {line:?}");
            ensure!(line["sent"].is_u64() && line["received"].is_u64(), "{verb} in {what}: {line:?}");
        }
    }
    // Sizes and revisions are those of the call.
    ensure_eq!(written[0]["sent"].as_u64(), Some(CANARY.len() as u64), "bytes of the put");
    ensure_eq!(written[4]["received"].as_u64(), Some(CANARY.len() as u64), "bytes of the get");
    let put_at = written[0]["revision"].as_u64();
    ensure!(put_at > Some(1) && written[2]["revision"].as_u64() > put_at, "revisions: {written:?}");
    ensure!(written[3]["revision"].is_null(), "a failed call has no revision: {:?}", written[3]);
    ensure!(written.iter().all(|line| line["time"].as_f64() > Some(1.0e9)), "a line without its time");
    ensure!(told.iter().all(|line| line["level"] == "INFO"), "a line of another level: {told:?}");
    Ok(())
}

pub(super) async fn canary(on: On) -> Proof {
    let kept = Kept::default();
    let _reading = tracing::subscriber::set_default(kept.clone());
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("calls.log");
    let kv = on.open_with(Options::new().on_fatal(|_| {})).await?;
    kv.add_wrapper("log", &Options::new().set("log_path", path.display()))?;
    work(&on, &kv).await?;
    kv.put_val("json", &vec![CANARY; 3]).await?;
    kv.get_val::<u32>("json").await.err();
    kv.import(&[KvPair::new("imported", CANARY)]).await?;
    kv.transact(|tx| async move {
        tx.get("json").await?;
        tx.put("json", CANARY)
    })
    .await?;
    kv.list("").await?;
    kv.close().await?;
    let shown = kept.canaries.lock().unwrap().clone();
    ensure!(shown.is_empty(), "a value or secret shows: {shown:?}");
    let text = std::fs::read_to_string(&path)?;
    ensure!(!text.contains(CANARY), "a value or secret shows in the file");
    ensure!(text.contains("imported") || text.contains("txn"), "the file has no lines: {text}");
    ensure!(!format!("{kv:?}").contains(CANARY), "a value or secret shows in {kv:?}");
    Ok(())
}

pub(super) async fn file(on: On) -> Proof {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("calls.log");
    let kv = on.open().await?;
    for round in 1..=3 {
        kv.add_wrapper("Wrapper_Log", &Options::new().set("LogPathOption", path.display()))?;
        kv.put("k", "1").await?;
        kv.remove_wrapper("log")?;
        ensure_eq!(read(&path)?.len(), round, "lines after adding it {round} times");
    }
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    ensure_eq!(mode, 0o600, "the rights of the file are {mode:o}");
    // One that is there keeps its content and its rights.
    let shared = directory.path().join("shared.log");
    std::fs::write(&shared, "of another\n")?;
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o640))?;
    kv.add_wrapper("log", &Options::new().set("log_path", shared.display()))?;
    kv.put("k", "1").await?;
    let text = std::fs::read_to_string(&shared)?;
    ensure!(text.starts_with("of another\n{") && text.lines().count() == 2, "{text:?}");
    ensure_eq!(std::fs::metadata(&shared)?.permissions().mode() & 0o777, 0o640);
    // Without a path there is no file, only tracing.
    kv.remove_wrapper("log")?;
    kv.add_wrapper("log", &Options::new())?;
    kv.put("k", "1").await?;
    ensure_eq!(std::fs::read_dir(directory.path())?.count(), 2, "files");
    Ok(())
}

pub(super) async fn full(on: On) -> Proof {
    let full = Path::new("/dev/full");
    ensure!(full.exists(), "this machine has no /dev/full");
    let kv = on.open().await?;
    kv.add_wrapper("log", &Options::new().set("log_path", full.display()))?;
    kv.put("k", "1").await?;
    ensure!(kv.get("k").await?.is_some());
    expect_kind(kv.create("k", "1").await, &ErrorKind::AlreadyExists)?;
    Ok(())
}
