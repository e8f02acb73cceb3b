//! Decorators over a store's own backend: views of it, less of it, and faults in front of it.

#[macro_use]
mod forward;

mod break_lists;
mod faulty;
mod limited;
mod shared;
mod without;

pub use break_lists::BreakLists;
pub use faulty::{Call, Fault, Faulty};
pub use limited::Limited;
pub use shared::Shared;
pub use without::Without;
