use std::collections::HashSet;

use crate::{Batch, Error, ErrorKind, Key, KeyRange, Limits, Op, Result};

/// Checks a batch against what a store can take and against the rules of a batch (contract 4.4), before any work.
///
/// # Errors
/// `TooLarge` over a limit; `InvalidArgument` for a key that is written twice, a range delete that covers another
/// write, or too many leases.
pub fn check_batch(batch: &Batch, limits: &Limits) -> Result<()> {
    let parts = batch.guards.len() + batch.ops.len();
    if parts > limits.batch_ops {
        return Err(too_large("a batch may have", limits.batch_ops, "guards and writes"));
    }
    let mut bytes = 0;
    for guard in &batch.guards {
        bytes += key_size(guard.key(), limits)?;
    }
    for op in &batch.ops {
        bytes += match op {
            Op::Put { key, value, .. } => {
                if value.len() > limits.value_bytes {
                    return Err(too_large("a value may have", limits.value_bytes, "bytes"));
                }
                key_size(key, limits)? + value.len()
            }
            Op::Delete { key, .. } => key_size(key, limits)?,
            Op::DeleteRange { .. } => 0,
        };
    }
    if bytes > limits.batch_bytes {
        return Err(too_large("a batch may have", limits.batch_bytes, "bytes of keys and values"));
    }
    if batch.ops.len() > 1 {
        check_ops(&batch.ops, limits)?;
    }
    Ok(())
}

fn check_ops(ops: &[Op], limits: &Limits) -> Result<()> {
    let mut keys = HashSet::with_capacity(ops.len());
    let mut leases = HashSet::new();
    let mut ranges: Vec<&KeyRange> = Vec::new();
    for op in ops {
        match op {
            Op::Put { key, lease, .. } => {
                leases.extend(lease);
                written_once(&mut keys, key)?;
            }
            Op::Delete { key, .. } => written_once(&mut keys, key)?,
            Op::DeleteRange { range } => ranges.push(range),
        }
    }
    if leases.len() > limits.leases_per_batch {
        return Err(Error::invalid(format!("a batch may attach to at most {} leases", limits.leases_per_batch)));
    }
    for (index, range) in ranges.iter().enumerate() {
        if let Some(key) = keys.iter().find(|key| range.contains(key.as_bytes())) {
            return Err(
                Error::invalid("a range delete of the batch covers another of its writes").with_key(key.to_string())
            );
        }
        if ranges.iter().skip(index + 1).any(|other| overlap(range, other)) {
            return Err(Error::invalid("two range deletes of the batch overlap"));
        }
    }
    Ok(())
}

fn written_once<'a>(keys: &mut HashSet<&'a Key>, key: &'a Key) -> Result<()> {
    if keys.insert(key) {
        Ok(())
    } else {
        Err(Error::invalid("the batch writes the key twice").with_key(key.to_string()))
    }
}

fn overlap(a: &KeyRange, b: &KeyRange) -> bool {
    let both = |start: &KeyRange, end: &KeyRange| KeyRange { start: start.start.clone(), end: end.end.clone() };
    !a.is_empty() && !b.is_empty() && !both(a, b).is_empty() && !both(b, a).is_empty()
}

fn key_size(key: &Key, limits: &Limits) -> Result<usize> {
    if key.len() > limits.key_bytes {
        return Err(too_large("a key may have", limits.key_bytes, "bytes, the domain included"));
    }
    Ok(key.len())
}

fn too_large(what: &str, limit: usize, unit: &str) -> Error {
    Error::new(ErrorKind::TooLarge { limit }, format!("{what} at most {limit} {unit}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn limits() -> Limits {
        Limits {
            key_bytes: 8,
            value_bytes: 10,
            batch_ops: 3,
            batch_bytes: 20,
            leases_per_batch: 1,
            ttl_min: Duration::ZERO,
            ttl_max: None,
            ttl_granularity: Duration::ZERO,
            ttl_slack: Duration::ZERO,
        }
    }

    fn put(key: &str, size: usize, lease: Option<i64>) -> Op {
        Op::Put { key: key.into(), value: Bytes::from(vec![0; size]), lease: lease.map(Into::into), previous: false }
    }

    fn kind(ops: Vec<Op>) -> Option<ErrorKind> {
        check_batch(&Batch { guards: Vec::new(), ops }, &limits()).err().map(|error| error.kind().clone())
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(kind(vec![put("a", 10, None)]), None);
        assert_eq!(kind(vec![put("a", 11, None)]), Some(ErrorKind::TooLarge { limit: 10 }));
        assert_eq!(kind(vec![put("123456789", 1, None)]), Some(ErrorKind::TooLarge { limit: 8 }));
        assert_eq!(kind(vec![put("a", 10, None), put("b", 9, None)]), Some(ErrorKind::TooLarge { limit: 20 }));
        let four = ["a", "b", "c", "d"].map(|key| put(key, 0, None));
        assert_eq!(kind(four.into()), Some(ErrorKind::TooLarge { limit: 3 }));
    }

    #[test]
    fn a_key_is_written_once_ranges_included() {
        let range = |from: &str, to: &str| Op::DeleteRange {
            range: KeyRange {
                start: std::ops::Bound::Included(from.into()),
                end: std::ops::Bound::Excluded(to.into()),
            },
        };
        let twice = Some(ErrorKind::InvalidArgument);
        assert_eq!(kind(vec![put("a", 1, None), Op::Delete { key: "a".into(), previous: false }]), twice);
        assert_eq!(kind(vec![put("b", 1, None), range("a", "c")]), twice);
        assert_eq!(kind(vec![range("a", "c"), range("b", "d")]), twice);
        assert_eq!(kind(vec![range("b", "d"), range("a", "z")]), twice);
        assert_eq!(kind(vec![range("a", "b"), range("b", "d"), put("d", 1, None)]), None);
    }

    #[test]
    fn leases_are_counted_once_each() {
        assert_eq!(kind(vec![put("a", 1, Some(1)), put("b", 1, Some(1))]), None);
        assert_eq!(kind(vec![put("a", 1, Some(1)), put("b", 1, Some(2))]), Some(ErrorKind::InvalidArgument));
    }
}
