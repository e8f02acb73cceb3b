//! Connecting to one endpoint.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tower::Service;

use super::driver::Parts;
use super::greeting::{Greeted, Greeting};
use crate::endpoints::Endpoint;
use crate::tls::{HTTP2, Tls};

/// How connections are made and watched.
#[derive(Clone, Debug)]
pub(crate) struct Dialling {
    pub(crate) tls: Option<Tls>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How long a connection with open calls may be silent before it is asked for a sign of life.
    pub(crate) keep_alive_time: Duration,
    /// How long the sign may take.
    pub(crate) keep_alive_timeout: Duration,
}

/// Why there is no connection: surely nothing was sent.
#[derive(Debug)]
pub(crate) enum DialError {
    /// No such host, refused, unreachable.
    Connect(Box<dyn std::error::Error + Send + Sync>),
    /// We do not accept the server, or it does not accept us.
    Tls(rustls::Error),
    /// The host does not speak what etcd speaks.
    Speech(&'static str),
    /// It broke before the server had said anything.
    Broken(io::Error),
    /// Nobody answered in time.
    Timeout(Duration),
    /// The runtime is shutting down.
    Aborted,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(source) => {
                write!(f, "{source}")?;
                match source.source() {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
            Self::Tls(source) => write!(f, "TLS: {source}"),
            Self::Speech(what) => f.write_str(what),
            Self::Broken(source) => write!(f, "the connection broke at once: {source}"),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Aborted => f.write_str("the runtime is shutting down"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(source) => Some(&**source),
            Self::Tls(source) => Some(source),
            Self::Broken(source) => Some(source),
            Self::Speech(_) | Self::Timeout(_) | Self::Aborted => None,
        }
    }
}

impl From<io::Error> for DialError {
    /// What rustls says is inside an I/O error.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => {
                Self::Speech("the server does not speak TLS: write http:// in front of the endpoint")
            }
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Broken(error),
        }
    }
}

/// An open connection: where calls go in, and what drives it until it ends.
pub(super) type Connection = (SendRequest<Body>, BoxFuture<'static, ()>);

/// Connects; the server has greeted when this returns.
///
/// # Cancel safety
/// A dropped future leaves nothing.
pub(super) async fn dial(endpoint: &Endpoint, dialling: &Dialling) -> Result<Connection, DialError> {
    let dialled = async {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(dialling.timeout));
        let tcp = tcp.call(endpoint.uri()).await.map_err(|source| DialError::Connect(source.into()))?.into_inner();
        let Some(tls) = &dialling.tls else { return greet(tcp, dialling).await };
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(endpoint.host().to_owned())
                .map_err(|_| DialError::Speech("the endpoint's host is no name that a certificate can have"))?,
        };
        let io = TlsConnector::from(tls.config.clone()).connect(name, tcp).await.map_err(handshake_error)?;
        if io.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(DialError::Speech("the server does not offer HTTP/2: is it etcd?"));
        }
        greet(io, dialling).await
    };
    match timeout(dialling.timeout, dialled).await {
        Ok(dialled) => dialled,
        Err(_) => Err(DialError::Timeout(dialling.timeout)),
    }
}

/// A server that speaks no TLS makes nothing of our hello, and hangs up.
fn handshake_error(error: io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => DialError::Speech(
            "the server hung up in the TLS handshake: if it speaks no TLS, write http:// in front of the endpoint",
        ),
        _ => error.into(),
    }
}

/// Begins HTTP/2 and waits for the server's first frame: a stopped process accepts connections and never says a word, and
/// a server that wants a certificate of ours says so only here.
async fn greet<T>(io: T, dialling: &Dialling) -> Result<Connection, DialError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (io, greeting) = Greeted::new(io);
    let broken = |error: hyper::Error| DialError::Broken(io::Error::other(error));
    let parts = Parts::default();
    let (sender, connection) = Builder::new(parts.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(dialling.keep_alive_time)
        .keep_alive_timeout(dialling.keep_alive_timeout)
        // etcd hangs up on clients that ask for a sign of life with nothing going on.
        .keep_alive_while_idle(false)
        .handshake(TokioIo::new(io))
        .await
        .map_err(broken)?;
    let connection = async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to etcd ended");
        }
    };
    let mut driver = parts.drive(connection).boxed();
    let greeting = tokio::select! {
        biased;
        greeting = greeting => greeting,
        // It told how it ended before it ended.
        () = &mut driver => return Err(DialError::Speech("the connection was closed at once")),
    };
    match greeting {
        Ok(Ok(Greeting::Http2)) => Ok((sender, driver)),
        Ok(Ok(Greeting::Http1)) => Err(DialError::Speech("the server speaks HTTP/1 only: is it etcd's client port?")),
        Ok(Ok(Greeting::Tls)) => {
            Err(DialError::Speech("the server wants TLS: write https:// in front of the endpoint"))
        }
        Ok(Ok(Greeting::Closed)) | Err(_) => Err(DialError::Speech(
            "the server closed the connection at once: if it wants TLS, write https:// in front of the endpoint",
        )),
        Ok(Ok(Greeting::Other)) => Err(DialError::Speech("what answers there is not etcd")),
        Ok(Err(error)) => Err(error.into()),
    }
}
