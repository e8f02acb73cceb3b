//! What a reader knows of a range, to tell the differences when the store cannot.

pub(super) use crate::toolkit::Known;
