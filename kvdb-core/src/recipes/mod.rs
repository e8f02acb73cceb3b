//! Small uses of the verbs, each complete in itself.

mod callback;

pub use callback::{CallbackWatch, call_back};
