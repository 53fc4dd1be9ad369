//! A socket that says what it does.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{activity::Activity, wire::Wire};

/// How long a peer may go on sending after the last byte to it went out.
const LINGER: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A socket, plain or TLS, that looks at the requests that come in and tells its connection's [`Activity`].
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    activity: Arc<Activity>,
}

#[derive(Debug)]
enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Socket {
    pub(super) fn plain(wire: Wire, activity: Arc<Activity>) -> Self {
        Self {
            stream: Stream::Plain(wire),
            activity,
        }
    }

    /// Shakes hands, for as long as it takes. Where that fails, the alert that says so went out. Dropped, it ends the
    /// connection.
    pub(super) async fn tls(
        wire: Wire,
        activity: Arc<Activity>,
        config: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let accepting = TlsAcceptor::from(config).accept(wire).into_fallible();
        match Box::pin(accepting).await {
            Ok(stream) => Ok(Self {
                stream: Stream::Tls(Box::new(stream)),
                activity,
            }),
            Err((error, wire)) => {
                Self::plain(wire, activity).close().await;
                Err(error)
            }
        }
    }

    /// Ends the connection at once, and leaves the kernel nothing to deliver.
    pub(super) fn abort(self) {
        self.activity.give_up();
    }

    /// Ends the connection so that the peer gets all that was written to it.
    ///
    /// A socket that is closed while bytes wait in it is reset, and the reset can overtake the reply: a client whose
    /// upload was refused would see a broken connection instead of the reason. So what still comes in is thrown away,
    /// for a second.
    pub(super) async fn close(mut self) {
        let orderly = async {
            if self.activity.was_refused() {
                self.write_all(REFUSAL).await?;
            }
            self.shutdown().await
        };
        match timeout(LINGER, orderly).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "a connection could not be closed in order"),
            Err(_) => return,
        }
        let wire = match &mut self.stream {
            Stream::Plain(wire) => wire,
            Stream::Tls(stream) => stream.get_mut().0,
        };
        let discard = async {
            let mut rest = [0; 2048];
            while matches!(wire.read(&mut rest).await, Ok(read) if read > 0) {}
        };
        // Whether the peer closed its side in time is its own affair.
        let _ = timeout(LINGER, discard).await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let fresh = &buf.filled()[before..];
        if fresh.is_empty() || self.activity.heard(fresh) {
            return Poll::Ready(Ok(()));
        }
        buf.set_filled(before);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the request's head is ambiguous",
        )))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(wire) => wire.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the socket once its own buffer is empty, and this empties TLS's.
        ready!(match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        })?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
