//! How the etcd store reaches its members: routing, TLS, users, and what is told when it does not, on real servers.

#[cfg(test)]
#[path = "connect_parts/certificates.rs"]
mod certificates;

#[cfg(test)]
#[path = "connect_parts/errors.rs"]
mod errors;

#[cfg(test)]
#[path = "connect_parts/failures.rs"]
mod failures;

#[cfg(test)]
#[path = "connect_parts/help.rs"]
mod help;

#[cfg(test)]
#[path = "connect_parts/options.rs"]
mod options;

#[cfg(test)]
#[path = "connect_parts/routes.rs"]
mod routes;

#[cfg(test)]
#[path = "connect_parts/users.rs"]
mod users;
