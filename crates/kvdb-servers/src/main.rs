//! Starts a real server or a cluster of them, prints how to reach it, and waits for Ctrl-C.

use kvdb_servers::{Consul, ConsulSetup, Etcd, EtcdSetup, Tls};
use std::io::{self, Write};
use std::process::ExitCode;

const HELP: &str = "\
kvdb-servers etcd|consul [OPTION...]

Starts real servers on free loopback ports, prints the URI of the store, and waits for Ctrl-C, which ends them and
removes their files. crates/kvdb-servers/fetch.sh unpacks the servers.

  --nodes N      how many, 1 by default
  --tls          they show a certificate
  --mutual-tls   clients show one too
  --auth         with users: root of etcd, the master token of Consul
  --durable      with fsync (etcd), on disk (Consul): for measurements

In another terminal: kvdb --store 'URI' put greeting hello
";

#[derive(Debug, Default)]
struct Wanted {
    nodes: Option<usize>,
    tls: Tls,
    auth: bool,
    durable: bool,
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(e) => {
            writeln!(io::stderr(), "kvdb-servers: {e}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> io::Result<ExitCode> {
    let kind = args.next().unwrap_or_else(|| "--help".to_owned());
    let rest: Vec<String> = args.collect();
    if kind == "-h" || kind == "--help" || rest.iter().any(|arg| arg == "-h" || arg == "--help") {
        io::stdout().write_all(HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = match (kind.as_str(), read(&rest)) {
        ("etcd" | "consul", Ok(wanted)) => wanted,
        (_, wanted) => {
            let what = wanted.err().unwrap_or_else(|| format!("no server is called `{kind}`"));
            write!(io::stderr(), "kvdb-servers: {what}\n\n{HELP}")?;
            return Ok(ExitCode::from(2));
        }
    };
    if kind == "etcd" {
        let etcd = Etcd::start(etcd(&wanted))?;
        wait(&etcd.uri()?, etcd)
    } else {
        let consul = Consul::start(consul(&wanted))?;
        wait(&consul.uri(), consul)
    }
}

fn read(args: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--nodes" => {
                let nodes = args.next().and_then(|n| n.parse().ok()).filter(|n| (1..=9).contains(n));
                wanted.nodes = Some(nodes.ok_or("--nodes wants a number from 1 to 9")?);
            }
            "--tls" => wanted.tls = Tls::Server,
            "--mutual-tls" => wanted.tls = Tls::Mutual,
            "--auth" => wanted.auth = true,
            "--durable" => wanted.durable = true,
            other => return Err(format!("no option is called `{other}`")),
        }
    }
    Ok(wanted)
}

fn etcd(wanted: &Wanted) -> EtcdSetup {
    let mut setup = EtcdSetup::default().nodes(wanted.nodes.unwrap_or(1)).tls(wanted.tls);
    if wanted.auth {
        setup = setup.auth();
    }
    if wanted.durable {
        setup = setup.fsync();
    }
    setup
}

fn consul(wanted: &Wanted) -> ConsulSetup {
    let mut setup = ConsulSetup::default().nodes(wanted.nodes.unwrap_or(1)).tls(wanted.tls);
    if wanted.auth {
        setup = setup.acl();
    }
    if wanted.durable {
        setup = setup.durable();
    }
    setup
}

/// Prints the URI and keeps the servers until the process is ended.
fn wait<T>(uri: &str, servers: T) -> io::Result<ExitCode> {
    writeln!(io::stdout(), "{uri}")?;
    loop {
        std::thread::park();
        let _keep = &servers;
    }
}
