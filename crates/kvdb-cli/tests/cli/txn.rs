//! `kvdb txn`: etcdctl's text form on stdin; and `kvdb compact`.

use serde_json::json;

use crate::command::{Kvdb, Ran};

fn txn(kvdb: &Kvdb, form: &str) -> Ran {
    let ran = kvdb.run_with(&["txn"], form.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{form:?}: {ran:?}");
    ran
}

#[test]
fn the_branch_that_the_compares_choose_is_done_and_each_result_told() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    let form = "mod(\"a\") > \"0\"\nvalue(\"a\") = \"1\"\ncreate(\"b\") = \"0\"\nver(\"a\") = \"1\"\nlease(\"a\") = \
                \"0\"\n\nput b \"two words\"\nget b\ndel a\ndel none\n\nget a\nget b\n";
    assert_eq!(txn(&kvdb, form).out, "SUCCESS\n\nOK\n\nb\ntwo words\n\n1\n\n0\n");
    assert_eq!(kvdb.ok(&["ls"]), "b\ttwo words\n");
    // Now `a` is gone: the very same form takes the other branch.
    assert_eq!(txn(&kvdb, form).out, "FAILURE\n\n(absent)\n\nb\ntwo words\n");
}

#[test]
fn json_tells_which_branch_ran_at_which_revision_with_the_pairs() {
    let kvdb = Kvdb::new();
    let ran = kvdb.run_with(&["--json", "txn"], b"\nput a \"\\xff\"\nput b 2 --lease 0\nget c\n");
    assert_eq!(ran.code, 3, "an unknown lease: {ran:?}");
    let told = kvdb.run_with(&["--json", "txn"], b"\nput a \"\\xff\"\nput b 2 --ttl 1h\nget c\n").json();
    assert_eq!((&told["succeeded"], &told["revision"]), (&json!(true), &json!(2)));
    assert_eq!(told["results"][0]["pair"]["value_base64"], "/w==");
    assert_eq!(told["results"][1]["pair"]["ttl_ms"], 3_600_000);
    assert_eq!(told["results"][2], json!({ "op": "get", "key": "c", "pair": null }));
    let told = kvdb.run_with(&["--json", "txn"], b"value(\"a\") = \"x\"\n\nput a x\n\ndel a\n").json();
    assert_eq!((&told["succeeded"], &told["results"][0]["op"]), (&json!(false), &json!("del")));
}

#[test]
fn what_is_no_transaction_exits_with_2_naming_line_and_expectation_and_writes_nothing() {
    let kvdb = Kvdb::new();
    for (form, names) in [
        ("put a 1\n", ["line 1", "compare"]),
        ("\nput a 1\nput b\n", ["line 3", "put KEY VALUE"]),
        ("mod(\"a\") = \"1\n", ["line 1", "quote"]),
        ("\nput a 1\n\nget a\n\nput b 1\n", ["line 6", "end"]),
        ("\nput a 1\nput a 2\n", ["a", "only once"]),
        ("\nput a/../b 1\n", ["a/../b", "invalid argument"]),
        ("lease(\"a\") < \"1\"\n", ["line 1", "no order"]),
    ] {
        let ran = kvdb.run_with(&["txn"], form.as_bytes());
        assert_eq!(ran.code, 2, "{form:?}: {ran:?}");
        assert!(names.iter().all(|name| ran.err.contains(name)), "{form:?}: {ran:?}");
    }
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn compacting_drops_the_past_and_keeps_the_present() {
    let kvdb = Kvdb::new();
    for value in ["1", "2", "3"] {
        kvdb.ok(&["put", "a", value]);
    }
    assert_eq!(kvdb.ok(&["compact", "3"]), "compacted to revision 3\n");
    assert_eq!(kvdb.ok(&["get", "a", "--at", "3"]), "2");
    assert!(kvdb.fails(1, &["get", "a", "--at", "2"]).contains("compacted"));
    assert_eq!(kvdb.run(&["compact", "--json"]).json(), json!({ "compacted": true, "revision": 4 }));
    kvdb.fails(1, &["get", "a", "--at", "3"]);
    assert_eq!(kvdb.ok(&["get", "a"]), "3");
    assert_eq!(kvdb.ok(&["compact", "2"]), "compacted to revision 2\n");
    assert!(kvdb.fails(1, &["compact", "99"]).contains("future"));
}
