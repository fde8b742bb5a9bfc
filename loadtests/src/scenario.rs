//! A scenario file: load, upstream, and what goes wrong when.
//!
//! The file is read in two steps, as a policy is: [`raw`] mirrors its keys, [`compile`] turns them into a value
//! that cannot be wrong. Every finding names its place and the next step.

mod compile;
mod faults;
mod parse;
mod raw;
mod read;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::gates::Condition;
use crate::results;

/// What is played, compiled.
#[derive(Debug)]
pub struct Scenario {
    /// Name of the file without its ending.
    pub name: String,
    pub title: String,
    /// What it asks, one or two sentences.
    pub description: String,
    /// The text of the file.
    pub source: String,
    /// The measured part.
    pub duration: Duration,
    /// The same load without faults before it, not measured.
    pub warm_up: Duration,
    pub load: LoadPlan,
    pub upstream: UpstreamPlan,
    /// In order of their beginning; no two at one endpoint at the same time.
    pub faults: Vec<Fault>,
    pub policy: PolicyNeeds,
    /// 1, or 2: client, proxy, service, proxy, upstream.
    pub tiers: u32,
    /// Client, the proxy of one pod, the proxy of the other, upstream: what the two speak.
    pub between: Option<Between>,
    pub gates: Vec<Condition>,
    /// Rounds to play unless the command line says otherwise.
    pub rounds: Option<u32>,
    /// Part of the short comparison.
    pub quick: bool,
    /// Cost figures (CPU, system calls, memory) are the point.
    pub cost: bool,
}

/// What the clients send.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub arrivals: results::Mode,
    /// Requests per second; 0 for [`results::Mode::Closed`].
    pub rate: f64,
    /// The most connections open at once.
    pub connections: u32,
    pub protocol: Protocol,
    pub tls: Tls,
    /// Connections that are opened before the play, asked once, and held through it.
    pub idle: u32,
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Bytes of each request body.
    pub body: u64,
    /// A new `Idempotency-Key` on each request.
    pub keyed: bool,
    /// This share (0.0 to 1.0) of the requests says that it is critical, the others that they are sheddable. None: nobody
    /// says anything.
    pub critical: Option<f64>,
    /// The client gives up after this, counted from the intended time.
    pub timeout: Duration,
    /// A connection is closed after this many requests.
    pub requests_per_connection: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with kept connections.
    Http1,
    /// HTTP/2, many requests on one connection; without TLS by prior knowledge.
    Http2,
    /// Unary calls of gRPC: HTTP/2, one message each way, and a status in the trailers.
    Grpc,
}

/// What two proxies speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    pub tls: Tls,
    pub protocol: Protocol,
}

/// What one proxy speaks, towards its callers and towards whom it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    pub tls: Tls,
    pub protocol: Protocol,
    pub upstream_tls: Tls,
    pub upstream_protocol: Protocol,
}

/// How one side of the proxy is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    None,
    /// The server shows a certificate, which is verified.
    Server,
    /// So does the client.
    Mutual,
}

/// The endpoints behind the proxy, while nothing is wrong with them.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    pub endpoints: u32,
    pub tls: Tls,
    /// What proxies speak to it.
    pub protocol: Protocol,
    pub latency: Latency,
    /// Bytes of each answer's body.
    pub answer: u64,
    pub capacity: Option<Capacity>,
    /// Share of requests (0.0 to 1.0) answered with 503 at any time.
    pub error_ratio: f64,
}

/// Time between reading a request and answering it.
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    None,
    Fixed(Duration),
    /// Share of requests (0.0 to 1.0, rising) and their latency; linear in between.
    Quantiles(Vec<(f64, Duration)>),
}

/// How much one endpoint serves at once. More waits in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub slots: u32,
    pub abandoned: Abandoned,
}

/// What becomes of work whose caller went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    RunsOn,
    Cancelled,
}

/// What the policy of every arm is rendered with, so that they are equivalent.
#[derive(Clone, Debug)]
pub struct PolicyNeeds {
    /// Of the whole request.
    pub deadline: Duration,
    /// Of each try.
    pub attempt: Duration,
    /// Tries after the first one.
    pub retries: u32,
    /// A second try beside a slow first one, of arms that can.
    pub hedge: bool,
    /// Pool to each endpoint.
    pub connections: u32,
    /// Requests are POSTs that carry a key, and the upstream is said to recognise a repeated one.
    pub keyed: bool,
    /// The proxy stands in front of an app that it must protect from overload.
    pub overload: bool,
}

/// A stretch in which something is wrong, or an event.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Since the measured part began.
    pub at: Duration,
    /// When it is over; equal to `at` for [`FaultKind::Reload`].
    pub until: Duration,
    /// From 0; empty where the proxy is meant: [`FaultKind::Reload`], [`FaultKind::RapidReset`].
    pub endpoints: Vec<usize>,
    pub kind: FaultKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// New connections are refused, open ones are reset.
    Dead,
    /// New connections are not answered at all; requests on open ones wait until the end.
    BlackHole,
    /// Requests are accepted and nothing is begun until the end; with a capacity they queue.
    Stall,
    /// A share of the requests is answered with this status.
    Errors { ratio: f64, status: u16 },
    /// The latency is this one.
    Slow { latency: Latency },
    /// A share of the requests is answered by a reset: before the request took effect, or after.
    Reset { ratio: f64, point: ResetPoint },
    /// The answer's body comes in pieces.
    SlowBody { piece: u64, every: Duration },
    /// A client beside the others opens so many streams of HTTP/2 at the proxy, and resets each at once.
    RapidReset { streams: u64 },
    /// The proxy gets its policy again, changed in a value that does not matter.
    Reload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetPoint {
    Before,
    After,
}

impl Scenario {
    /// Reads a file; `file` stands in the findings, and its stem is the name.
    ///
    /// # Errors
    /// Everything wrong with it, one `file:line:column: sentence` per line.
    pub fn parse(text: &str, file: &str) -> Result<Scenario, String> {
        compile::scenario(text, file)
    }

    /// The load in the words of a run.
    pub fn results_load(&self) -> results::Load {
        let load = &self.load;
        results::Load {
            mode: load.arrivals,
            rate: (load.arrivals != results::Mode::Closed).then_some(load.rate),
            connections: load.connections,
            protocol: load.protocol.as_str().to_owned(),
            tls: load.tls.as_str().to_owned(),
            idle: load.idle,
            method: load.method.clone(),
            path: load.path.clone(),
            body_bytes: load.body,
            answer_bytes: self.upstream.answer,
            keyed: load.keyed,
            timeout_s: load.timeout.as_secs_f64(),
        }
    }

    /// The fault script in the words of a run.
    pub fn fault_spans(&self) -> Vec<results::FaultSpan> {
        let span = |fault: &Fault| results::FaultSpan {
            label: fault.label(self.upstream.endpoints),
            from_s: fault.at.as_secs_f64(),
            to_s: fault.until.as_secs_f64(),
        };
        self.faults.iter().map(span).collect()
    }

    /// What the proxy of this tier speaks; 1 is the clients'.
    pub fn sides(&self, tier: u32) -> Sides {
        let (load, upstream) = (&self.load, &self.upstream);
        let whole = Sides {
            tls: load.tls,
            protocol: load.protocol,
            upstream_tls: upstream.tls,
            upstream_protocol: upstream.protocol,
        };
        match (self.between, tier) {
            (None, _) => whole,
            (Some(hop), 1) => Sides { upstream_tls: hop.tls, upstream_protocol: hop.protocol, ..whole },
            (Some(hop), _) => Sides { tls: hop.tls, protocol: hop.protocol, ..whole },
        }
    }

    /// What all of its proxies speak.
    pub fn all_sides(&self) -> [Sides; 2] {
        [self.sides(1), self.sides(2)]
    }

    /// Whether a client means harm.
    pub fn attacked(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.kind, FaultKind::RapidReset { .. }))
    }

    /// Whether the proxy is told to reload: an arm that cannot do it cannot play.
    pub fn reloads(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Reload)
    }
}

impl Protocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "http1",
            Protocol::Http2 => "h2",
            Protocol::Grpc => "grpc",
        }
    }

    /// Whether it runs over HTTP/2.
    pub const fn is_h2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc)
    }
}

impl Tls {
    pub const fn as_str(self) -> &'static str {
        match self {
            Tls::None => "none",
            Tls::Server => "server",
            Tls::Mutual => "mutual",
        }
    }
}
