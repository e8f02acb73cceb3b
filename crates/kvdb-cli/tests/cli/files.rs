//! `kvdb snapshot`, `export` and `import`: directory trees and JSON.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use kvdb::prelude::*;
use serde_json::json;

use crate::command::Kvdb;

/// Real input of over a thousand files and links, on most machines.
const ZONEINFO: &str = "/usr/share/zoneinfo";

/// Zoneinfo where it is installed, else a tree of the same kind.
fn real_tree(kvdb: &Kvdb) -> PathBuf {
    let installed = PathBuf::from(ZONEINFO);
    if installed.join("Europe/Berlin").exists() {
        eprintln!("the tree is {ZONEINFO}");
        return installed;
    }
    eprintln!("{ZONEINFO} is not installed: the tree is made");
    let root = kvdb.path("made");
    for number in 0..1_200_u32 {
        let directory = root.join(format!("d{}/e {}", number % 7, number % 31));
        std::fs::create_dir_all(&directory).unwrap();
        let bytes: Vec<u8> = (0..number * 7).map(|byte| byte.to_le_bytes()[0]).collect();
        std::fs::write(directory.join(format!("Ü+{number}")), bytes).unwrap();
        symlink(format!("Ü+{number}"), directory.join(format!("link-{number}"))).unwrap();
    }
    symlink("d1", root.join("linked")).unwrap();
    root
}

fn same_trees(one: &Path, other: &Path) {
    let diff = Command::new("diff").arg("-r").args([one, other]).output().unwrap();
    assert!(diff.status.success() && diff.stdout.is_empty(), "{diff:?}");
}

fn values(pairs: Vec<KvPair>) -> BTreeMap<String, Bytes> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

#[test]
fn a_real_tree_goes_into_a_file_store_and_comes_out_byte_for_byte() {
    let kvdb = Kvdb::new();
    let tree = real_tree(&kvdb);
    let path = tree.to_str().unwrap();
    let store = ["--store", "redb:z.redb"];
    let imported = kvdb.run(&[&store, ["--json", "import"].as_slice(), &[path]].concat()).json();
    assert!(imported["imported"].as_u64().unwrap() > 1_000 && imported["skipped"] == 0, "{imported}");
    std::fs::create_dir(kvdb.path("out")).unwrap();
    let exported = kvdb.run(&[&store, ["--json", "export", "out"].as_slice()].concat()).json();
    assert_eq!((&exported["keys"], &exported["bytes"]), (&imported["imported"], &imported["bytes"]));
    // Many keys are one transaction: one revision and one wait for the disk for up to a thousand.
    assert!(exported["revision"].as_u64().unwrap() <= 1 + imported["imported"].as_u64().unwrap().div_ceil(500));
    same_trees(&tree, &kvdb.path("out"));

    kvdb.ok(&[&store, ["snapshot", "dump.json"].as_slice()].concat());
    let dump = std::fs::read(kvdb.path("dump.json")).unwrap();
    let from_file = values(kvdb::recipes::deserialize(&dump).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let from_memory = runtime.block_on(async {
        let kv = kvdb::connect("mem:").await.unwrap();
        kvdb_cli::import_directory(&kv, &tree).await.unwrap();
        values(kv.deserialize(&kv.serialize().await.unwrap()).unwrap())
    });
    assert_eq!(from_file.len() as u64, imported["imported"].as_u64().unwrap());
    assert!(from_file == from_memory, "the two stores serialize to other pairs");
}

#[test]
fn a_key_with_children_keeps_its_value_inside_its_directory() {
    let kvdb = Kvdb::new();
    let keys = ["a", "a/b", "a/b/c", "a-b", "a/.value", "é/.hidden", "empty"];
    for key in keys {
        kvdb.ok(&["put", key, if key == "empty" { "" } else { key }]);
    }
    kvdb.fails(1, &["export", "tree/"]);
    assert!(!kvdb.path("tree").exists(), "a/.value is in the way of the value of a");
    kvdb.ok(&["del", "a/.value"]);
    kvdb.ok(&["put", "x/.value", "named like a value"]);
    assert_eq!(kvdb.ok(&["export", "new/tree/"]), "wrote 7 keys at revision 10 to new/tree/\n");
    for (file, value) in [
        ("a/.value", "a"),
        ("a/b/.value", "a/b"),
        ("a/b/c", "a/b/c"),
        ("a-b", "a-b"),
        ("é/.hidden", "é/.hidden"),
        ("empty", ""),
        ("x/.value/.value", "named like a value"),
    ] {
        assert_eq!(std::fs::read_to_string(kvdb.path("new/tree").join(file)).unwrap(), value, "{file}");
    }
    assert_eq!(kvdb.ok(&["--store", "redb:copy.redb", "import", "new/tree"]), "imported 7 keys\n");
    assert_eq!(kvdb.ok(&["--store", "redb:copy.redb", "ls"]), kvdb.ok(&["ls"]));
    let mode = std::fs::metadata(kvdb.path("new/tree/a-b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn prefixes_choose_what_is_exported_and_under_says_where_it_goes() {
    let kvdb = Kvdb::new();
    for key in ["a", "a/b", "a/c/d", "ab", "e/f"] {
        kvdb.ok(&["put", key, "1"]);
    }
    kvdb.ok(&["export", "tree/", "--prefix", "a", "--prefix", "e", "--prefix", "a/c"]);
    kvdb.ok(&["export", "dump", "--prefix", "a/c"]);
    for source in ["tree", "dump"] {
        kvdb.ok(&["--store", "redb:copy.redb", "import", source, "--under", &format!("/from/{source}/")]);
    }
    assert_eq!(
        kvdb.ok(&["--store", "redb:copy.redb", "ls", "--keys"]),
        "from/dump/a/c/d\nfrom/tree/a/b\nfrom/tree/a/c/d\nfrom/tree/e/f\n"
    );
}

#[test]
fn an_export_never_writes_over_a_file_and_leaves_nothing_half_written() {
    let kvdb = Kvdb::new();
    for key in ["a/b", "c", "d"] {
        kvdb.ok(&["put", key, "new"]);
    }
    std::fs::create_dir(kvdb.path("tree")).unwrap();
    std::fs::write(kvdb.path("tree/c"), "old").unwrap();
    std::fs::write(kvdb.path("tree/other"), "mine").unwrap();
    let refused = kvdb.run(&["--json", "export", "tree"]);
    assert_eq!((refused.code, &refused.error()["kind"]), (1, &json!("FileExists")), "{refused:?}");
    assert!(refused.err.contains("tree/c"), "{refused:?}");
    let found = || {
        let mut names: Vec<_> =
            std::fs::read_dir(kvdb.path("tree")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(found(), ["c", "other"]);
    assert_eq!(std::fs::read(kvdb.path("tree/c")).unwrap(), b"old");
    kvdb.ok(&["export", "tree", "--force"]);
    assert_eq!(found(), ["a", "c", "d", "other"]);
    assert_eq!(std::fs::read(kvdb.path("tree/c")).unwrap(), b"new");

    // A directory where a file would be, a file where a directory would be, a link that leads elsewhere.
    std::fs::create_dir_all(kvdb.path("dir/c")).unwrap();
    std::fs::create_dir(kvdb.path("file")).unwrap();
    std::fs::write(kvdb.path("file/a"), "").unwrap();
    std::fs::create_dir_all(kvdb.path("link")).unwrap();
    std::fs::create_dir_all(kvdb.path("elsewhere")).unwrap();
    symlink(kvdb.path("elsewhere"), kvdb.path("link/a")).unwrap();
    for (target, name) in [("dir", "dir/c"), ("file", "file/a"), ("link", "link/a")] {
        assert!(kvdb.fails(1, &["export", target, "--force"]).contains(name), "{target}");
        assert_eq!(std::fs::read_dir(kvdb.path(target)).unwrap().count(), 1, "{target}");
    }
    assert_eq!(std::fs::read_dir(kvdb.path("elsewhere")).unwrap().count(), 0);

    std::fs::write(kvdb.path("dump"), "old").unwrap();
    for command in ["export", "snapshot"] {
        assert!(kvdb.fails(1, &[command, "dump"]).contains("dump exists"), "{command}");
        assert_eq!(std::fs::read(kvdb.path("dump")).unwrap(), b"old");
    }
    assert_eq!(kvdb.ok(&["snapshot", "dump", "--force"]), "wrote 3 keys at revision 4 to dump\n");
    assert_eq!(std::fs::read_to_string(kvdb.path("dump")).unwrap(), kvdb.ok(&["export", "-"]));
}

#[test]
fn a_key_that_is_too_long_for_a_file_is_named_and_nothing_is_left() {
    let kvdb = Kvdb::new();
    let long = "l".repeat(300);
    kvdb.ok(&["put", "a/b", "1"]);
    kvdb.ok(&["put", &format!("c/{long}"), "1"]);
    assert!(kvdb.fails(1, &["export", "tree/"]).contains(&long));
    assert!(!kvdb.path("tree").exists());
    kvdb.ok(&["export", "dump"]);
}

#[test]
fn a_dump_goes_through_a_pipe_into_another_store() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    kvdb.ok(&["put", "b", "2", "--ttl", "1h"]);
    let dump = kvdb.run(&["snapshot"]);
    assert_eq!(dump.json()["revision"], 3);
    let copy = ["--store", "redb:copy.redb"];
    let ran = kvdb.run_with(&[&copy, ["import", "-"].as_slice()].concat(), &dump.bytes);
    assert_eq!((ran.code, ran.out.as_str()), (0, "imported 2 keys\n"), "{ran:?}");
    let pair = kvdb.run(&[&copy, ["--json", "get", "b"].as_slice()].concat()).json();
    assert_eq!((&pair["value"], pair.get("lease")), (&json!("2"), None));
    let array =
        br#"[{"Key":"x/y","Value":"AAE=","Action":2},{"Key":"/x//z","Value":null},{"Key":"x/z","Value":"MQ=="}]"#;
    assert_eq!(kvdb.run_with(&[&copy, ["import", "-"].as_slice()].concat(), array).code, 0);
    assert_eq!(kvdb.run(&[&copy, ["get", "x/y"].as_slice()].concat()).bytes, b"\0\x01");
    assert_eq!(kvdb.ok(&[&copy, ["get", "x/z"].as_slice()].concat()), "1");
}

#[test]
fn a_dump_that_cannot_be_read_is_a_typed_error_and_writes_nothing() {
    let kvdb = Kvdb::new();
    for key in ["a", "b", "c"] {
        kvdb.ok(&["--store", "redb:full.redb", "put", key, "1"]);
    }
    let dump = kvdb.ok(&["--store", "redb:full.redb", "snapshot"]);
    let cut = dump.get(..dump.len() / 2).unwrap().to_owned();
    let newer = dump.replacen("\"version\":1", "\"version\":2", 1);
    assert_ne!(newer, dump);
    for (text, says) in
        [(cut, "cut short"), (newer, "newer"), (String::new(), "cut short"), ("{}".to_owned(), "damaged")]
    {
        let ran = kvdb.run_with(&["--json", "import", "-"], text.as_bytes());
        assert_eq!((ran.code, &ran.error()["kind"]), (1, &json!("Serialization")), "{ran:?}");
        assert!(ran.err.contains(says), "{says}: {ran:?}");
    }
    assert!(kvdb.fails(1, &["import", "nosuch"]).contains("nosuch"));
    assert!(!kvdb.path("kvdb.redb").exists(), "a store was made for nothing");
}

#[test]
fn what_cannot_be_a_key_is_named_and_the_rest_goes_in_only_if_asked_to() {
    let kvdb = Kvdb::new();
    let tree = kvdb.path("tree");
    std::fs::create_dir_all(tree.join("d/_kvdb/deep")).unwrap();
    std::fs::create_dir(tree.join("empty")).unwrap();
    std::fs::create_dir(tree.join(OsStr::from_bytes(b"dir\xfe"))).unwrap();
    let not_text = OsStr::from_bytes(b"dir\xfe/file");
    for (name, content) in [
        (OsStr::new("good"), vec![1]),
        (OsStr::new("d/good"), vec![2]),
        (OsStr::new(".value"), vec![]),
        (OsStr::new("line\nbreak"), vec![]),
        (OsStr::new("d/_kvdb/deep/x"), vec![]),
        (OsStr::from_bytes(b"byte\xff"), vec![]),
        (not_text, vec![]),
        (OsStr::new("large"), vec![0; 1_001]),
    ] {
        std::fs::write(tree.join(name), content).unwrap();
    }
    symlink("nowhere", tree.join("dangling")).unwrap();
    symlink("..", tree.join("d/circle")).unwrap();
    symlink("d/good", tree.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("fifo"), rustix::fs::Mode::RUSR).unwrap();

    let store = ["--store", "redb:kvdb.redb?max_value_bytes=1000"];
    let import = [&store, ["import", "tree"].as_slice()].concat();
    let bad = ["/.value", "line\\nbreak", "_kvdb", "byte", "dir", "large", "dangling", "circle", "fifo"];
    let err = kvdb.fails(1, &import);
    assert_eq!(err.lines().count(), bad.len() + 1, "{err}");
    assert!(bad.iter().all(|name| err.contains(name)) && err.contains("--skip-bad"), "{err}");
    assert_eq!(kvdb.ok(&["ls"]), "");

    let json = kvdb.run(&[&import, ["--json", "--skip-bad"].as_slice()].concat());
    assert_eq!((json.code, json.json()), (0, json!({ "imported": 3, "bytes": 3, "skipped": bad.len() })));
    for line in json.err.lines() {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"], "BadName");
    }
    assert_eq!(kvdb.ok(&["ls", "--keys"]), "d/good\ngood\nlink\n");

    let dump = br#"[{"Key":"a"},{"Key":"_kvdb/b"},{"Key":"c/../d"},{"Key":""}]"#;
    let ran = kvdb.run_with(&["import", "-"], dump);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 4), "{ran:?}");
    assert_eq!(kvdb.run_with(&["import", "-", "--skip-bad"], dump).out, "imported 1 key, left out 3\n");
    assert_eq!(kvdb.ok(&["ls", "--keys"]), "a\nd/good\ngood\nlink\n");
}

#[test]
fn a_dry_run_tells_what_would_be_written_and_makes_no_store() {
    let kvdb = Kvdb::new();
    std::fs::create_dir_all(kvdb.path("tree/a")).unwrap();
    std::fs::write(kvdb.path("tree/a/b"), "123").unwrap();
    std::fs::write(kvdb.path("tree/c"), "").unwrap();
    assert_eq!(kvdb.ok(&["import", "tree", "--dry-run", "--under", "x"]), "x/a/b\t3\nx/c\t0\nwould import 2 keys\n");
    std::fs::write(kvdb.path("tree/d\u{7}"), "").unwrap();
    kvdb.fails(1, &["import", "tree", "--dry-run"]);
    assert!(!kvdb.path("kvdb.redb").exists());
}
