//! What the other side says first: proof that it is alive and speaks HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The bytes of a frame's head up to its type.
const HEAD: usize = 4;

/// The type of the frame with which an HTTP/2 server begins (RFC 9113, 3.4 and 6.5).
const SETTINGS: u8 = 4;

/// How a server's first bytes look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Http2,
    Http1,
    Tls,
    Closed,
    Other,
}

impl Greeting {
    fn of(head: &[u8]) -> Self {
        match head {
            b"HTTP" => Self::Http1,
            [_, _, _, SETTINGS] => Self::Http2,
            // An alert record of TLS 1.x.
            [0x15, 3, ..] => Self::Tls,
            [] => Self::Closed,
            _ => Self::Other,
        }
    }
}

/// A connection that tells how it was greeted.
pub(super) struct Greeted<T> {
    io: T,
    listener: Option<oneshot::Sender<io::Result<Greeting>>>,
    head: Vec<u8>,
}

impl<T> Greeted<T> {
    pub(super) fn new(io: T) -> (Self, oneshot::Receiver<io::Result<Greeting>>) {
        let (listener, greeting) = oneshot::channel();
        (Self { io, listener: Some(listener), head: Vec::with_capacity(HEAD) }, greeting)
    }

    fn tell(&mut self, greeting: io::Result<Greeting>) {
        if let Some(listener) = self.listener.take() {
            // Nobody waits any more when the time was over.
            let _ = listener.send(greeting);
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let missing = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(bytes.iter().take(missing));
        if bytes.is_empty() || self.head.len() == HEAD {
            let greeting = Greeting::of(&self.head);
            self.tell(Ok(greeting));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Greeted<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.listener.is_none() {
            return Pin::new(&mut this.io).poll_read(context, into);
        }
        let before = into.filled().len();
        match ready!(Pin::new(&mut this.io).poll_read(context, into)) {
            Ok(()) => {
                this.heard(into.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                // The one who dials gets the error itself, with its source.
                let copy = io::Error::new(error.kind(), error.to_string());
                this.tell(Err(error));
                Poll::Ready(Err(copy))
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeted<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn greeting_of(pieces: &[&[u8]]) -> Greeting {
        let (mut server, client) = tokio::io::duplex(64);
        let (mut client, greeting) = Greeted::new(client);
        let mut read = Vec::new();
        for piece in pieces {
            server.write_all(piece).await.unwrap();
            let mut buffer = vec![0; piece.len()];
            client.read_exact(&mut buffer).await.unwrap();
            read.extend(buffer);
        }
        assert_eq!(read, pieces.concat(), "all bytes are passed on");
        drop(server);
        client.read_to_end(&mut read).await.unwrap();
        greeting.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_greeting_is_known_by_its_first_bytes_in_whatever_pieces() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0];
        assert_eq!(greeting_of(&[&settings]).await, Greeting::Http2);
        assert_eq!(greeting_of(&[&settings[..2], &settings[2..3], &settings[3..]]).await, Greeting::Http2);
        assert_eq!(greeting_of(&[b"HTTP/1.1 400 Bad Request"]).await, Greeting::Http1);
        assert_eq!(greeting_of(&[&[0x15, 3, 1, 0, 2, 2, 10]]).await, Greeting::Tls);
        assert_eq!(greeting_of(&[b"SSH-2.0"]).await, Greeting::Other);
        assert_eq!(greeting_of(&[]).await, Greeting::Closed);
        assert_eq!(greeting_of(&[b"SS"]).await, Greeting::Other);
    }
}
