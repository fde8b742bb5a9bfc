//! The client's bytes: a write-stall guard, and a look at framing that hyper keeps to itself.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::Connection;
use super::heads::Reader;
use crate::sabotage::{Point, crash_point};
use crate::tls::Transport;

/// The client's stream.
///
/// hyper asks a response body for more only while it can write, so a deadline inside the body never fires for
/// a client that stops reading. Here a write that stays pending beyond the deadline fails.
pub struct ClientStream {
    inner: Transport,
    /// Read before, and not yet handed on.
    begun: Bytes,
    connection: Arc<Connection>,
    stall: Option<Pin<Box<Sleep>>>,
    stalling: bool,
    /// What leaves in one write.
    joined: Vec<u8>,
    reader: Reader,
}

impl ClientStream {
    /// Wraps an accepted stream. `begun`: what was read of the next request before the connection was parked.
    pub fn new(inner: Transport, begun: Bytes, connection: Arc<Connection>) -> ClientStream {
        // What was begun is looked at from its start.
        let reader = Reader::default();
        ClientStream { inner, begun, connection, stall: None, stalling: false, joined: Vec::new(), reader }
    }

    /// The socket, and what was read of a request that has not come whole: `read` by hyper, or begun before.
    /// `None` if that cannot be told apart.
    pub fn into_stream(self, read: Bytes) -> Option<(Transport, Bytes)> {
        match (read.is_empty(), self.begun.is_empty()) {
            (_, true) => Some((self.inner, read)),
            (true, false) => Some((self.inner, self.begun)),
            (false, false) => None,
        }
    }

    fn read_begun(&mut self, buf: &mut ReadBuf<'_>) {
        let most = self.begun.len().min(buf.remaining());
        let taken = self.reader.take(&self.begun[..most], &self.connection.framing);
        buf.put_slice(&self.begun[..taken]);
        self.begun.advance(taken);
        if self.begun.is_empty() {
            self.begun = Bytes::new();
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            crash_point(Point::MidReply);
            self.connection.wrote.store(true, Ordering::Relaxed);
            if self.stalling {
                self.stalling = false;
                self.connection.writing.store(false, Ordering::Relaxed);
            }
            return result;
        }
        if !self.stalling {
            self.stalling = true;
            self.connection.writing.store(true, Ordering::Relaxed);
            let until = self.connection.stall_until().into();
            match &mut self.stall {
                Some(timer) => timer.as_mut().reset(until),
                None => self.stall = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        let Some(timer) = &mut self.stall else { return Poll::Pending };
        timer.as_mut().poll(cx).map(|()| {
            self.connection.stalled.store(true, Ordering::Relaxed);
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

/// A head and a small body are copied together: one plain `send` costs less than a vectored write.
const JOINED_BYTES_MAX: usize = 2 * 1024;

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.begun.is_empty() {
            this.read_begun(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            let taken = this.reader.take(read, &this.connection.framing);
            if taken < read.len() {
                // A request behind another one waits until hyper asks for it.
                this.begun = Bytes::copy_from_slice(&read[taken..]);
                buf.set_filled(before + taken);
            }
        }
        result
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = if bufs.iter().map(|b| b.len()).sum::<usize>() <= JOINED_BYTES_MAX {
            this.joined.clear();
            bufs.iter().for_each(|b| this.joined.extend_from_slice(b));
            Pin::new(&mut this.inner).poll_write(cx, &this.joined)
        } else {
            Pin::new(&mut this.inner).poll_write_vectored(cx, bufs)
        };
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
