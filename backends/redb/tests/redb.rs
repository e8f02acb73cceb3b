//! The file store through the `Backend` trait.

#[cfg(test)]
#[path = "../../memory/tests/checks/mod.rs"]
mod checks;

#[cfg(test)]
#[path = "redb_parts/faults.rs"]
mod faults;

#[cfg(test)]
#[path = "redb_parts/restart.rs"]
mod restart;

use std::path::Path;
use std::sync::Arc;

use checks::{commit, kind, put, read, write};
use kvdb_core::{Backend as _, Bytes, ErrorKind, Guard, Op, Options, Outcome};
use kvdb_redb::{Durability, FACTORY, RedbBackend, RedbConfig};

fn config() -> RedbConfig {
    // The cheapest durable mode: what the tests are about holds in every mode.
    RedbConfig { durability: Durability::Fast, ..RedbConfig::default() }
}

#[cfg(test)]
async fn open(path: &Path) -> RedbBackend {
    RedbBackend::open(path, config()).await.unwrap()
}

#[tokio::test]
async fn every_check_of_the_shared_index_holds() {
    let directory = tempfile::tempdir().unwrap();
    let mut stores = 0..;
    let stores = std::cell::RefCell::new(&mut stores);
    checks::all(async || {
        let number = stores.borrow_mut().next().unwrap();
        open(&directory.path().join(format!("{number}.redb"))).await
    })
    .await;
}

#[tokio::test]
async fn every_durability_keeps_what_an_orderly_close_leaves() {
    let directory = tempfile::tempdir().unwrap();
    for mode in ["full", "fast", "none"] {
        let path = directory.path().join(mode).display().to_string();
        let connect = async || {
            let options = Options::new().set("durability", mode);
            (FACTORY.connect)(vec![path.clone()], options).await.unwrap()
        };
        let store = connect().await;
        for round in 0..20 {
            write(&*store, vec![put("a", &round.to_string())]).await;
        }
        store.close().await.unwrap();
        assert_eq!(read(&*connect().await, "a").await.unwrap().value.as_ref(), b"19");
    }
    let wrong = (FACTORY.connect)(vec!["x".into()], Options::new().set("durability", "most")).await.unwrap_err();
    assert_eq!(*wrong.kind(), ErrorKind::InvalidConfig);
    assert!(wrong.to_string().contains("durability"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_one_group_a_failing_guard_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory.path().join("a.redb")).await);
    for round in 0..20 {
        let name = format!("race/{round}");
        let tasks = (0..16).map(|task| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move {
                let raced = commit(&*store, vec![Guard::Absent(name.as_str().into())], vec![put(&name, "mine")]);
                let own = format!("own/{round}/{task}");
                let (raced, free) = tokio::join!(raced, write(&*store, vec![put(&own, "v")]));
                (raced.unwrap() != Outcome::Conflict, free)
            })
        });
        let (mut winners, mut revisions) = (0, std::collections::BTreeSet::new());
        for task in tasks.collect::<Vec<_>>() {
            let (won, revision) = task.await.unwrap();
            winners += u32::from(won);
            revisions.insert(revision);
        }
        assert_eq!((winners, revisions.len()), (1, 16));
    }
    assert_eq!(checks::revision(&*store).await.get(), 1 + 20 * 17);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_than_the_queue_holds_waits_and_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let small = RedbConfig { queue_bytes: 64 << 10, ..config() };
    let store = Arc::new(RedbBackend::open(directory.path().join("a.redb"), small).await.unwrap());
    let tasks: Vec<_> = (0..50)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let value = Bytes::from(vec![task; 100 << 10]);
                let op = Op::Put { key: format!("{task}").into(), value, lease: None, previous: false };
                write(&*store, vec![op]).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(read(&*store, "49").await.unwrap().value.len(), 100 << 10);
}

#[tokio::test]
async fn a_file_that_another_process_is_just_making_is_open_and_not_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    // As it is before the header is whole: locked, with room and no magic.
    let making = std::fs::File::create(&path).unwrap();
    making.lock().unwrap();
    making.set_len(1 << 20).unwrap();
    let early = RedbBackend::open(&path, config()).await.unwrap_err();
    assert_eq!(*early.kind(), ErrorKind::AlreadyOpen, "{early}");
}

#[tokio::test]
async fn a_file_whose_making_broke_off_is_made_anew_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("whole.redb");
    open(&path).await.close().await.unwrap();
    // What a kill leaves behind: room alone, or a header whose magic is not there yet.
    let room = vec![0; 1 << 20];
    let mut header = room.clone();
    header[..320].copy_from_slice(&std::fs::read(&path).unwrap()[..320]);
    header[..9].fill(0);
    for (name, broken_off) in [("room.redb", &room), ("header.redb", &header)] {
        let path = directory.path().join(name);
        std::fs::write(&path, broken_off).unwrap();
        let store = open(&path).await;
        write(&store, vec![put("a", "1")]).await;
        store.close().await.unwrap();
        assert_eq!(read(&open(&path).await, "a").await.unwrap().value.as_ref(), b"1");
    }
    // A header with anything behind it, and room of another shape, are somebody's.
    let mut data = header.clone();
    data[500_000] = 1;
    let mut other = room.clone();
    other[20] = 1;
    let foreign = [("data", data), ("other", other), ("short", room[..1000].to_vec()), ("large", vec![0; 8 << 20])];
    for (name, foreign) in foreign {
        let path = directory.path().join(name);
        std::fs::write(&path, &foreign).unwrap();
        let error = RedbBackend::open(&path, config()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
    }
}

#[tokio::test]
async fn one_handle_has_the_file_and_drop_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&path).await;
    let second = RedbBackend::open(&path, config()).await.unwrap_err();
    assert_eq!(*second.kind(), ErrorKind::AlreadyOpen);
    assert!(second.to_string().contains("a.redb") && second.to_string().contains("close it first"), "{second}");
    for round in 0..20 {
        write(&store, vec![put("a", &round.to_string())]).await;
    }
    drop(store);
    for _ in 0..20 {
        let again = open(&path).await;
        assert_eq!(read(&again, "a").await.unwrap().value.as_ref(), b"19");
        drop(again);
    }
}

#[tokio::test]
async fn a_wrong_path_says_what_to_do_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("notes.txt"), "do not touch").unwrap();
    std::fs::write(at("short"), "re").unwrap();
    std::fs::write(at("lies"), b"redb but not really, and long enough to be looked at".repeat(200)).unwrap();
    let cases = [
        ("none/a.redb", ErrorKind::InvalidConfig, "create it first"),
        (".", ErrorKind::InvalidConfig, "name a file"),
        ("notes.txt", ErrorKind::Corrupt, "move this one away"),
        ("short", ErrorKind::Corrupt, "move this one away"),
        ("lies", ErrorKind::Corrupt, "move it away"),
    ];
    for (name, expected, way_out) in cases {
        let before = std::fs::read(at(name)).ok();
        let error = RedbBackend::open(at(name), config()).await.unwrap_err();
        assert_eq!(*error.kind(), expected, "{error}");
        let text = error.to_string();
        assert!(text.contains(at(name).to_str().unwrap()) && text.contains(way_out), "{text}");
        assert_eq!(std::fs::read(at(name)).ok(), before, "{name} is as it was");
    }
    let two = (FACTORY.connect)(vec!["a".into(), "b".into()], Options::new()).await;
    assert_eq!(kind(two).await, ErrorKind::InvalidConfig);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(store);
}

#[tokio::test]
async fn foreign_databases_and_other_formats_are_refused_and_left_alone() {
    use redb::{Database, TableDefinition};
    const META: TableDefinition<'static, &str, u128> = TableDefinition::new("meta");
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.redb");
    {
        let database = Database::create(&foreign).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new("accounts")).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
    }
    let newer = directory.path().join("newer.redb");
    write(&open(&newer).await, vec![put("a", "1")]).await;
    let change = |number: Option<u128>| {
        let database = loop {
            // The store that was just dropped may still be closing.
            match Database::open(&newer) {
                Ok(database) => break database,
                Err(redb::DatabaseError::DatabaseAlreadyOpen) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            match number {
                Some(number) => meta.insert("format", number).map(drop).unwrap(),
                None => meta.remove("format").map(drop).unwrap(),
            }
        }
        transaction.commit().unwrap();
    };
    let refused = async |path: &Path, text: &str| {
        let error = RedbBackend::open(path, config()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(text) && error.to_string().contains(".redb"), "{error}");
    };
    refused(&foreign, "another program").await;
    change(Some(2));
    refused(&newer, "format 2").await;
    change(None);
    refused(&newer, "`format` is missing").await;
    change(Some(1));
    assert!(read(&open(&newer).await, "a").await.is_some(), "refusing did no harm");
}
