//! Bad input ends in an error that names what and the way out, and never in a panic.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use crate::command::Kvdb;

/// The command exits with this code and its message names all of these.
fn refused(kvdb: &Kvdb, code: i32, arguments: &[&str], names: &[&str]) {
    let err = kvdb.fails(code, arguments);
    for name in names {
        assert!(err.contains(name), "kvdb {arguments:?} does not name {name:?}: {err}");
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let kvdb = Kvdb::new();
    for key in ["", "/", "a\u{7}b", "a/../b", "..", "./a", "_kvdb", "a/_kvdb/b"] {
        refused(&kvdb, 2, &["put", key, "1"], &["put", "invalid argument"]);
        refused(&kvdb, 2, &["get", key], &["get", "invalid argument"]);
    }
    let err = kvdb.fails(2, &["put", "a\u{1b}[31mb", "1"]);
    assert!(!err.contains('\u{1b}'), "a control character reached the terminal: {err:?}");
}

#[test]
fn a_value_of_100_mib_is_refused_with_the_limit() {
    let kvdb = Kvdb::new();
    std::fs::File::create(kvdb.path("big")).unwrap().set_len(100 << 20).unwrap();
    refused(&kvdb, 1, &["put", "big", "--file", "big"], &["big", "too large", "16777216"]);
    kvdb.fails(3, &["get", "big"]);
}

#[test]
fn numbers_that_are_none_are_wrong_usage() {
    let kvdb = Kvdb::new();
    refused(&kvdb, 2, &["put", "a", "1", "--ttl", "0s"], &["put", "TTL", "1ms"]);
    refused(&kvdb, 2, &["compact", "abc"], &["abc", "the number of a revision"]);
}

#[test]
fn an_unknown_option_names_the_one_that_was_meant() {
    let kvdb = Kvdb::new();
    refused(&kvdb, 2, &["--store", "redb:a.redb?durabilty=fast", "ls"], &["durabilty", "did you mean `durability`"]);
    refused(&kvdb, 2, &["--store", "mem:?timeout=soon", "ls"], &["timeout", "500ms"]);
    assert!(!kvdb.path("a.redb").exists(), "a store was made although its options make no sense");
}

#[test]
fn an_unknown_store_names_the_linked_ones_and_what_is_missing() {
    let kvdb = Kvdb::new();
    refused(&kvdb, 2, &["--store", "nosuch:", "ls"], &["nosuch", "mem, redb"]);
    // A build of the whole workspace has the stores behind a network too.
    if !kvdb.ok(&["backends", "--json"]).contains("\"etcdv3\"") {
        refused(&kvdb, 2, &["--store", "etcd://h/app", "ls"], &["etcd", "mem, redb", "the cargo feature `etcd`"]);
    }
    refused(&kvdb, 2, &["--store", "app.redb", "ls"], &["redb:app.redb"]);
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let kvdb = Kvdb::new();
    let output = kvdb.command(&["put", "a", "1"]).env("KVDB_URL", "").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(kvdb.path("kvdb.redb").exists());
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_and_left_alone() {
    let kvdb = Kvdb::new();
    for (name, content) in [("text", b"this is a diary\n".repeat(1000)), ("short", b"x".to_vec())] {
        std::fs::write(kvdb.path(name), &content).unwrap();
        refused(&kvdb, 1, &["--store", &format!("redb:{name}"), "ls"], &[name]);
        assert_eq!(std::fs::read(kvdb.path(name)).unwrap(), content);
    }
    std::fs::create_dir(kvdb.path("directory")).unwrap();
    refused(&kvdb, 2, &["--store", "redb:directory", "ls"], &["directory"]);
    refused(&kvdb, 2, &["--store", "redb:no/such/place.redb", "ls"], &["place.redb"]);
}

#[test]
fn a_corrupt_file_is_refused_by_name() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", &"x".repeat(10_000)]);
    let mut content = std::fs::read(kvdb.path("kvdb.redb")).unwrap();
    for byte in content.iter_mut().skip(16).take(2000) {
        *byte ^= 0x5a;
    }
    std::fs::write(kvdb.path("kvdb.redb"), content).unwrap();
    refused(&kvdb, 1, &["ls"], &["kvdb.redb"]);
}

#[test]
fn a_file_that_may_not_be_read_is_refused_by_name() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    std::fs::set_permissions(kvdb.path("kvdb.redb"), Permissions::from_mode(0o000)).unwrap();
    let mut command = kvdb.command(&["ls"]);
    if rustix::process::geteuid().is_root() {
        // The superuser may read everything, so the command runs as nobody, from a place that nobody can reach.
        const NOBODY: u32 = 65_534;
        let binary = kvdb.path("kvdb");
        // By another process: a file that any thread of ours holds open for writing cannot be run.
        let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_kvdb")).arg(&binary).status();
        assert!(copied.unwrap().success());
        std::fs::set_permissions(kvdb.path("."), Permissions::from_mode(0o755)).unwrap();
        command = std::process::Command::new(binary);
        command.arg("ls").env_remove("KVDB_URL").current_dir(kvdb.path(".")).uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("kvdb.redb") && err.contains("ermission denied") && !err.contains("panicked"), "{err}");
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    let mode = std::fs::metadata(kvdb.path("kvdb.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let ran = Kvdb::new().run(&[OsStr::new("get"), OsStr::from_bytes(b"\xff\xfe")]);
    assert_eq!(ran.code, 2, "{ran:?}");
}
