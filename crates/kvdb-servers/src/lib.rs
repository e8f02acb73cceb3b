//! Real servers for tests and measurements: started on free loopback ports, killed, paused, restarted and cut off.
//!
//! Everything blocks, needs no async runtime, and has a deadline; an error carries the end of the server's log. Servers
//! die with the process that started them, even when that is killed, and take their files with them.
//!
//! The binaries come from `crates/kvdb-servers/fetch.sh`, which unpacks them under `target/servers`; the variable
//! `KVDB_SERVERS_DIR` names another place.

mod binary;
mod certs;
mod consul;
mod etcd;
mod http;
mod janitor;
mod member;
mod metrics;
mod ownership;
pub mod ports;
mod process;
mod proxy;
mod retry;
mod spawner;
mod tls;
mod uri;
mod wait;
mod zookeeper;

pub use certs::{CertFiles, Certs};
pub use consul::{Consul, ConsulMember, ConsulSetup};
pub use etcd::{Etcd, EtcdMember, EtcdSetup, EtcdSpare, ROOT};
pub use member::Member;
pub use process::Process;
pub use proxy::Proxy;
pub use tls::Tls;
pub use zookeeper::{ZooKeeper, ZooKeeperMember, ZooKeeperSetup};
