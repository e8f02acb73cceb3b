//! Every command that ends by itself, and every exit code.

use crate::command::Kvdb;

#[test]
fn put_and_get_keep_a_value_over_processes_byte_by_byte() {
    let kvdb = Kvdb::new();
    assert_eq!(kvdb.ok(&["put", "config/greeting", "hello"]), "created config/greeting at revision 2\n");
    assert_eq!(kvdb.ok(&["get", "config/greeting"]), "hello");
    assert_eq!(kvdb.ok(&["put", "config/greeting", "-5"]), "set config/greeting at revision 3\n");
    assert_eq!(kvdb.ok(&["get", "//config/greeting/"]), "-5");
    assert_eq!(kvdb.ok(&["get", "config/greeting", "--at", "2"]), "hello");
    kvdb.ok(&["put", "flag", "--", "--create"]);
    assert_eq!(kvdb.ok(&["get", "flag"]), "--create");
}

#[test]
fn put_reads_any_bytes_from_a_file_and_from_stdin() {
    let kvdb = Kvdb::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    std::fs::write(kvdb.path("image"), &bytes).unwrap();
    kvdb.ok(&["put", "image", "--file", "image"]);
    assert_eq!(kvdb.run(&["get", "image"]).bytes, bytes);
    for arguments in [["put", "copy", "-"].as_slice(), &["put", "copy", "--file", "-"]] {
        assert_eq!(kvdb.run_with(arguments, &bytes).code, 0);
        assert_eq!(kvdb.run(&["get", "copy"]).bytes, bytes);
    }
    kvdb.ok(&["put", "empty", ""]);
    assert_eq!(kvdb.ok(&["get", "empty"]), "");
}

#[test]
fn an_absent_key_exits_with_3() {
    let kvdb = Kvdb::new();
    assert!(kvdb.fails(3, &["get", "a"]).contains("a"));
    kvdb.fails(3, &["del", "a"]);
    kvdb.fails(3, &["put", "a", "1", "--update"]);
    kvdb.fails(3, &["put", "a", "1", "--if-revision", "2"]);
    kvdb.fails(3, &["lease", "keepalive", "00000000000000ff"]);
    kvdb.fails(3, &["lease", "revoke", "00000000000000ff"]);
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn a_condition_that_fails_exits_with_4_and_writes_nothing() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1", "--create"]);
    kvdb.fails(4, &["put", "a", "2", "--create"]);
    kvdb.fails(4, &["put", "a", "2", "--if-revision", "9"]);
    kvdb.fails(4, &["put", "a", "2", "--if-value", "x"]);
    assert_eq!(kvdb.ok(&["get", "a"]), "1");
    kvdb.ok(&["put", "a", "2", "--if-revision", "2"]);
    kvdb.ok(&["put", "a", "-3", "--if-value", "2"]);
    kvdb.ok(&["put", "a", "4", "--update", "--if-value", "-3"]);
    assert_eq!(kvdb.ok(&["get", "a"]), "4");
}

#[test]
fn wrong_usage_exits_with_2() {
    let kvdb = Kvdb::new();
    for arguments in [
        ["nosuch"].as_slice(),
        &[],
        &["get"],
        &["put", "a"],
        &["put", "a", "b", "--file", "c"],
        &["put", "a", "b", "--create", "--update"],
        &["put", "a", "--craete"],
        &["put", "a", "b", "--ttl", "soon"],
        &["lock", "a"],
        &["lock", "a", "--"],
        &["watch"],
        &["watch", "a", "--after", "1", "--current"],
        &["del"],
        &["del", "a", "--all"],
        &["completions", "nosuch"],
    ] {
        kvdb.fails(2, arguments);
    }
    assert!(!kvdb.path("kvdb.redb").exists());
}

#[test]
fn the_whole_domain_is_deleted_only_with_all() {
    let kvdb = Kvdb::new();
    for key in ["a", "a/b", "a/c", "d"] {
        kvdb.ok(&["put", key, "1"]);
    }
    for root in ["", "/", "//"] {
        assert!(kvdb.fails(2, &["del", "--tree", root]).contains("--all"));
    }
    assert_eq!(kvdb.ok(&["del", "--tree", "a"]), "deleted 2 keys\n");
    assert_eq!(kvdb.ok(&["ls", "--keys"]), "a\nd\n");
    assert_eq!(kvdb.ok(&["del", "a"]), "deleted a at revision 7\n");
    assert_eq!(kvdb.ok(&["del", "--all"]), "deleted 1 key\n");
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn ls_and_tree_show_what_is_below_a_directory() {
    let kvdb = Kvdb::new();
    for (key, value) in [("a", "1"), ("a/b/c", "two\nlines"), ("a/d", "3"), ("ab", "4")] {
        kvdb.ok(&["put", key, value]);
    }
    assert_eq!(kvdb.ok(&["ls", "a"]), "a/b/c\ttwo\\nlines\na/d\t3\n");
    assert_eq!(kvdb.ok(&["ls", "--keys", "--limit", "2"]), "a\na/b/c\n");
    let long = kvdb.ok(&["ls", "a/", "--long"]);
    assert_eq!(long.lines().count(), 3);
    assert_eq!(long.lines().last().unwrap().split_whitespace().collect::<Vec<_>>(), ["4", "1", "1", "-", "a/d"]);
    assert_eq!(
        kvdb.ok(&["tree"]),
        ".\n├── a/ = 1\n│   ├── b/\n│   │   └── c = two\\nlines\n│   └── d = 3\n└── ab = 4\n"
    );
    assert_eq!(kvdb.ok(&["tree", "/a/b/"]), "a/b\n└── c = two\\nlines\n");
}

#[test]
fn domains_keep_keys_apart() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["--domain", "app", "put", "a", "1"]);
    kvdb.ok(&["put", "a", "2", "--domain", "app2"]);
    assert_eq!(kvdb.ok(&["--store", "redb:kvdb.redb?domain=app", "ls"]), "a\t1\n");
    assert_eq!(kvdb.ok(&["ls", "--keys"]), "app/a\napp2/a\n");
    kvdb.fails(2, &["--store", "redb:kvdb.redb?domain=app", "--domain", "app2", "ls"]);
}

#[test]
fn the_store_may_come_from_the_environment() {
    let kvdb = Kvdb::new();
    let run = |arguments: &[&str]| kvdb.command(arguments).env("KVDB_URL", "redb:other.redb").output().unwrap();
    assert!(run(&["put", "a", "1"]).status.success());
    assert!(kvdb.path("other.redb").exists() && !kvdb.path("kvdb.redb").exists());
    assert_eq!(run(&["get", "a"]).stdout, b"1");
}

#[test]
fn a_lease_takes_its_keys_with_it() {
    let kvdb = Kvdb::new();
    let lease = kvdb.ok(&["lease", "grant", "60s"]);
    let lease = lease.trim();
    kvdb.ok(&["put", "session/1", "here", "--lease", lease]);
    let info = kvdb.run(&["lease", "info", lease, "--json"]).json();
    assert_eq!(info["granted_ms"], 60_000);
    assert_eq!(info["keys"], serde_json::json!(["session/1"]));
    let left = info["remaining_ms"].as_u64().unwrap();
    assert!(left > 0 && left <= 60_000, "{info}");
    assert!(kvdb.ok(&["lease", "info", lease]).contains("session/1"));
    assert!(kvdb.ok(&["lease", "keepalive", lease]).contains("60s"));
    kvdb.ok(&["lease", "revoke", lease]);
    kvdb.fails(3, &["get", "session/1"]);
    kvdb.fails(3, &["lease", "info", lease]);
    kvdb.fails(3, &["put", "session/1", "here", "--lease", lease]);
}

#[test]
fn a_key_with_a_ttl_goes_away_while_no_process_is_there() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "long", "here", "--ttl", "1h"]);
    let put = kvdb.run(&["put", "session", "here", "--ttl", "200ms", "--json"]).json();
    assert_eq!(put["ttl_ms"], 200);
    crate::command::until("the key has gone", || (kvdb.run(&["get", "session"]).code == 3).then_some(()));
    assert_eq!(kvdb.ok(&["get", "long"]), "here");
}

#[test]
fn help_version_and_completions_need_no_store() {
    let kvdb = Kvdb::new();
    let help = kvdb.ok(&["--help"]);
    for word in ["Examples:", "kvdb demo", "Exit codes:", "KVDB_URL"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in [
        "get",
        "put",
        "del",
        "ls",
        "tree",
        "watch",
        "lock",
        "lease",
        "backends",
        "version",
        "demo",
        "completions",
        "txn",
        "snapshot",
        "export",
        "import",
        "compact",
        "bench",
    ] {
        assert!(kvdb.ok(&[command, "--help"]).contains("Examples:"), "{command}");
    }
    assert!(kvdb.ok(&["version"]).starts_with(concat!("kvdb ", env!("CARGO_PKG_VERSION"))));
    assert!(kvdb.ok(&["completions", "bash"]).contains("complete -F"));
    assert!(kvdb.ok(&["backends"]).contains("REVISION_READS"));
    assert_eq!(std::fs::read_dir(kvdb.path(".")).unwrap().count(), 0);
    assert!(kvdb.ok(&["version", "--store", "redb:kvdb.redb"]).contains("store: API"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "big", &"x".repeat(100_000)]);
    let mut get = kvdb.command(&["ls"]).spawn().unwrap();
    drop(get.stdout.take());
    let output = get.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_version_that_the_store_does_not_tell_leaves_the_others() {
    let ran = Kvdb::new().run(&["--store", "nope:", "version"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.out.contains("backend mem:") && !ran.out.contains("store:"), "{ran:?}");
    assert!(ran.err.contains("`nope`"), "{ran:?}");
}
