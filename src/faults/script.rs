//! What a scripted upstream does: values, changed at run time as a whole.

use std::time::Duration;

use bytes::Bytes;

use super::answer::Answer;
use super::capacity::Capacity;
use crate::reliability::entropy::{Entropy, SplitMix};

/// The behaviour of a server. Cloning shares the capacity.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) plan: Plan,
    pub(super) greeting: Greeting,
    pub(super) keep_alive: KeepAlive,
    pub(super) capacity: Option<Capacity>,
}

impl Script {
    /// Every request meets the same behaviour.
    pub fn always(behaviour: impl Into<Behaviour>) -> Self {
        Script::of(Plan::Always(behaviour.into()))
    }

    /// The first requests meet one behaviour each, in order; all others the last one.
    pub fn sequence<B: Into<Behaviour>>(first: impl IntoIterator<Item = B>, then: impl Into<Behaviour>) -> Self {
        Script::of(Plan::Sequence { first: first.into_iter().map(Into::into).collect(), then: then.into() })
    }

    /// A share of the requests, 0.0 to 1.0, meets `bad`. Which ones is fixed by `seed` and their number.
    pub fn share(share: f64, bad: impl Into<Behaviour>, good: impl Into<Behaviour>, seed: u64) -> Self {
        Script::of(Plan::Share { share, bad: Box::new(bad.into()), good: Box::new(good.into()), seed })
    }

    /// The behaviour depends on the longest prefix of the path; the default is what `self` says.
    pub fn on_path(mut self, prefix: &str, behaviour: impl Into<Behaviour>) -> Self {
        let here = Plan::Always(behaviour.into());
        self.plan = Plan::Path { prefix: prefix.to_string(), here: Box::new(here), other: Box::new(self.plan) };
        self
    }

    /// What a connection meets before its first request.
    pub fn greeting(mut self, greeting: Greeting) -> Self {
        self.greeting = greeting;
        self
    }

    /// How long connections live.
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// At most `slots` requests are served at once, for the time of their latency; others wait in order of
    /// arrival. So overload is real: rate × latency above `slots` makes the queue grow.
    pub fn capacity(mut self, slots: usize, abandoned: Abandoned) -> Self {
        self.capacity = Some(Capacity::new(slots, abandoned));
        self
    }

    /// What `other` does to requests, with the connections and the capacity of `self`: a fault that comes over a
    /// running server.
    pub fn doing(mut self, other: impl Into<Script>) -> Self {
        self.plan = other.into().plan;
        self
    }

    fn of(plan: Plan) -> Self {
        Script { plan, greeting: Greeting::Serve, keep_alive: KeepAlive::default(), capacity: None }
    }
}

impl<B: Into<Behaviour>> From<B> for Script {
    fn from(behaviour: B) -> Self {
        Script::always(behaviour)
    }
}

/// What happens to work whose caller went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is given up, and its slot comes free.
    Cancelled,
    /// It runs to its end, as in most real servers.
    RunsOn,
}

#[derive(Clone, Debug)]
pub(super) enum Plan {
    Always(Behaviour),
    Sequence { first: Vec<Behaviour>, then: Behaviour },
    Share { share: f64, bad: Box<Behaviour>, good: Box<Behaviour>, seed: u64 },
    Path { prefix: String, here: Box<Plan>, other: Box<Plan> },
}

impl Plan {
    /// The behaviour for the request with this number (from 0, since the script was set).
    pub(super) fn behaviour(&self, number: u64, path: &str) -> &Behaviour {
        match self {
            Plan::Always(behaviour) => behaviour,
            Plan::Sequence { first, then } => usize::try_from(number).ok().and_then(|n| first.get(n)).unwrap_or(then),
            Plan::Share { share, bad, good, seed } => {
                if dice(*seed, number) < *share {
                    bad
                } else {
                    good
                }
            }
            Plan::Path { prefix, here, other } => {
                if path.starts_with(prefix.as_str()) { here } else { other }.behaviour(number, path)
            }
        }
    }
}

/// Uniform in `[0, 1)`, the same for the same seed and number.
fn dice(seed: u64, number: u64) -> f64 {
    SplitMix::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).unit()
}

/// What a connection meets before its first request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Requests are read and served.
    Serve,
    /// The connection is accepted and reset at once.
    Reset,
    /// The connection is accepted and closed at once.
    Close,
    /// The connection is accepted and never answered.
    Silence,
    /// These bytes are written without being asked; then requests are served.
    Speak(Bytes),
}

/// When the server closes a connection that it could keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeepAlive {
    /// After this many requests.
    pub requests: Option<u64>,
    /// When idle for this long.
    pub idle: Option<Duration>,
    /// Whether the last answer says `Connection: close`, or the close comes as a surprise.
    pub announced: bool,
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub(super) act: Act,
    pub(super) latency: Latency,
    pub(super) body: RequestBody,
}

impl Behaviour {
    /// Wait this long, with the request read, before acting.
    pub fn after(mut self, latency: impl Into<Latency>) -> Self {
        self.latency = latency.into();
        self
    }

    /// Act on the head alone. A body stays unread; the connection stays open, and nothing more is read from it.
    pub fn early(mut self) -> Self {
        self.body = RequestBody::Unread;
        self
    }

    /// Read the request, then never answer. Ends when the peer goes away.
    pub fn stall() -> Self {
        Act::Stall.into()
    }

    /// Close the connection without an answer.
    pub fn hang_up(how: Hangup, at: Point) -> Self {
        let behaviour = Behaviour::from(Act::HangUp(how));
        match at {
            Point::Head => behaviour.early(),
            Point::Body => behaviour,
        }
    }

    /// Write these bytes in place of an answer; `then` says whether the connection stays open. HTTP/1 only: in
    /// HTTP/2 the stream is reset, and bytes of any kind are written with `testing::Frames`.
    pub fn raw(bytes: impl Into<Bytes>, then: Then) -> Self {
        Act::Raw(bytes.into(), then).into()
    }

    /// Answer 101 to a request that asks for it with `Upgrade`, then send every byte back. Others get 426. In HTTP/2
    /// the same for CONNECT with a `:protocol` (RFC 8441), which is answered 200.
    pub fn upgrade() -> Self {
        Act::Upgrade.into()
    }

    /// Send each message of a gRPC stream back while it arrives, then the status 0 as a trailer.
    pub fn grpc_echo() -> Self {
        Behaviour { act: Act::GrpcEcho, latency: Latency::None, body: RequestBody::Unread }
    }

    /// Send the request body back while it arrives, in the framing in which it came, trailers included.
    pub fn echo() -> Self {
        Behaviour { act: Act::Echo, latency: Latency::None, body: RequestBody::Unread }
    }
}

impl From<Act> for Behaviour {
    fn from(act: Act) -> Self {
        Behaviour { act, latency: Latency::None, body: RequestBody::Read }
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Act::Answer(answer).into()
    }
}

/// What is done with the request body before acting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestBody {
    /// Read to its end: the request has taken effect.
    Read,
    /// Left alone.
    Unread,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Answer(Answer),
    Stall,
    HangUp(Hangup),
    Raw(Bytes, Then),
    Upgrade,
    Echo,
    GrpcEcho,
}

/// How a connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// RST of the connection.
    Reset,
    /// FIN, after `close_notify` inside TLS.
    Close,
    /// RST_STREAM with this code: the connection stays. In HTTP/1, which has no streams, as `Reset`.
    Stream(u32),
    /// GOAWAY with this code, then FIN. In HTTP/1 as `Close`.
    GoAway(u32),
}

/// How much of the request is read before the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Only the head: the request has had no effect.
    Head,
    /// All of it: the request has taken effect.
    Body,
}

/// What follows raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection is closed.
    Close,
    /// The connection stays open and silent until the peer goes away.
    Silence,
    /// The next request is served.
    Serve,
}

/// Time between reading a request and acting on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    /// None.
    None,
    /// Always the same.
    Fixed(Duration),
    /// A distribution by its quantiles, linear in between: `(0.5, 10 ms), (0.99, 80 ms)`; the first value
    /// holds below, the last one above. Drawn from `seed` and the number of the request.
    Quantiles {
        /// Share of requests (0.0 to 1.0, rising) and their latency.
        points: Vec<(f64, Duration)>,
        /// Seed of the draw.
        seed: u64,
    },
}

impl From<Duration> for Latency {
    fn from(duration: Duration) -> Self {
        Latency::Fixed(duration)
    }
}

impl Latency {
    /// Latency of the request with this number.
    pub(super) fn draw(&self, number: u64) -> Duration {
        match self {
            Latency::None => Duration::ZERO,
            Latency::Fixed(duration) => *duration,
            Latency::Quantiles { points, seed } => interpolate(points, dice(*seed, number)),
        }
    }
}

fn interpolate(points: &[(f64, Duration)], share: f64) -> Duration {
    match points.iter().position(|(at, _)| *at > share) {
        None => points.last().map_or(Duration::ZERO, |(_, latency)| *latency),
        Some(0) => points[0].1,
        Some(i) => {
            let (low, high) = (points[i - 1], points[i]);
            let weight = (share - low.0) / (high.0 - low.0);
            low.1.mul_f64(1.0 - weight) + high.1.mul_f64(weight)
        }
    }
}
