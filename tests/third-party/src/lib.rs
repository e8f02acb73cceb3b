//! A toy store over a locked map: an example of a backend that knows nothing but `kvdb-core`.

mod toy;

pub use toy::Toy;

#[cfg(doctest)]
#[doc = include_str!("../../../kvdb-core/docs/backend-guide.md")]
struct Guide;
