//! The body of an answer, and what happens to its connection at the end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::framing::{Framing, Piece};
use super::{Link, READ_BYTES, READ_BYTES_MAX};
use crate::wire::h2::Received;
use crate::wire::spawned::Streamed;

/// An answer and the connection it arrives on.
pub type Answer = Response<AnswerBody>;

/// A body that could not be read to its end.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer broke off or is malformed")
    }
}

impl std::error::Error for Broken {}

/// The body of an answer. At its end the connection becomes idle; dropped before, the connection is closed, or the stream
/// is reset if others share the connection.
#[derive(Debug)]
pub struct AnswerBody {
    /// Read before, and goes first.
    read: Bytes,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Read in place.
    Held(Held),
    /// All of it has arrived, and its connection is already somebody else's.
    Arrived(Bytes),
    /// hyper reads it in another task.
    Streamed(Box<Streamed>),
    /// It comes over a connection that others use as well.
    Shared(Box<Received>),
}

impl From<Source> for AnswerBody {
    fn from(source: Source) -> AnswerBody {
        AnswerBody { read: Bytes::new(), source }
    }
}

/// A body that is read in place.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) link: Link,
    pub(super) framing: Framing,
    pub(super) kept: bool,
    pub(super) idle_max: u32,
}

impl AnswerBody {
    pub(super) fn held(mut held: Held) -> AnswerBody {
        let whole = held.framing.left().is_some_and(|left| left == held.link.0.arrived.len() as u64);
        if !whole {
            return Source::Held(held).into();
        }
        // The usual case: a small body arrived with its head.
        let body = held.link.0.arrived.split().freeze();
        held.framing = Framing::Ended;
        held.finish();
        Source::Arrived(body).into()
    }

    pub(in crate::wire) fn streamed(streamed: Streamed) -> AnswerBody {
        Source::Streamed(Box::new(streamed)).into()
    }

    pub(in crate::wire) fn received(received: Received) -> AnswerBody {
        if received.is_end_stream() {
            return Source::Arrived(Bytes::new()).into();
        }
        Source::Shared(Box::new(received)).into()
    }

    /// Puts back what was read of it.
    pub fn preceded_by(self, read: Bytes) -> AnswerBody {
        AnswerBody { read, ..self }
    }

    /// Reads and discards the rest, so that the connection can be used again. At most `bytes_max`.
    pub async fn drain(mut self, bytes_max: usize) {
        let mut seen = 0;
        while seen <= bytes_max {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await;
            match frame {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    }
}

impl Held {
    /// The body is over: the connection is kept if nothing stands against it.
    fn finish(self) {
        let socket = &self.link.0;
        // What has arrived unasked belongs to no answer, and half a request is none.
        if self.kept && socket.arrived.is_empty() && socket.outgoing.is_done() && !socket.broken {
            self.link.into_idle(self.idle_max);
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let socket = &mut *self.link.0;
        // An upstream may answer while it still reads the request.
        socket.write_on(cx);
        let mut closed = false;
        loop {
            match self.framing.take(&mut socket.arrived, closed) {
                Ok(Piece::More) => {}
                Ok(piece) => return Poll::Ready(Ok(piece)),
                Err(_) => return Poll::Ready(Err(Broken)),
            }
            let room = self.framing.left().map_or(READ_BYTES_MAX, |left| {
                usize::try_from(left).unwrap_or(READ_BYTES_MAX).clamp(READ_BYTES, READ_BYTES_MAX)
            });
            match socket.poll_read(cx, room) {
                Poll::Ready(Ok(0)) => closed = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        let held = match &mut self.source {
            Source::Arrived(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Arrived(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::Streamed(streamed) => return streamed.poll_frame(cx).map_err(|_hyper| Broken),
            Source::Shared(received) => return received.poll_frame(cx),
            Source::Held(held) => held,
        };
        let (frame, over) = match std::task::ready!(held.poll_piece(cx)) {
            Ok(Piece::Data(data)) => (Some(Ok(Frame::data(data))), held.framing == Framing::Ended),
            Ok(Piece::Trailers(fields)) => (Some(Ok(Frame::trailers(fields))), true),
            Ok(Piece::End | Piece::More) => (None, true),
            // The connection goes with this body.
            Err(broken) => return Poll::Ready(Some(Err(broken))),
        };
        if over && let Source::Held(held) = std::mem::replace(&mut self.source, Source::Arrived(Bytes::new())) {
            held.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = match &self.source {
            Source::Arrived(bytes) => bytes.is_empty(),
            Source::Held(held) => held.framing == Framing::Ended,
            Source::Streamed(streamed) => streamed.is_end_stream(),
            Source::Shared(received) => received.is_end_stream(),
        };
        ended && self.read.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.source {
            Source::Arrived(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Held(held) => held.framing.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Streamed(streamed) => streamed.size_hint(),
            Source::Shared(received) => received.size_hint(),
        };
        if self.read.is_empty() {
            return rest;
        }
        let read = self.read.len() as u64;
        rest.exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest.saturating_add(read)))
    }
}
