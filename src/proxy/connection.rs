//! The client's side of one connection: a write-stall guard, and what hyper does not tell about framing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::listeners::Place;
use crate::clock;
use crate::sabotage::{Point, crash_point};
use crate::tls::{Peer, Transport};
use crate::wire::Alarm;

/// A connection that has been idle for so long is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// What the connection and the requests on it tell each other. One per connection.
#[derive(Debug)]
pub struct Connection {
    /// The client.
    pub peer: SocketAddr,
    /// The address in the policy on which it was accepted.
    pub listener: SocketAddr,
    /// Who the client is, where a certificate was demanded.
    pub identity: Option<Arc<Peer>>,
    opened: Instant,
    /// Nanoseconds since `opened` by which the current exchange must have ended; 0 = none in progress.
    deadline: AtomicU64,
    stalled: AtomicBool,
    /// A write waits for the client.
    writing: AtomicBool,
    /// Nanoseconds since `opened` at which the last exchange ended; [`IN_USE`] while there is one.
    idle_since: AtomicU64,
    idle_max: Duration,
    alarm: Alarm,
    closing: AtomicBool,
    cut: AtomicBool,
    framing: Framing,
    /// Its place among the listener's connections; a tunnel keeps it.
    _place: Option<Place>,
}

/// An exchange is in progress.
const IN_USE: u64 = u64::MAX;

/// What a connection is to do whose alarm has rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Nothing: it is in use.
    Not,
    /// It has been idle for a moment.
    Park,
    /// It has been idle for too long.
    Over,
}

/// Whether the head being read names a Content-Length: hyper drops that line silently when the request is
/// also chunked, and a message with both is ambiguous (RFC 9112 §6.1).
#[derive(Debug, Default)]
struct Framing {
    /// A request body is passing: its bytes are no head.
    in_body: AtomicBool,
    content_length: AtomicBool,
    restart: AtomicBool,
}

impl Connection {
    /// `idle_max`: how long it may wait for a whole head, and how long a write may make no progress while no
    /// exchange has a deadline. `place`: among the listener's connections; `None`: a replay, which no client waits for.
    pub fn new(peer: SocketAddr, listener: SocketAddr, idle_max: Duration, place: Option<Place>) -> Connection {
        Connection {
            peer,
            listener,
            identity: None,
            opened: clock::now(),
            deadline: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            idle_max,
            alarm: Alarm::new(),
            closing: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            framing: Framing::default(),
            _place: place,
        }
    }

    /// A head has been read: whether it named a Content-Length. `has_body`: its body follows.
    pub fn begin_exchange(&self, has_body: bool) -> bool {
        let named = self.framing.content_length.swap(false, Ordering::Relaxed);
        self.framing.in_body.store(has_body, Ordering::Relaxed);
        self.framing.restart.store(true, Ordering::Relaxed);
        self.idle_since.store(IN_USE, Ordering::Relaxed);
        named
    }

    /// The timer of the task that serves it.
    pub fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// It is served again: the alarm is asked for the moment at which it may be parked.
    pub fn use_again(&self) {
        self.alarm.ask(clock::now() + PARK_AFTER.min(self.idle_max));
    }

    /// When an idle connection is closed.
    pub fn idle_until(&self) -> Instant {
        match self.idle_since.load(Ordering::Relaxed) {
            IN_USE => clock::now() + self.idle_max,
            since => self.opened + Duration::from_nanos(since) + self.idle_max,
        }
    }

    /// The alarm has rung. Asks it again unless the connection is to be parked or closed.
    pub fn idle(&self, now: Instant) -> Idle {
        let since = self.idle_since.load(Ordering::Relaxed);
        if since == IN_USE {
            // The attempt asked for it.
            return Idle::Not;
        }
        if self.writing.load(Ordering::Relaxed) {
            // The answer is still on its way; a client that does not read it is cut off by the stall guard.
            self.alarm.ask(now + self.idle_max);
            return Idle::Not;
        }
        if now >= self.idle_until() {
            return Idle::Over;
        }
        let park_at = self.opened + Duration::from_nanos(since) + PARK_AFTER;
        if now >= park_at {
            return Idle::Park;
        }
        self.alarm.ask(park_at.min(self.idle_until()));
        Idle::Not
    }

    /// The exchange must be over by `deadline`; a client that does not read until then is cut off.
    pub fn set_deadline(&self, deadline: Instant) {
        let nanos = deadline.saturating_duration_since(self.opened).as_nanos();
        self.deadline.store(u64::try_from(nanos).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The exchange is over; what is read next is a head.
    pub fn end_exchange(&self, now: Instant) {
        self.deadline.store(0, Ordering::Relaxed);
        self.framing.in_body.store(false, Ordering::Relaxed);
        let since = now.saturating_duration_since(self.opened).as_nanos();
        self.idle_since.store(u64::try_from(since).unwrap_or(IN_USE - 1), Ordering::Relaxed);
        self.alarm.ask(now + PARK_AFTER.min(self.idle_max));
    }

    /// The protocol was switched: there is no deadline any more, and no head to be read.
    pub fn become_tunnel(&self) {
        self.deadline.store(0, Ordering::Relaxed);
        self.framing.in_body.store(true, Ordering::Relaxed);
    }

    /// The client was cut off because it stopped reading.
    pub fn stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// The next answer is the last one on this connection.
    pub fn close_soon(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer is the last one.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The process ends now: what is in flight is cut by us, not by the client.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether the process cut it.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn stall_until(&self) -> Instant {
        let now = clock::now();
        let limit = now + self.idle_max;
        match self.deadline.load(Ordering::Relaxed) {
            0 => limit,
            nanos => self.opened.checked_add(Duration::from_nanos(nanos)).map_or(limit, |d| d.min(limit)),
        }
    }
}

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
    scanner: HeadScanner,
}

impl ClientStream {
    /// Wraps an accepted stream. `begun`: what was read of the next request before the connection was parked.
    pub fn new(inner: Transport, begun: Bytes, connection: Arc<Connection>) -> ClientStream {
        // What was begun is scanned from its start.
        connection.framing.restart.store(true, Ordering::Relaxed);
        let scanner = HeadScanner::default();
        ClientStream { inner, begun, connection, stall: None, stalling: false, joined: Vec::new(), scanner }
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
        let length = self.begun.len().min(buf.remaining());
        buf.put_slice(&self.begun[..length]);
        self.begun.advance(length);
        if self.begun.is_empty() {
            self.begun = Bytes::new();
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            crash_point(Point::MidReply);
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
        let before = buf.filled().len();
        let this = &mut *self;
        let result = if this.begun.is_empty() {
            Pin::new(&mut this.inner).poll_read(cx, buf)
        } else {
            this.read_begun(buf);
            Poll::Ready(Ok(()))
        };
        let framing = &this.connection.framing;
        if buf.filled().len() > before && !framing.in_body.load(Ordering::Relaxed) {
            if framing.restart.swap(false, Ordering::Relaxed) {
                this.scanner = HeadScanner::default();
            }
            if this.scanner.names_content_length(&buf.filled()[before..]) {
                framing.content_length.store(true, Ordering::Relaxed);
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

/// Looks for a `Content-Length` line in one head, across reads. Stops at the empty line that ends the head.
#[derive(Debug, Default)]
struct HeadScanner {
    line: Line,
    began: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the start of a line, so many bytes of the name matched.
    Matching(usize),
    /// The line is another one: skip to its end.
    #[default]
    Other,
    /// The head is over.
    Ended,
}

const NAME: &[u8] = b"content-length";

impl HeadScanner {
    fn names_content_length(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            match self.line {
                Line::Ended => return false,
                Line::Other => {
                    let end = memchr::memchr(b'\n', rest);
                    // Empty lines may precede a request line.
                    let line = &rest[..end.unwrap_or(rest.len())];
                    self.began |= line.iter().any(|b| *b != b'\r');
                    let Some(end) = end else { return false };
                    rest = &rest[end + 1..];
                    self.line = Line::Matching(0);
                }
                Line::Matching(at) => {
                    let Some((&byte, after)) = rest.split_first() else { return false };
                    if at == 0 && byte == b'\n' && self.began {
                        self.line = Line::Ended;
                    } else if at == 0 && byte == b'\r' {
                        // The line feed decides.
                        rest = after;
                    } else if byte.eq_ignore_ascii_case(&NAME[at]) {
                        rest = after;
                        if at + 1 == NAME.len() {
                            self.line = Line::Other;
                            return true;
                        }
                        self.line = Line::Matching(at + 1);
                    } else {
                        self.line = Line::Other;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HeadScanner;

    fn scan(parts: &[&[u8]]) -> bool {
        let mut scanner = HeadScanner::default();
        parts.iter().any(|p| scanner.names_content_length(p))
    }

    #[test]
    fn a_content_length_line_is_seen_in_any_case_and_across_reads() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\ncOntent-Length: 5\r\n\r\nhello";
        assert!(scan(&[head]));
        for cut in 1..head.len() {
            assert!(scan(&[&head[..cut], &head[cut..]]), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = head.chunks(1).collect();
        assert!(scan(&bytes));
    }

    #[test]
    fn bytes_after_the_head_are_not_looked_at() {
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let next = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        assert!(!scan(&[&[&head[..], &next[..]].concat()]));
        assert!(!scan(&[b"POST / HTTP/1.1\n\nContent-Length: 5\n\n"]));
    }

    #[test]
    fn empty_lines_before_the_request_line_end_no_head() {
        assert!(scan(&[b"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]));
    }

    #[test]
    fn other_names_that_share_a_beginning_are_other_names() {
        assert!(!scan(&[b"POST / HTTP/1.1\r\nContent-Len: 5\r\nX-Content-Length: 5\r\n\r\n"]));
    }
}
