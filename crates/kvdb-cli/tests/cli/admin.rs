//! `cluster`, `users` and `status` where no server is needed: what stores without members answer, and wrong usage.

use crate::command::Kvdb;

#[test]
fn stores_without_users_and_members_say_so_naming_what_is_lacking() {
    let kvdb = Kvdb::new();
    for (arguments, capability) in [
        (&["status"][..], "MEMBERS"),
        (&["cluster", "members"], "MEMBERS"),
        (&["cluster", "add", "m4", "10.0.0.4:2380"], "MEMBERS"),
        (&["cluster", "learner", "m4", "10.0.0.4"], "MEMBERS"),
        (&["cluster", "promote", "8e9e05c52164694d"], "MEMBERS"),
        (&["cluster", "update", "m4", "[::1]:2380"], "MEMBERS"),
        (&["cluster", "remove", "m4", "10.0.0.4"], "MEMBERS"),
        (&["cluster", "remove", "--id", "8e9e05c52164694d"], "MEMBERS"),
        (&["cluster", "defragment", "http://10.0.0.4:2379"], "MEMBERS"),
        (&["cluster", "endpoints"], "MEMBERS"),
        (&["users", "remove", "me"], "USERS"),
        (&["users", "grant", "me", "jobs", "--read"], "USERS"),
        (&["users", "grant", "me"], "USERS"),
        (&["users", "revoke", "me", "jobs"], "USERS"),
    ] {
        let ran = kvdb.run(&[&["--store", "mem:", "--json"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert_eq!(ran.error()["kind"], "Unsupported", "{arguments:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains(capability), "{arguments:?}: {ran:?}");
    }
    assert!(!kvdb.path("kvdb.redb").exists(), "a store was made that nobody asked for");
}

#[test]
fn a_new_password_comes_from_a_file_the_environment_or_stdin_and_never_shows() {
    let kvdb = Kvdb::new();
    std::fs::write(kvdb.path("word"), "canary\n").unwrap();
    let add = ["--store", "mem:", "users", "add", "me"];
    let from_file = kvdb.run(&[&add[..], &["--password-file", "word"]].concat());
    let from_stdin = kvdb.run_with(&add, b"canary");
    let mut command = kvdb.command(&add);
    let output = command.env("KVDB_NEW_PASSWORD", "canary").output().unwrap();
    let from_environment = String::from_utf8(output.stderr).unwrap();
    for err in [from_file.err, from_stdin.err, from_environment] {
        assert!(err.contains("USERS") && !err.contains("canary"), "{err}");
    }
    // Nothing came.
    assert!(kvdb.fails(2, &add).contains("password is empty"));
    assert!(kvdb.fails(1, &[&add[..], &["--password-file", "nowhere"]].concat()).contains("nowhere"));
    assert!(kvdb.ok(&["users", "add", "--help"]).contains("--password-file"));
}

#[test]
fn what_names_no_member_is_wrong_usage() {
    let kvdb = Kvdb::new();
    for (arguments, way_out) in [
        (&["cluster", "promote", "m4"][..], "kvdb cluster members"),
        (&["cluster", "remove", "--id", "m4"], "kvdb cluster members"),
        (&["cluster", "add", "m4", "10.0.0.4:0"], "host:port"),
        (&["cluster", "remove", "m4"], "HOST"),
        (&["cluster", "remove", "m4", "10.0.0.4", "--id", "1"], "--id"),
        (&["cluster", "defragment", "http://h:1", "--timeout", "soon"], "10s"),
        (&["users", "grant", "me", "jobs", "--read", "--write"], "--write"),
        (&["status", "--within", "soon"], "10s"),
    ] {
        let err = kvdb.fails(2, arguments);
        assert!(err.contains(way_out), "kvdb {arguments:?} does not name {way_out:?}: {err}");
    }
}
