//! Two contenders for one lock.

use std::time::Duration;

use kvdb::prelude::*;
use tokio::task::JoinSet;

use super::report::{Proof, Shown, ensure};

/// How long the second one waits at most: the first one is gone much sooner.
const WAIT: Duration = Duration::from_secs(20);

pub(super) async fn show(kv: &Handle, base: &str) -> Shown {
    let name = format!("{base}/turn");
    let first = kv.lock(&name).id("first").wait(WAIT).await?;
    let token = first.fencing_token();
    match kv.try_lock(&name).id("second").await {
        Ok(second) => {
            let other = second.fencing_token();
            second.release().await?;
            return Err(format!("two held the lock at once, with tokens {token} and {other}").into());
        }
        Err(error) => match error.kind() {
            ErrorKind::LockTimeout { holder } => {
                let named = holder.as_deref() == Some("first");
                ensure!(named, "the one who was refused was told of the holder {holder:?}, not \"first\"");
            }
            _ => return Err(error.into()),
        },
    }
    let mut contender = JoinSet::new();
    {
        let (kv, name) = (kv.clone(), name.clone());
        contender.spawn(async move { kv.lock(&name).id("second").wait(WAIT).await });
    }
    first.release().await?;
    let second = match contender.join_next().await {
        Some(Ok(second)) => second?,
        _ => return Err("the second contender ended early".into()),
    };
    let next = second.fencing_token();
    second.release().await?;
    ensure!(token < next, "the tokens do not rise: {token}, then {next}");
    Ok(Proof::Held(format!(
        "\"second\" was refused while \"first\" held it with token {token}, waited, and got it with token {next}"
    )))
}
