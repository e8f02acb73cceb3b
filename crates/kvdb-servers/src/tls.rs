//! How clients and servers prove who they are.

/// Whether clients speak TLS to a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tls {
    /// Plain text.
    #[default]
    Off,
    /// The server shows a certificate.
    Server,
    /// Both show one.
    Mutual,
}
