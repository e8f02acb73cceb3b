//! A value comes back as it was written.

use kvdb::prelude::*;

use super::report::{Proof, Shown, ensure};

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let key = &format!("{base}/greeting");
    ensure!(kv.get(key).await?.is_none(), "a key that nobody wrote is there");
    let created = kv.put(key, "hello").await?;
    let set = kv.put(key, "good day").await?;
    ensure!(created.action == KvAction::Create && set.action == KvAction::Set, "a first and a second write look alike");
    let (first, second) = (created.modified_index, set.modified_index);
    ensure!(first < second, "revision {second} came after revision {first}");
    let read = kv.get(key).await?.ok_or("a key that was written is absent")?;
    ensure!(
        read.text() == Some("good day") && read.modified_index == second && read.created_index == first,
        "the key did not come back as it was written"
    );
    Ok(Proof::Held(format!("\"good day\" came back as written; revisions rise: created at {first}, set at {second}")))
}
