//! What moved on an upstream connection: the evidence behind every `sent`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::RequestBody;
use super::body::upload_failure;
use super::h1::SendError;
use crate::reliability::{Failure, Sent};
use crate::tls::{Transport, is_refusal};

pub(super) type TrySendError = hyper::client::conn::TrySendError<Request<RequestBody>>;

/// What moved on a connection since its current exchange began.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    /// The peer refused our certificate, and looked at nothing.
    refused: AtomicBool,
}

impl Traffic {
    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// Whether the peer ended the connection because of our certificate.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// What the peer may know of the current request.
    fn sent(&self) -> Sent {
        if self.is_refused() {
            Sent::No
        } else if self.read.load(Ordering::Relaxed) > 0 {
            Sent::Yes
        } else if self.written.load(Ordering::Relaxed) > 0 {
            Sent::Maybe
        } else {
            Sent::No
        }
    }
}

/// A stream that counts what moves.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) inner: Transport,
    pub(super) traffic: Arc<Traffic>,
}

impl Counted {
    fn count_written(&mut self, cx: &mut Context<'_>, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(n)) = result {
            self.traffic.written.fetch_add(*n as u64, Ordering::Release);
        }
        self.ask_why(cx, result);
    }

    /// Why the peer does not take any more may be there to be read.
    fn ask_why<T>(&mut self, cx: &mut Context<'_>, result: &Poll<io::Result<T>>) {
        if matches!(result, Poll::Ready(Err(_))) && self.traffic.read() == 0 {
            let mut byte = [0; 1];
            let _ = Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut byte));
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            self.traffic.read.fetch_add(read as u64, Ordering::Release);
        }
        if let Poll::Ready(Err(error)) = &result
            && self.traffic.read() == 0
            && is_refusal(error)
        {
            self.traffic.refused.store(true, Ordering::Release);
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.count_written(cx, &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.count_written(cx, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.ask_why(cx, &result);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Traffic {
    /// The time is over. The task that drives the connection may be about to write.
    pub(super) fn timed_out(&self) -> SendError {
        SendError { failure: Failure::TryTimeout, sent: self.sent().max(Sent::Maybe), unsent: None, late: None }
    }

    /// What an error of hyper's says, with what was sent.
    pub(super) fn explain(&self, mut error: TrySendError) -> SendError {
        if let Some(request) = error.take_message() {
            // The message comes back only if writing it never began: the one proof that counts.
            return SendError {
                failure: Failure::ConnectionTerminated,
                sent: Sent::No,
                unsent: Some(request.into_body()),
                late: None,
            };
        }
        let error = error.into_error();
        let failure = if self.is_refused() {
            Failure::TlsAlert
        } else if error.is_parse_too_large() {
            Failure::ResponseHeadTooLarge
        } else if error.is_parse() {
            Failure::ResponseMalformed
        } else if error.is_user() || error.is_body_write_aborted() {
            // Our request body failed: the client's upload broke.
            upload_failure(&error)
        } else {
            Failure::ConnectionTerminated
        };
        SendError { failure, sent: self.sent(), unsent: None, late: None }
    }
}
