//! Why a call got no answer: what [`crate::error`] finds in the source of a status.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::connection::DialError;
use crate::endpoints::Endpoint;

/// No member could be reached: surely nothing was sent.
#[derive(Debug, Default)]
pub(crate) struct Unreached {
    attempts: Vec<(String, Arc<DialError>)>,
}

impl Unreached {
    pub(super) fn add(&mut self, endpoint: &Endpoint, error: Arc<DialError>) {
        self.attempts.push((endpoint.to_string(), error));
    }

    pub(super) fn handed_back(endpoint: &Endpoint, error: hyper::Error) -> Self {
        let error = DialError::Broken(std::io::Error::other(error));
        Self { attempts: vec![(endpoint.to_string(), Arc::new(error))] }
    }

    /// What each endpoint's attempt came to.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &DialError> {
        self.attempts.iter().map(|(_, error)| &**error)
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (endpoint, error)) in self.attempts.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{endpoint}: {error}")?;
        }
        match self.attempts.is_empty() {
            true => f.write_str("there is no endpoint"),
            false => Ok(()),
        }
    }
}

impl Error for Unreached {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.attempts.first().map(|(_, error)| &**error as _)
    }
}

/// The connection broke after the call was sent: what came of it is unknown.
#[derive(Debug)]
pub(crate) struct Lost {
    endpoint: String,
    source: hyper::Error,
}

impl Lost {
    pub(super) fn new(endpoint: &Endpoint, source: hyper::Error) -> Self {
        Self { endpoint: endpoint.to_string(), source }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the call was sent and not answered: {}", self.endpoint, self.source)
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
