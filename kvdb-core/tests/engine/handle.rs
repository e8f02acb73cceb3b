use std::sync::Arc;
use std::time::Duration;

use kvdb_core::Target;
use kvdb_core::prelude::*;

use crate::common::{backend, open, store};

#[tokio::test]
async fn a_handle_says_which_store_and_domain_it_is() {
    let kv = Handle::open("mem", backend(), "//app//x/", &Options::new()).unwrap();
    assert_eq!((kv.info().backend, kv.info().domain.as_str()), ("mem", "app/x"));
    assert!(kv.capabilities().contains(Capabilities::ORDERED_UPDATES | Capabilities::LEASES));
    assert!(kv.limits().value_bytes >= 16 << 20);
}

#[tokio::test]
async fn domains_of_one_store_see_only_their_own() {
    let backend = backend();
    let domain = |name| Handle::open("mem", Arc::clone(&backend), name, &Options::new()).unwrap();
    let (app, app2, outer) = (domain("app"), domain("app2"), domain(""));
    app.put("k", "1").await.unwrap();
    app2.put("k", "2").await.unwrap();
    assert_eq!(app.list("").await.unwrap().len(), 1);
    let keys: Vec<_> = outer.list("").await.unwrap().into_iter().map(|pair| pair.key).collect();
    assert_eq!(keys, ["app/k", "app2/k"]);
    assert_eq!(app.delete_tree("").await.unwrap(), 1);
    assert_eq!(app2.get("k").await.unwrap().unwrap().value, "2");
}

#[tokio::test]
async fn settings_are_the_options_and_can_be_changed_for_every_clone() {
    let kv = store();
    assert_eq!((kv.lock_try_duration(), kv.lock_hold_duration()), (Duration::from_secs(300), None));
    let minute = Duration::from_secs(60);
    let kv = open(backend(), &Options::new().lock_wait(minute).lock_hold(minute));
    let clone = kv.clone();
    assert_eq!((clone.lock_try_duration(), clone.lock_hold_duration()), (minute, Some(minute)));
    kv.set_lock_try_duration(Duration::ZERO);
    kv.set_lock_hold_duration(None);
    assert_eq!((clone.lock_try_duration(), clone.lock_hold_duration()), (Duration::ZERO, None));
    let _held = clone.lock("job").id("me").await.unwrap();
    let error = clone.lock("job").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::LockTimeout { holder: Some("me".to_owned()) });
}

#[tokio::test]
async fn options_and_domains_that_make_no_sense_are_refused() {
    for options in [Options::new().set("timeout", "soon"), Options::new().set("lock_ttl", "-1")] {
        let error = Handle::open("mem", backend(), "app", &options).unwrap_err();
        assert_eq!((error.kind(), error.backend()), (&ErrorKind::InvalidConfig, Some("mem")), "{error}");
    }
    for domain in ["a/../b", "_kvdb", "a\0b"] {
        assert!(Handle::open("mem", backend(), domain, &Options::new()).is_err(), "{domain:?}");
    }
}

#[test]
fn opening_outside_a_runtime_is_an_error_that_says_so() {
    let error = Handle::open("mem", backend(), "app", &Options::new()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test]
async fn no_input_panics() {
    let kv = store();
    let long = "k".repeat(1 << 20);
    for key in ["", "/", "..", "a/./b", "a\0", "\u{85}", "_kvdb", "x/_kvdb/y", long.as_str()] {
        let refused = [
            kv.get(key).await.unwrap_err(),
            kv.put(key, "1").await.unwrap_err(),
            kv.delete(key).await.unwrap_err(),
            kv.watch_key(key).await.unwrap_err(),
            kv.lock(key).wait(Duration::ZERO).await.unwrap_err(),
        ];
        for error in refused {
            assert!(
                matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge { .. }),
                "{:?}: {:?}",
                key.get(..8),
                error.kind()
            );
        }
    }
    use std::ops::Bound::{Excluded, Included, Unbounded};
    for (start, end) in [
        (Included("b"), Included("a")),
        (Excluded("a"), Excluded("a")),
        (Included("\u{10FFFF}"), Unbounded),
        (Unbounded, Excluded("")),
        (Included("///"), Included("\0")),
    ] {
        assert_eq!(kv.list_range(start, end).await.unwrap(), [], "{start:?} {end:?}");
        kv.watch_range(start, end).await.unwrap();
        assert_eq!(kv.delete_opts(Target::Range(start, end), Default::default()).await.unwrap().removed, 0);
    }
    let too_large = kv.put("big", vec![0; (16 << 20) + 1]).await.unwrap_err();
    assert!(matches!(too_large.kind(), ErrorKind::TooLarge { limit } if *limit == 16 << 20), "{too_large}");
    for ttl in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let error = kv.put("a", "1").ttl(ttl).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TtlNotSupported { .. }), "{ttl:?}: {error}");
        assert!(kv.lease(ttl).await.is_err(), "{ttl:?}");
    }
    assert_eq!(kv.get("a").timeout(Duration::MAX).await.unwrap(), None);
    let lock = kv.lock("job").wait(Duration::MAX).hold(Duration::MAX).timeout(Duration::MAX).await.unwrap();
    lock.release().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_kept_alive_and_revoked_in_short() {
    let kv = store();
    let lease = kv.lease(Duration::from_secs(60)).await.unwrap();
    kv.put("a", "1").lease(&lease).await.unwrap();
    assert_eq!(kv.keep_alive(&lease.id).await.unwrap(), lease.ttl);
    kv.revoke(&lease.id).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), None);
    assert_eq!(*kv.keep_alive(&lease.id).await.unwrap_err().kind(), ErrorKind::LeaseNotFound);
}
