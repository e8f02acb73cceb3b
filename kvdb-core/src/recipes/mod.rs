//! Small uses of the verbs, each complete in itself.

mod callback;
mod tx;

pub use callback::{CallbackWatch, call_back};
pub use tx::Tx;
pub(crate) use tx::transact;
