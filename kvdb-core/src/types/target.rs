use std::ops::Bound;

/// What a list, delete or watch is about; texts are relative to the handle's domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target<'a> {
    /// One key.
    Key(&'a str),
    /// A directory: every key below the prefix, never the key of that name itself; `""` is the whole domain.
    Tree(&'a str),
    /// Keys between two bounds in byte order, taken as raw text.
    Range(Bound<&'a str>, Bound<&'a str>),
}

impl Target<'_> {
    /// The key or prefix, for messages; the start of a range.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(name) | Self::Tree(name) => name,
            Self::Range(Bound::Included(start) | Bound::Excluded(start), _) => start,
            Self::Range(Bound::Unbounded, _) => "",
        }
    }
}
