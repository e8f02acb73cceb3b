use super::*;

#[tokio::test]
async fn a_transaction_is_one_cut_and_deletions_come_last() {
    let store = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    drop(commit(&store, vec![], vec![put(&key("a"), "1"), put(&key("b"), "1")]).await);
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    let ops = vec![delete(&key("a")), put(&key("z/new/dir"), "2"), put(&key("b"), "2")];
    let Outcome::Committed { revision, .. } = commit(&store, vec![], ops).await else { panic!("a conflict") };
    let (at, told) = cut(&mut feed).await;
    assert_eq!(at, revision);
    assert_eq!(told, [format!("+{place}b=2"), format!("+{place}z/new/dir=2"), format!("-{place}a")]);
    // A neighbour whose name begins alike is not in the directory, and a guard on an absent key leaves no trace.
    drop(written(&store, vec![], put(&Key::from(place.trim_end_matches('/')), "x")).await);
    drop(written(&store, vec![Guard::Absent(key("guarded"))], put(&key("b"), "3")).await);
    assert_eq!(cut(&mut feed).await.1, [format!("+{place}b=3")]);
    let (revision, _) = deleted(&store, &key("b")).await;
    assert_eq!(cut(&mut feed).await, (revision, vec![format!("-{place}b")]));
}

#[tokio::test]
async fn a_key_that_is_not_there_yet_can_be_watched() {
    let store = open().await;
    let key = Key::from(format!("{}a/b/k", place()));
    let mut feed = watch(&store, KeyRange::single(key.clone()), None).await;
    let entry = written(&store, vec![], put(&key, "1")).await;
    drop(written(&store, vec![], put(&Key::from(format!("{key}/below")), "1")).await);
    assert_eq!(cut(&mut feed).await, (entry.modified, vec![format!("+{key}=1")]));
    let (revision, _) = deleted(&store, &key).await;
    assert_eq!(cut(&mut feed).await, (revision, vec![format!("-{key}")]));
}

/// What happens while nobody tells it, and what is told of it afterwards.
struct Absence {
    beside: ZooKeeperBackend,
    place: String,
    old: Entry,
}

impl Absence {
    async fn before() -> Self {
        let (beside, place) = (open().await, place());
        let old = written(&beside, vec![], put(&Key::from(format!("{place}again")), "1")).await;
        drop(written(&beside, vec![], put(&Key::from(format!("{place}gone")), "1")).await);
        Self { beside, place, old }
    }

    fn range(&self) -> KeyRange {
        KeyRange::prefix(self.place.as_bytes())
    }

    fn key(&self, name: &str) -> Key {
        Key::from(format!("{}{name}", self.place))
    }

    async fn meanwhile(&self) -> [Entry; 2] {
        drop(deleted(&self.beside, &self.key("gone")).await);
        drop(deleted(&self.beside, &self.key("again")).await);
        let again = written(&self.beside, vec![], put(&self.key("again"), "2")).await;
        [again, written(&self.beside, vec![], put(&self.key("new"), "3")).await]
    }

    async fn told(&self, feed: &mut Feed, [again, new]: [Entry; 2]) {
        let Changes::Batch { revision, changes } = next(feed).await.unwrap() else { panic!("no cut") };
        assert!(revision >= new.modified);
        let expected = [
            // Deleted and made again is one put with the new incarnation.
            Change::Put { entry: again, previous: Some(self.old.clone()) },
            Change::Put { entry: new, previous: None },
        ];
        assert_eq!(changes[..2], expected);
        assert!(
            matches!(&changes[2..], [Change::Delete { key, previous: Some(_), .. }] if *key == self.key("gone")),
            "{changes:?}"
        );
        // It goes on as ever.
        let last = written(&self.beside, vec![], put(&self.key("new"), "4")).await;
        assert_eq!(cut(feed).await, (last.modified, vec![format!("+{}=4", self.key("new"))]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_connection_is_cut_is_told_in_one_cut() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ZooKeeperConfig::default()).await;
    let absence = Absence::before().await;
    let mut feed = watch(&store, absence.range(), None).await;
    proxy.cut().unwrap();
    let changed = absence.meanwhile().await;
    proxy.heal().unwrap();
    absence.told(&mut feed, changed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_until_the_session_has_expired_is_told_in_one_cut_by_the_next_one() {
    let (proxy, address) = proxy();
    let second = Duration::from_secs(1);
    let config = ZooKeeperConfig { session_timeout: second, dial_timeout: second / 2, ..ZooKeeperConfig::default() };
    let before = server().sessions().unwrap();
    let store = open_at(&[address], &config).await;
    let absence = Absence::before().await;
    let mut feed = watch(&store, absence.range(), None).await;
    let ours: Vec<i64> = server().sessions().unwrap().difference(&before).copied().collect();
    proxy.cut().unwrap();
    let changed = absence.meanwhile().await;
    // One of them is the session of the store; the others live on or are somebody else's.
    until("a session of ours has expired", || async {
        let now = server().sessions().unwrap();
        ours.iter().any(|session| !now.contains(session))
    })
    .await;
    proxy.heal().unwrap();
    absence.told(&mut feed, changed).await;
    assert_eq!(get(&store, &absence.key("new")).await.unwrap().value, "4");
}

#[tokio::test]
async fn the_past_is_granted_only_if_nothing_has_changed_since() {
    let store = open().await;
    let place = place();
    let range = KeyRange::prefix(place.as_bytes());
    let (a, b) = (Key::from(format!("{place}a")), Key::from(format!("{place}b")));
    let first = written(&store, vec![], put(&a, "1")).await;
    let second = written(&store, vec![], put(&b, "1")).await;
    let spec = |after| WatchSpec::new(range.clone(), Some(after), false);
    let refused = kind(store.watch(&spec(first.modified))).await;
    assert!(matches!(refused, ErrorKind::Compacted { oldest } if oldest >= second.modified), "{refused:?}");
    let mut feed = watch(&store, range.clone(), Some(second.modified)).await;
    assert!(matches!(next(&mut feed).await.unwrap(), Changes::Progress(at) if at >= second.modified));
    let (revision, _) = deleted(&store, &a).await;
    assert_eq!(cut(&mut feed).await, (revision, vec![format!("-{a}")]));
    assert!(matches!(kind(store.watch(&spec(second.modified))).await, ErrorKind::Compacted { .. }));
    // Writes elsewhere are no change here.
    let elsewhere = written(&store, vec![], put(&Key::from(format!("{}x", super::place())), "1")).await;
    let mut feed = watch(&store, range.clone(), Some(elsewhere.modified)).await;
    assert!(matches!(next(&mut feed).await.unwrap(), Changes::Progress(at) if at >= elsewhere.modified));
    // Not even this handle has seen it, but it is there.
    let beside = written(&open().await, vec![], put(&Key::from(format!("{}x", super::place())), "1")).await;
    drop(watch(&store, range.clone(), Some(beside.modified)).await);
    let far = Revision::new(beside.modified.get() + 1_000_000_000);
    assert!(matches!(kind(store.watch(&spec(far))).await, ErrorKind::FutureRevision { current } if current < far));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_gets_the_last_state_of_every_key() {
    let store = open().await;
    let place = place();
    let mut feed = watch(&store, KeyRange::prefix(place.as_bytes()), None).await;
    let key = |n: usize| Key::from(format!("{place}{}", n % 10));
    let mut last = Revision::ZERO;
    for n in 0..1000 {
        last = written(&store, vec![], put(&key(n), &n.to_string())).await.modified;
    }
    let (mut steps, mut state) = (0, std::collections::BTreeMap::new());
    loop {
        let Changes::Batch { revision, changes } = next(&mut feed).await.unwrap() else { panic!("no cut") };
        for change in changes {
            let Change::Put { entry, .. } = change else { panic!("{change:?}") };
            state.insert(entry.key.to_string(), String::from_utf8_lossy(&entry.value).into_owned());
        }
        steps += 1;
        if revision == last {
            break;
        }
    }
    assert!(steps < 20, "{steps} steps waited for the reader");
    assert_eq!(state.into_values().collect::<Vec<_>>(), (990..1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_handle_ends_its_feeds_and_refuses_calls() {
    let store = open().await;
    let mut feed = watch(&store, KeyRange::prefix(place().as_bytes()), None).await;
    store.close().await.unwrap();
    assert_eq!(*next(&mut feed).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(feed.changes.next().await.is_none());
    assert_eq!(kind(store.get(&"k".into(), &Read::default())).await, ErrorKind::Closed);
    assert_eq!(kind(store.commit(&Batch::default())).await, ErrorKind::Closed);
    assert_eq!(kind(store.grant(Duration::from_secs(10))).await, ErrorKind::Closed);
}
