//! etcd's answers to a watch put together to steps of one revision each.

use std::collections::VecDeque;

use etcd_client::proto::{PbEvent, PbWatchResponse};
use kvdb_core::{Change, Changes, Error, ErrorKind, Key, Result, Revision};
use tonic::Status;

use crate::convert::{entry, mismatched, revision, shown};
use crate::error::{Call, status_error};
use crate::read::compacted;

/// Takes answers and gives steps.
///
/// etcd never splits a revision over answers, but answers over fragments: what belongs to the last revision of a
/// fragment waits for the next one. Everything else is ready at once, so that a long history is held one fragment at a
/// time.
#[derive(Debug)]
pub(crate) struct Assembly {
    ready: VecDeque<Changes>,
    /// The revision that a fragment ended in.
    open: Option<(Revision, Vec<Change>)>,
    /// Changes at or below are not told.
    floor: Revision,
    /// All changes at or below were told.
    told: Revision,
    /// What the last progress said.
    promised: Revision,
    /// A progress is owed once all history up to here is told.
    target: Option<Revision>,
    /// Puts carry the entry before them.
    previous: bool,
}

impl Assembly {
    /// Of the changes above `floor`.
    pub(crate) const fn new(floor: Revision, previous: bool) -> Self {
        let promised = Revision::ZERO;
        Self { ready: VecDeque::new(), open: None, floor, told: floor, promised, target: None, previous }
    }

    /// Owes a progress once all history up to `target` is told.
    pub(crate) const fn owe(&mut self, target: Revision) {
        self.target = Some(target);
    }

    pub(crate) const fn owes(&self) -> bool {
        self.target.is_some()
    }

    /// The next step.
    pub(crate) fn pop(&mut self) -> Option<Changes> {
        self.ready.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Everything at or below this revision is told.
    pub(crate) fn progress(&mut self, reached: Revision) {
        let kept = self.target.is_some_and(|target| reached >= target);
        if kept {
            self.target = None;
        }
        if kept || reached > self.told {
            self.told = self.told.max(reached);
            self.promised = self.told;
            self.ready.push_back(Changes::Progress(self.told));
        }
    }

    /// Takes the next answer.
    ///
    /// # Errors
    /// Why etcd ended the watch; `Compacted` if it breaks a progress it has given (only before 3.4.25 and 3.5.8, where
    /// a progress can overtake changes): what was missed is then not known.
    pub(crate) fn take(&mut self, answer: PbWatchResponse) -> Result<()> {
        if answer.canceled {
            return Err(refused(&answer));
        }
        if answer.events.is_empty() {
            // The answer to a request for progress.
            if !answer.created && self.open.is_none() {
                self.progress(shown(answer.header.as_ref())?);
            }
            return Ok(());
        }
        for event in answer.events {
            let (at, change) = change(event, self.previous)?;
            match &mut self.open {
                Some((open, changes)) if *open == at => changes.push(change),
                _ => {
                    self.complete()?;
                    self.open = Some((at, vec![change]));
                }
            }
        }
        if answer.fragment { Ok(()) } else { self.complete() }
    }

    /// The open revision is whole.
    fn complete(&mut self) -> Result<()> {
        let Some((revision, changes)) = self.open.take() else { return Ok(()) };
        if revision <= self.promised {
            return Err(compacted(self.promised.next()));
        }
        if revision <= self.floor {
            return Ok(());
        }
        self.told = self.told.max(revision);
        self.ready.push_back(Changes::Batch { revision, changes });
        if self.target.is_some_and(|target| revision >= target) {
            self.progress(revision);
        }
        Ok(())
    }
}

/// A put carries the entry before only if that is `wanted`, a deletion always.
fn change(event: PbEvent, wanted: bool) -> Result<(Revision, Change)> {
    /// etcd's `EventType::Delete`.
    const DELETE: i32 = 1;
    let kv = event.kv.ok_or_else(mismatched)?;
    let at = revision(kv.mod_revision);
    let change = if event.r#type == DELETE {
        // A lease that ran out deletes like anybody else.
        let previous = event.prev_kv.map(entry);
        Change::Delete { key: Key::new(kv.key), revision: at, expired: false, previous }
    } else {
        Change::Put { entry: entry(kv), previous: event.prev_kv.filter(|_| wanted).map(entry) }
    };
    Ok((at, change))
}

/// Why etcd ended a watch.
pub(crate) fn refused(answer: &PbWatchResponse) -> Error {
    if answer.compact_revision != 0 {
        return compacted(revision(answer.compact_revision));
    }
    if answer.cancel_reason.is_empty() {
        return Error::new(ErrorKind::Unavailable, "etcd ended the watch");
    }
    // Older servers put the words of a whole gRPC error into it.
    let words = answer.cancel_reason.rsplit_once(" desc = ").map_or(answer.cancel_reason.as_str(), |(_, words)| words);
    status_error(Call::Read, Status::unknown(words))
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::{PbKeyValue, PbResponseHeader};

    use super::*;

    fn answer(header: i64, events: &[(&str, i64)], fragment: bool) -> PbWatchResponse {
        let event = |(key, revision): &(&str, i64)| {
            let kv = PbKeyValue { key: key.as_bytes().to_vec(), mod_revision: *revision, ..PbKeyValue::default() };
            PbEvent { kv: Some(kv), ..PbEvent::default() }
        };
        PbWatchResponse {
            header: Some(PbResponseHeader { revision: header, ..PbResponseHeader::default() }),
            events: events.iter().map(event).collect(),
            fragment,
            ..PbWatchResponse::default()
        }
    }

    fn told(steps: &mut Assembly) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| steps.pop())
            .map(|step| match step {
                Changes::Batch { revision, changes } => (revision.get(), changes.len()),
                Changes::Progress(revision) => (revision.get(), 0),
                Changes::Resync { .. } => panic!("never sent"),
            })
            .collect()
    }

    #[test]
    fn a_revision_waits_for_its_last_fragment_and_no_other_does() {
        let mut steps = Assembly::new(Revision::new(1), true);
        steps.take(answer(9, &[("a", 2), ("b", 3)], true)).unwrap();
        assert_eq!(told(&mut steps), [(2, 1)]);
        steps.take(answer(9, &[("c", 3)], true)).unwrap();
        assert_eq!(told(&mut steps), []);
        steps.take(answer(9, &[("d", 3), ("d", 4)], false)).unwrap();
        assert_eq!(told(&mut steps), [(3, 3), (4, 1)]);
    }

    #[test]
    fn a_progress_is_owed_until_history_is_told() {
        let mut steps = Assembly::new(Revision::new(1), true);
        steps.owe(Revision::new(5));
        steps.take(answer(9, &[("a", 3)], false)).unwrap();
        assert_eq!((told(&mut steps), steps.owes()), (vec![(3, 1)], true));
        steps.take(answer(4, &[], false)).unwrap();
        assert_eq!((told(&mut steps), steps.owes()), (vec![(4, 0)], true));
        steps.take(answer(9, &[("a", 6)], false)).unwrap();
        assert_eq!((told(&mut steps), steps.owes()), (vec![(6, 1), (6, 0)], false));
        // An answer that says nothing new is not passed on.
        steps.take(answer(6, &[], false)).unwrap();
        assert_eq!(told(&mut steps), []);
        steps.owe(Revision::new(6));
        steps.take(answer(6, &[], false)).unwrap();
        assert_eq!(told(&mut steps), [(6, 0)]);
    }

    #[test]
    fn what_lies_at_or_below_the_start_is_not_told() {
        let mut steps = Assembly::new(Revision::new(3), true);
        steps.take(answer(9, &[("a", 2), ("a", 3), ("a", 4)], false)).unwrap();
        assert_eq!(told(&mut steps), [(4, 1)]);
    }

    #[test]
    fn a_broken_progress_is_a_gap() {
        let mut steps = Assembly::new(Revision::new(1), true);
        steps.take(answer(7, &[], false)).unwrap();
        let error = steps.take(answer(8, &[("a", 7)], false)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Compacted { oldest: Revision::new(8) });
    }

    #[test]
    fn an_end_tells_its_reason() {
        let end = |compact_revision, reason: &str| {
            let answer = PbWatchResponse {
                canceled: true,
                compact_revision,
                cancel_reason: reason.to_owned(),
                ..PbWatchResponse::default()
            };
            Assembly::new(Revision::ZERO, true).take(answer).unwrap_err().kind().clone()
        };
        assert_eq!(end(7, ""), ErrorKind::Compacted { oldest: Revision::new(7) });
        assert_eq!(end(0, ""), ErrorKind::Unavailable);
        for prefix in ["", "rpc error: code = PermissionDenied desc = "] {
            assert_eq!(end(0, &format!("{prefix}etcdserver: permission denied")), ErrorKind::PermissionDenied);
        }
    }
}
