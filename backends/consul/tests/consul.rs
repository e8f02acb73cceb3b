//! The Consul backend against real servers, where the conformance suite does not look: requests counted, answers lost,
//! agents gone, indexes that go back, rights and certificates.

#[cfg(test)]
mod parts;
