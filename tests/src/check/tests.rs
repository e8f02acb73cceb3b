//! Histories that no store can have, and some that look so and are not.

use super::{Answer, Call, Effect, Refusal, Seen, When, Written, linear, replay};

const READ: (When, Effect) = (When::Any, Effect::Read);
const DELETE: (When, Effect) = (When::Present, Effect::Delete);

const fn put(id: u64) -> (When, Effect) {
    (When::Any, Effect::Put(id))
}

const fn create(id: u64) -> (When, Effect) {
    (When::Absent, Effect::Put(id))
}

const fn swap(old: u64, new: u64) -> (When, Effect) {
    (When::Is(old), Effect::Put(new))
}

/// A pair whose value was written at the revision of its number.
fn pair(id: u64, created: u64, version: u64) -> Answer {
    Answer::Done(Some(Seen { id, created, modified: id, version: Some(version) }))
}

fn call(
    (invoked, returned): (u64, u64),
    (when, effect): (When, Effect),
    answer: Answer,
    revision: Option<u64>,
) -> Call {
    let part = super::Part { key: "k".to_owned(), when, effect, answer };
    Call { client: 0, verb: "test", invoked, returned, parts: vec![part], revision }
}

/// A call whose revision is that of the pair it answered.
fn done(time: (u64, u64), asked: (When, Effect), answer: Answer) -> Call {
    let Answer::Done(Some(seen)) = answer else { panic!("{answer:?} has no revision") };
    call(time, asked, answer, Some(seen.modified))
}

fn unknown(invoked: u64, asked: (When, Effect)) -> Call {
    call((invoked, invoked + 1), asked, Answer::Unknown, None)
}

/// A put or deletion of "k" in the store's history.
fn wrote(revision: u64, id: Option<u64>, created: u64, version: u64) -> Written {
    Written { key: "k".to_owned(), id, created, revision, version: id.map(|_| version) }
}

fn not_linearizable(calls: &[Call]) {
    let found = linear::check(calls);
    assert!(found.as_ref().is_err_and(|why| why.starts_with("k is not linearizable: after")), "{found:?}");
}

#[test]
fn a_sound_history_is_let_pass() {
    let calls = [
        done((0, 10), create(1), pair(1, 1, 1)),
        call((1, 9), READ, Answer::Done(None), None),
        done((11, 20), swap(1, 2), pair(2, 1, 2)),
        call((11, 25), swap(1, 3), Answer::Refused(Refusal::Other), None),
        call((26, 30), create(4), Answer::Refused(Refusal::Present), None),
        call((31, 40), DELETE, Answer::Done(Some(Seen { id: 2, created: 1, modified: 5, version: Some(2) })), Some(5)),
        call((41, 50), (When::Present, Effect::Put(6)), Answer::Refused(Refusal::Absent), None),
        done((51, 60), put(7), pair(7, 7, 1)),
        call((61, 70), READ, pair(7, 7, 1), Some(9)),
        call((61, 70), put(8), Answer::Failed, None),
    ];
    assert_eq!(linear::check(&calls).map(|checked| (checked.keys, checked.calls)), Ok((1, 9)));
    let history = [wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2), wrote(5, None, 0, 0), wrote(7, Some(7), 7, 1)];
    assert_eq!(replay::check(&calls, &history), replay::Found::default());
}

#[test]
fn a_stale_read_is_found() {
    let calls = [
        done((0, 1), put(1), pair(1, 1, 1)),
        done((2, 3), put(2), pair(2, 1, 2)),
        call((4, 5), READ, pair(1, 1, 1), Some(1)),
    ];
    not_linearizable(&calls);
    let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2)]);
    assert_eq!(found.stale.len(), 1, "{found:?}");
    assert!(found.wrong.is_empty(), "{found:?}");
}

#[test]
fn two_reads_that_go_back_while_a_write_is_under_way_are_found() {
    let calls = [
        done((0, 1), put(1), pair(1, 1, 1)),
        done((2, 100), put(2), pair(2, 1, 2)),
        call((3, 4), READ, pair(2, 1, 2), Some(2)),
        call((5, 6), READ, pair(1, 1, 1), Some(1)),
    ];
    not_linearizable(&calls);
    let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2)]);
    assert_eq!(found.stale.len(), 1, "{found:?}");
}

#[test]
fn a_lost_write_is_found() {
    let calls = [
        done((0, 1), put(1), pair(1, 1, 1)),
        done((2, 3), swap(1, 2), pair(2, 1, 2)),
        done((4, 5), put(3), pair(3, 1, 2)),
    ];
    not_linearizable(&calls);
    let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1), wrote(3, Some(3), 1, 2)]);
    assert_eq!((found.lost.len(), found.wrong.len()), (1, 0), "{found:?}");
    let gone = [calls[0].clone(), call((2, 3), READ, Answer::Done(None), None)];
    not_linearizable(&gone);
}

#[test]
fn a_doubled_write_is_found() {
    // Somebody deleted what the first try had created, and the blind second try created it again.
    let calls = [
        done((0, 100), create(1), pair(1, 1, 1)),
        call((10, 20), DELETE, Answer::Done(Some(Seen { id: 1, created: 1, modified: 2, version: Some(1) })), Some(2)),
        call((101, 102), READ, Answer::Done(Some(Seen { id: 1, created: 3, modified: 3, version: Some(1) })), Some(3)),
    ];
    not_linearizable(&calls);
    let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1), wrote(2, None, 0, 0), wrote(3, Some(1), 3, 1)]);
    assert_eq!(found.doubled.len(), 1, "{found:?}");
    // Without a deletion between them the version tells.
    let counted = [done((0, 1), put(1), pair(1, 1, 2))];
    not_linearizable(&counted);
}

#[test]
fn a_write_that_is_seen_before_it_was_asked_for_is_found() {
    let calls = [call((0, 1), READ, pair(1, 1, 1), Some(1)), done((2, 3), put(1), pair(1, 1, 1))];
    not_linearizable(&calls);
    let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1)]);
    assert_eq!(found.stale.len(), 1, "{found:?}");
}

#[test]
fn a_refused_and_a_failed_write_that_stand_are_found() {
    for answer in [Answer::Refused(Refusal::Present), Answer::Failed] {
        let calls = [call((0, 1), create(1), answer, None), call((2, 3), READ, pair(1, 1, 1), Some(1))];
        not_linearizable(&calls);
        let found = replay::check(&calls, &[wrote(1, Some(1), 1, 1)]);
        assert_eq!(found.invented.len(), 1, "{found:?}");
    }
}

#[test]
fn two_winners_of_one_race_are_found() {
    let calls = [
        done((0, 1), put(1), pair(1, 1, 1)),
        done((2, 10), swap(1, 2), pair(2, 1, 2)),
        done((2, 10), swap(1, 3), pair(3, 1, 3)),
    ];
    not_linearizable(&calls);
    let history = [wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2), wrote(3, Some(3), 1, 3)];
    assert_eq!(replay::check(&calls, &history).wrong.len(), 1);
}

#[test]
fn a_wrong_refusal_is_found() {
    let there = done((0, 1), put(1), pair(1, 1, 1));
    for (asked, refusal) in [(create(2), Refusal::Absent), (DELETE, Refusal::Absent), (swap(1, 2), Refusal::Other)] {
        not_linearizable(&[there.clone(), call((2, 3), asked, Answer::Refused(refusal), None)]);
    }
    not_linearizable(&[call((2, 3), create(2), Answer::Refused(Refusal::Present), None)]);
}

#[test]
fn a_wrong_incarnation_is_found() {
    let deleted = Answer::Done(Some(Seen { id: 1, created: 1, modified: 2, version: Some(1) }));
    let calls = [
        done((0, 1), put(1), pair(1, 1, 1)),
        call((2, 3), DELETE, deleted, Some(2)),
        done((4, 5), put(3), Answer::Done(Some(Seen { id: 3, created: 1, modified: 3, version: Some(1) }))),
    ];
    not_linearizable(&calls);
    let history = [wrote(1, Some(1), 1, 1), wrote(2, None, 0, 0), wrote(3, Some(3), 3, 1)];
    assert_eq!(replay::check(&calls, &history).wrong.len(), 1);
}

#[test]
fn an_unknown_write_may_stand_at_any_later_time_once_or_never() {
    let read = |time, id, created, version| call((time, time + 1), READ, pair(id, created, version), None);
    let base = [done((0, 1), put(1), pair(1, 1, 1)), unknown(2, put(5))];
    let late = [base.clone().to_vec(), vec![read(4, 1, 1, 1), read(90, 5, 1, 2), read(95, 5, 1, 2)]].concat();
    assert!(linear::check(&late).is_ok());
    let never = [base.clone().to_vec(), vec![read(4, 1, 1, 1), read(90, 1, 1, 1)]].concat();
    assert!(linear::check(&never).is_ok());
    let undone = [base.clone().to_vec(), vec![read(4, 5, 1, 2), read(90, 1, 1, 1)]].concat();
    not_linearizable(&undone);
    let twice = [base.to_vec(), vec![read(4, 5, 1, 2), done((6, 7), put(8), pair(8, 1, 3)), read(9, 5, 1, 4)]].concat();
    not_linearizable(&twice);
    let early = [read(0, 5, 1, 1), unknown(2, put(5))];
    not_linearizable(&early);
}

#[test]
fn an_unknown_write_in_the_history_stands_once_under_its_condition_and_not_before_it_was_asked_for() {
    let found = |calls: &[Call], history: &[Written]| replay::check(calls, history);
    let first = done((0, 1), put(1), pair(1, 1, 1));
    let swapped = [first.clone(), unknown(2, swap(1, 2))];
    let sound = found(&swapped, &[wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2)]);
    assert_eq!(sound, replay::Found { unknown_stand: 1, ..replay::Found::default() });
    assert_eq!(found(&swapped, &[wrote(1, Some(1), 1, 1)]), replay::Found::default());

    let broken = [first.clone(), done((2, 3), put(2), pair(2, 1, 2)), unknown(4, swap(1, 3))];
    let history = [wrote(1, Some(1), 1, 1), wrote(2, Some(2), 1, 2), wrote(3, Some(3), 1, 3)];
    assert_eq!(found(&broken, &history).wrong.len(), 1);

    let deleted = [first.clone(), unknown(2, DELETE)];
    let history = [wrote(1, Some(1), 1, 1), wrote(2, None, 0, 0)];
    assert_eq!(found(&deleted, &history).unknown_stand, 1);
    assert_eq!(found(&[first], &history).invented.len(), 1);

    let early = [call((5, 6), READ, Answer::Done(None), Some(9)), unknown(7, put(3))];
    assert_eq!(found(&early, &[wrote(3, Some(3), 3, 1)]).stale.len(), 1);
}

#[test]
fn half_a_transaction_is_found() {
    let part =
        |key: &str, id, answer| super::Part { key: key.to_owned(), when: When::Any, effect: Effect::Put(id), answer };
    let both = |a, b| {
        let parts = vec![part("k", 1, a), part("l", 2, b)];
        Call { client: 0, verb: "txn", invoked: 0, returned: 1, parts, revision: None }
    };
    let half = [wrote(1, Some(1), 1, 1)];
    assert_eq!(replay::check(&[both(Answer::Unknown, Answer::Unknown)], &half).wrong.len(), 1);
    let whole = [half[0].clone(), Written { key: "l".to_owned(), ..wrote(1, Some(2), 1, 1) }];
    assert_eq!(replay::check(&[both(Answer::Unknown, Answer::Unknown)], &whole).unknown_stand, 1);
    let torn = [half[0].clone(), Written { key: "l".to_owned(), ..wrote(2, Some(2), 2, 1) }];
    assert_eq!(replay::check(&[both(Answer::Unknown, Answer::Unknown)], &torn).wrong.len(), 1);
    assert_eq!(replay::check(&[both(pair(1, 1, 1), pair(2, 1, 1))], &half).lost.len(), 1);
}

#[test]
fn many_unknown_writes_of_one_key_stay_decidable() {
    let mut calls = Vec::new();
    for n in 0..300 {
        let (begin, id) = (n * 10, 2 * n + 1);
        calls.push(done(
            (begin, begin + 5),
            put(id),
            Answer::Done(Some(Seen { id, created: 1, modified: id, version: None })),
        ));
        if n % 10 == 3 {
            calls.push(unknown(begin + 6, put(id + 1)));
        }
    }
    let seen = Seen { id: 8, created: 1, modified: 8, version: None };
    calls.push(call((5000, 5001), READ, Answer::Done(Some(seen)), None));
    let checked = linear::check(&calls).unwrap();
    assert!(checked.states < 200_000, "{checked:?}");
}
