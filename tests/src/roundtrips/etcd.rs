//! One etcd, one handle, and what the server has counted.

use std::sync::Arc;

use kvdb::Handle;
use kvdb_core::Options;
use kvdb_servers::{Etcd, EtcdMember, EtcdSetup};
use kvdb_testsuite::{Failure, Proof};
use libtest_mimic::{Failed, Trial};

/// A handle on a server that nobody else uses.
pub(super) struct Counted {
    pub(super) kv: Handle,
    member: Arc<EtcdMember>,
}

/// How often each kind of call of keys was answered, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) range: u64,
    pub(super) put: u64,
    pub(super) delete: u64,
    pub(super) txn: u64,
}

impl Calls {
    pub(super) const fn all(self) -> u64 {
        self.range + self.put + self.delete + self.txn
    }

    /// What has come since `before`.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            range: self.range - before.range,
            put: self.put - before.put,
            delete: self.delete - before.delete,
            txn: self.txn - before.txn,
        }
    }
}

impl Counted {
    pub(super) fn calls(&self) -> Proof<Calls> {
        let count = |method| {
            let labels = [("grpc_service", "etcdserverpb.KV"), ("grpc_method", method)];
            Ok::<_, Failure>(self.member.metric_sum("grpc_server_handled_total", &labels)? as u64)
        };
        Ok(Calls { range: count("Range")?, put: count("Put")?, delete: count("DeleteRange")?, txn: count("Txn")? })
    }

    /// The watches that the server has open.
    pub(super) fn watches(&self) -> Proof<u64> {
        Ok(self.member.metric_sum("etcd_debugging_mvcc_watcher_total", &[])? as u64)
    }
}

/// A trial on a server of its own.
pub(super) fn trial(name: &str, run: impl AsyncFnOnce(Counted) -> Proof + Send + 'static) -> Trial {
    Trial::test(format!("{name} [etcd]"), move || {
        let server = Etcd::start(EtcdSetup::default())?;
        let member = server.member(0)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let proof = runtime.block_on(async {
            let backend = (kvdb_etcd::FACTORY.connect)(server.endpoints(), Options::new()).await?;
            let kv = Handle::open("etcd", backend, "counted", &Options::new())?;
            // The connection is made with the first call.
            kvdb_core::KvdbExt::get(&kv, "first").await?;
            run(Counted { kv, member }).await
        });
        proof.map_err(|failure| Failed::from(failure.to_string()))
    })
}
