use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvdb::portworx::*;
use kvdb::registry::BackendFactory;
use kvdb::{Before, Call, Capabilities, End, ErrorKind, Interceptor, Placement, Wrapper, WrapperFactory};
use kvdb_testsuite::help::{expect_error, expect_kind, soon};
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};
use tokio::sync::mpsc;

use super::Place;

pub(super) async fn by_name(place: Place) -> Proof {
    let (told, mut heard) = mpsc::unbounded_channel();
    let fatal: FatalErrorCB = Arc::new(move |error| drop(told.send(error.kind().clone())));
    let machines = place.machines();
    let options = [("timeout", "3s"), ("lock_hold", "10ms")].into_iter().collect();
    let kv = new(place.name, "/my//app/", &machines, options, Some(fatal)).await?;
    ensure_eq!(kv.info().domain, "my/app");
    kv.put("a", "1", 0).await?;
    let lock = kv.lock("job").await?;
    ensure_eq!(soon("the callback", heard.recv()).await?, Some(ErrLockHoldTimeoutTriggered));
    kv.unlock(&lock).await?;
    kv.close().await?;
    let typo = [("timeuot", "3s")].into_iter().collect();
    let error = expect_kind(new(place.name, "app", &machines, typo, None).await, &ErrorKind::InvalidConfig)?;
    ensure!(error.to_string().contains("`timeout`"), "{error} does not name the option that was meant");
    let unknown = new("no-such-kv", "app", &[], Options::new(), None).await;
    expect_kind(unknown, &ErrorKind::UnknownBackend)?;
    Ok(())
}

/// The memory store by another name.
static SEVENTH: BackendFactory = BackendFactory {
    name: "seventh",
    aliases: &["seventh-kv"],
    api: "seventhv1",
    package: "kvdb-tests",
    capabilities: Capabilities::empty(),
    limits: || (kvdb_memory::FACTORY.limits)(),
    connect: |endpoints, options| (kvdb_memory::FACTORY.connect)(endpoints, options),
    version: |url, options| (kvdb_memory::FACTORY.version)(url, options),
};

pub(super) async fn registered(_place: Place) -> Proof {
    register(&SEVENTH)?;
    register(&SEVENTH)?;
    let kv = new("seventh-kv", "app", &[], Options::new(), None).await?;
    ensure_eq!(kv.string(), "seventh");
    kv.put("a", "1", 0).await?;
    ensure_eq!(version("seventh", "", Options::new()).await?.api, "seventhv1");
    ensure!(kvdb::backends().iter().any(|factory| factory.name == "seventh"), "it is not listed");
    Ok(())
}

pub(super) async fn wrappers(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    let clone = kv.clone();
    let log = place.path("audit.log");
    let options: Options = [(LogPathOption, &log)].into_iter().collect();
    let kv = add_wrapper(Wrapper_Log, &kv, &options)?;
    kv.put("logged", "secret", 0).await?;
    let lines = std::fs::read_to_string(&log)?;
    ensure!(lines.contains("logged") && !lines.contains("secret"), "the log is {lines:?}");
    expect_kind(add_wrapper(Wrapper_Log, &kv, &options), &ErrorKind::InvalidArgument)?;

    let lock = kv.lock("job").await?;
    let kv = add_wrapper(Wrapper_NoQuorum, &kv, &Options::new())?;
    ensure_eq!(kv.wrappers(), ["no-quorum", "log"], "log stays outermost");
    for refused in [
        clone.get("logged").await.map(drop),
        clone.put("b", "2", 0).await.map(drop),
        clone.enumerate("").await.map(drop),
        clone.snapshot(&[], false).await.map(drop),
        clone.serialize().await.map(drop),
        clone.tx_new()?.get("logged").await.map(drop),
        clone.lock("other").await.map(drop),
        clone.is_key_locked("job").await.map(drop),
        clone.compact(1).await,
        clone.add_user("me", "word").await,
        clone.remove_user("me").await,
        clone.grant_user_access("me", ReadPermission, "a").await,
        clone.revoke_users_access("me", ReadPermission, "a").await,
        clone.add_member("10.0.0.1", PeerPort, "node").await.map(drop),
        clone.add_learner("10.0.0.1", PeerPort, "node").await.map(drop),
        clone.promote_member(1).await,
        clone.remove_member("node", "10.0.0.1").await,
        clone.remove_member_by_id(1).await,
    ] {
        expect_kind(refused, &ErrNoQuorum)?;
    }
    let has_members = clone.capabilities().contains(Capabilities::MEMBERS);
    let machines = place.machines();
    let users = clone.capabilities().contains(Capabilities::USERS);
    for (passed, always) in [
        (clone.list_members().await.map(drop), true),
        (clone.set_endpoints(&machines).await, true),
        (clone.get_endpoints().await.map(drop), true),
        // Only etcd, which has users too, does more than to list its members.
        (clone.update_member("10.0.0.1", PeerPort, "nobody").await.map(drop), false),
        (clone.defragment(machines.first().unwrap_or(&"none"), 30).await, users),
    ] {
        match passed {
            Ok(()) if has_members && always => {}
            refused => drop(expect_error(refused, "the store's own answer", |kind| match users {
                true => *kind == ErrMemberDoesNotExist && !always,
                false => matches!(kind, ErrorKind::Unsupported(_)) && !(has_members && always),
            })?),
        }
    }
    ensure!(lock.is_held(), "a held lock is lost by a wrapper");
    kv.unlock(&lock).await?;

    for wrapper in [Wrapper_NoQuorum, Wrapper_Log, Wrapper_NoQuorum] {
        remove_wrapper(wrapper, &kv)?;
    }
    let before = std::fs::read_to_string(&log)?;
    ensure_eq!(clone.get("logged").await?.value, "secret");
    ensure_eq!(std::fs::read_to_string(&log)?, before, "a wrapper that was removed goes on");
    for unknown in [add_wrapper("Wrapper_Nothing", &kv, &options), remove_wrapper(Wrapper_None, &kv)] {
        let error = expect_kind(unknown, &ErrorKind::UnknownWrapper)?;
        ensure!(error.to_string().contains("no-quorum"), "{error} does not list the linked ones");
    }
    kv.close().await?;
    Ok(())
}

/// The keys of the calls that went through the wrapper.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn seen(key: &str) -> usize {
    SEEN.lock().unwrap().iter().filter(|seen| *seen == key).count()
}

#[derive(Debug)]
struct Count;

impl Interceptor for Count {
    type Note = ();

    fn name(&self) -> &'static str {
        "count"
    }

    fn placement(&self) -> Placement {
        Placement::Observe
    }

    fn before<'a>(&'a self, call: &Call<'_>) -> Before<'a, ()> {
        SEEN.lock().unwrap().push(call.key.to_owned());
        Before::Go(())
    }

    fn after(&self, (): (), _call: &Call<'_>, _end: &End<'_>) {}
}

static COUNT: WrapperFactory = WrapperFactory {
    name: "count",
    aliases: &["Wrapper_Count"],
    package: "kvdb-tests",
    make: |_, _| Ok(Arc::new(Count) as Arc<dyn Wrapper>),
};

pub(super) async fn registered_wrapper(place: Place) -> Proof {
    register_wrapper(&COUNT)?;
    register_wrapper(&COUNT)?;
    let kv = place.open(Options::new()).await?;
    let clone = kv.clone();
    add_wrapper("Wrapper_Count", &kv, &Options::new())?;
    // Of this store: the other stores' trials run at the same time.
    let key = format!("counted/{}", place.name);
    clone.put(&key, "1", 0).await?;
    ensure_eq!(seen(&key), 1, "calls through the wrapper");
    remove_wrapper("Wrapper_Count", &kv)?;
    clone.put(&key, "2", 0).await?;
    ensure_eq!(seen(&key), 1, "calls through the wrapper that was removed");
    ensure_eq!(kv.wrappers(), [""; 0]);
    kv.close().await?;
    Ok(())
}

pub(super) async fn settings(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    let clone = kv.clone();
    ensure_eq!(kv.get_lock_try_duration(), DefaultLockTryDuration);
    ensure_eq!(kv.get_lock_hold_duration(), Duration::ZERO);
    kv.set_lock_hold_duration(Duration::from_millis(10));
    ensure_eq!(clone.get_lock_hold_duration(), Duration::from_millis(10));
    let (told, mut heard) = mpsc::unbounded_channel();
    clone.set_fatal_cb(Arc::new(move |error| drop(told.send(error.kind().clone()))));
    let lock = kv.lock("job").await?;
    ensure_eq!(soon("the callback", heard.recv()).await?, Some(ErrLockHoldTimeoutTriggered));
    ensure!(lock.is_held(), "the lock went with its callback");
    kv.unlock(&lock).await?;
    kv.set_lock_hold_duration(Duration::ZERO);
    ensure_eq!(clone.get_lock_hold_duration(), Duration::ZERO);
    kv.close().await?;
    Ok(())
}

pub(super) async fn options(place: Place) -> Proof {
    for (theirs, ours) in [
        (UsernameKey, "username"),
        (PasswordKey, "password"),
        (CAFileKey, "ca_file"),
        (CertFileKey, "cert_file"),
        (CertKeyFileKey, "cert_key_file"),
        (TrustedCAFileKey, "trusted_ca_file"),
        (ClientCertAuthKey, "client_cert_auth"),
        (RetryCountKey, "retry_count"),
        (ACLTokenKey, "acl_token"),
        (CAAuthAddress, "ca_auth_address"),
        (InsecureSkipVerify, "insecure_skip_verify"),
        (TransportScheme, "transport_scheme"),
        (LogPathOption, "log_path"),
    ] {
        ensure_eq!(Options::new().set(theirs, "canary").get(ours), Some("canary"), "the option {theirs}");
        // Neither store has any of them: the answer names the option and what is lacking, never its value.
        let refused = new(place.name, "app", &place.machines(), Options::new().set(theirs, "canary"), None).await;
        let Err(error) = refused else { return Err(Failure::new(format_args!("{theirs} is taken without effect"))) };
        ensure!(!format!("{error} {error:?}").contains("canary"), "{error} shows the value of {theirs}");
        ensure!(error.to_string().contains(ours), "{error} does not name {ours}");
    }
    Ok(())
}
