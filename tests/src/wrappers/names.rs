use kvdb::ErrorKind;
use kvdb::prelude::*;
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

pub(super) async fn names(on: On) -> Proof {
    let kv = on.open().await?;
    let none = Options::new();
    // Absent ones, by each of their names.
    for name in ["log", "no-quorum", "Wrapper_Log", "Wrapper_NoQuorum"] {
        kv.remove_wrapper(name)?;
    }
    ensure_eq!(kv.wrappers(), Vec::<&str>::new());
    // A second one, whatever it is called.
    kv.add_wrapper("log", &none)?;
    for name in ["log", "Wrapper_Log"] {
        let error = expect_kind(kv.add_wrapper(name, &none), &ErrorKind::InvalidArgument)?;
        ensure!(error.to_string().contains("`log`"), "{error} does not name it");
    }
    kv.add_wrapper("Wrapper_NoQuorum", &Options::new().set("auto", true))?;
    expect_kind(kv.add_wrapper("no-quorum", &none), &ErrorKind::InvalidArgument)?;
    ensure_eq!(kv.wrappers(), ["no-quorum", "log"]);
    ensure!(kv.put("k", "1").await.is_ok(), "a wrapper that was refused is on");
    // An unknown one lists the known.
    for name in ["metrics", "", "LOG", "no_quorum", "log\n"] {
        for error in [
            expect_kind(kv.add_wrapper(name, &none), &ErrorKind::UnknownWrapper)?,
            expect_kind(kv.remove_wrapper(name), &ErrorKind::UnknownWrapper)?,
        ] {
            let text = error.to_string();
            ensure!(text.contains("log, no-quorum") && !text.contains('\n'), "{text:?}");
        }
    }
    // Removed by an alias, and again.
    kv.remove_wrapper("Wrapper_Log")?;
    kv.remove_wrapper("log")?;
    ensure_eq!(kv.wrappers(), ["no-quorum"]);
    kv.add_wrapper("log", &none)?;
    ensure_eq!(kv.wrappers(), ["no-quorum", "log"]);
    Ok(())
}

pub(super) async fn options(on: On) -> Proof {
    let kv = on.open().await?;
    for (name, option, value, meant) in [
        ("log", "log_pth", "/tmp/x", Some("log_path")),
        ("log", "auto", "true", None),
        ("log", "log_path", "/no/such/directory/calls.log", None),
        ("log", "log_path", "/", None),
        ("no-quorum", "atuo", "true", Some("auto")),
        ("no-quorum", "auto", "perhaps", Some("auto")),
        ("no-quorum", "probe", "soon", Some("probe")),
        ("no-quorum", "unreachable", "-1s", Some("unreachable")),
    ] {
        let error = expect_kind(kv.add_wrapper(name, &Options::new().set(option, value)), &ErrorKind::InvalidConfig)?;
        ensure!(meant.is_none_or(|meant| error.to_string().contains(meant)), "{error} does not name {meant:?}");
        ensure_eq!(kv.wrappers(), Vec::<&str>::new(), "after {name} with {option}={value}");
    }
    kv.put("k", "1").await?;
    Ok(())
}
