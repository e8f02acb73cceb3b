use kvdb_etcd::{EtcdBackend, EtcdConfig};
use kvdb_servers::{Etcd, EtcdSetup};

/// A cluster of one node.
pub(crate) fn start() -> Etcd {
    Etcd::start(EtcdSetup::default()).expect("a node")
}

pub(crate) async fn open(cluster: &Etcd) -> EtcdBackend {
    open_with(cluster, EtcdConfig::default()).await
}

pub(crate) async fn open_with(cluster: &Etcd, config: EtcdConfig) -> EtcdBackend {
    EtcdBackend::connect(&cluster.endpoints(), &config).await.expect("a handle")
}

/// How many calls of these methods the cluster's first member has finished.
pub(crate) fn finished(cluster: &Etcd, methods: &[&str]) -> f64 {
    let member = cluster.member(0).expect("a member");
    let count = |method: &&str| member.metric_sum("grpc_server_handled_total", &[("grpc_method", method)]);
    methods.iter().map(|method| count(method).expect("a metric")).sum()
}
