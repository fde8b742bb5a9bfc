//! HTTP/1.1 upstream connections.
//!
//! A request that is held in memory is sent *in place*: the attempt's own future writes its bytes and reads the
//! answer's. There is no task, no channel hop and no timer of its own, the head is written straight from the
//! client's fields, and dropping the attempt closes the socket. What streams, or switches protocols, goes
//! through hyper in a task of its own ([`super::spawned`]), so that upload and download progress independently.
//!
//! While a connection is idle it is a socket without buffers.

mod answer;
mod framing;
mod late;
mod request;
mod response;
#[cfg(feature = "testing")]
pub mod whole;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{Method, Response, StatusCode};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::RequestBody;
use super::alarm::Alarm;
use super::pool::Opening;
use crate::clock;
use crate::reliability::{Failure, Sent};
use crate::sabotage::{Point, crash_point};
use crate::tls::{Transport, is_refusal};

pub use answer::{Answer, AnswerBody, Broken};
pub use late::Late;
pub use request::{Head, OwnFields};

use answer::Held;
use request::Outgoing;
use response::{AnswerHead, HEAD_BYTES_MAX, HeadEnd, take_head};

/// Room for what is read at once: at first, and for large bodies.
const READ_BYTES: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// So many interim answers (1xx) may precede the final one.
const INTERIM_MAX: u32 = 32;

/// One connection, owned by whoever uses it: an attempt, an answer's body, or the idle list. A pointer: it is
/// moved several times for each request.
#[derive(Debug)]
pub struct Link(Box<Socket>);

#[derive(Debug)]
struct Socket {
    stream: Transport,
    opening: Opening,
    idle_since: Instant,
    outgoing: Outgoing,
    /// A write failed. An answer that is already on its way may still be read.
    broken: bool,
    arrived: BytesMut,
    /// Bytes that moved since the exchange began.
    written: u64,
    read: u64,
}

/// An exchange that ended without an answer.
#[derive(Debug)]
pub struct SendError {
    /// What happened.
    pub failure: Failure,
    /// How much of the request left.
    pub sent: Sent,
    /// A body that can be sent once, if the connection provably never began to write it.
    pub unsent: Option<RequestBody>,
    /// Its time was over and all of the request had left: the exchange, for whoever wants to listen on. Dropped, the
    /// connection is closed.
    pub late: Option<Box<Late>>,
}

/// What an exchange needs besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The head of the answer must be there by then.
    pub cutoff: Instant,
    /// Idle connections kept.
    pub idle_max: u32,
    /// The timer of the task that polls the exchange.
    pub alarm: &'a Alarm,
}

impl Link {
    /// Speaks HTTP/1.1 on a fresh stream.
    pub fn new(stream: Transport, opening: Opening) -> Link {
        Link(Box::new(Socket {
            stream,
            opening,
            idle_since: clock::now(),
            outgoing: Outgoing::default(),
            broken: false,
            arrived: BytesMut::new(),
            written: 0,
            read: 0,
        }))
    }

    /// When this connection was last given back.
    pub fn idle_since(&self) -> Instant {
        self.0.idle_since
    }

    /// Whether it has been idle for less than `idle_timeout`, and is not too old.
    pub fn is_fresh(&self, now: Instant, idle_timeout: Duration) -> bool {
        now.saturating_duration_since(self.idle_since()) < idle_timeout && !self.0.opening.is_aged(now)
    }

    /// Whether it was too old when it was given back.
    pub(super) fn is_aged(&self) -> bool {
        self.0.opening.is_aged(self.0.idle_since)
    }

    /// Whether the peer has neither closed nor sent anything unasked, as far as the reactor has seen. Costs no
    /// system call while it has not. A passed probe is no proof; it narrows the keep-alive race.
    pub fn usable(&mut self) -> bool {
        self.0.arrived.is_empty() && self.0.stream.is_quiet()
    }

    /// Frees the buffers of a connection that has been idle for a while.
    pub fn shrink(&mut self) {
        self.0.outgoing.shrink();
        self.0.arrived = BytesMut::new();
    }

    /// Sends a request that is held in memory and waits for the head of its answer. Dropping the future closes
    /// the connection: that is how an attempt is cancelled.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send(mut self, head: &Head<'_>, body: &RequestBody, terms: Terms<'_>) -> Result<Answer, SendError> {
        let socket = &mut *self.0;
        (socket.written, socket.read, socket.broken) = (0, 0, false);
        socket.outgoing.write(head, body);
        terms.alarm.ask(terms.cutoff);
        let mut end = HeadEnd::default();
        let mut interim = 0;
        let answered = std::future::poll_fn(|cx| {
            let polled = socket.poll_head(cx, head.method, &mut end, &mut interim);
            if polled.is_pending() && terms.alarm.passed(terms.cutoff) {
                return Poll::Ready(Err(Failure::TryTimeout));
            }
            polled
        })
        .await;
        match answered {
            Ok(head) => Ok(self.answer(head, terms.idle_max)),
            Err(failure) => {
                let sent = self.0.sent();
                let listenable = failure == Failure::TryTimeout && self.0.outgoing.is_done() && !self.0.broken;
                let late = listenable.then(|| Box::new(Late::new(self, end, interim, head.method, terms.idle_max)));
                Err(SendError { failure, sent, unsent: None, late })
            }
        }
    }

    fn answer(self, head: AnswerHead, idle_max: u32) -> Answer {
        let AnswerHead { status, fields, reason, framing, kept } = head;
        let body = AnswerBody::held(Held { link: self, framing, kept, idle_max });
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = fields;
        if let Some(reason) = reason {
            answer.extensions_mut().insert(reason);
        }
        answer
    }

    /// Its stream, for an exchange that hyper drives. `None` if something has arrived that nobody asked for.
    pub(super) fn into_stream(self) -> Option<(Transport, Opening)> {
        let Socket { stream, opening, arrived, .. } = *self.0;
        arrived.is_empty().then_some((stream, opening))
    }

    /// Gives it to the pool. `idle_max`: idle connections kept there.
    pub fn into_idle(mut self, idle_max: u32) {
        self.0.idle_since = clock::now();
        let pool = std::sync::Arc::clone(self.0.opening.pool());
        pool.give_back(self, idle_max);
    }
}

impl Socket {
    fn sent(&self) -> Sent {
        match (self.read, self.written) {
            (1.., _) => Sent::Yes,
            (0, 1..) => Sent::Maybe,
            (0, 0) => Sent::No,
        }
    }

    /// Writes what is left of the request, reads until the head of the final answer is there.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Method,
        end: &mut HeadEnd,
        interim: &mut u32,
    ) -> Poll<Result<AnswerHead, Failure>> {
        self.write_on(cx);
        loop {
            while end.is_there(&self.arrived) {
                let Some(head) = take_head(&mut self.arrived, asked)? else { break };
                *end = HeadEnd::default();
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                *interim += 1;
                if *interim > INTERIM_MAX {
                    return Poll::Ready(Err(Failure::ResponseMalformed));
                }
            }
            if self.arrived.len() > HEAD_BYTES_MAX {
                return Poll::Ready(Err(Failure::ResponseHeadTooLarge));
            }
            match self.poll_read(cx, READ_BYTES) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Err(error)) if self.read == 0 && is_refusal(&error) => {
                    // What was written was not looked at.
                    self.written = 0;
                    return Poll::Ready(Err(Failure::TlsAlert));
                }
                // Not a byte of an answer, or only a part of its head: how it broke says the same.
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Failure::ConnectionTerminated)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes as much as the peer takes.
    fn write_on(&mut self, cx: &mut Context<'_>) {
        while !self.broken && !self.outgoing.is_done() {
            let (copied, rest) = self.outgoing.parts();
            let stream = Pin::new(&mut self.stream);
            let polled = match (copied.is_empty(), rest.is_empty()) {
                (_, true) => stream.poll_write(cx, copied),
                (true, false) => stream.poll_write(cx, rest),
                (false, false) => stream.poll_write_vectored(cx, &[io::IoSlice::new(copied), io::IoSlice::new(rest)]),
            };
            match polled {
                Poll::Ready(Ok(n)) => {
                    self.written += n as u64;
                    self.outgoing.advance(n);
                    crash_point(if self.outgoing.is_done() { Point::AfterRequest } else { Point::MidRequest });
                    self.broken = n == 0;
                }
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => return,
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.arrived.reserve(room);
        let polled = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.arrived);
        if let Poll::Ready(Ok(n)) = &polled {
            self.read += *n as u64;
        }
        polled
    }
}

#[cfg(test)]
mod tests;
