//! What others do at the same time. `KVDB_TEST_ROUNDS` says how often, 300 times unless set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn rounds() -> usize {
    std::env::var("KVDB_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300)
}

/// How long the line of who races holds each piece back: in the meantime a key is often deleted and made anew.
const LATE: Duration = Duration::from_millis(1);

/// A key is left alone for so long at most, now less and now more, before it is deleted again.
const PAUSE_US: u64 = 20_000;

/// Deletes a key and makes it anew until this is stopped.
struct Maker {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Maker {
    async fn start(key: &Key) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (store, key, done) = (open().await, key.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                drop(deleted(&store, &key).await);
                drop(written(&store, vec![], put(&key, "fresh")).await);
                tokio::time::sleep(Duration::from_micros(rand::random::<u64>() % PAUSE_US)).await;
            }
        });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_write_never_meets_another_incarnation() {
    let key = Key::from(format!("{}k", place()));
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ZooKeeperConfig::default()).await;
    proxy.delay(LATE);
    let maker = Maker::start(&key).await;
    let (mut won, mut tries) = (0, 0);
    while tries < rounds() || won == 0 {
        tries += 1;
        let Some(entry) = get(&store, &key).await else { continue };
        let guard = Guard::Unchanged(key.clone(), entry.modified);
        let op = Op::Put { key: key.clone(), value: "guarded".into(), lease: None, previous: true };
        if let Outcome::Committed { results, .. } = commit(&store, vec![guard], vec![op]).await {
            let [OpResult::Put { entry: after, previous }] = &results[..] else { panic!("{results:?}") };
            assert_eq!(after.created, entry.created, "another incarnation was written");
            assert_eq!(previous.as_ref(), Some(&entry));
            won += 1;
        }
    }
    maker.stop().await;
    println!("{tries} tries, {won} guarded writes, 0 to another incarnation");
}

/// The race is one: ZooKeeper's own condition, which is a version of data that begins anew, loses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_a_version_alone_meets_another_incarnation() {
    let place = place();
    let leaf = format!("/{place}k=");
    let (proxy, address) = proxy();
    let client = Client::connect(&address).await.unwrap();
    proxy.delay(LATE);
    let maker = Maker::start(&Key::from(format!("{place}k"))).await;
    let (mut won, mut met, mut tries) = (0, 0, 0);
    let racing = async {
        while tries < rounds() || met == 0 {
            tries += 1;
            // As a guarded write does: it was read once, and must be the same still.
            let Ok((_, before)) = client.get_data(&leaf).await else { continue };
            let Ok((_, again)) = client.get_data(&leaf).await else { continue };
            if again.mzxid != before.mzxid {
                continue;
            }
            if let Ok(after) = client.set_data(&leaf, b"guarded", Some(before.version)).await {
                won += 1;
                met += usize::from(after.czxid != before.czxid);
            }
        }
    };
    // Nothing else ends it: it is to be met.
    tokio::time::timeout(SOON.max(Duration::from_millis(50) * u32::try_from(rounds()).unwrap()), racing)
        .await
        .expect("another incarnation is met");
    maker.stop().await;
    println!("{tries} tries, {won} writes by a version alone, {met} to another incarnation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_raced_has_one_winner() {
    let place = place();
    let stores = [open().await, open().await, open().await];
    for n in 0..rounds() / 10 {
        let key = Key::from(format!("{place}d{n}/k"));
        let batch = Batch { guards: vec![Guard::Absent(key.clone())], ops: vec![put(&key, "1")] };
        let racing = stores.iter().map(|store| store.commit(&batch));
        let outcomes = futures_util::future::join_all(racing).await;
        let won = outcomes.into_iter().filter(|outcome| matches!(outcome, Ok(Outcome::Committed { .. }))).count();
        assert_eq!(won, 1);
    }
}

/// The `n` of every value in the half-open state, which must be one and the same.
fn whole(state: &BTreeMap<String, String>) {
    let mut values: Vec<&String> = state.values().collect();
    values.dedup();
    assert!(values.len() <= 1, "half of a transaction: {state:?}");
    assert!(state.is_empty() || state.len() == 6, "half of a transaction: {state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cut_is_torn_while_others_write_make_and_delete_keys() {
    let place = place();
    let range = KeyRange::prefix(format!("{place}set/").as_bytes());
    let set = format!("{place}set");
    let key = move |n: usize| Key::from(format!("{set}/{}/{n}", n % 3));
    let store = open().await;
    let mut feed = watch(&store, range.clone(), None).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, done, beside) = (open().await, Arc::clone(&stop), place.clone());
    let writing = tokio::spawn(async move {
        for n in 0.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            // All six are written, and deleted every fifth time; something new is made below the same directory always.
            let ops = (0..6).map(|at| match n % 5 {
                4 => delete(&key(at)),
                _ => put(&key(at), &n.to_string()),
            });
            drop(commit(&writer, vec![], ops.collect()).await);
            drop(written(&writer, vec![], put(&Key::from(format!("{beside}other/{n}")), "1")).await);
        }
        let ops = (0..6).map(|at| put(&key(at), "end")).collect();
        drop(commit(&writer, vec![], ops).await);
    });
    let reading = async {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < rounds() / 3 {
            let (entries, revision) = listed(&store, &range).await;
            whole(
                &entries
                    .iter()
                    .map(|entry| (entry.key.to_string(), String::from_utf8_lossy(&entry.value).into_owned()))
                    .collect(),
            );
            seen.insert(revision);
        }
        stop.store(true, Ordering::Relaxed);
    };
    let following = async {
        let (mut state, mut last) = (BTreeMap::new(), Revision::ZERO);
        while state.values().next().is_none_or(|value| value != "end") {
            let Changes::Batch { revision, changes } = next(&mut feed).await.unwrap() else { panic!("no cut") };
            assert!(revision > last);
            for change in changes {
                match change {
                    Change::Put { entry, .. } => {
                        assert!(entry.modified > last && entry.modified <= revision);
                        state.insert(entry.key.to_string(), String::from_utf8_lossy(&entry.value).into_owned());
                    }
                    Change::Delete { key, .. } => assert!(state.remove(&key.to_string()).is_some(), "{key}"),
                }
            }
            whole(&state);
            last = revision;
        }
    };
    tokio::join!(reading, following);
    writing.await.unwrap();
}
