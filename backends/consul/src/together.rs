//! Several keys as they are at one moment: a transaction of reads.

use kvdb_core::{Error, ErrorKind, Fetched, Key, Result, Revision};

use crate::backend::Shared;
use crate::client::Request;
use crate::config::TXN_OPS;
use crate::error::operation_refused;
use crate::plan::{State, lesson};
use crate::url::text;
use crate::wire::{Item, KvOp, TxnAnswer, TxnOp};

/// How often a read is put in another form: each time one of the keys came or went in between.
const ROUNDS: usize = 8;

impl Shared {
    /// The keys at one moment; `None` for more than a transaction takes, or where keys come and go all the time.
    pub(crate) async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        if keys.len() > TXN_OPS {
            return Ok(None);
        }
        let names = keys.iter().map(text).collect::<Result<Vec<&str>>>()?;
        // The read of an absent key refuses the whole transaction: each is either read, or checked not to be there.
        let mut present = vec![true; names.len()];
        for _ in 0..ROUNDS {
            let ops = names.iter().zip(&present).map(|(&key, present)| {
                let verb = if *present { "get" } else { "check-not-exists" };
                TxnOp { kv: KvOp { verb, key, ..KvOp::default() } }
            });
            let body = serde_json::to_vec(&ops.collect::<Vec<_>>())
                .map_err(|source| Error::new(ErrorKind::Internal, "a read has no JSON form").with_source(source))?;
            let before = self.highest.get();
            let reply = self.client.send(&Request::put("/v1/txn?consistent", body).repeatable()).await?;
            let answer: TxnAnswer = reply.json()?;
            if reply.status == 200 {
                return self.read_at_once(keys, &present, answer, before);
            }
            for refusal in answer.errors.unwrap_or_default() {
                match (operation_refused(&refusal.what), lesson(&refusal.what), present.get_mut(refusal.op_index)) {
                    (Some(error), ..) => return Err(error),
                    (None, Some(state), Some(present)) => *present = state != State::Absent,
                    _ => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    fn read_at_once(
        &self,
        keys: &[Key],
        present: &[bool],
        answer: TxnAnswer,
        before: u64,
    ) -> Result<Option<Vec<Fetched>>> {
        let items: Vec<Item> = answer.results.unwrap_or_default().into_iter().map(|result| result.kv).collect();
        // Transactions tell no index. What was seen before the read is in it, and what it shows.
        let index = items.iter().map(|item| item.modify_index).fold(before, u64::max);
        if index == 0 {
            return Ok(None);
        }
        self.highest.saw(index);
        let mut items = items.into_iter();
        let fetched = keys.iter().zip(present).map(|(key, present)| {
            // Results come in the order of the reads; what the token may not read has none.
            let item = if *present { items.next() } else { None };
            if *present && item.as_ref().is_none_or(|item| item.key.as_bytes() != key.as_bytes()) {
                return Err(Error::new(ErrorKind::PermissionDenied, "the token may not read the key"));
            }
            let entry = item.map(Item::entry);
            match &entry {
                Some(entry) => self.seen.note(entry),
                None => self.seen.forget(key),
            }
            Ok(Fetched { entry, revision: Revision::new(index) })
        });
        fetched.collect::<Result<_>>().map(Some)
    }
}
