crate::trials! {}
