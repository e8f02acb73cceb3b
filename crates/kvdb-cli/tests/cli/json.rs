//! What `--json` promises.

use serde_json::json;

use crate::command::Kvdb;

#[test]
fn a_pair_has_its_indexes_and_base64_where_it_is_no_text() {
    let kvdb = Kvdb::new();
    let put = kvdb.run(&["--json", "put", "a", "ü"]).json();
    assert_eq!(
        (&put["action"], &put["created_index"], &put["modified_index"]),
        (&json!("create"), &json!(2), &json!(2))
    );
    let got = kvdb.run(&["get", "a", "--json"]).json();
    assert_eq!(
        (&got["key"], &got["value"], &got["version"], &got["action"]),
        (&json!("a"), &json!("ü"), &json!(1), &json!("get"))
    );
    assert_eq!(kvdb.run_with(&["put", "raw", "-"], b"\xff\x00").code, 0);
    let raw = kvdb.run(&["--json", "get", "raw"]).json();
    assert_eq!(raw["value_base64"], "/wA=");
    assert_eq!(raw.get("value"), None);
}

#[test]
fn lists_are_a_document_a_line_and_a_tree_is_nested() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a/b", "1"]);
    kvdb.ok(&["put", "a/c", "2"]);
    let out = kvdb.ok(&["ls", "--json"]);
    let keys: Vec<_> =
        out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].clone()).collect();
    assert_eq!(keys, ["a/b", "a/c"]);
    assert_eq!(kvdb.ok(&["ls", "--keys", "--json"]), "{\"key\":\"a/b\"}\n{\"key\":\"a/c\"}\n");
    assert_eq!(kvdb.run(&["tree", "--json"]).json(), json!({ "a": { "b": "1", "c": "2" } }));
    assert_eq!(kvdb.run(&["del", "--tree", "a", "--json"]).json(), json!({ "removed": 2 }));
}

#[test]
fn an_error_is_one_document_on_stderr() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    for (arguments, kind, key) in [
        (["--json", "get", "b"].as_slice(), "NotFound", json!("b")),
        (&["put", "a", "2", "--create", "--json"], "AlreadyExists", json!("a")),
        (&["--json", "put", "a", "2", "--if-value", "x"], "ValueMismatch", json!("a")),
        (&["--json", "--store", "nosuch:", "get", "a"], "UnknownBackend", json!(null)),
        (&["--json", "put", "a", "--file", "nosuch"], "Io", json!(null)),
        (&["--json", "put"], "Usage", json!(null)),
        (&["--json", "del", "--tree", "/"], "Usage", json!(null)),
    ] {
        let ran = kvdb.run(arguments);
        let error = ran.error();
        assert_eq!((&error["kind"], &error["key"], &error["retry"]), (&json!(kind), &key, &json!("never")), "{ran:?}");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(ran.out, "");
    }
}

#[test]
fn backends_and_version_are_told() {
    let kvdb = Kvdb::new();
    let out = kvdb.ok(&["backends", "--json"]);
    let backends: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A build of the whole workspace has more.
    let find = |name: &str| backends.iter().find(|backend| backend["name"] == name).unwrap();
    assert!(!find("mem")["capabilities"].as_array().unwrap().contains(&json!("DURABLE")));
    assert!(find("redb")["capabilities"].as_array().unwrap().contains(&json!("DURABLE")));
    let version = kvdb.run(&["version", "--json", "--store", "mem:"]).json();
    assert_eq!(version["kvdb"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["store"]["api"], "memv1");
}
