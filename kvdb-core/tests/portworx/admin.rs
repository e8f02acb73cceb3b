use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::portworx::*;
use kvdb_core::{
    AdminReply, AdminRequest, Backend, Batch, CallOptions, Capabilities, ErrorKind, Feed, Fetched, Key, KeyRange,
    LeaseId, Limits, Outcome, Page, Read, Retry, Scan, Secret, WatchSpec,
};

use crate::common::{backend, open, store};

#[tokio::test]
async fn a_store_without_users_and_members_says_so() {
    let kv = store();
    let users = [
        kv.add_user("me", "word").await,
        kv.remove_user("me").await,
        kv.grant_user_access("me", ReadPermission, "tree").await,
        kv.revoke_users_access("me", ReadPermission, "tree").await,
    ];
    let members = [
        kv.add_member("10.0.0.1", PeerPort, "node").await.map(drop),
        kv.add_learner("10.0.0.1", PeerPort, "node").await.map(drop),
        kv.update_member("10.0.0.1", PeerPort, "node").await.map(drop),
        kv.promote_member(1).await,
        kv.remove_member("node", "10.0.0.1").await,
        kv.remove_member_by_id(1).await,
        kv.list_members().await.map(drop),
        kv.set_endpoints(&["http://10.0.0.1:2379"]).await,
        kv.get_endpoints().await.map(drop),
        kv.defragment("http://10.0.0.1:2379", 30).await,
    ];
    let lacking = [(Capabilities::USERS, &users[..]), (Capabilities::MEMBERS, &members[..])];
    for (capability, results) in lacking {
        for (place, result) in results.iter().enumerate() {
            let error = result.as_ref().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Unsupported(capability), "{place}: {error}");
            assert!(error.to_string().contains(&capability.to_string()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_port_that_is_none_is_refused_before_anything_is_asked() {
    let kv = store();
    for port in ["", "0", "65536", "http", "-1"] {
        let error = kv.add_member("10.0.0.1", port, "node").await.unwrap_err();
        assert_eq!(*error.kind(), ErrIllegal, "{port}: {error}");
    }
}

/// A memory store that has users and members: it notes what it is asked and answers by the kind of the question.
struct Administered {
    inner: Arc<dyn Backend>,
    asked: Mutex<Vec<AdminRequest>>,
}

impl fmt::Debug for Administered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Administered")
    }
}

#[async_trait]
impl Backend for Administered {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities() | Capabilities::USERS | Capabilities::MEMBERS
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.inner.get(key, read).await
    }
    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        self.inner.list(range, scan)
    }
    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.inner.commit(batch).await
    }
    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.inner.watch(spec).await
    }
    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.inner.grant(ttl).await
    }
    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.inner.keep_alive(lease).await
    }
    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.inner.revoke(lease).await
    }
    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        self.asked.lock().unwrap().push(request.clone());
        if matches!(request, AdminRequest::Defragment { .. }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(match request {
            AdminRequest::AddMember { .. } | AdminRequest::AddLearner { .. } | AdminRequest::UpdateMember { .. } => {
                AdminReply::PeerUrls(peers())
            }
            AdminRequest::ListMembers { .. } => AdminReply::Members(BTreeMap::from([(7, MemberInfo::default())])),
            AdminRequest::Endpoints => AdminReply::Endpoints(vec!["http://10.0.0.1:2379".to_owned()]),
            _ => AdminReply::Done,
        })
    }
}

fn peers() -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("node".to_owned(), vec!["http://10.0.0.1:2380".to_owned()])])
}

#[tokio::test]
async fn every_spelling_asks_the_store_for_what_it_says() {
    let store = Arc::new(Administered { inner: backend(), asked: Mutex::default() });
    let kv = open(Arc::clone(&store) as Arc<dyn Backend>, &Options::new());
    let text = |text: &str| text.to_owned();

    kv.add_user("me", "word").await.unwrap();
    kv.remove_user("me").await.unwrap();
    kv.grant_user_access("me", ReadWritePermission, "/tree/").await.unwrap();
    kv.revoke_users_access("me", WritePermission, "tree").await.unwrap();
    assert_eq!(kv.add_member("10.0.0.1", PeerPort, "node").await.unwrap(), peers());
    assert_eq!(kv.add_learner("10.0.0.2", "2381", "node").await.unwrap(), peers());
    assert_eq!(kv.update_member("10.0.0.3", "2382", "node").await.unwrap(), peers());
    kv.promote_member(1).await.unwrap();
    kv.remove_member("node", "10.0.0.1").await.unwrap();
    kv.remove_member_by_id(2).await.unwrap();
    assert_eq!(kv.list_members().await.unwrap().into_keys().collect::<Vec<_>>(), [7]);
    kv.set_endpoints(&["http://10.0.0.1:2379", "http://10.0.0.2:2379"]).await.unwrap();
    assert_eq!(kv.get_endpoints().await.unwrap(), ["http://10.0.0.1:2379"]);
    kv.defragment("http://10.0.0.1:2379", 45).await.unwrap();

    let (tree, locks) = (text("app/tree/"), text("app/_kvdb/lock/tree/"));
    let grant =
        |subtree| AdminRequest::GrantUserAccess { name: text("me"), permission: PermissionType::ReadWrite, subtree };
    let revoke = |subtree| AdminRequest::RevokeUserAccess { name: text("me"), subtree };
    assert_eq!(
        *store.asked.lock().unwrap(),
        [
            AdminRequest::AddUser { name: text("me"), password: Secret::new("word") },
            AdminRequest::RemoveUser { name: text("me") },
            grant(tree.clone()),
            grant(locks.clone()),
            revoke(tree),
            revoke(locks),
            AdminRequest::AddMember { host: text("10.0.0.1"), port: 2380, name: text("node") },
            AdminRequest::AddLearner { host: text("10.0.0.2"), port: 2381, name: text("node") },
            AdminRequest::UpdateMember { host: text("10.0.0.3"), port: 2382, name: text("node") },
            AdminRequest::PromoteMember { id: 1 },
            AdminRequest::RemoveMember { name: text("node"), host: text("10.0.0.1") },
            AdminRequest::RemoveMemberById { id: 2 },
            // A quarter of the call's time, which is 10 seconds unless set.
            AdminRequest::ListMembers { within: Some(Duration::from_millis(2500)) },
            AdminRequest::SetEndpoints(vec![text("http://10.0.0.1:2379"), text("http://10.0.0.2:2379")]),
            AdminRequest::Endpoints,
            AdminRequest::Defragment { endpoint: text("http://10.0.0.1:2379"), timeout: Duration::from_secs(45) },
        ]
    );
}

#[tokio::test]
async fn a_defragmentation_has_its_own_time_and_no_other() {
    let store = Arc::new(Administered { inner: backend(), asked: Mutex::default() });
    let kv = open(store as Arc<dyn Backend>, &Options::new().set("timeout", "10ms"));
    let mut options = CallOptions::default();
    options.timeout = Some(Duration::from_millis(10));
    let ask = |timeout| kv.admin_opts(AdminRequest::Defragment { endpoint: String::new(), timeout }, options.clone());
    ask(Duration::from_secs(45)).await.unwrap();
    let error = ask(Duration::from_millis(5)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Timeout, Retry::Safe));
}

#[tokio::test]
async fn what_is_set_on_a_store_is_what_it_answers() {
    let kv = store();
    assert_eq!((kv.get_lock_hold_duration(), kv.get_lock_try_duration()), (Duration::ZERO, DefaultLockTryDuration));
    kv.set_lock_hold_duration(Duration::from_secs(5));
    assert_eq!(kv.get_lock_hold_duration(), Duration::from_secs(5));
    kv.set_lock_hold_duration(Duration::ZERO);
    assert_eq!((kv.get_lock_hold_duration(), kv.lock_hold_duration()), (Duration::ZERO, None));

    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let inside = kv.clone();
    kv.set_fatal_cb(Arc::new(move |error| {
        inside.set_fatal_cb(Arc::new(|_| {}));
        told.send(error.kind().clone()).unwrap();
    }));
    let lock = kv.lock_with_timeout("job", "me", Duration::ZERO, Duration::from_millis(10)).await.unwrap();
    assert_eq!(crate::common::next(&mut heard).await, ErrLockHoldTimeoutTriggered);
    kv.unlock(&lock).await.unwrap();
}

#[tokio::test]
async fn a_wrapper_that_is_not_linked_is_an_error() {
    let kv = store();
    for error in [
        add_wrapper("Wrapper_Nothing", &kv, &Options::new()).unwrap_err(),
        remove_wrapper(Wrapper_None, &kv).unwrap_err(),
    ] {
        assert_eq!(*error.kind(), ErrorKind::UnknownWrapper, "{error}");
    }
}
