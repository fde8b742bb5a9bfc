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
mod meters;
mod process;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::gauges::{CertificateGauge, LetterGauge, RetryGauge, VerdictGauge};
pub use self::meters::{AttemptEnd, RequestOutcome, RouteMeters, UpstreamMeters};
pub use self::spans::{SpanCounts, SpanLoss};

use self::exposition::{Exposition, Family, Type};
use super::histogram::SeriesLimit;
use crate::policy::Direction;
use crate::reliability::Failure;
use crate::reliability::dead_letters::{Cause, Class};
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
const IDEMPOTENCY: CounterName = CounterName(
    "outrigger_idempotency_total",
    "Requests of routes that deduplicate, by what became of their key (the words of Idempotency-Status).",
);
const LIMITED: CounterName = CounterName(
    "outrigger_rate_limited_total",
    "Requests beyond what their caller may send: refused (enforce) or let through (observe).",
);
const CALLS: CounterName =
    CounterName("outrigger_grpc_calls_total", "gRPC calls whose end their client was told, by status.");
const TRANSITIONS: CounterName =
    CounterName("outrigger_circuit_transitions_total", "State changes of the circuit breaker.");
const OPENED: CounterName = CounterName("outrigger_connections_opened_total", "Connections opened to the upstream.");
const REUSED: CounterName =
    CounterName("outrigger_connections_reused_total", "Attempts that were sent on a kept connection.");
const EJECTIONS: CounterName = CounterName("outrigger_ejections_total", "Endpoints taken out of rotation.");
const HEALTH_CHECKS: CounterName =
    CounterName("outrigger_health_checks_total", "Health checks of endpoints, by whether they passed.");
const ZONES: CounterName = CounterName(
    "outrigger_zone_attempts_total",
    "Attempts by whether they stayed in our zone, where the policy knows zones.",
);
const SET_CHANGES: CounterName =
    CounterName("outrigger_endpoint_set_changes_total", "Changes of the set of addresses of the upstream.");
const UNROUTED: CounterName =
    CounterName("outrigger_unrouted_requests_total", "Requests answered before a route was chosen, by reason.");
const ADMIN_REFUSED: CounterName =
    CounterName("outrigger_admin_refused_total", "Callers whom the admin API did not let in, by reason.");
const LETTERS_CAPTURED: CounterName =
    CounterName("outrigger_dlq_captured_total", "Requests that could not be served and are kept, by cause and class.");
const LETTERS_LOST: CounterName = CounterName(
    "outrigger_dlq_lost_total",
    "Requests that could not be served and should have been kept, and were not, by reason.",
);
const TLS_REFUSED: CounterName =
    CounterName("outrigger_tls_refused_total", "TLS handshakes that came to nothing, by reason.");
const COUNTERS: [&CounterName; 18] = [
    &REQUESTS,
    &ATTEMPTS,
    &RETRIES,
    &IDEMPOTENCY,
    &LIMITED,
    &CALLS,
    &TRANSITIONS,
    &OPENED,
    &REUSED,
    &EJECTIONS,
    &HEALTH_CHECKS,
    &ZONES,
    &SET_CHANGES,
    &UNROUTED,
    &ADMIN_REFUSED,
    &LETTERS_CAPTURED,
    &LETTERS_LOST,
    &TLS_REFUSED,
];

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

/// Key of the first failure in a histogram's packed labels; the numbers below it have meanings of their own.
const ERROR_FAILURE: u32 = 2;

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

/// Labels of what found no room.
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

type UpstreamKey = (Direction, Box<str>);
type RouteKey = (Direction, Box<str>, Box<str>);
/// Name and label values.
type RareKey = (&'static str, Vec<Box<str>>);

/// All metrics of the process.
pub struct Metrics {
    registry: Arc<Registry>,
    handle: PrometheusHandle,
    routes: Mutex<HashMap<RouteKey, Arc<RouteMeters>>>,
    upstreams: Mutex<HashMap<UpstreamKey, Arc<UpstreamMeters>>>,
    /// Of what does not happen often enough for a handle of its own. Kept, because each registration takes room.
    rare: Mutex<HashMap<RareKey, Counter>>,
    letters_lost: AtomicU64,
    letters: Mutex<Vec<LetterGauge>>,
    verdicts: Mutex<Vec<VerdictGauge>>,
    retries: Mutex<Vec<RetryGauge>>,
    certificates: Mutex<Vec<CertificateGauge>>,
    policy: Mutex<PolicyStatus>,
    log_lines_dropped: Arc<AtomicU64>,
    journal_records_lost: AtomicU64,
    spans: Arc<SpanCounts>,
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
    /// Revisions that the guard named without taking them back, and those that it took back.
    guard_warned: u64,
    guard_rolled_back: u64,
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
            rare: Mutex::default(),
            letters_lost: AtomicU64::new(0),
            letters: Mutex::default(),
            verdicts: Mutex::default(),
            retries: Mutex::default(),
            certificates: Mutex::default(),
            policy: Mutex::default(),
            log_lines_dropped: Arc::default(),
            journal_records_lost: AtomicU64::new(0),
            spans: Arc::default(),
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

    /// A request was answered before a route was chosen. `reason`: a failure's token, `malformed` for bytes that
    /// are no request at all, or `abuse` for a connection that opens streams to give them up. Looks labels up: not for the usual path.
    pub fn unrouted(&self, direction: Direction, reason: &'static str) {
        self.rare(&UNROUTED, &[("direction", direction.as_str()), ("reason", reason)]);
    }

    /// The admin API did not let somebody in. Looks labels up.
    pub fn admin_refused(&self, reason: &'static str) {
        self.rare(&ADMIN_REFUSED, &[("reason", reason)]);
    }

    /// A request that could not be served is kept. `queue` comes from the policy. Looks labels up.
    pub fn letter_captured(&self, queue: &str, cause: Cause, class: Class) {
        let labels = [("queue", queue), ("cause", cause.as_str()), ("class", class.as_str())];
        self.rare(&LETTERS_CAPTURED, &labels);
    }

    /// A request that could not be served should have been kept, and was not. Looks labels up.
    pub fn letter_lost(&self, queue: &str, reason: &'static str) {
        self.letters_lost.fetch_add(1, Ordering::Relaxed);
        self.rare(&LETTERS_LOST, &[("queue", queue), ("reason", reason)]);
    }

    /// A handshake came to nothing. `reason` is a word of a closed set. Looks labels up.
    pub fn tls_refused(&self, direction: Direction, upstream: &str, reason: &'static str) {
        let labels = [("direction", direction.as_str()), ("upstream", upstream), ("reason", reason)];
        self.rare(&TLS_REFUSED, &labels);
    }

    /// What is kept; told before a scrape.
    pub fn letters_kept(&self, kept: Vec<LetterGauge>) {
        *self.letters.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// What is said of each upstream; told whenever it changes.
    pub fn verdicts(&self, verdicts: Vec<VerdictGauge>) {
        *self.verdicts.lock().unwrap_or_else(PoisonError::into_inner) = verdicts;
    }

    /// Certificates in use; told before a scrape.
    pub fn certificates_held(&self, held: Vec<CertificateGauge>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// What retries achieved; told before a scrape.
    pub fn retries_seen(&self, seen: Vec<RetryGauge>) {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        *retries = gauges::only_growing(&retries, seen);
    }

    /// How many that were, in all queues.
    pub fn letters_lost(&self) -> u64 {
        self.letters_lost.load(Ordering::Relaxed)
    }

    fn rare(&self, name: &CounterName, labels: &[(&'static str, &str)]) {
        let key = (name.0, labels.iter().map(|(_, value)| Box::from(*value)).collect());
        let mut rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        rare.entry(key).or_insert_with(|| self.registry.counter(name, labels)).increment(1);
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

    /// The policy's guard found that a revision made matters worse. `rolled_back`: and took it back.
    pub fn policy_guarded(&self, rolled_back: bool) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        if rolled_back {
            policy.guard_rolled_back += 1;
        } else {
            policy.guard_warned += 1;
        }
    }

    /// Counter for the access log: lines that found its queue full.
    pub fn log_lines_dropped(&self) -> Arc<AtomicU64> {
        self.log_lines_dropped.clone()
    }

    /// Counters of spans, for whoever exports them.
    pub fn spans(&self) -> Arc<SpanCounts> {
        Arc::clone(&self.spans)
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
        gauges::hedges(&mut out, views);
        gauges::retries(&mut out, &self.retries.lock().unwrap_or_else(PoisonError::into_inner));
        gauges::certificates(&mut out, &self.certificates.lock().unwrap_or_else(PoisonError::into_inner));
        gauges::letters(&mut out, &self.letters.lock().unwrap_or_else(PoisonError::into_inner));
        gauges::verdicts(&mut out, &self.verdicts.lock().unwrap_or_else(PoisonError::into_inner));
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
        self.spans.render(&mut out);
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
