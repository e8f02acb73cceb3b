//! Directories that go away with this process, however it ends.
//!
//! One helper per process reads their names from a pipe. When we are gone the pipe ends, and it removes what is left: a
//! killed test would leave 64 MiB for each etcd member.

use crate::wait::lock;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

static HELPER: Mutex<Option<Child>> = Mutex::new(None);

/// The servers die while it removes their files, so one try may miss some.
const SCRIPT: &str = "trap '' HUP INT TERM; while IFS= read -r dir; do set -- \"$@\" \"$dir\"; done; \
    for _ in 1 2 3 4 5; do rm -rf -- \"$@\" && exit; sleep 0.1; done";

/// A fresh directory, removed when dropped, or when this process ends without dropping it.
pub(crate) fn directory(prefix: &str) -> io::Result<TempDir> {
    let dir = tempfile::Builder::new().prefix(prefix).tempdir()?;
    let mut helper = lock(&HELPER);
    if helper.is_none() {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        *helper = Some(command.spawn()?);
    }
    if let Some(pipe) = helper.as_mut().and_then(|helper| helper.stdin.as_mut()) {
        writeln!(pipe, "{}", dir.path().display())?;
    }
    Ok(dir)
}
