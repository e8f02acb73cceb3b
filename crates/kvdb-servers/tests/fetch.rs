//! The script that unpacks the servers.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn fetch() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fetch.sh"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn help_tells_every_server_and_variable() {
    let help = fetch().arg("--help").output().unwrap();
    assert!(help.status.success());
    for word in ["protoc", "etcd", "consul", "KVDB_SERVERS_DIR", "DEBIAN_MIRROR"] {
        assert!(text(&help).contains(word), "{word}");
    }
}

#[test]
fn what_nobody_knows_is_wrong_usage() {
    let wrong = fetch().arg("zookeper").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong).contains("`zookeper`"));
}

#[test]
fn what_is_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("consul/usr/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy("/bin/true", bin.join("consul")).unwrap();
    std::fs::write(dir.path().join("consul/.ok"), "consul 1.8.7 from here\n").unwrap();
    let nowhere = "http://127.0.0.1:9";
    let done =
        fetch().arg("consul").env("KVDB_SERVERS_DIR", dir.path()).env("DEBIAN_MIRROR", nowhere).output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!(text(&done), "consul 1.8.7 from here\n");
}

#[test]
fn what_cannot_be_had_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("file://{}", dir.path().display());
    let failed =
        fetch().arg("consul").env("KVDB_SERVERS_DIR", dir.path()).env("DEBIAN_MIRROR", &nowhere).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    for word in ["consul", "DEBIAN_MIRROR", nowhere.as_str()] {
        assert!(text(&failed).contains(word), "{word}: {}", text(&failed));
    }
}
