//! Keys as files: directory trees that become keys and back, and dumps.

mod dump;
mod load;
mod name;
mod scan;
mod stage;
mod tree;

pub(crate) use dump::write_dump;
pub use load::import_directory;
pub(crate) use load::{Item, Source, load};
pub(crate) use name::refusal;
pub(crate) use scan::{Bad, scan};
pub(crate) use tree::write_tree;

/// The file that has the value of a key with other keys below it, inside of its directory.
const VALUE_FILE: &str = ".value";
