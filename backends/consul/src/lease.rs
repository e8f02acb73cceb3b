//! Leases: each is a session of its own, whose keys the servers delete when it ends.

use std::time::Duration;

use kvdb_core::{Error, ErrorKind, LeaseId, Result};

use crate::backend::Shared;
use crate::client::Request;
use crate::error::lease_gone;
use crate::go;
use crate::wire::{NewSession, Session};

/// The session behind a lease id.
///
/// # Errors
/// `LeaseNotFound` for an id that no session can have.
pub(crate) fn session(lease: &LeaseId) -> Result<&str> {
    match lease {
        LeaseId::Text(text) if text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => Ok(text),
        _ => Err(lease_gone()),
    }
}

impl Shared {
    pub(crate) async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        let (min, max) = *self.bounds();
        if ttl < min || ttl > max {
            let message = format!("{ttl:?} is not granted; the servers take TTLs from {min:?} to {max:?}");
            return Err(Error::new(ErrorKind::TtlNotSupported { min, max: Some(max) }, message));
        }
        let asked = go::milliseconds(ttl);
        let granted = go::duration(&asked).unwrap_or(ttl);
        let made: Made = match self.create(asked).await {
            Ok(reply) => reply.json()?,
            Err(error) => {
                self.learn_bounds(&error);
                return Err(error);
            }
        };
        Ok((LeaseId::Text(made.id.into()), granted))
    }

    async fn create(&self, ttl: String) -> Result<crate::client::Reply> {
        let session = NewSession { name: "kvdb", ttl, behavior: "delete", lock_delay: "0s", node_checks: [] };
        let body = serde_json::to_vec(&session)
            .map_err(|source| Error::new(ErrorKind::Internal, "a session has no JSON form").with_source(source))?;
        self.client.send(&Request::put("/v1/session/create", body)).await
    }

    /// Asks for the bounds of a TTL by a session that no server makes.
    pub(crate) async fn ask_bounds(&self) {
        match self.create("1ns".to_owned()).await {
            Err(error) => self.learn_bounds(&error),
            // A server that takes any TTL; what it made is given back.
            Ok(reply) => {
                if let Ok(Made { id }) = reply.json() {
                    let _ = self.destroy(&id).await;
                }
            }
        }
    }

    fn learn_bounds(&self, error: &Error) {
        if let ErrorKind::TtlNotSupported { min, max: Some(max) } = *error.kind() {
            *self.bounds() = (min, max);
        }
    }

    pub(crate) async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        let path = format!("/v1/session/renew/{}", session(lease)?);
        let reply = self.client.send(&Request::put(path, "").repeatable()).await?;
        if reply.status == 404 {
            return Err(lease_gone());
        }
        let sessions: Vec<Session> = reply.json()?;
        let session = sessions.first().ok_or_else(lease_gone)?;
        // One without a TTL, which somebody else made, lives on for as long as any.
        Ok(go::duration(&session.ttl).filter(|ttl| !ttl.is_zero()).unwrap_or(self.bounds().1))
    }

    /// Consul destroys what is not there without a word, so the session is looked at first.
    pub(crate) async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        let id = session(lease)?;
        let found = self.client.send(&Request::get(format!("/v1/session/info/{id}?consistent"))).await?;
        let sessions: Vec<Session> = if found.status == 200 { found.json()? } else { Vec::new() };
        if !sessions.iter().any(|session| session.id == id) {
            return Err(lease_gone());
        }
        self.destroy(id).await
    }

    async fn destroy(&self, id: &str) -> Result<()> {
        self.client.send(&Request::put(format!("/v1/session/destroy/{id}"), "")).await.map(drop)
    }
}

/// The answer to a session's making.
#[derive(serde::Deserialize)]
struct Made {
    #[serde(rename = "ID")]
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_session_goes_into_a_path() {
        let good = LeaseId::Text("1e14370d-ad5d-f95f-d5f6-e99012520949".into());
        assert!(session(&good).is_ok());
        for bad in [
            LeaseId::Number(7),
            LeaseId::Text("x".into()),
            LeaseId::Text("../../kv/a?recurse&x=0000000000000000".into()),
            LeaseId::Text("1e14370d-ad5d-f95f-d5f6-e9901252/949".into()),
        ] {
            assert_eq!(*session(&bad).unwrap_err().kind(), ErrorKind::LeaseNotFound, "{bad}");
        }
    }
}
