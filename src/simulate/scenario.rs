//! A scenario file: load, upstream, and what goes wrong when. `outrigger simulate` and the load tool read the same.
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

use serde::{Deserialize, Serialize};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Poisson arrivals.
    Poisson,
    /// Arrivals at equal distances.
    Constant,
    /// Each connection sends its next request when it has its answer.
    Closed,
}

/// What is played, compiled.
#[derive(Clone, Debug)]
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
    /// The file has that block; without it the values are defaults.
    pub policy_is_given: bool,
    /// 1, or 2: client, proxy, service, proxy, upstream.
    pub tiers: u32,
    /// Client, the proxy of one pod, the proxy of the other, upstream: what the two speak.
    pub between: Option<Between>,
    /// Conditions on what is measured, in order; whoever measures reads them.
    pub gates: Vec<String>,
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
    pub arrivals: Mode,
    /// Requests per second; 0 for [`Mode::Closed`].
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
    /// Pool to each endpoint.
    pub connections: u32,
    /// Requests are POSTs that carry a key, and the upstream is said to recognise a repeated one.
    pub keyed: bool,
    /// The proxy stands in front of an app that it must protect from overload.
    pub overload: bool,
    /// A second try beside a slow first one, of arms that can.
    pub hedge: bool,
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
    /// It is no endpoint of the upstream: removed, or not yet added. Simulated only.
    Absent,
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
    /// Reads a file; `file` stands in the findings, and its stem is the name. `gate` says what is wrong with a
    /// condition; who measures nothing takes them all.
    ///
    /// # Errors
    /// Everything wrong with it, one `file:line:column: sentence` per line.
    pub fn parse(text: &str, file: &str, gate: &dyn Fn(&str) -> Result<(), String>) -> Result<Scenario, String> {
        compile::scenario(text, file, gate)
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
