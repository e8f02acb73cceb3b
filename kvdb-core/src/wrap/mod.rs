//! What `kvdb::new` returns, and what can be wrapped around a store.

mod handle;
mod intercept;
mod intercepted;
mod registry;
mod verbs;

pub use handle::Handle;
pub use intercept::{Before, Call, End, Interceptor, Placement, Wrapper};
pub use intercepted::Intercepted;
pub use registry::{MakeWrapper, WrapperFactory, WrapperRegistration, register_wrapper, wrapper_factories};
