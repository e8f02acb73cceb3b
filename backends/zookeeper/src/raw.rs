//! Connections of our own, for what the client does not tell: the bounds of a session's timeout, why no server lets us
//! in, and what a server says of itself.

use std::sync::Arc;
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Result};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::endpoints::Endpoint;
use crate::error::{silent, unreached};

/// The most that is read of an answer to a word.
const ANSWER_BYTES: u64 = 64 << 10;

/// The length of a session's password.
const PASSWORD: [u8; 16] = [0; 16];

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(unreached)?;
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| Error::new(ErrorKind::InvalidConfig, "no certificate can have the endpoint's name"))?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(unreached)?;
    Ok(Box::new(stream))
}

/// Opens a session with this timeout and closes it; answers the timeout that the server grants.
///
/// # Errors
/// `Unavailable` when the server does not answer within `limit`, `Unauthenticated` when one of us does not take the
/// other's certificate.
pub(crate) async fn granted_timeout(
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
    wanted: Duration,
    limit: Duration,
) -> Result<Duration> {
    let opening = async {
        let mut stream = connect(endpoint, tls).await?;
        let wanted = i32::try_from(wanted.as_millis()).unwrap_or(i32::MAX);
        let mut request = Vec::with_capacity(49);
        // Version, last zxid, timeout, session id, password, read only.
        request.extend([0; 12]);
        request.extend(wanted.to_be_bytes());
        request.extend([0; 8]);
        request.extend(16_i32.to_be_bytes());
        request.extend(PASSWORD);
        request.push(0);
        let length = i32::try_from(request.len()).unwrap_or_default();
        stream.write_all(&length.to_be_bytes()).await.map_err(unreached)?;
        stream.write_all(&request).await.map_err(unreached)?;
        // Length, version, timeout.
        let (_, _, granted) = (
            stream.read_i32().await.map_err(unreached)?,
            stream.read_i32().await.map_err(unreached)?,
            stream.read_i32().await.map_err(unreached)?,
        );
        // closeSession, with the transaction id 1. Whether it arrives is the session's own matter.
        let close = [8_i32, 1, -11].map(i32::to_be_bytes).concat();
        if stream.write_all(&close).await.is_ok() {
            let _ = stream.flush().await;
        }
        let granted = u64::try_from(granted).ok().filter(|granted| *granted > 0);
        granted.map(Duration::from_millis).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "what answers there is not ZooKeeper: check the endpoints")
        })
    };
    timeout(limit, opening).await.map_err(|_| silent(limit))?
}

/// Asks a word of four letters.
///
/// # Errors
/// `Unavailable` when the server does not answer within `limit`; `Unauthenticated` as for a session.
pub(crate) async fn word(
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
    word: &str,
    limit: Duration,
) -> Result<String> {
    let asking = async {
        let mut stream = connect(endpoint, tls).await?;
        stream.write_all(word.as_bytes()).await.map_err(unreached)?;
        let mut answer = Vec::new();
        // How the server ends a connection after its answer does not matter.
        match stream.take(ANSWER_BYTES).read_to_end(&mut answer).await {
            Err(source) if answer.is_empty() => Err(unreached(source)),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    };
    timeout(limit, asking).await.map_err(|_| silent(limit))?
}
