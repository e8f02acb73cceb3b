//! Servers die with who started them, and a port that answers is not taken for a server of ours.

#![allow(clippy::unwrap_used)]

use kvdb_servers::{Etcd, EtcdSetup, Process, ports};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

fn binary(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvdb-servers"));
    command.env("TMPDIR", dir).stdout(Stdio::piped());
    command
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn servers_and_their_files_go_away_when_who_started_them_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = binary(dir.path()).arg("etcd").arg("--auth").spawn().unwrap();
    let uri = first_line(&mut child);
    let (address, options) = uri.strip_prefix("etcd://").unwrap().split_once('?').unwrap();
    assert!(options.starts_with("username=root&password_file="), "{uri}");
    assert!(TcpStream::connect(address).is_ok());
    assert!(dir.path().read_dir().unwrap().next().is_some());

    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the server is gone", || TcpStream::connect(address).is_err());
    eventually("its files are gone", || dir.path().read_dir().unwrap().next().is_none());
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let etcd = thread::spawn(|| Etcd::start(EtcdSetup::default()).unwrap()).join().unwrap();
    let member = etcd.member(0).unwrap();
    assert!(member.id().is_ok());
    let pid = member.process().unwrap().pid();
    drop(etcd);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_port_of_another_process_is_not_the_servers() {
    // A foreign server of good health sits where the second one wants to listen.
    let foreign = Etcd::start(EtcdSetup::default()).unwrap();
    let taken = foreign.endpoints().remove(0);
    let error = Etcd::start(EtcdSetup::default().extra_args([format!("--listen-metrics-urls={taken}")])).unwrap_err();
    assert!(error.to_string().contains("address already in use"), "{error}");
}

#[test]
fn a_process_is_paused_resumed_and_killed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let process = Process::spawn(Path::new("/bin/sh"), ["-c", "echo begins; while :; do :; done"], &log).unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    eventually("it writes its log", || process.log_tail() == "begins");
    process.pause().unwrap();
    assert!(process.is_paused() && process.is_alive());
    assert!(stat().contains(") T "), "{}", stat());
    process.resume().unwrap();
    eventually("it runs again", || stat().contains(") R "));
    assert_eq!(process.exited(Duration::ZERO).unwrap(), None);

    process.pause().unwrap();
    process.kill().unwrap();
    assert!(!process.is_alive());
    assert!(process.pause().is_err());
    assert!(process.exited(LONG).unwrap().is_some());
    process.kill().unwrap();
}

#[test]
fn free_ports_are_distinct_and_free() {
    let all: Vec<u16> = (0..10).flat_map(|_| ports::free(10).unwrap()).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 100);
    let listeners: Vec<_> =
        all.iter().filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).ok()).collect();
    assert!(listeners.len() >= 95, "others may take one or the other: {}", listeners.len());
}

#[test]
fn the_binary_teaches_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let help = binary(dir.path()).arg("--help").output().unwrap();
    assert!(help.status.success() && text(&help).contains("--mutual-tls"));
    for wrong in [&["zookeeper"][..], &["etcd", "--node", "3"], &["etcd", "--nodes", "0"], &["consul", "--nodes"]] {
        let output = binary(dir.path()).args(wrong).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    for what in ["etcd", "consul"] {
        let mut command = binary(dir.path());
        let missing = command.env("KVDB_SERVERS_DIR", dir.path()).arg(what).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(missing.status.code(), Some(1));
        let wanted = format!("run crates/kvdb-servers/fetch.sh {what}");
        assert!(text(&missing).contains(&wanted), "{}", text(&missing));
    }
}
