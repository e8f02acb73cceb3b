use std::time::Duration;

use kvdb_core::{Bytes, ErrorKind, Handle, KvFlags, KvPair, KvdbExt, Revision};

use crate::help::{eventually, expect_kind};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq, fail};

/// What became of the key since the pair was read.
const STATES: &[&str] = &["unchanged", "written", "equal value written", "re-created", "deleted", "never there"];

/// Brings the key into a state; answers the pair as it was read before, and the pair that is there now.
async fn arrange(kv: &Handle, state: &str) -> Proof<(KvPair, Option<KvPair>)> {
    kv.delete_tree("").await?;
    if state == "never there" {
        let mut pair = KvPair::new("k", "old");
        // A revision that no write of this key has.
        pair.modified_index = kv.put("elsewhere", "1").await?.modified_index;
        pair.created_index = pair.modified_index;
        return Ok((pair, None));
    }
    kv.put("k", "older").await?;
    let read = kv.put("k", "old").await?;
    match state {
        "written" => drop(kv.put("k", "new").await?),
        "equal value written" => drop(kv.put("k", "old").await?),
        "re-created" => {
            kv.delete("k").await?;
            kv.put("k", "old").await?;
        }
        "deleted" => drop(kv.delete("k").await?),
        _ => {}
    }
    Ok((read, kv.get("k").await?))
}

/// The errors of the conditions that fail, by the table: empty when all hold.
fn failing(pair: &KvPair, flags: KvFlags, value: Option<&Bytes>, found: Option<&KvPair>) -> Vec<ErrorKind> {
    let mut errors = Vec::new();
    let absent = |errors: &mut Vec<ErrorKind>| errors.push(ErrorKind::NotFound);
    if flags.contains(KvFlags::PREV_EXISTS) && found.is_none() {
        absent(&mut errors);
    }
    if flags.contains(KvFlags::MODIFIED_INDEX) {
        match found {
            Some(_) if pair.modified_index == 0 => errors.push(ErrorKind::AlreadyExists),
            None if pair.modified_index == 0 => {}
            None => absent(&mut errors),
            Some(found) if found.modified_index != pair.modified_index => errors.push(ErrorKind::Modified),
            Some(_) => {}
        }
    }
    if flags.contains(KvFlags::CREATED_INDEX) {
        match found {
            None => absent(&mut errors),
            Some(found) if found.created_index != pair.created_index => errors.push(ErrorKind::Modified),
            Some(_) => {}
        }
    }
    if let Some(value) = value {
        match found {
            None => absent(&mut errors),
            Some(found) if found.value != value => errors.push(ErrorKind::ValueMismatch),
            Some(_) => {}
        }
    }
    errors
}

/// Every combination of flags, whether the pair's modified index is 0, and whether a previous value is given.
fn combinations() -> impl Iterator<Item = (KvFlags, bool, Option<Bytes>)> {
    let flags = [KvFlags::PREV_EXISTS, KvFlags::CREATED_INDEX, KvFlags::MODIFIED_INDEX];
    (0..8_u32).flat_map(move |bits| {
        let chosen = flags.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, flag)| *flag).collect();
        [None, Some(Bytes::from("old")), Some(Bytes::new())]
            .into_iter()
            .flat_map(move |value| [(chosen, false, value.clone()), (chosen, true, value)])
    })
}

async fn table(ctx: &Ctx, delete: bool) -> Proof {
    let kv = ctx.open().await?;
    for state in STATES {
        for (flags, zero, value) in combinations() {
            // compare_and_delete takes no value beside the pair's own, which it compares without a flag.
            if delete && value.is_some() || zero && !flags.contains(KvFlags::MODIFIED_INDEX) {
                continue;
            }
            let (mut pair, found) = arrange(&kv, state).await?;
            let case = format!("{state}, {flags:?}, modified index 0: {zero}, previous value {value:?}");
            if zero {
                pair.modified_index = Revision::ZERO;
            }
            let compared = if delete && flags.is_empty() { Some(pair.value.clone()) } else { value.clone() };
            let answer = if delete {
                kv.compare_and_delete(&pair, flags).await
            } else {
                pair.value = "set".into();
                kv.compare_and_set(&pair, flags, value.clone()).await
            };
            let errors = failing(&pair, flags, compared.as_ref(), found.as_ref());
            // No condition at all, an absent and a present key at once, or the deletion of an absent key.
            let senseless = flags.is_empty() && compared.is_none()
                || zero && (delete || compared.is_some() || flags != KvFlags::MODIFIED_INDEX);
            let now = kv.get("k").await?;
            match answer {
                Err(error) if senseless => ensure_eq!(*error.kind(), ErrorKind::InvalidArgument, "{case}"),
                Ok(answer) if senseless => fail!("{case}: expected InvalidArgument, the answer is {answer:?}"),
                Ok(answer) => {
                    ensure!(errors.is_empty(), "{case}: it was written though {errors:?}");
                    if delete {
                        ensure_eq!(now, None, "{case}: what is left");
                        let old = found.as_ref().map(|pair| (pair.value.clone(), pair.created_index));
                        ensure_eq!(Some((answer.value, answer.created_index)), old, "{case}: the deleted pair");
                    } else {
                        let value = now.as_ref().map(|pair| pair.value.clone());
                        ensure_eq!(value, Some("set".into()), "{case}: the value");
                        ensure_eq!(now.map(|pair| pair.modified_index), Some(answer.modified_index), "{case}");
                    }
                    continue;
                }
                Err(error) => ensure!(errors.contains(error.kind()), "{case}: {error:?} is none of {errors:?}"),
            }
            let untouched = |pair: &Option<KvPair>| pair.as_ref().map(|pair| pair.modified_index);
            ensure_eq!(untouched(&now), untouched(&found), "{case}: a refused call changed the key");
        }
    }
    Ok(())
}

pub(super) async fn set_table(ctx: Ctx) -> Proof {
    table(&ctx, false).await
}

pub(super) async fn delete_table(ctx: Ctx) -> Proof {
    table(&ctx, true).await
}

/// The rows of the table one by one, written out: the table's own trial computes what it expects.
pub(super) async fn set_errors(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let absent = KvPair::new("k", "v");
    let mut at_seven = absent.clone();
    at_seven.modified_index = 7.into();
    at_seven.created_index = 7.into();
    let rows: &[(KvFlags, &KvPair, Option<Bytes>, ErrorKind)] = &[
        (KvFlags::MODIFIED_INDEX, &at_seven, None, ErrorKind::NotFound),
        (KvFlags::CREATED_INDEX, &at_seven, None, ErrorKind::NotFound),
        (KvFlags::PREV_EXISTS, &absent, None, ErrorKind::NotFound),
        (KvFlags::empty(), &absent, Some("v".into()), ErrorKind::NotFound),
        (KvFlags::empty(), &absent, None, ErrorKind::InvalidArgument),
        (KvFlags::TTL, &absent, None, ErrorKind::InvalidArgument),
    ];
    for (flags, pair, value, kind) in rows {
        let error = expect_kind(kv.compare_and_set(pair, *flags, value.clone()).await, kind)?;
        ensure_eq!(error.key(), Some("k"), "the key of the error of {flags:?}");
    }
    let made = kv.compare_and_set(&absent, KvFlags::MODIFIED_INDEX, None).await?;
    ensure_eq!(made.action, kvdb_core::KvAction::Create, "index 0 creates");
    let mut wrong = made.clone();
    wrong.modified_index = made.modified_index.next();
    wrong.created_index = made.created_index.next();
    let rows: &[(KvFlags, &KvPair, Option<Bytes>, ErrorKind)] = &[
        (KvFlags::MODIFIED_INDEX, &wrong, None, ErrorKind::Modified),
        (KvFlags::MODIFIED_INDEX, &absent, None, ErrorKind::AlreadyExists),
        (KvFlags::CREATED_INDEX, &wrong, None, ErrorKind::Modified),
        (KvFlags::empty(), &made, Some("w".into()), ErrorKind::ValueMismatch),
        (KvFlags::PREV_EXISTS, &made, Some("w".into()), ErrorKind::ValueMismatch),
        (KvFlags::MODIFIED_INDEX, &made, Some("w".into()), ErrorKind::ValueMismatch),
        (KvFlags::MODIFIED_INDEX, &wrong, Some("v".into()), ErrorKind::Modified),
    ];
    for (flags, pair, value, kind) in rows {
        expect_kind(kv.compare_and_set(pair, *flags, value.clone()).await, kind)?;
    }
    let set = kv.compare_and_set(&made, KvFlags::MODIFIED_INDEX | KvFlags::CREATED_INDEX, Some("v".into())).await?;
    ensure!(set.modified_index > made.modified_index, "a compare_and_set that holds takes a revision");
    Ok(())
}

pub(super) async fn set_ttl(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_millis(300));
    let mut pair = kv.put("k", "1").await?;
    pair.ttl = Some(ttl);
    let permanent = kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX, None).await?;
    ensure_eq!((permanent.ttl, permanent.lease.clone()), (None, None), "without the flag");
    let mut pair = permanent.clone();
    pair.ttl = Some(ttl);
    let leased = kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX | KvFlags::TTL, None).await?;
    ensure!(leased.ttl.is_some_and(|granted| granted >= ttl), "the granted TTL is {:?}", leased.ttl);
    ensure!(leased.lease.is_some(), "the key has no lease");
    eventually("the key is gone when its TTL is over", || async { Ok(kv.get("k").await?.is_none()) }).await?;
    let mut pair = kv.put("k", "1").ttl(Duration::from_secs(60)).await?;
    pair.value = "2".into();
    let cleared = kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX, None).await?;
    ensure_eq!((cleared.ttl, cleared.lease), (None, None), "a compare_and_set without the flag makes permanent");
    ensure_eq!(kv.get("k").await?.and_then(|pair| pair.lease), None);
    Ok(())
}

pub(super) async fn builder_conditions(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let first = kv.put("k", "1").await?;
    let second = kv.put("k", "2").if_unchanged(&first).await?;
    expect_kind(kv.put("k", "3").if_unchanged(&first).await, &ErrorKind::Modified)?;
    expect_kind(kv.put("k", "3").if_revision(first.modified_index).await, &ErrorKind::Modified)?;
    expect_kind(kv.put("k", "3").if_created(second.modified_index).await, &ErrorKind::Modified)?;
    expect_kind(kv.put("k", "3").if_value("1").await, &ErrorKind::ValueMismatch)?;
    expect_kind(kv.put("k", "3").if_absent().await, &ErrorKind::AlreadyExists)?;
    expect_kind(kv.put("x", "3").if_present().await, &ErrorKind::NotFound)?;
    expect_kind(kv.put("x", "3").if_absent().if_present().if_value("1").await, &ErrorKind::NotFound)?;
    expect_kind(kv.put("x", "3").if_absent().if_value("1").await, &ErrorKind::InvalidArgument)?;
    let third = kv.put("k", "3").if_value("2").if_created(first.created_index).if_present().await?;
    expect_kind(kv.delete("k").if_unchanged(&second).await, &ErrorKind::Modified)?;
    expect_kind(kv.delete("k").if_value("2").await, &ErrorKind::ValueMismatch)?;
    expect_kind(kv.delete("k").if_created(third.modified_index).await, &ErrorKind::Modified)?;
    kv.delete("k").if_unchanged(&third).if_value("3").if_created(first.created_index).await?;
    expect_kind(kv.delete("k").if_unchanged(&third).await, &ErrorKind::NotFound)?;
    kv.put("k", "4").if_revision(0).await?;
    expect_kind(kv.put("k", "5").if_revision(0).await, &ErrorKind::AlreadyExists)?;
    Ok(())
}

pub(super) async fn delete_without_flag(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    expect_kind(kv.compare_and_delete(&KvPair::new("k", ""), KvFlags::empty()).await, &ErrorKind::NotFound)?;
    kv.put("k", "1").await?;
    for flags in [KvFlags::empty(), KvFlags::TTL] {
        for other in ["", "2", "11"] {
            let refused = kv.compare_and_delete(&KvPair::new("k", other), flags).await;
            expect_kind(refused, &ErrorKind::ValueMismatch)?;
        }
    }
    kv.put("k", "1").await?;
    let gone = kv.compare_and_delete(&KvPair::new("k", "1"), KvFlags::empty()).await?;
    ensure_eq!(gone.value, "1");
    kv.put("k", "").await?;
    kv.compare_and_delete(&KvPair::new("k", ""), KvFlags::TTL).await?;
    ensure_eq!(kv.get("k").await?, None);
    Ok(())
}

pub(super) async fn test_and_set(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure!(!kv.test_and_set("k", "", "1").await?, "it set an absent key");
    ensure_eq!(kv.get("k").await?, None);
    let made = kv.put("k", "1").await?;
    ensure!(!kv.test_and_set("k", "2", "3").await?, "it set a key of another value");
    ensure!(!kv.test_and_set("k", "", "3").await?, "it set a key of another value");
    ensure!(!kv.test_and_set("k", "11", "3").await?, "a longer value compares equal");
    ensure_eq!(kv.get("k").await?.map(|pair| pair.modified_index), Some(made.modified_index));
    ensure!(kv.test_and_set("k", "1", "2").await?, "it did not set a key of that value");
    let now = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
    ensure_eq!((now.value, now.created_index), (Bytes::from("2"), made.created_index));
    ensure!(kv.test_and_set("k", "2", "2").await?, "an equal new value");
    ensure!(kv.get("k").await?.is_some_and(|pair| pair.modified_index > now.modified_index), "it is still a write");
    Ok(())
}
