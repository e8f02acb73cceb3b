use std::time::Duration;

use kvdb_core::portworx::Portworx;
use kvdb_core::{Error, ErrorKind, Options};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure_eq};

pub(super) async fn select(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for at in 0..20_u32 {
        Portworx::put(&kv, &format!("d/{at:02}"), at.to_string().as_str(), 0).await?;
    }
    Portworx::put(&kv, "d", "beside", 0).await?;
    Portworx::put(&kv, "da/00", "beside", 0).await?;
    let numbers = |value: &kvdb_core::Bytes| String::from_utf8_lossy(value).parse::<u32>().unwrap_or(u32::MAX);
    let mut offered = Vec::new();
    let tens = kv
        .enumerate_with_select(
            "d",
            |value| {
                offered.push(numbers(value));
                numbers(value) >= 15
            },
            |value| numbers(value) * 10,
        )
        .await?;
    ensure_eq!(tens, [150, 160, 170, 180, 190], "what was selected and copied");
    ensure_eq!(offered, (0..20).collect::<Vec<_>>(), "what select was asked about");
    let mut copied = 0;
    let pairs = kv
        .enumerate_kvp_with_select(
            "d",
            |pair, value| pair.key.ends_with('3') && *value == pair.value,
            |pair, value| {
                copied += 1;
                let mut copy = pair.clone();
                copy.value = [value.as_ref(), b"!"].concat().into();
                copy
            },
        )
        .await?;
    let shown: Vec<(&str, &[u8])> = pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_ref())).collect();
    ensure_eq!(shown, [("d/03", &b"3!"[..]), ("d/13", &b"13!"[..])]);
    ensure_eq!(copied, 2, "copies made");
    ensure_eq!(kv.enumerate_with_select("nothing", |_| true, numbers).await?, [0; 0]);
    ensure_eq!(kv.enumerate_with_select("d", |_| false, numbers).await?, [0; 0]);
    Ok(())
}

pub(super) async fn select_errors(ctx: Ctx) -> Proof {
    let refuse = |call: &Call| match call {
        Call::List(_) => Fault::Refuse(Error::new(ErrorKind::Unavailable, "broken for the trial")),
        _ => Fault::None,
    };
    let options = Options::new().timeout(Duration::from_millis(300));
    let kv = ctx.open_over(options, |inner| Faulty::new(inner, refuse)).await?;
    Portworx::put(&kv, "d/k", "1", 0).await?;
    expect_kind(kv.enumerate_with_select("d", |_| true, |value| value.clone()).await, &ErrorKind::Unavailable)?;
    let all = kv.enumerate_kvp_with_select("d", |_, _| true, |pair, _| pair.clone()).await;
    expect_kind(all, &ErrorKind::Unavailable)?;
    expect_kind(kv.enumerate_with_select("..", |_| true, |value| value.clone()).await, &ErrorKind::InvalidArgument)?;
    Ok(())
}
