//! What is refused before anything is connected: there is no server in these tests.

use kvdb_core::{ErrorKind, Options};
use kvdb_servers::Certs;

use crate::help::{backend, refused, text};

async fn refuses(endpoints: &[&str], options: &[(&str, &str)], says: &str) {
    let endpoints: Vec<String> = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    let options = Options::from_iter(options.iter().copied());
    let error = refused(backend(&endpoints, options).await, &ErrorKind::InvalidConfig, says);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn half_a_user_is_refused() {
    refuses(&[], &[("username", "me")], "KVDB_PASSWORD").await;
    refuses(&[], &[("username", "me"), ("password", "")], "KVDB_PASSWORD").await;
    refuses(&[], &[("password", "hunter2")], "`username`").await;
    refuses(&["me:hunter2@h1"], &[], "`username`").await;
}

#[tokio::test]
async fn half_a_certificate_is_refused() {
    refuses(&["https://h"], &[("ca_file", "x"), ("cert_file", "x")], "`cert_key_file`").await;
    refuses(&["https://h"], &[("ca_file", "x"), ("cert_key_file", "x")], "`cert_file`").await;
    refuses(&["https://h"], &[("ca_file", "x"), ("client_cert_auth", "true")], "`cert_file` and `cert_key_file`").await;
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_refused() {
    let certs = Certs::new("root").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (empty, junk) = (text(directory.path().join("empty")), text(directory.path().join("junk")));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n").unwrap();
    let (ca, client, other) = (text(certs.ca()), certs.client_files(), certs.server_files());
    let (cert, key) = (text(&client.cert), text(&client.key));

    refuses(&["https://h"], &[], "needs `ca_file`").await;
    refuses(&[], &[("ca_file", "/no/such/file")], "cannot read `/no/such/file`").await;
    refuses(&[], &[("ca_file", &text(directory.path()))], "`ca_file`: cannot read").await;
    refuses(&[], &[("ca_file", &empty)], "no certificate").await;
    refuses(&[], &[("ca_file", &key)], "no certificate").await;
    refuses(&[], &[("ca_file", &junk)], "`ca_file`").await;
    refuses(&[], &[("trusted_ca_file", &empty), ("ca_file", &ca)], "`trusted_ca_file`").await;
    refuses(&[], &[("ca_file", &ca), ("cert_file", &empty), ("cert_key_file", &key)], "`cert_file`").await;
    refuses(&[], &[("ca_file", &ca), ("cert_file", &cert), ("cert_key_file", &cert)], "no unencrypted private key")
        .await;
    refuses(&[], &[("ca_file", &ca), ("cert_file", &cert), ("cert_key_file", &junk)], "no unencrypted private key")
        .await;
    let of_another = text(&other.key);
    refuses(&[], &[("ca_file", &ca), ("cert_file", &cert), ("cert_key_file", &of_another)], "made together").await;
    refuses(&[], &[("ca_file", &ca), ("insecure_skip_verify", "true")], "exclude each other").await;
    refuses(&[], &[("ca_file", &ca), ("server_name", "not a name")], "`server_name`").await;
}

#[tokio::test]
async fn endpoints_and_options_must_agree() {
    refuses(&["ftp://h"], &[], "http or https").await;
    refuses(&["http://a", "https://b"], &[], "one scheme").await;
    refuses(&["http://a"], &[("ca_file", "x")], "`ca_file` is for TLS").await;
    refuses(&["http://a"], &[("cert_file", "x"), ("cert_key_file", "x")], "`cert_file` is for TLS").await;
    refuses(&["a:99999"], &[], "between 1 and 65535").await;
    refuses(&[""], &[], "no host").await;
    refuses(&["h"], &[("transport_scheme", "https")], "needs `ca_file`").await;
}

#[tokio::test]
async fn options_that_nobody_has_or_that_can_never_pass_are_refused() {
    refuses(&[], &[("usernmae", "me")], "did you mean `username`").await;
    refuses(&[], &[("dial_timeout", "0")], "`dial_timeout`").await;
    refuses(&[], &[("keep_alive_time", "0")], "`keep_alive_time`").await;
    refuses(&[], &[("keep_alive_timeout", "0s")], "`keep_alive_timeout`").await;
    refuses(&[], &[("watch_progress_interval", "0")], "`watch_progress_interval`").await;
    refuses(&[], &[("dial_timeout", "soon")], "`dial_timeout`").await;
    refuses(&[], &[("timeout", "soon")], "`timeout`").await;
    refuses(&[], &[("RetryCount", "often")], "`retry_count`").await;
    refuses(&[], &[("insecure_skip_verify", "perhaps")], "`insecure_skip_verify`").await;
}

#[tokio::test]
async fn without_a_user_nothing_is_connected_before_the_first_call() {
    let options = Options::new().set("RetryCount", 3).set("ClientCertAuth", "false");
    let store = backend(&["127.0.0.1:1".to_owned()], options).await.unwrap();
    assert!(format!("{store:?}").contains("http://127.0.0.1:1"), "{store:?}");
}
