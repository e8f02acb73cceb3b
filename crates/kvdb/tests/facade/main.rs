//! Opening stores as an app does.

#![cfg(feature = "memory")]

mod first_steps;

use kvdb::CallOptions;
use kvdb::prelude::*;

#[tokio::test]
async fn a_store_is_opened_by_name_alias_and_uri_and_is_the_same_one() {
    let by_name = kvdb::new("mem", "app", &["facade-same"], Options::new()).await.unwrap();
    let by_alias = kvdb::new("kv-mem", "app", &["facade-same"], Options::new()).await.unwrap();
    let by_uri = kvdb::connect("memory:facade-same?domain=app").await.unwrap();
    let by_option = kvdb::connect_with("mem:facade-same", Options::new().set("domain", "app")).await.unwrap();
    by_name.put("a", "1").await.unwrap();
    for kv in [by_alias, by_uri, by_option] {
        assert_eq!(kv.get("a").await.unwrap().unwrap().text(), Some("1"));
        assert_eq!((kv.info().backend, kv.info().domain.as_str()), ("mem", "app"));
    }
}

#[tokio::test]
async fn a_private_store_is_nobody_elses() {
    let (one, other) = (kvdb::connect("mem:").await.unwrap(), kvdb::connect("mem:").await.unwrap());
    one.put("a", "1").await.unwrap();
    assert_eq!(other.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_during_what() {
    for (uri, kind) in [
        ("nosuch:", ErrorKind::UnknownBackend),
        ("mem:?histroy_age=1s", ErrorKind::InvalidConfig),
        ("mem:?timeout=soon", ErrorKind::InvalidConfig),
        ("mem:?password_file=/no/such/file", ErrorKind::InvalidConfig),
        ("mem:?domain=a%2F..%2Fb", ErrorKind::InvalidArgument),
        ("mem", ErrorKind::InvalidConfig),
    ] {
        let error = kvdb::connect(uri).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (&kind, Some(kvdb::Operation::Connect)), "{uri}: {error}");
    }
    let both = kvdb::connect_with("mem:?domain=a", Options::new().set("domain", "b")).await.unwrap_err();
    assert_eq!(*both.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn no_error_shows_a_password() {
    let uri = "mem://me:hunter2@host/app?histroy_age=1s";
    let error = kvdb::connect(uri).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn the_instance_is_the_handle_that_was_set() {
    assert!(kvdb::instance().is_none());
    let kv = kvdb::connect("mem:").await.unwrap();
    kvdb::set_instance(kv.clone());
    kv.put("a", "1").await.unwrap();
    assert_eq!(kvdb::instance().unwrap().get("a").await.unwrap().unwrap().text(), Some("1"));
    let holder = kvdb::instance().unwrap().lock_holder_opts("job", CallOptions::default()).await.unwrap();
    assert_eq!(holder, None);
}

#[tokio::test]
async fn a_version_names_the_api_and_the_store() {
    for version in [
        kvdb::version("mem", "", Options::new()).await.unwrap(),
        kvdb::version_at("mem:?domain=app", Options::new()).await.unwrap(),
    ] {
        assert_eq!(version.api, "memv1");
        assert!(!version.server.is_empty());
    }
    assert_eq!(*kvdb::version("nosuch", "", Options::new()).await.unwrap_err().kind(), ErrorKind::UnknownBackend);
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_file_is_opened_by_relative_and_absolute_uri_and_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.redb");
    let uri = format!("redb://{}", path.display());
    let kv = kvdb::connect(&uri).await.unwrap();
    kv.put("a", "1").await.unwrap();
    kv.close().await.unwrap();
    let kv = kvdb::new("boltv1", "", &[path.to_str().unwrap()], Options::new()).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap().unwrap().text(), Some("1"));
}
