//! Decorators over a store's own backend: views of it, less of it, and faults in front of it.

mod break_lists;
mod faulty;
mod shared;
mod without;

pub use break_lists::BreakLists;
pub use faulty::{Call, Fault, Faulty};
pub use shared::Shared;
pub use without::Without;
