//! If/then/else, which etcd evaluates itself: one round trip, nested transactions included.

use std::vec::IntoIter;

use etcd_client::proto::{PbResponseOp, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use kvdb_core::{
    Comparison, Error, ErrorKind, KeyRange, LeaseId, NativeCompare, NativeOp, NativeReply, NativeResult, NativeSubject,
    NativeTxn, Page, Result, Revision, Scan,
};

use crate::client::Client;
use crate::commit::{unsure, up_to_date};
use crate::convert::{entry, lease_number, mismatched, number, shown};
use crate::error::{Call, error};
use crate::list::{page_of, scan_options};
use crate::span::Span;
use crate::write::{self, Lease, NOTHING_DELETED, Put};

/// How deep transactions may be nested: an answer of three times as many messages must stay below the 100 that the
/// client's decoder takes.
const DEPTH: usize = 32;

/// Evaluates a transaction whose sizes are checked.
pub(crate) async fn run(client: &Client, txn: &NativeTxn) -> Result<NativeReply> {
    let call = if writes(txn) { Call::Write } else { Call::Read };
    let mut request = lower(txn)?;
    // As for a batch: without operations a member would answer from whatever it happens to know.
    if request.then.is_empty() && request.otherwise.is_empty() {
        let compared = txn.compares.iter().find_map(|compare| Span::of(&compare.range));
        request.then.extend(compared.map(|span| up_to_date(span.key)));
    }
    let mut kv = client.lend();
    let answer = kv.txn(request.into_txn()).await.map_err(|source| error(call, source))?.0;
    client.give_back(kv);
    let certain = |error| if call == Call::Write { unsure(error) } else { error };
    let revision = shown(answer.header.as_ref()).map_err(certain)?;
    reply(txn, answer, revision).ok_or_else(|| certain(mismatched()))
}

/// # Errors
/// `InvalidArgument` for transactions that are nested too deep. Checked before anything else walks through them.
pub(crate) fn check_depth(txn: &NativeTxn) -> Result<()> {
    fn deeper(txn: &NativeTxn, left: usize) -> bool {
        left == 0 || nested(txn).any(|txn| deeper(txn, left - 1))
    }
    if deeper(txn, DEPTH) {
        return Err(Error::invalid(format!("transactions may be nested at most {DEPTH} deep")));
    }
    Ok(())
}

/// Refuses what one run might write twice through transactions that stand side by side. etcd does so for puts, but takes
/// a put and a deletion of the same key that lie deep enough.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn check_once(txn: &NativeTxn) -> Result<()> {
    for branch in [&txn.then, &txn.otherwise] {
        if !branch.iter().any(|op| matches!(op, NativeOp::Txn(_))) {
            continue;
        }
        let mut earlier: Vec<Span> = Vec::new();
        for op in branch {
            let mut written = Vec::new();
            spans_written(op, &mut written);
            if written.iter().any(|span| earlier.iter().any(|other| span.overlaps(other))) {
                return Err(Error::invalid("a transaction writes a key only once, those inside it included"));
            }
            earlier.append(&mut written);
        }
    }
    nested(txn).try_for_each(check_once)
}

fn spans_written(op: &NativeOp, spans: &mut Vec<Span>) {
    match op {
        NativeOp::Put { key, .. } | NativeOp::Delete { key, .. } => {
            spans.extend(Span::of(&KeyRange::single(key.clone())));
        }
        NativeOp::DeleteRange { range } => spans.extend(Span::of(range)),
        NativeOp::Txn(txn) => txn.then.iter().chain(&txn.otherwise).for_each(|op| spans_written(op, spans)),
        NativeOp::Get { .. } | NativeOp::List { .. } => {}
    }
}

/// Bytes of all keys and values that a transaction sends, both branches included.
pub(crate) fn size(txn: &NativeTxn) -> usize {
    let range = |range: &KeyRange| Span::of(range).map_or(0, |span| span.key.len() + span.end.len());
    let compares = txn.compares.iter().map(|compare| {
        range(&compare.range) + if let NativeSubject::Value(value) = &compare.subject { value.len() } else { 0 }
    });
    let ops = txn.then.iter().chain(&txn.otherwise).map(|op| match op {
        NativeOp::Put { key, value, .. } => key.len() + value.as_ref().map_or(0, |value| value.len()),
        NativeOp::Delete { key, .. } | NativeOp::Get { key } => key.len(),
        NativeOp::DeleteRange { range: span } | NativeOp::List { range: span, .. } => range(span),
        NativeOp::Txn(txn) => size(txn),
    });
    compares.sum::<usize>() + ops.sum::<usize>()
}

fn nested(txn: &NativeTxn) -> impl Iterator<Item = &NativeTxn> {
    txn.then.iter().chain(&txn.otherwise).filter_map(|op| if let NativeOp::Txn(txn) = op { Some(txn) } else { None })
}

fn writes(txn: &NativeTxn) -> bool {
    txn.then.iter().chain(&txn.otherwise).any(|op| match op {
        NativeOp::Put { .. } | NativeOp::Delete { .. } | NativeOp::DeleteRange { .. } => true,
        NativeOp::Get { .. } | NativeOp::List { .. } => false,
        NativeOp::Txn(txn) => writes(txn),
    })
}

struct Request {
    compares: Vec<Compare>,
    then: Vec<TxnOp>,
    otherwise: Vec<TxnOp>,
}

impl Request {
    fn into_txn(self) -> Txn {
        Txn::new().when(self.compares).and_then(self.then).or_else(self.otherwise)
    }
}

/// A transaction whose compares cannot hold is sent as its other branch, without compares.
fn lower(txn: &NativeTxn) -> Result<Request> {
    if never(txn) {
        return Ok(Request { compares: Vec::new(), then: branch(&txn.otherwise)?, otherwise: Vec::new() });
    }
    let compares = txn.compares.iter().filter_map(|compare| match known(compare) {
        Some(_) => None,
        None => Some(asked(compare)),
    });
    Ok(Request { compares: compares.flatten().collect(), then: branch(&txn.then)?, otherwise: branch(&txn.otherwise)? })
}

fn never(txn: &NativeTxn) -> bool {
    txn.compares.iter().any(|compare| known(compare) == Some(false))
}

/// What becomes of a compare that etcd cannot be asked: on a range in which no key can lie, or with a lease that cannot
/// exist.
fn known(compare: &NativeCompare) -> Option<bool> {
    let NativeCompare { range, comparison, subject } = compare;
    if let NativeSubject::Lease(Some(lease)) = subject
        && lease_number(lease).is_none()
    {
        // None and every number come before a text.
        return Some(matches!(comparison, Comparison::NotEqual | Comparison::Less));
    }
    if Span::of(range).is_some() {
        return None;
    }
    Some(match subject {
        NativeSubject::Value(_) => false,
        NativeSubject::Created(revision) | NativeSubject::Modified(revision) => {
            comparison.holds(&Revision::ZERO, revision)
        }
        NativeSubject::Version(version) => comparison.holds(&0, version),
        NativeSubject::Lease(lease) => comparison.holds(&None, lease),
    })
}

/// etcd, too, takes an absent key's value compare as false (`applyCompare`), whatever it compares.
fn asked(compare: &NativeCompare) -> Option<Compare> {
    let Span { key, end } = Span::of(&compare.range)?;
    let how = match compare.comparison {
        Comparison::Equal => CompareOp::Equal,
        Comparison::NotEqual => CompareOp::NotEqual,
        Comparison::Less => CompareOp::Less,
        Comparison::Greater => CompareOp::Greater,
        _ => return None,
    };
    let compare = match &compare.subject {
        NativeSubject::Value(value) => Compare::value(key, how, value.as_ref()),
        NativeSubject::Created(revision) => Compare::create_revision(key, how, number(*revision)),
        NativeSubject::Modified(revision) => Compare::mod_revision(key, how, number(*revision)),
        NativeSubject::Version(version) => Compare::version(key, how, number(Revision::new(*version))),
        NativeSubject::Lease(lease) => {
            Compare::lease(key, how, lease.as_ref().and_then(LeaseId::number).unwrap_or_default())
        }
    };
    Some(if end.is_empty() { compare } else { compare.with_range(end) })
}

fn branch(ops: &[NativeOp]) -> Result<Vec<TxnOp>> {
    ops.iter().filter_map(|op| lower_op(op).transpose()).collect()
}

/// `None` for what touches a range in which no key can lie.
fn lower_op(op: &NativeOp) -> Result<Option<TxnOp>> {
    Ok(match op {
        NativeOp::Put { .. } => put(op).map(|put| put.op()).transpose()?,
        NativeOp::Delete { key, previous } => Some(write::delete_op(key, *previous)),
        NativeOp::DeleteRange { range } => Span::of(range).map(write::delete_range_op),
        NativeOp::Get { key } => Some(TxnOp::get(key.as_bytes(), Some(GetOptions::new()))),
        NativeOp::List { range, scan } => {
            Span::of(range).map(|span| TxnOp::get(span.key, Some(scan_options(scan).with_range(span.end))))
        }
        NativeOp::Txn(txn) => Some(TxnOp::txn(lower(txn)?.into_txn())),
    })
}

fn put(op: &NativeOp) -> Option<Put<'_>> {
    let NativeOp::Put { key, value, lease, previous } = op else { return None };
    Some(Put { key, value: value.as_ref(), lease: Lease::from(lease), fresh: false, previous: *previous })
}

/// The answers in the order of the branch that ran; all show the revision of the whole.
fn reply(txn: &NativeTxn, answer: PbTxnResponse, revision: Revision) -> Option<NativeReply> {
    let succeeded = answer.succeeded && !never(txn);
    let branch = if succeeded { &txn.then } else { &txn.otherwise };
    let mut answers = answer.responses.into_iter();
    let results = branch.iter().map(|op| result(op, &mut answers, revision)).collect::<Option<_>>()?;
    Some(NativeReply { succeeded, revision, results })
}

fn result(op: &NativeOp, answers: &mut IntoIter<PbResponseOp>, revision: Revision) -> Option<NativeResult> {
    if let NativeOp::DeleteRange { range } | NativeOp::List { range, .. } = op
        && Span::of(range).is_none()
    {
        return Some(match op {
            NativeOp::List { scan, .. } => NativeResult::List(empty_page(scan, revision)),
            _ => NativeResult::Written(NOTHING_DELETED),
        });
    }
    Some(match (op, answers.next()?.response?) {
        (_, PbTxnOpResponse::ResponsePut(answer)) => NativeResult::Written(put(op)?.result(answer, revision)),
        (_, PbTxnOpResponse::ResponseDeleteRange(answer)) => NativeResult::Written(write::deleted(answer)),
        (NativeOp::Get { .. }, PbTxnOpResponse::ResponseRange(answer)) => {
            NativeResult::Get(answer.kvs.into_iter().next().map(entry))
        }
        (NativeOp::List { scan, .. }, PbTxnOpResponse::ResponseRange(answer)) => {
            NativeResult::List(page_of(answer, scan, scan.read.at.unwrap_or(revision)))
        }
        (NativeOp::Txn(txn), PbTxnOpResponse::ResponseTxn(answer)) => NativeResult::Txn(reply(txn, answer, revision)?),
        _ => return None,
    })
}

fn empty_page(scan: &Scan, revision: Revision) -> Page {
    Page { count: (scan.total || scan.count_only).then_some(0), revision, ..Page::default() }
}

/// # Errors
/// `TooLarge` for a transaction that etcd would refuse as a request.
pub(crate) fn check_size(txn: &NativeTxn, limit: usize) -> Result<()> {
    let size = size(txn);
    if size > limit {
        let message = format!("the transaction has {size} bytes of keys and values, the store takes {limit}");
        return Err(Error::new(ErrorKind::TooLarge { limit }, message));
    }
    Ok(())
}
