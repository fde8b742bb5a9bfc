//! Every metric name, label and bucket.
//!
//! * **Effective against actual**: `outrigger_requests_total` counts what clients asked for,
//!   `outrigger_attempts_total` what upstreams were made to do. Their quotient is the amplification.
//! * Handles are registered when a policy is applied and kept: a request adds to atomics, resolves no label
//!   and takes no lock.
//! * Label values come from the policy and from closed sets, with one exception: the status code, which an
//!   upstream chooses. All label sets together are limited to [`SERIES_MAX`], half of them for
//!   durations; what finds no room is counted
//!   under `otel_metric_overflow="true"`, the mark that OpenTelemetry gives to such series.
//! * Gauges are read from the living state at scrape time, so the series of a removed upstream end with it.
//!   Counters and histograms of removed routes stay until the process ends, as counters must not go back.
//! * `http_route` is `UPSTREAM/ROUTE`, because a route's name is unique within its upstream only.
//!   `server_address` of the client histogram is the upstream's name, not the endpoint: endpoints come and go.
//! * `outcome` of a request: [`RequestOutcome`]. `outcome` of an attempt: `success` (an answer below 500),
//!   `upstream_error` (an answer of 500 or more), `failed` (no answer), `cancelled` (ours: not an error).

mod exposition;
mod gauges;
mod process;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Counter, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::exposition::{Exposition, Family, Type};
use super::histogram::{HistogramSeries, SeriesLimit};
use crate::policy::Direction;
use crate::reliability::Failure;
use crate::reliability::attempts::{Denied, Kind};
use crate::upstreams::view::UpstreamView;

/// Label sets that the process may hold, a histogram counting as one. OpenTelemetry's default limit.
pub const SERIES_MAX: usize = 2_000;

/// A counter held by the exporter crate.
struct CounterName(&'static str, &'static str);

const REQUESTS: CounterName =
    CounterName("outrigger_requests_total", "Requests from clients, by how they ended (effective load).");
const ATTEMPTS: CounterName =
    CounterName("outrigger_attempts_total", "Attempts sent to upstreams, by kind and by how they ended (actual load).");
const RETRIES: CounterName = CounterName(
    "outrigger_retries_total",
    "Requests with a retry that ended well (rescued) or badly (failed), and eligible retries not made (suppressed), by reason.",
);
const TRANSITIONS: CounterName =
    CounterName("outrigger_circuit_transitions_total", "State changes of the circuit breaker.");
const OPENED: CounterName = CounterName("outrigger_connections_opened_total", "Connections opened to the upstream.");
const REUSED: CounterName =
    CounterName("outrigger_connections_reused_total", "Attempts that were sent on a kept connection.");
const EJECTIONS: CounterName = CounterName("outrigger_ejections_total", "Endpoints taken out of rotation.");
const SET_CHANGES: CounterName =
    CounterName("outrigger_endpoint_set_changes_total", "Changes of the set of addresses of the upstream.");
const COUNTERS: [&CounterName; 8] =
    [&REQUESTS, &ATTEMPTS, &RETRIES, &TRANSITIONS, &OPENED, &REUSED, &EJECTIONS, &SET_CHANGES];

const SERVER_DURATION: Family = Family {
    name: "http_server_request_duration_seconds",
    kind: Type::Histogram,
    help: "Time from a request's head to the end of its answer, retries included, in seconds.",
};
const CLIENT_DURATION: Family = Family {
    name: "http_client_request_duration_seconds",
    kind: Type::Histogram,
    help: "Time of one attempt, in seconds.",
};

/// How a request ended, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// the upstream's answer below 500
    Success,
    /// the upstream's answer, 5xx
    UpstreamError,
    /// our own failure answer, or the answer was cut
    Failed,
    /// refused before anything was sent
    Refused,
    /// the client went away
    ClientGone,
}

impl RequestOutcome {
    const ALL: [RequestOutcome; 5] = [
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
    /// It did not answer, or not with valid HTTP.
    Failed(Failure),
    /// We gave up on it for a reason that is not its fault: the client went away, or another attempt won.
    Cancelled,
}

/// Where metrics are registered. Shared by all handles.
struct Registry {
    recorder: PrometheusRecorder,
    /// Counters: their number depends on the policy alone. Apart from the durations, so that statuses and
    /// methods seen in traffic never take the room of a route that a later policy adds.
    counters: SeriesLimit,
    durations: SeriesLimit,
    /// For each failure the first one with the same `error_type`: one series per label value.
    error_keys: Vec<u32>,
}

impl Registry {
    fn counter(&self, name: &CounterName, labels: &[(&'static str, &str)]) -> Counter {
        const METADATA: Metadata<'static> = Metadata::new("outrigger", Level::INFO, None);
        let labels: Vec<Label> = if self.counters.reserve() {
            let present = labels.iter().filter(|(_, value)| !value.is_empty());
            present.map(|(name, value)| Label::new(*name, value.to_string())).collect()
        } else {
            vec![Label::new(OVERFLOW.0, OVERFLOW.1)]
        };
        self.recorder.register_counter(&Key::from_parts(name.0, labels), &METADATA)
    }
}

const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

type RouteKey = (Direction, Box<str>, Box<str>);

/// All metrics of the process.
pub struct Metrics {
    registry: Arc<Registry>,
    handle: PrometheusHandle,
    routes: Mutex<HashMap<RouteKey, Arc<RouteMeters>>>,
    upstreams: Mutex<HashMap<(Direction, Box<str>), Arc<UpstreamMeters>>>,
    policy: Mutex<PolicyStatus>,
    log_lines_dropped: Arc<AtomicU64>,
    journal_records_lost: AtomicU64,
}

/// What the metrics know of the policy.
#[derive(Clone, Debug, Default)]
struct PolicyStatus {
    hash: String,
    revision: u64,
    applied: u64,
    rejected: u64,
    last_failed: bool,
    /// Seconds since the epoch; None before the first policy.
    applied_at: Option<f64>,
}

impl Metrics {
    /// With room for [`SERIES_MAX`] label sets. Nothing global is installed.
    pub fn new() -> Arc<Metrics> {
        Metrics::with_series_max(SERIES_MAX)
    }

    /// With room for `series_max` label sets, half of them for durations.
    pub fn with_series_max(series_max: usize) -> Arc<Metrics> {
        let recorder = PrometheusBuilder::new().build_recorder();
        for CounterName(name, help) in COUNTERS {
            recorder.describe_counter(KeyName::from_const_str(name), None, (*help).into());
        }
        let first_with = |f: &Failure| Failure::ALL.iter().position(|g| g.error_type() == f.error_type());
        let error_keys = Failure::ALL.iter().map(|f| first_with(f).unwrap_or(0) as u32 + ERROR_FAILURE).collect();
        let handle = recorder.handle();
        let durations = SeriesLimit::new(series_max / 2);
        let counters = SeriesLimit::new(series_max - series_max / 2);
        let registry = Registry { recorder, counters, durations, error_keys };
        Arc::new(Metrics {
            registry: Arc::new(registry),
            handle,
            routes: Mutex::default(),
            upstreams: Mutex::default(),
            policy: Mutex::default(),
            log_lines_dropped: Arc::default(),
            journal_records_lost: AtomicU64::new(0),
        })
    }

    /// Handles of one route; registered when a policy is applied, the same Arc for the same labels.
    pub fn route(&self, direction: Direction, upstream: &str, route: &str) -> Arc<RouteMeters> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (direction, upstream.into(), route.into());
        let new = || Arc::new(RouteMeters::new(self.registry.clone(), direction, upstream, route));
        routes.entry(key).or_insert_with(new).clone()
    }

    /// Handles of one upstream; the same Arc for the same labels.
    pub fn upstream(&self, direction: Direction, upstream: &str) -> Arc<UpstreamMeters> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(UpstreamMeters::new(self.registry.clone(), direction, upstream));
        upstreams.entry((direction, upstream.into())).or_insert_with(new).clone()
    }

    /// A policy became current. `hash` as in `Policy::hash`; `at_epoch_seconds` on the wall clock.
    pub fn policy_applied(&self, hash: &str, revision: u64, at_epoch_seconds: f64) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        policy.hash = hash.to_owned();
        policy.revision = revision;
        policy.applied += 1;
        policy.last_failed = false;
        policy.applied_at = Some(at_epoch_seconds);
    }

    /// A candidate was refused and the last good policy kept.
    pub fn policy_rejected(&self) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        policy.rejected += 1;
        policy.last_failed = true;
    }

    /// The file is in order again although nothing was applied (a bad edit was undone).
    pub fn policy_recovered(&self) {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).last_failed = false;
    }

    /// Counter for the access log: lines that found its queue full.
    pub fn log_lines_dropped(&self) -> Arc<AtomicU64> {
        self.log_lines_dropped.clone()
    }

    /// A change could not be written to the journal on disk.
    pub fn journal_record_lost(&self) {
        self.journal_records_lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The whole scrape in Prometheus text format 0.0.4.
    pub fn render(&self, views: &[UpstreamView]) -> String {
        let mut out = Exposition::default();
        self.render_durations(&mut out);
        gauges::upstreams(&mut out, views);
        let policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gauges::policy(&mut out, &policy);
        gauges::ourselves(
            &mut out,
            &gauges::Ourselves {
                log_lines_dropped: self.log_lines_dropped.load(Ordering::Relaxed),
                journal_records_lost: self.journal_records_lost.load(Ordering::Relaxed),
                series: self.registry.counters.used() + self.registry.durations.used(),
                overflows: self.registry.counters.refused() + self.registry.durations.refused(),
            },
        );
        process::render(&mut out);
        let mut text = self.handle.render();
        text.push_str(&out.finish());
        text
    }

    fn render_durations(&self, out: &mut Exposition) {
        let mut routes: Vec<Arc<RouteMeters>> = {
            let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.values().cloned().collect()
        };
        routes.sort_by(|a, b| (a.direction.as_str(), &a.http_route).cmp(&(b.direction.as_str(), &b.http_route)));
        out.family(&SERVER_DURATION);
        routes.iter().for_each(|route| route.render(out, &SERVER_DURATION, &route.server, ""));
        out.family(&CLIENT_DURATION);
        routes.iter().for_each(|route| route.render(out, &CLIENT_DURATION, &route.client, &route.upstream));
    }
}

/// Counters and histograms of one route. Every call is a few atomic additions: no lock, no look-up by string.
pub struct RouteMeters {
    registry: Arc<Registry>,
    direction: Direction,
    upstream: String,
    route: String,
    http_route: String,
    requests: [Counter; RequestOutcome::ALL.len()],
    retried: [Counter; 2],
    /// By kind and outcome. Registered at first use: most routes never see most of them.
    attempts: [[OnceLock<Counter>; ATTEMPT_OUTCOMES.len()]; KINDS.len()],
    denied: [OnceLock<Counter>; DENIED.len()],
    server: HistogramSeries,
    client: HistogramSeries,
}

const KINDS: [&str; 4] = ["first", "retry", "transparent", "hedge"];
const ATTEMPT_OUTCOMES: [&str; 4] = ["success", "upstream_error", "failed", "cancelled"];
const DENIED: [&str; 8] =
    ["budget", "deadline", "breaker", "body-too-large", "not-idempotent", "chain-stop", "pushback", "throttle"];

impl RouteMeters {
    fn new(registry: Arc<Registry>, direction: Direction, upstream: &str, route: &str) -> RouteMeters {
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
            retried: ["rescued", "failed"].map(retried),
            direction,
            upstream: upstream.to_owned(),
            route: route.to_owned(),
            http_route: format!("{upstream}/{route}"),
            attempts: Default::default(),
            denied: Default::default(),
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
            AttemptEnd::Failed(failure) => (2, pack(method, 0, self.error_key(failure))),
            AttemptEnd::Cancelled => (3, pack(method, 0, ERROR_NONE)),
        };
        let kind = match kind {
            Kind::First => 0,
            Kind::Retry => 1,
            Kind::Transparent => 2,
            Kind::Hedge => 3,
        };
        self.attempts[kind][outcome].get_or_init(|| self.attempt_counter(kind, outcome)).increment(1);
        self.client.record(key, elapsed, &self.registry.durations);
    }

    /// a request with at least one retry ended well / badly
    pub fn retried(&self, rescued: bool) {
        self.retried[usize::from(!rescued)].increment(1);
    }

    /// An eligible retry was not made.
    pub fn retry_denied(&self, reason: Denied) {
        let reason = match reason {
            Denied::Budget => 0,
            Denied::Deadline => 1,
            Denied::Breaker => 2,
            Denied::BodyTooLarge => 3,
            Denied::NotIdempotent => 4,
            Denied::ChainStop => 5,
            Denied::Pushback => 6,
            Denied::Throttle => 7,
        };
        self.denied[reason].get_or_init(|| self.denied_counter(DENIED[reason])).increment(1);
    }

    fn attempt_counter(&self, kind: usize, outcome: usize) -> Counter {
        let labels = [
            ("direction", self.direction.as_str()),
            ("upstream", self.upstream.as_str()),
            ("route", &self.route),
            ("kind", KINDS[kind]),
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

    fn render(&self, out: &mut Exposition, family: &Family, series: &HistogramSeries, server_address: &str) {
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
/// Added to the index of a failure.
const ERROR_FAILURE: u32 = 2;

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
    /// From (row) to (column).
    transitions: [[OnceLock<Counter>; STATES.len()]; STATES.len()],
}

/// Breaker states; the last one stands for words that are none.
const STATES: [&str; 4] = ["closed", "open", "half-open", "_OTHER"];

impl UpstreamMeters {
    fn new(registry: Arc<Registry>, direction: Direction, upstream: &str) -> UpstreamMeters {
        let counter = |name| registry.counter(name, &[("direction", direction.as_str()), ("upstream", upstream)]);
        UpstreamMeters {
            opened: counter(&OPENED),
            reused: counter(&REUSED),
            ejections: counter(&EJECTIONS),
            set_changes: counter(&SET_CHANGES),
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

    /// An endpoint was taken out of rotation.
    pub fn ejected(&self) {
        self.ejections.increment(1);
    }

    /// The upstream's set of addresses changed.
    pub fn endpoint_set_changed(&self) {
        self.set_changes.increment(1);
    }
}
