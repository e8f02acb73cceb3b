//! Which backends a build has: by feature set, from a static library, at run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use kvdb::prelude::*;
use kvdb::registry::{self, BackendFactory, Registration};
use kvdb::{Backend, Limits};
use kvdb_memory::{MemoryBackend, MemoryConfig};

/// A program outside the workspace that depends on the facade, so that no other package's features reach it.
struct Program {
    directory: PathBuf,
    target: PathBuf,
}

/// One build at a time: they share a target directory.
static BUILDING: Mutex<()> = Mutex::new(());

impl Program {
    fn new(name: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linking");
        let directory = place.join(name);
        fs::create_dir_all(&directory).unwrap();
        let fixture = tests.join("fixtures/linking");
        for file in ["main.rs", "lib.rs", "main.c"] {
            fs::copy(fixture.join(file), directory.join(file)).unwrap();
        }
        let kvdb = tests.join("../crates/kvdb").canonicalize().unwrap();
        let manifest = fs::read_to_string(fixture.join("manifest.toml")).unwrap();
        fs::write(directory.join("Cargo.toml"), manifest.replace("@KVDB@", kvdb.to_str().unwrap())).unwrap();
        // The workspace's versions: they are on this machine already, so no build here needs the network.
        fs::copy(tests.join("../Cargo.lock"), directory.join("Cargo.lock")).unwrap();
        Self { directory, target: place.join("target") }
    }

    fn build(&self, features: &str) -> PathBuf {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let built = Command::new(cargo)
            .args(["build", "--offline", "--quiet", "--no-default-features", "--features", features])
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", &self.target)
            .status()
            .unwrap();
        assert!(built.success(), "the program does not build with the features {features:?}");
        self.target.join("debug")
    }
}

fn output(program: &Path, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_feature_set_links_exactly_its_backends() {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = Program::new("binary");
    for (features, linked) in
        [("", &[][..]), ("memory", &["mem"][..]), ("redb", &["redb"][..]), ("memory,redb", &["mem", "redb"][..])]
    {
        let built = program.build(features).join("linking");
        let lines = output(&built, &["nosuch", "file", "memv1", "zk"]);
        let found: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("linked ")).collect();
        assert_eq!(found, linked, "with the features {features:?}");
        let answer = |name: &str| {
            let answer = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            answer.unwrap_or_else(|| panic!("no answer for {name}: {lines:?}"))
        };
        let list = if linked.is_empty() { "none".to_owned() } else { linked.join(", ") };
        for unknown in ["nosuch", "zk"] {
            assert!(answer(unknown).contains(&format!("linked are: {list}")), "{features:?}: {}", answer(unknown));
        }
        for (name, feature) in [("file", "redb"), ("memv1", "memory")] {
            let missing = !features.contains(feature);
            assert_eq!(answer(name).contains("is not linked in"), missing, "{features:?}: {}", answer(name));
            let way_out = answer(name).contains(&format!("cargo feature `{feature}`"));
            assert_eq!(way_out, missing, "{features:?}: {}", answer(name));
        }
    }
}

/// A debug static library drops what only `inventory` names; the facade's own list does not.
#[cfg(target_os = "linux")]
#[test]
fn a_static_library_keeps_its_backends() {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = Program::new("static");
    let built = program.build("memory,redb");
    let executable = program.directory.join("from-c");
    let linked = Command::new("cc")
        .arg(program.directory.join("main.c"))
        .arg(built.join("liblinking_static.a"))
        .args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-o"])
        .arg(&executable)
        .status()
        .unwrap();
    assert!(linked.success());
    assert_eq!(output(&executable, &[]), ["linked mem", "linked redb"]);
}

macro_rules! factory {
    ($name:literal, $aliases:expr, $package:literal) => {
        BackendFactory {
            name: $name,
            aliases: $aliases,
            api: $name,
            package: $package,
            capabilities: Capabilities::TTL,
            limits,
            connect: |_, _| Box::pin(async { Ok(memory()) }),
            version: |_, _| Box::pin(async { Ok($package.to_owned()) }),
        }
    };
}

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::new(&MemoryConfig::default()))
}

fn limits() -> Limits {
    (kvdb_memory::FACTORY.limits)()
}

static LATE: BackendFactory = factory!("late", &["latecomer"], "late-store 1.0.0");
static ALIAS_THIEF: BackendFactory = factory!("thief", &["boltv1"], "thief-store 1.0.0");
static FIRST_TWIN: BackendFactory = factory!("twin", &[], "twin-store 1.0.0");
static SECOND_TWIN: BackendFactory = factory!("twin", &[], "twin-store 2.0.0");
kvdb::inventory::submit! { Registration(&FIRST_TWIN) }
kvdb::inventory::submit! { Registration(&SECOND_TWIN) }

fn names() -> Vec<&'static str> {
    kvdb::backends().iter().map(|factory| factory.name).collect()
}

#[tokio::test]
async fn a_factory_registered_at_run_time_is_found_by_every_name() {
    let before = kvdb::new("late", "", &[], Options::new()).await.unwrap_err();
    assert_eq!(*before.kind(), ErrorKind::UnknownBackend);
    registry::register(&LATE).unwrap();
    registry::register(&LATE).unwrap();
    assert_eq!(names().iter().filter(|name| **name == "late").count(), 1);
    for name in ["late", "latecomer"] {
        let kv = kvdb::new(name, "app", &[], Options::new()).await.unwrap();
        kv.put("a", "1").await.unwrap();
        assert_eq!(kv.get("a").await.unwrap().unwrap().value, "1");
        assert_eq!(kv.info().backend, "late");
    }
}

#[test]
fn a_factory_cannot_take_another_ones_name() {
    let error = registry::register(&ALIAS_THIEF).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    assert!(text.contains("`boltv1`") && text.contains("thief-store 1.0.0") && text.contains("kvdb-redb"), "{text}");
    assert!(!names().contains(&"thief"));
}

#[tokio::test]
async fn two_linked_versions_of_one_backend_are_an_error_that_names_both() {
    let error = kvdb::new("twin", "", &[], Options::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    assert!(text.contains("twin-store 1.0.0") && text.contains("twin-store 2.0.0"), "{text}");
}

#[tokio::test]
async fn every_alias_of_a_linked_backend_opens_it() {
    for alias in ["mem", "memory", "memv1", "kv-mem"] {
        assert_eq!(kvdb::new(alias, "", &[], Options::new()).await.unwrap().info().backend, "mem");
    }
    for alias in ["redb", "file", "boltv1", "bolt-kv"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.redb");
        let kv = kvdb::new(alias, "", &[path.to_str().unwrap()], Options::new()).await.unwrap();
        assert_eq!(kv.info().backend, "redb");
        kv.close().await.unwrap();
    }
}

#[test]
fn a_backend_that_is_linked_and_submitted_shows_once() {
    let names = names();
    for name in ["mem", "redb"] {
        assert_eq!(names.iter().filter(|found| **found == name).count(), 1, "{names:?}");
    }
}
