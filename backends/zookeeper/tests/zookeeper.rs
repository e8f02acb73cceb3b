//! The ZooKeeper backend against real servers, where the conformance suite does not look: sessions that expire, lost
//! answers, races of incarnations, torn cuts, others' znodes, rights and certificates.

#[cfg(test)]
mod parts;
