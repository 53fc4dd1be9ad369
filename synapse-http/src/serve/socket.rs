//! A socket that says what it does.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::activity::Activity;

/// How long a peer may go on sending after the last byte to it went out.
const LINGER: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A socket that tells its connection's [`Activity`] what it does.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    /// Ends the connection at once, and leaves the kernel nothing to deliver.
    pub(super) fn abort(self) {
        self.reset();
    }

    fn reset(&self) {
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "a connection could not be reset");
        }
    }

    /// Ends the connection so that the peer gets all that was written to it.
    ///
    /// A socket that is closed while bytes wait in it is reset, and the reset can overtake the reply: a client whose
    /// upload was refused would see a broken connection instead of the reason. So what still comes in is thrown away,
    /// for a second.
    pub(super) async fn close(mut self) {
        if self.activity.was_refused()
            && let Err(error) = self.stream.try_write(REFUSAL)
        {
            tracing::debug!(%error, "a refusal could not be sent");
        }
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let discard = async {
            let mut rest = [0; 2048];
            while matches!(self.stream.read(&mut rest).await, Ok(read) if read > 0) {}
        };
        // Whether the peer closed its side in time is its own affair.
        let _ = timeout(LINGER, discard).await;
    }

    fn note(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &poll {
            Poll::Ready(Ok(written)) => self.activity.wrote(*written),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
        poll
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
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
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the socket once its own buffer is empty.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    /// However a connection ends, a part of a reply must not look like the whole: without a length and without
    /// chunks, as in HTTP/1.0, an orderly close would say just that.
    fn drop(&mut self) {
        if self.activity.would_look_complete() {
            self.reset();
        }
    }
}
