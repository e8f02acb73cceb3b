//! What differs between two stores.

use std::fmt;

use super::sorted::{Side, Sorted, next};
use crate::{Handle, KvPair, Result};

/// Goes through the keys of two stores side by side and tells what differs, in key order. Keys are compared by their
/// names relative to each domain, and by their values; revisions, leases and times to live are each store's own.
///
/// Each side is read page by page at one revision, its own; where a store ends long listings the rest is read anew.
/// Memory holds a page of each.
///
/// ```
/// # use kvdb_core::{Handle, recipes::{Diff, Difference}};
/// # async fn example(old: Handle, new: Handle) -> kvdb_core::Result<()> {
/// let mut diff = Diff::new(&old, &new, "config")?;
/// while let Some(difference) = diff.next().await? {
///     println!("{}", difference.key());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Diff<'a> {
    left: Sorted<'a>,
    right: Sorted<'a>,
    compared: u64,
}

/// One key that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the first store has it.
    OnlyLeft(KvPair),
    /// Only the second store has it.
    OnlyRight(KvPair),
    /// Both have it, with different values.
    Changed {
        /// As the first store has it.
        left: KvPair,
        /// As the second store has it.
        right: KvPair,
    },
}

impl Difference {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::OnlyLeft(pair) | Self::OnlyRight(pair) | Self::Changed { left: pair, .. } => &pair.key,
        }
    }
}

impl<'a> Diff<'a> {
    /// Compares what is below a prefix; `""` is the whole domain of each. Nothing is read yet.
    ///
    /// # Errors
    /// `InvalidArgument` for a prefix that no key can have.
    pub fn new(left: &'a Handle, right: &'a Handle, prefix: &str) -> Result<Self> {
        let (left, right) = (Sorted::new(left, prefix, None, None)?, Sorted::new(right, prefix, None, None)?);
        Ok(Self { left, right, compared: 0 })
    }

    /// The next difference; `None` when all is compared.
    ///
    /// # Errors
    /// Those of a listing.
    ///
    /// # Cancel safety
    /// Dropping the future loses no difference.
    pub async fn next(&mut self) -> Result<Option<Difference>> {
        while let Some(side) = next(&mut self.left, &mut self.right).await? {
            self.compared += 1;
            match side {
                Side::Left(pair) => return Ok(Some(Difference::OnlyLeft(pair))),
                Side::Right(pair) => return Ok(Some(Difference::OnlyRight(pair))),
                Side::Both(left, right) if left.value != right.value => {
                    return Ok(Some(Difference::Changed { left, right }));
                }
                Side::Both(..) => {}
            }
        }
        Ok(None)
    }

    /// How many different keys were looked at until now.
    #[must_use]
    pub const fn compared(&self) -> u64 {
        self.compared
    }
}

impl fmt::Debug for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff").field("compared", &self.compared).finish_non_exhaustive()
    }
}
