//! Handles that the data plane holds: counters of a route, counters of an upstream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;

use super::exposition::{Exposition, Family};
use super::{
    ATTEMPTS, CALLS, EJECTIONS, ERROR_FAILURE, HEALTH_CHECKS, IDEMPOTENCY, LIMITED, OPENED, OVERFLOW, REQUESTS,
    RETRIES, REUSED, Registry, SET_CHANGES, TRANSITIONS, ZONES,
};
use crate::policy::Direction;
use crate::reliability::Failure;
use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::telemetry::histogram::HistogramSeries;
use crate::telemetry::tally::EndingTally;

/// How a request ended, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// the upstream's answer below 500
    Success,
    /// the upstream's answer, 5xx or a gRPC status that weighs as one
    UpstreamError,
    /// our own failure answer, or the answer was cut
    Failed,
    /// refused before anything was sent
    Refused,
    /// the client went away
    ClientGone,
}

impl RequestOutcome {
    /// Every outcome, in declaration order.
    pub const ALL: [RequestOutcome; 5] = [
        RequestOutcome::Success,
        RequestOutcome::UpstreamError,
        RequestOutcome::Failed,
        RequestOutcome::Refused,
        RequestOutcome::ClientGone,
    ];

    /// The word used in the metric label and in the access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestOutcome::Success => "success",
            RequestOutcome::UpstreamError => "upstream_error",
            RequestOutcome::Failed => "failed",
            RequestOutcome::Refused => "refused",
            RequestOutcome::ClientGone => "client_gone",
        }
    }
}

/// One attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The upstream answered with this status.
    Status(u16),
    /// A gRPC call ended so, whatever its HTTP status.
    Call(Code),
    /// It did not answer, or not with valid HTTP.
    Failed(Failure),
    /// We gave up on it for a reason that is not its fault: the client went away, or another attempt won.
    Cancelled,
}

/// Counters and histograms of one route. Every call is a few atomic additions: no lock, no look-up by string.
pub struct RouteMeters {
    registry: Arc<Registry>,
    pub(super) direction: Direction,
    pub(super) upstream: String,
    route: String,
    pub(super) http_route: String,
    requests: [Counter; RequestOutcome::ALL.len()],
    /// Requests by how they ended, for verdicts.
    pub tally: EndingTally,
    retried: [Counter; 2],
    /// By kind and outcome. Registered at first use: most routes never see most of them.
    attempts: [[OnceLock<Counter>; ATTEMPT_OUTCOMES.len()]; Kind::ALL.len()],
    denied: [OnceLock<Counter>; Denied::ALL.len()],
    keyed: [OnceLock<Counter>; KeyStatus::ALL.len()],
    calls: [OnceLock<Counter>; Code::ALL.len()],
    limited: Limited,
    pub(super) server: HistogramSeries,
    pub(super) client: HistogramSeries,
}

/// Requests beyond a rate limit, refused and let through. Not on the usual path, so that a lock will do.
#[derive(Default)]
struct Limited {
    counters: [OnceLock<Counter>; 2],
    counts: [AtomicU64; 2],
    last: Mutex<Option<Instant>>,
}

const ATTEMPT_OUTCOMES: [&str; 4] = ["success", "upstream_error", "failed", "cancelled"];

impl RouteMeters {
    pub(super) fn new(registry: Arc<Registry>, direction: Direction, upstream: &str, route: &str) -> RouteMeters {
        let outcome = |outcome: RequestOutcome| {
            let labels = [
                ("direction", direction.as_str()),
                ("upstream", upstream),
                ("route", route),
                ("outcome", outcome.as_str()),
            ];
            registry.counter(&REQUESTS, &labels)
        };
        let retried =
            |result| registry.counter(&RETRIES, &[("upstream", upstream), ("route", route), ("result", result)]);
        RouteMeters {
            requests: RequestOutcome::ALL.map(outcome),
            tally: EndingTally::default(),
            retried: ["rescued", "failed"].map(retried),
            direction,
            upstream: upstream.to_owned(),
            route: route.to_owned(),
            http_route: format!("{upstream}/{route}"),
            attempts: Default::default(),
            denied: Default::default(),
            keyed: Default::default(),
            calls: Default::default(),
            limited: Limited::default(),
            server: HistogramSeries::default(),
            client: HistogramSeries::default(),
            registry,
        }
    }

    /// One request ended. `status` is what the client was sent; 0 or 499 if it left before that.
    pub fn request(
        &self,
        method: &http::Method,
        status: u16,
        error: Option<Failure>,
        outcome: RequestOutcome,
        elapsed: Duration,
    ) {
        self.requests[outcome as usize].increment(1);
        // A client that left is not an error of the operation (OpenTelemetry), and 499 is never sent.
        let key = match (outcome, error) {
            (RequestOutcome::ClientGone, _) => pack(method, if status == 499 { 0 } else { status }, ERROR_NONE),
            (_, Some(failure)) => pack(method, status, self.error_key(failure)),
            (_, None) if status >= 500 => pack(method, status, ERROR_STATUS),
            (_, None) => pack(method, status, ERROR_NONE),
        };
        self.server.record(key, elapsed, &self.registry.durations);
    }

    /// One attempt ended after `elapsed`.
    pub fn attempt(&self, kind: Kind, method: &http::Method, end: AttemptEnd, elapsed: Duration) {
        let (outcome, key) = match end {
            AttemptEnd::Status(status) if status < 400 => (0, pack(method, status, ERROR_NONE)),
            // A 4xx is an error of a client's span and no failure of the upstream.
            AttemptEnd::Status(status) => (usize::from(status >= 500), pack(method, status, ERROR_STATUS)),
            AttemptEnd::Call(code) => (usize::from(code.as_status() >= 500), pack(method, 200, ERROR_NONE)),
            AttemptEnd::Failed(failure) => (2, pack(method, 0, self.error_key(failure))),
            AttemptEnd::Cancelled => (3, pack(method, 0, ERROR_NONE)),
        };
        self.attempts[kind as usize][outcome].get_or_init(|| self.attempt_counter(kind, outcome)).increment(1);
        self.client.record(key, elapsed, &self.registry.durations);
    }

    /// a request with at least one retry ended well / badly
    pub fn retried(&self, rescued: bool) {
        self.retried[usize::from(!rescued)].increment(1);
    }

    /// An eligible retry was not made.
    pub fn retry_denied(&self, reason: Denied) {
        self.denied[reason as usize].get_or_init(|| self.denied_counter(reason.token())).increment(1);
    }

    /// A request with an idempotency key ended.
    pub fn keyed(&self, status: KeyStatus) {
        let counter = || {
            let labels = [("upstream", self.upstream.as_str()), ("route", &self.route), ("result", status.as_str())];
            self.registry.counter(&IDEMPOTENCY, &labels)
        };
        self.keyed[status as usize].get_or_init(counter).increment(1);
    }

    /// A caller sent more than its rate limit allows. `observe`: it was let through.
    pub fn limited(&self, observe: bool, now: Instant) {
        let counter = || {
            let labels = [
                ("direction", self.direction.as_str()),
                ("upstream", self.upstream.as_str()),
                ("route", &self.route),
                ("mode", if observe { "observe" } else { "enforce" }),
            ];
            self.registry.counter(&LIMITED, &labels)
        };
        let at = usize::from(observe);
        self.limited.counters[at].get_or_init(counter).increment(1);
        self.limited.counts[at].fetch_add(1, Ordering::Relaxed);
        *self.limited.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Requests beyond a rate limit: those that were refused, those that were let through, and when the last one came.
    pub fn limited_so_far(&self) -> (u64, u64, Option<Instant>) {
        let [refused, observed] = &self.limited.counts;
        let last = *self.limited.last.lock().unwrap_or_else(PoisonError::into_inner);
        (refused.load(Ordering::Relaxed), observed.load(Ordering::Relaxed), last)
    }

    /// The client of a gRPC call was told of its end.
    pub fn called(&self, code: Code) {
        let counter = || {
            let labels = [
                ("direction", self.direction.as_str()),
                ("upstream", self.upstream.as_str()),
                ("route", &self.route),
                ("rpc_response_status_code", code.as_str()),
            ];
            self.registry.counter(&CALLS, &labels)
        };
        self.calls[code as usize].get_or_init(counter).increment(1);
    }

    fn attempt_counter(&self, kind: Kind, outcome: usize) -> Counter {
        let labels = [
            ("direction", self.direction.as_str()),
            ("upstream", self.upstream.as_str()),
            ("route", &self.route),
            ("kind", kind.as_str()),
            ("outcome", ATTEMPT_OUTCOMES[outcome]),
        ];
        self.registry.counter(&ATTEMPTS, &labels)
    }

    fn denied_counter(&self, reason: &'static str) -> Counter {
        let labels = [
            ("upstream", self.upstream.as_str()),
            ("route", &self.route),
            ("result", "suppressed"),
            ("reason", reason),
        ];
        self.registry.counter(&RETRIES, &labels)
    }

    fn error_key(&self, failure: Failure) -> u32 {
        self.registry.error_keys.get(failure as usize).copied().unwrap_or(ERROR_NONE)
    }

    pub(super) fn render(&self, out: &mut Exposition, family: &Family, series: &HistogramSeries, server_address: &str) {
        let shared = [
            ("direction", self.direction.as_str()),
            ("http_route", &self.http_route),
            ("server_address", server_address),
        ];
        for (key, snapshot) in series.iter() {
            let (method, status, error) = unpack(key);
            let status = if status == 0 { String::new() } else { status.to_string() };
            let error = error.unwrap_or(&status);
            let own = [
                ("http_request_method", method),
                ("http_response_status_code", status.as_str()),
                ("error_type", error),
            ];
            out.histogram(family.name, &[shared.as_slice(), &own].concat(), &snapshot);
        }
        let overflow = series.overflow();
        if overflow.count > 0 {
            out.histogram(family.name, &[shared.as_slice(), &[OVERFLOW]].concat(), &overflow);
        }
    }
}

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER"];

/// No `error_type`.
const ERROR_NONE: u32 = 0;
/// `error_type` is the status code (OpenTelemetry: an answer came, and it is an error).
const ERROR_STATUS: u32 = 1;

/// Label values of a duration in one number: method (4 bits), status (10 bits), error (the rest).
fn pack(method: &http::Method, status: u16, error: u32) -> u32 {
    let method = METHODS.iter().position(|m| *m == method.as_str()).unwrap_or(METHODS.len() - 1);
    method as u32 | u32::from(status.min(1_023)) << 4 | error << 14
}

/// The error is None if it is the status code.
fn unpack(key: u32) -> (&'static str, u32, Option<&'static str>) {
    let error = match key >> 14 {
        ERROR_NONE => Some(""),
        ERROR_STATUS => None,
        failure => Some(Failure::ALL.get((failure - ERROR_FAILURE) as usize).map_or("", |f| f.error_type())),
    };
    (METHODS[(key & 0xf) as usize % METHODS.len()], key >> 4 & 0x3ff, error)
}

/// Counters of one upstream that no route owns.
pub struct UpstreamMeters {
    registry: Arc<Registry>,
    upstream: String,
    opened: Counter,
    reused: Counter,
    ejections: Counter,
    set_changes: Counter,
    /// Health checks that passed, and that did not; and attempts in our zone, and elsewhere. Of those upstreams that
    /// have them.
    checks: [OnceLock<Counter>; 2],
    zones: [OnceLock<Counter>; 2],
    /// From (row) to (column).
    transitions: [[OnceLock<Counter>; STATES.len()]; STATES.len()],
}

/// Breaker states; the last one stands for words that are none.
const STATES: [&str; 4] = ["closed", "open", "half-open", "_OTHER"];

impl UpstreamMeters {
    pub(super) fn new(registry: Arc<Registry>, direction: Direction, upstream: &str) -> UpstreamMeters {
        let counter = |name| registry.counter(name, &[("direction", direction.as_str()), ("upstream", upstream)]);
        UpstreamMeters {
            opened: counter(&OPENED),
            reused: counter(&REUSED),
            ejections: counter(&EJECTIONS),
            set_changes: counter(&SET_CHANGES),
            checks: Default::default(),
            zones: Default::default(),
            transitions: Default::default(),
            upstream: upstream.to_owned(),
            registry,
        }
    }

    /// A connection to an endpoint was established.
    pub fn connection_opened(&self) {
        self.opened.increment(1);
    }

    /// An attempt took a kept connection.
    pub fn connection_reused(&self) {
        self.reused.increment(1);
    }

    /// The breaker changed its state: `closed`, `open` or `half-open`.
    pub fn circuit_transition(&self, from: &'static str, to: &'static str) {
        let index = |state| STATES.iter().position(|s| *s == state).unwrap_or(STATES.len() - 1);
        let (from, to) = (index(from), index(to));
        let new = || {
            let labels = [("upstream", self.upstream.as_str()), ("from", STATES[from]), ("to", STATES[to])];
            self.registry.counter(&TRANSITIONS, &labels)
        };
        self.transitions[from][to].get_or_init(new).increment(1);
    }

    /// A health check has ended.
    pub fn health_checked(&self, passed: bool) {
        let [good, bad] = &self.checks;
        let (counter, result) = if passed { (good, "passed") } else { (bad, "failed") };
        let new = || self.registry.counter(&HEALTH_CHECKS, &[("upstream", self.upstream.as_str()), ("result", result)]);
        counter.get_or_init(new).increment(1);
    }

    /// An attempt stays in our zone, or leaves it.
    pub fn zone(&self, local: bool) {
        let [here, there] = &self.zones;
        let (counter, zone) = if local { (here, "local") } else { (there, "elsewhere") };
        let new = || self.registry.counter(&ZONES, &[("upstream", self.upstream.as_str()), ("zone", zone)]);
        counter.get_or_init(new).increment(1);
    }

    /// An endpoint was taken out of rotation.
    pub fn ejected(&self) {
        self.ejections.increment(1);
    }

    /// The upstream's set of addresses changed.
    pub fn endpoint_set_changed(&self) {
        self.set_changes.increment(1);
    }
}
