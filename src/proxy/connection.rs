//! The client's side of one connection, and of one exchange on it.

mod heads;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::heads::Framing;
use super::listeners::Place;
use crate::clock;
use crate::tls::Peer;
use crate::wire::Alarm;

pub use stream::ClientStream;

/// A connection that has been idle for so long is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// Streams of one HTTP/2 connection that their client has given up, less those that were answered: beyond it the
/// connection takes no more. Whoever opens and resets streams as fast as it can gets there; nobody else does.
const ABANDONED_MAX: u32 = 512;

/// What the connection and the requests on it tell each other. Over HTTP/1.1 there is one per connection. Over HTTP/2
/// there is one for each stream, too, because streams have deadlines and ends of their own.
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
    /// Something was written since somebody looked.
    wrote: AtomicBool,
    /// Nanoseconds since `opened` at which the last exchange ended; [`IN_USE`] while there is one.
    idle_since: AtomicU64,
    idle_max: Duration,
    alarm: Alarm,
    closing: AtomicBool,
    /// From then on the next answer is the last one.
    ages_at: Option<Instant>,
    cut: AtomicBool,
    framing: Framing,
    /// Of an HTTP/2 stream: the connection that carries it.
    carrier: Option<Arc<Connection>>,
    /// Of an HTTP/2 connection: its streams that have not ended.
    streams: AtomicU32,
    /// See [`ABANDONED_MAX`].
    abandoned: AtomicU32,
    /// Of a stream: its client did not leave before its answer.
    served: AtomicBool,
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
            wrote: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            idle_max,
            alarm: Alarm::new(),
            closing: AtomicBool::new(false),
            ages_at: None,
            cut: AtomicBool::new(false),
            framing: Framing::default(),
            carrier: None,
            streams: AtomicU32::new(0),
            abandoned: AtomicU32::new(0),
            served: AtomicBool::new(false),
            _place: place,
        }
    }

    /// It is asked to end when it is so old.
    pub fn with_age(mut self, most: Option<Duration>) -> Connection {
        self.ages_at = most.map(|most| self.opened + most);
        self
    }

    /// When it has become old; `None`: never.
    pub const fn ages_at(&self) -> Option<Instant> {
        self.ages_at
    }

    /// Whether it is to end because of its age.
    pub fn is_aged(&self, now: Instant) -> bool {
        self.ages_at.is_some_and(|at| now >= at)
    }

    /// One more stream on this HTTP/2 connection.
    pub fn stream(self: &Arc<Connection>) -> Connection {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let mut stream = Connection::new(self.peer, self.listener, self.idle_max, None);
        stream.identity.clone_from(&self.identity);
        stream.carrier = Some(Arc::clone(self));
        stream
    }

    /// It speaks HTTP/2: nothing that arrives is a head of HTTP/1.
    pub fn carry_streams(&self) {
        self.framing.become_opaque();
    }

    /// Whether exchanges are streams of HTTP/2.
    pub fn is_stream(&self) -> bool {
        self.carrier.is_some()
    }

    /// Of a stream: a frame of the answer was handed over (or none is there yet), and is on its way until the next
    /// one is asked for.
    pub fn handed(&self, frame: bool) {
        if self.carrier.is_some() {
            self.writing.store(frame, Ordering::Relaxed);
        }
    }

    /// The client did not leave before its answer.
    pub fn served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Of a stream: until when the client must have taken what it was handed. `None`: it waits for nothing of ours.
    pub fn must_move_by(&self) -> Option<Instant> {
        self.writing.load(Ordering::Relaxed).then(|| self.stall_until())
    }

    /// Of a stream: its client does not read.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// Whether anything was written since this was asked last.
    pub fn has_written(&self) -> bool {
        self.wrote.swap(false, Ordering::Relaxed)
    }

    /// How long it may be idle.
    pub fn idle_max(&self) -> Duration {
        self.idle_max
    }

    /// Of an HTTP/2 connection: its streams that have not ended.
    pub fn streams_open(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Of an HTTP/2 connection: whether its client opens streams in order to give them up.
    pub fn is_abused(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) > ABANDONED_MAX
    }

    /// A stream of this connection has ended.
    fn stream_ended(&self, served: bool) {
        let count = |abandoned: u32| Some(if served { abandoned.saturating_sub(1) } else { abandoned + 1 });
        let _ = self.abandoned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        if self.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = clock::now();
            self.rest(now);
            let idle = now + self.idle_max;
            // The last one who asks counts: the moment at which it is old must not be forgotten for this one.
            self.alarm.ask(self.ages_at.map_or(idle, |at| at.min(idle)));
        }
    }

    fn rest(&self, now: Instant) {
        let since = now.saturating_duration_since(self.opened).as_nanos();
        self.idle_since.store(u64::try_from(since).unwrap_or(IN_USE - 1), Ordering::Relaxed);
    }

    /// A head has been read: whether it named a Content-Length. `has_body`: its body follows.
    pub fn begin_exchange(&self, has_body: bool) -> bool {
        let named = self.framing.begin(has_body);
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
        self.framing.end();
        self.rest(now);
        if self.carrier.is_none() {
            self.alarm.ask(now + PARK_AFTER.min(self.idle_max));
        }
    }

    /// The protocol was switched: there is no deadline any more, and no head to be read.
    pub fn become_tunnel(&self) {
        self.deadline.store(0, Ordering::Relaxed);
        self.framing.become_opaque();
    }

    /// The client was cut off because it stopped reading.
    pub fn stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) || self.carrier.as_ref().is_some_and(|carrier| carrier.stalled())
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
        self.cut.load(Ordering::Relaxed) || self.carrier.as_ref().is_some_and(|carrier| carrier.is_cut())
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

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(carrier) = &self.carrier {
            carrier.stream_ended(self.served.load(Ordering::Relaxed));
        }
    }
}
