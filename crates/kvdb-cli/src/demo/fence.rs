//! One whose turn is over writes as if it were not: its fence refuses it.

use kvdb::prelude::*;

use super::report::{Proof, Shown, ensure};

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let (name, key) = (format!("{base}/desk"), format!("{base}/desk-log"));
    let first = kv.lock(&name).id("first").await?;
    let old = first.fence();
    kv.put(&key, "by the first").fenced_by(old.clone()).await?;
    first.release().await?;
    let second = kv.lock(&name).id("second").await?;
    let kept = kv.put(&key, "by the second").fence(&second).await?;
    let late = kv.put(&key, "by the first, too late").fenced_by(old.clone()).await;
    let read = kv.get(&key).await?;
    let token = second.fencing_token();
    second.release().await?;
    match late {
        Ok(pair) => {
            let at = pair.modified_index;
            return Err(
                format!("a holder whose turn was over (token {}) still wrote, at revision {at}", old.token()).into()
            );
        }
        Err(error) if *error.kind() == ErrorKind::LockLost => {}
        Err(error) => return Err(error.into()),
    }
    ensure!(read.is_some_and(|read| read.value == kept.value), "the write of the present holder does not stand");
    Ok(Proof::Held(format!(
        "the stale holder's write with token {} was refused (LockLost), that with token {token} stands",
        old.token()
    )))
}
