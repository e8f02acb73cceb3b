//! The command line as the parser sees it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    backends, bench, cluster, compact, completions, del, demo, diff, elect, export, get, group, import, lease, lock,
    ls, mirror, put, snapshot, status, temp, tree, txn, users, version, wait, watch,
};

const EXAMPLES: &str = "\
Examples:
  kvdb demo                                     see every promise hold, on a fresh file
  kvdb put config/greeting hello                write a key into ./kvdb.redb
  kvdb get config/greeting                      print its value
  kvdb put config/greeting hi --if-value hello  write only if nobody was faster
  kvdb put session/42 here --ttl 30s            write a key that goes away by itself
  kvdb watch --tree config --current            the present state, then every change
  kvdb lock nightly --wait 5s -- ./backup.sh    run a command while holding a lock
  kvdb elect scheduler -- ./scheduler           run a command while we are the leader
  kvdb mirror redb:app.redb redb:copy.redb      keep one store what another one is
  kvdb backends                                 what each store can do

Stores:
  redb:app.redb, redb:///var/lib/app.redb?domain=myapp&durability=fast      one file, one process at a time
  mem:                                                                      in memory, gone with the command
  etcd://h1:2379,h2:2379/myapp                                              a cluster; the path is the domain
  etcd+https://app@h1,h2/myapp?ca_file=ca.pem&password_file=app.pw          with TLS and a user
  consul://h1:8500/myapp, consul+https://h1:8501?ca_file=ca.pem             agents; the token is the option acl_token
  Networks need a build with the feature: cargo build -p kvdb-cli --features etcd,consul,zookeeper
  `ps` shows arguments: give what is secret by password_file, KVDB_PASSWORD, or the whole URI in KVDB_URL.

Exit codes:
  0 ok, 1 error, 2 wrong usage, 3 not found, 4 a condition failed, 5 timeout.
  `kvdb lock`, `elect`, `temp` and `group join` exit with the code of their command.";

/// Above the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Keys with revisions, watches, leases and locks, from a shell.
#[derive(Debug, Parser)]
#[command(name = "kvdb", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where the keys are, such as redb:FILE or etcd://HOST:PORT [default: redb:kvdb.redb]
    #[arg(long, env = "KVDB_URL", hide_env_values = true, global = true, value_name = "URI", help_heading = EVERYWHERE)]
    pub(crate) store: Option<String>,
    /// The prefix that all keys are below; keys outside it are never seen
    #[arg(long, global = true, value_name = "PREFIX", help_heading = EVERYWHERE)]
    pub(crate) domain: Option<String>,
    /// Log every call on the store, as JSON: to this file, or to stderr
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "/dev/stderr",
        help_heading = EVERYWHERE
    )]
    pub(crate) log: Option<PathBuf>,
    /// Print JSON, one document a line; errors too, as {kind, message, key, retry}
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, one file each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(get::Get),
    Put(put::Put),
    Del(del::Del),
    Ls(ls::Ls),
    Tree(tree::Tree),
    Watch(watch::Watch),
    Wait(wait::Wait),
    Lock(lock::Lock),
    Elect(elect::Elect),
    Temp(temp::Temp),
    Group(group::Group),
    Lease(lease::Lease),
    Txn(txn::Txn),
    Snapshot(snapshot::Snapshot),
    Export(export::Export),
    Import(import::Import),
    Mirror(mirror::Mirror),
    Diff(diff::Diff),
    Compact(compact::Compact),
    Status(status::Status),
    Cluster(cluster::Cluster),
    Users(users::Users),
    Backends(backends::Backends),
    Version(version::Version),
    Demo(demo::Demo),
    Bench(bench::Bench),
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
