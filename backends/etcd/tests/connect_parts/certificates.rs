//! TLS: whom we accept, and who accepts us.

use kvdb_core::{ErrorKind, KvdbExt, Options, Result, Retry};
use kvdb_etcd::FACTORY;
use kvdb_servers::{CertFiles, Etcd, EtcdSetup, Tls};

use crate::help::{open, refused, start, text};

fn trusting(etcd: &Etcd) -> Options {
    Options::new().set("ca_file", text(etcd.certs().unwrap().ca())).set("timeout", "5s")
}

fn showing(options: Options, files: &CertFiles) -> Options {
    options.set("cert_file", text(&files.cert)).set("cert_key_file", text(&files.key))
}

async fn try_it(etcd: &Etcd, options: Options) -> Result<()> {
    open(&etcd.endpoints(), options).await?.put("a", "1").await.map(drop)
}

async fn refuses(etcd: &Etcd, options: Options, kind: ErrorKind, says: &str) {
    let error = refused(try_it(etcd, options).await, &kind, says);
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_accepted_by_its_authority_and_its_name() {
    let etcd = start(EtcdSetup::default().tls(Tls::Server));
    let foreign = text(etcd.certs().unwrap().foreign_ca());
    try_it(&etcd, trusting(&etcd)).await.unwrap();
    try_it(&etcd, trusting(&etcd).set("server_name", "localhost")).await.unwrap();
    try_it(&etcd, Options::new().set("CAFile", &foreign).set("TrustedCAFile", text(etcd.certs().unwrap().ca())))
        .await
        .unwrap();
    refuses(&etcd, Options::new().set("ca_file", &foreign), ErrorKind::Unauthenticated, "has not signed").await;
    refuses(&etcd, trusting(&etcd).set("server_name", "db.example"), ErrorKind::Unauthenticated, "for other names")
        .await;
    try_it(&etcd, Options::new().set("insecure_skip_verify", "true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_scheme_is_tls_once_an_authority_is_named() {
    let etcd = start(EtcdSetup::default().tls(Tls::Server));
    let bare = etcd.endpoints()[0].replace("https://", "");
    open(&[bare], trusting(&etcd)).await.unwrap().put("a", "1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_has_expired_is_refused() {
    let etcd = start(EtcdSetup::default().tls(Tls::Server).expired_server());
    refuses(&etcd, trusting(&etcd), ErrorKind::Unauthenticated, "has expired: renew it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_certificate_gets_a_good_one_or_says_what_is_wrong() {
    let etcd = start(EtcdSetup::default().tls(Tls::Mutual));
    let certs = etcd.certs().unwrap();
    try_it(&etcd, showing(trusting(&etcd), &certs.client_files())).await.unwrap();
    refuses(&etcd, trusting(&etcd), ErrorKind::Unauthenticated, "`cert_file` and `cert_key_file`").await;
    let expired = showing(trusting(&etcd), &certs.expired_client());
    refuses(&etcd, expired, ErrorKind::Unauthenticated, "`cert_file`").await;
    let foreign = showing(trusting(&etcd), &certs.foreign_client());
    refuses(&etcd, foreign, ErrorKind::Unauthenticated, "`cert_file`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_a_user_where_there_are_users() {
    let etcd = start(EtcdSetup::default().tls(Tls::Mutual).auth());
    let files = etcd.certs().unwrap().client_files();
    try_it(&etcd, showing(trusting(&etcd), &files)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_version_is_told() {
    let etcd = start(EtcdSetup::default().tls(Tls::Server));
    let version = (FACTORY.version)(etcd.endpoints()[0].clone(), trusting(&etcd)).await.unwrap();
    let numbers: Vec<Option<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(Option::is_some), "{version}");

    let port = kvdb_servers::ports::free(1).unwrap()[0];
    let nobody = (FACTORY.version)(format!("127.0.0.1:{port}"), Options::new().set("timeout", "500ms")).await;
    refused(nobody, &ErrorKind::Unavailable, "refused");
}
