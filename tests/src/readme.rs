//! README's feature tables: they have every name of the Go libraries, and every trial that they name exists.

use std::collections::BTreeSet;

const README: &str = include_str!("../../README.md");

/// The headings of the sections that have a table, and the names that it has.
const TABLES: &[(&str, &str)] = &[
    ("## Coming from portworx/kvdb", PORTWORX),
    ("## Coming from hmetcd", HMETCD),
    ("## Coming from code-server", CODE_SERVER),
    ("## Coming from lainlet", LAINLET),
];

/// What portworx/kvdb exports.
const PORTWORX: &str = "
    New Register DatastoreInit DatastoreVersion RegisterWrapper WrapperInit AddWrapper RemoveWrapper WrapperName
    Wrapper_None Wrapper_Log Wrapper_NoQuorum KvdbWrapper WrappedKvdb SetWrappedKvdb Removed SetInstance Instance
    Version LogFatalErrorCB FatalErrorCB SetFatalCb SetLockHoldDuration GetLockHoldDuration GetLockTryDuration KVPair
    KVPairs KVAction KVFlags Capabilities KVCapabilityOrderedUpdates Get GetVal GetWithCopy Put Create Update Delete
    DeleteTree Keys Enumerate EnumerateWithSelect EnumerateKVPWithSelect CopySelect EnumerateSelect EnumerateKVPSelect
    CopyKVPSelect CompareAndSet CompareAndDelete WatchKey WatchTree WatchCB Snapshot SnapPut TxNew Tx Prepare Commit
    Abort NewUpdatesCollector UpdatesCollector ReplayUpdates ReplayCb Lock LockWithID LockWithTimeout IsKeyLocked Unlock
    Serialize Deserialize Compact AddUser RemoveUser GrantUserAccess RevokeUsersAccess PermissionType Controller
    AddMember AddLearner RemoveMember RemoveMemberByID UpdateMember ListMembers SetEndpoints GetEndpoints Defragment
    MemberInfo ControllerNotSupported PeerPort ClientPort Username Password CAFile CertFile CertKeyFile TrustedCAFile
    ClientCertAuth RetryCount ACLToken CAAuthAddress InsecureSkipVerify TransportScheme LogPathOption
";

/// What hmetcd exports.
const HMETCD: &str = "
    Open Close Kvi Kvi_KV Kvs_etcd Kvs_mem DistLock DistTimedLock DistUnlock Store TempKey Get GetRange Delete Transaction
    TAS Watch WatchWithCB WatchCBCancel WatchCBFunc WatchCBHandle KVC_KEYCHANGE_INVAL KVC_KEYCHANGE_PUT
    KVC_KEYCHANGE_DELETE DIST_LOCK_KEY KvcLockResult KVC_LOCK_RSLT_INVALID KVC_LOCK_SET_FAIL KVC_LOCK_OCCUPIED
    KVC_LOCK_GRANTED KVC_LOCK_RELEASE_FAIL KVC_LOCK_RELEASED
";

/// What code-server's package exports.
const CODE_SERVER: &str = "
    WaitFor WatchPrefix KVTransform PersistentLease NewPersistentLease Close Key SetValue Snapshot Tree
";

/// What lainlet's store exports.
const LAINLET: &str = "
    Register New CreateEndpoints Initializer Store Get GetTree Put Delete Exists Watch WatchTree List Close KVPair Event
    Action ERROR GET SET UPDATE DELETE INIT ErrBackendNotSupported ErrCallNotSupported ErrNotReachable ErrCannotLock
    ErrKeyModified ErrKeyNotFound ErrPreviousNotSpecified ErrKeyExists
";

/// The trial that compares the tables with the names of all trials, `extra` beside those of the suite.
#[must_use]
pub fn trial(extra: Vec<String>) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test("readme: the feature tables have every name, and their trials exist", move || {
        let suite = kvdb_testsuite::trials().map(|trial| trial.name.to_owned());
        let trials = suite.chain(extra.iter().map(|name| without_store(name).to_owned())).collect();
        let mut tables = TABLES.iter();
        tables
            .try_for_each(|(section, names)| compare(README, section, names, &trials))
            .map_err(libtest_mimic::Failed::from)
    })
}

/// The name of a trial without the store that it runs on.
fn without_store(name: &str) -> &str {
    name.strip_suffix(']').and_then(|name| name.rsplit_once(" [")).map_or(name, |(name, _)| name)
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn compare(readme: &str, heading: &str, names: &str, trials: &BTreeSet<String>) -> Result<(), String> {
    let (_, section) = readme.split_once(heading).ok_or(format!("README has no section {heading:?}"))?;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut told = BTreeSet::new();
    // The first two lines are the head.
    for row in section.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [theirs, _ours, proofs] = cells.as_slice() else {
            return Err(format!("a row without three cells: {row}"));
        };
        told.extend(quoted(theirs));
        if quoted(proofs).next().is_none() {
            return Err(format!("a row without a trial: {row}"));
        }
        if let Some(proof) = quoted(proofs).find(|proof| !trials.contains(*proof)) {
            return Err(format!("the table of {heading:?} names a trial that does not exist: {proof}"));
        }
    }
    match names.split_whitespace().find(|name| !told.contains(name)) {
        Some(name) => Err(format!("the table of {heading:?} lacks {name}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(rows: &str) -> Result<(), String> {
        let readme = format!("# Title\n\n## Coming\n\n| a | b | c |\n|---|---|---|\n{rows}\n\n## Next\n\n| x |\n");
        compare(&readme, "## Coming", "Get Put", &BTreeSet::from(["3.1 get".to_owned(), "3.5 put".to_owned()]))
    }

    #[test]
    fn every_name_needs_a_row_and_every_row_a_trial_that_exists() {
        assert_eq!(compared("| `Get` | get | `3.1 get` |\n| `Put` | put | `3.5 put`, `3.1 get` |"), Ok(()));
        assert!(compared("| `Get` | get | `3.1 get` |").unwrap_err().contains("lacks Put"));
        assert!(compared("| `Get`, `Put` | get | `3.1 get`, `3.2 gone` |").unwrap_err().contains("3.2 gone"));
        assert!(compared("| `Get`, `Put` | get | proved |").unwrap_err().contains("without a trial"));
        assert!(compare("# Title", "## Coming", "", &BTreeSet::new()).is_err());
    }

    #[test]
    fn a_trial_is_named_without_its_store() {
        assert_eq!(without_store("portworx: new [mem]"), "portworx: new");
        assert_eq!(without_store("10.8 version"), "10.8 version");
    }
}
