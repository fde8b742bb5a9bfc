//! What is read at scrape time: the state of the upstreams, the policy, and the metrics' own health.

use std::collections::HashMap;

use super::PolicyStatus;
use super::exposition::{Exposition, Family, Type};
use crate::reliability::efficacy::Helpfulness;
use crate::upstreams::view::{HedgeView, UpstreamView};

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Type::Gauge, help }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Type::Counter, help }
}

const INFLIGHT: Family = gauge("outrigger_inflight", "Requests in flight.");
const INFLIGHT_LIMIT: Family = gauge("outrigger_inflight_limit", "Requests that may be in flight at once.");
const PENDING: Family = gauge("outrigger_pending", "Requests waiting for a slot.");
const PENDING_LIMIT: Family = gauge("outrigger_pending_limit", "Requests that may wait for a slot.");
const LIMIT: Family = gauge(
    "outrigger_limit",
    "Requests in flight that the upstream can bear, as found out; in force with mode enforce, absent without limits.adaptive.",
);
const SHED: Family = counter(
    "outrigger_shed_total",
    "Requests that got no slot, by class and reason; with mode observe, that would have got none.",
);
const AMPLIFICATION: Family = gauge(
    "outrigger_amplification_ratio",
    "Attempts per request since the upstream was first seen; absent before the first request. For a window, divide rates of the two counters.",
);
const BUDGET: Family = gauge("outrigger_retry_budget_remaining_ratio", "Retry tokens left of the cap, 0 to 1.");
const BUDGET_GATED: Family =
    gauge("outrigger_retry_budget_gated", "1 while retries are held to probes because they do not rescue.");
const CIRCUIT: Family =
    gauge("outrigger_circuit_state", "1 for the state the circuit breaker is in, 0 for the others.");
const ENDPOINTS: Family = gauge("outrigger_endpoints", "Endpoints of the upstream, by whether they take traffic.");
const PANIC: Family =
    gauge("outrigger_endpoints_panic", "1 while ejection or health checks are ignored because most endpoints are ill.");
const CONNECTIONS: Family = gauge("outrigger_connections", "Connections to the upstream, by whether they are in use.");
const RESOLVE_FAILED: Family = gauge(
    "outrigger_resolve_failed",
    "1 while the upstream's name cannot be resolved; the last good addresses are used.",
);

const CONDITION: Family =
    gauge("outrigger_upstream_condition", "How the upstream does: 0 healthy, 1 degraded, 2 failing.");
const CAUSE: Family =
    gauge("outrigger_upstream_cause", "1 for the class of what is wrong with the upstream; absent while nothing is.");

const LETTERS: Family = gauge("outrigger_dlq_entries", "Dead letters that are kept, by state.");
const LETTER_BYTES: Family = gauge("outrigger_dlq_bytes", "Bytes that they take.");
const LETTERS_OLDEST: Family =
    gauge("outrigger_dlq_oldest_age_seconds", "Age of the oldest one that is open; absent without one.");

const CERTIFICATE_EXPIRES: Family = gauge(
    "outrigger_certificate_not_after_timestamp_seconds",
    "Until when a certificate is valid, in seconds since the Unix epoch.",
);
const CERTIFICATE_LIFETIME: Family =
    gauge("outrigger_certificate_lifetime_seconds", "For how long it is valid in all.");
const CERTIFICATE_REFUSED: Family = gauge(
    "outrigger_certificate_reload_failed",
    "1 while files of certificates hold what cannot be used; the last good ones are in use.",
);

const OBSERVED: Family = counter(
    "outrigger_observed_total",
    "What mechanisms in mode observe would have done: requests refused, endpoints taken out, retries denied.",
);

const RETRY_ATTEMPTS: Family = counter(
    "outrigger_retry_attempts_total",
    "Retries that have ended, by whether they rescued their request or were wasted.",
);
const RETRY_VERDICT: Family =
    gauge("outrigger_retry_verdict", "1 for the verdict on whether retries of the route help, 0 for the others.");

const HEDGES: Family = counter(
    "outrigger_hedges_total",
    "Second attempts beside slow first ones: those that brought the answer (won), the others (lost), those that mode: observe would have sent (observed), and those that were due and not sent (suppressed), by reason.",
);
const HEDGES_CANCELLED: Family = counter(
    "outrigger_hedge_cancelled_seconds_total",
    "How long attempts had run that were cancelled because the other one of two had answered.",
);
const HEDGE_DELAY: Family = gauge(
    "outrigger_hedge_delay_seconds",
    "After which time a hedge is sent now; absent until enough first attempts are known.",
);

const POLICY_INFO: Family = gauge(
    "outrigger_policy_info",
    "1; the hash is the SHA-256 of the policy in force, the version that of its format.",
);
const POLICY_REVISION: Family = gauge("outrigger_policy_revision", "Revision of the policy in force.");
const POLICY_RELOADS: Family =
    counter("outrigger_policy_reloads_total", "Policies offered, by whether they were applied.");
const POLICY_TIME: Family = gauge(
    "outrigger_policy_last_reload_timestamp_seconds",
    "When the policy in force was applied, in seconds since the Unix epoch.",
);
const POLICY_FAILED: Family = gauge(
    "outrigger_policy_reload_failed",
    "1 while the policy last offered is one that was refused; the last good one is in force.",
);

const POLICY_GUARD: Family =
    counter("outrigger_policy_guard_total", "Revisions that made matters clearly worse, by what was done about it.");

const BUILD: Family = gauge("outrigger_build_info", "1; the version of this program.");
const LOG_DROPPED: Family =
    counter("outrigger_log_lines_dropped_total", "Access log lines that found the queue of the writer full.");
const JOURNAL_LOST: Family =
    counter("outrigger_journal_records_lost_total", "Changes that were made and could not be written to the journal.");
const SERIES: Family = gauge("outrigger_metric_series", "Label sets held, a histogram counting as one.");
const OVERFLOWS: Family =
    counter("outrigger_metric_overflows_total", "Times that a label set found no room under the limit of series.");

/// Dead letters of one queue in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterGauge {
    /// Their queue.
    pub queue: String,
    /// Their state.
    pub state: &'static str,
    /// How many.
    pub letters: u64,
    /// What they take.
    pub bytes: u64,
    /// Of the oldest one, if they are open: its age in seconds.
    pub oldest: Option<u64>,
}

/// Certificates of one listener or upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateGauge {
    /// `outbound` or `inbound`.
    pub direction: &'static str,
    /// Its name.
    pub upstream: String,
    /// Of the one that is shown to the peer: until when it is valid, in Unix time, and for how long in all.
    pub presented: Option<(i64, i64)>,
    /// Of those that vouch for the peer, the one that expires first.
    pub believed: Option<(i64, i64)>,
    /// What the files hold now cannot be used.
    pub refused: bool,
}

/// What is said of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictGauge {
    /// `outbound` or `inbound`.
    pub direction: &'static str,
    /// Its name.
    pub upstream: String,
    /// 0 healthy, 1 degraded, 2 failing.
    pub condition: u8,
    /// A word of `reliability::verdict::Cause`; none while it is well.
    pub cause: Option<&'static str>,
}

/// What retries of one route achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryGauge {
    /// Of which upstream.
    pub upstream: String,
    /// Of which of its routes.
    pub route: String,
    /// Retries that turned a failure into a success.
    pub rescued: u64,
    /// The others.
    pub wasted: u64,
    /// Whether they help.
    pub verdict: Helpfulness,
}

/// `seen`, such that no count is less than it was `before`. A rescue whose client turns out to have gone is taken back,
/// and to Prometheus a counter that falls by one has begun anew and risen to what it is. The next rescue makes good for
/// it.
pub(super) fn only_growing(before: &[RetryGauge], mut seen: Vec<RetryGauge>) -> Vec<RetryGauge> {
    let told: HashMap<(&str, &str), &RetryGauge> =
        before.iter().map(|gauge| ((gauge.upstream.as_str(), gauge.route.as_str()), gauge)).collect();
    for gauge in &mut seen {
        let all = gauge.rescued + gauge.wasted;
        let before = told.get(&(gauge.upstream.as_str(), gauge.route.as_str()));
        // With fewer in all it is a new ledger, of a route that was away.
        if let Some(before) = before.filter(|before| before.rescued + before.wasted <= all) {
            gauge.rescued = gauge.rescued.max(before.rescued);
            gauge.wasted = all - gauge.rescued;
        }
    }
    seen
}

/// Version of the policy format that this program reads.
const POLICY_VERSION: &str = "1";

const CIRCUIT_STATES: [&str; 3] = ["closed", "open", "half-open"];

const NO_LABELS: [(&str, &str); 0] = [];

pub(super) fn upstreams(out: &mut Exposition, views: &[UpstreamView]) {
    fn per_upstream(
        out: &mut Exposition,
        views: &[UpstreamView],
        family: &Family,
        value: impl Fn(&UpstreamView) -> f64,
    ) {
        let sample = |v| (labels(v), value(v));
        out.samples(family, views.iter().map(sample));
    }
    fn labels(view: &UpstreamView) -> [(&str, &str); 2] {
        [("direction", &view.direction), ("upstream", &view.name)]
    }
    per_upstream(out, views, &INFLIGHT, |v| f64::from(v.limits.in_flight));
    per_upstream(out, views, &INFLIGHT_LIMIT, |v| f64::from(v.limits.in_flight_max));
    per_upstream(out, views, &PENDING, |v| f64::from(v.limits.pending));
    per_upstream(out, views, &PENDING_LIMIT, |v| f64::from(v.limits.pending_max));
    per_upstream(out, views, &PANIC, |v| flag(v.panic || v.checks_ignored));
    per_upstream(out, views, &RESOLVE_FAILED, |v| flag(v.resolve_error.is_some()));

    limits(out, views);

    // Inbound never retries and has no breaker: an idle budget of "app" would only mislead.
    let outbound = || views.iter().filter(|v| v.direction != "inbound");
    out.samples(&BUDGET, outbound().map(|v| ([("upstream", v.name.as_str())], v.budget.remaining_ratio)));
    out.samples(&BUDGET_GATED, outbound().map(|v| ([("upstream", v.name.as_str())], flag(v.budget.gated))));
    let used = views.iter().filter(|v| v.totals.requests > 0);
    out.samples(&AMPLIFICATION, used.map(|v| (labels(v), v.totals.attempts as f64 / v.totals.requests as f64)));

    let observed = views.iter().flat_map(|v| {
        let labels = |mechanism| [("direction", v.direction.as_str()), ("upstream", &v.name), ("mechanism", mechanism)];
        v.observed.iter().map(move |o| (labels(o.mechanism.as_str()), o.count as f64))
    });
    out.samples(&OBSERVED, observed);

    let circuits = views.iter().filter_map(|v| Some((v, v.circuit.as_ref()?)));
    let states = circuits.flat_map(|(v, circuit)| {
        let state = |s: &'static str| ([("upstream", v.name.as_str()), ("state", s)], flag(circuit.state == s));
        CIRCUIT_STATES.map(state)
    });
    out.samples(&CIRCUIT, states);

    let endpoints = views.iter().flat_map(|v| {
        let ejected = v.endpoints.iter().filter(|e| e.ejected_for_ms.is_some()).count();
        let available = v.endpoints.iter().filter(|e| !e.sits_out()).count();
        by_state(v, ("available", available as f64), ("ejected", ejected as f64))
    });
    let checked = views.iter().filter(|v| v.endpoints.iter().any(|e| e.health.is_some()));
    let failing = checked.map(|v| {
        let failing = v.endpoints.iter().filter(|e| e.fails_checks()).count();
        let labels = [("direction", v.direction.as_str()), ("upstream", &v.name), ("state", "unhealthy")];
        (labels, failing as f64)
    });
    out.samples(&ENDPOINTS, endpoints.chain(failing));

    let connections = views.iter().flat_map(|v| {
        let open: u32 = v.endpoints.iter().map(|e| e.open_connections).sum();
        let idle: u32 = v.endpoints.iter().map(|e| e.idle_connections).sum();
        by_state(v, ("active", f64::from(open.saturating_sub(idle))), ("idle", f64::from(idle)))
    });
    out.samples(&CONNECTIONS, connections);
}

/// Of routes that may be hedged alone.
pub(super) fn hedges(out: &mut Exposition, views: &[UpstreamView]) {
    let routes = || views.iter().flat_map(|view| view.hedges.iter().map(move |hedges| (view.name.as_str(), hedges)));
    let counts = routes().flat_map(|(upstream, hedges)| {
        let labels = move |result, reason| {
            [("upstream", upstream), ("route", hedges.route.as_str()), ("result", result), ("reason", reason)]
        };
        let ends = [("won", hedges.won), ("lost", hedges.lost), ("observed", hedges.observed)];
        let ends = ends.map(|(result, count)| (labels(result, ""), count as f64));
        let suppressed =
            hedges.suppressed.iter().map(move |(why, count)| (labels("suppressed", why.as_str()), *count as f64));
        ends.into_iter().chain(suppressed)
    });
    out.samples(&HEDGES, counts);
    fn labels<'a>(upstream: &'a str, hedges: &'a HedgeView) -> [(&'static str, &'a str); 2] {
        [("upstream", upstream), ("route", hedges.route.as_str())]
    }
    out.samples(&HEDGES_CANCELLED, routes().map(|(upstream, h)| (labels(upstream, h), h.cancelled_seconds)));
    let delays = routes().filter_map(|(upstream, h)| Some((labels(upstream, h), h.delay_ms? / 1e3)));
    out.samples(&HEDGE_DELAY, delays);
}

fn limits(out: &mut Exposition, views: &[UpstreamView]) {
    let found = views.iter().filter_map(|v| {
        let found = v.limits.found.as_ref()?;
        let labels = [("direction", v.direction.as_str()), ("upstream", &v.name), ("mode", &found.mode)];
        Some((labels, f64::from(found.limit)))
    });
    out.samples(&LIMIT, found);
    let shed = views.iter().flat_map(|v| {
        v.limits.shed.iter().map(|shed| {
            let labels = [
                ("direction", v.direction.as_str()),
                ("upstream", &v.name),
                ("class", &shed.class),
                ("reason", &shed.reason),
                ("mode", &shed.mode),
            ];
            (labels, shed.count as f64)
        })
    });
    out.samples(&SHED, shed);
}

type StateSample<'a> = ([(&'a str, &'a str); 3], f64);

fn by_state<'a>(view: &'a UpstreamView, a: (&'static str, f64), b: (&'static str, f64)) -> [StateSample<'a>; 2] {
    [a, b].map(|(state, n)| ([("direction", view.direction.as_str()), ("upstream", &view.name), ("state", state)], n))
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

pub(super) fn verdicts(out: &mut Exposition, verdicts: &[VerdictGauge]) {
    let condition = |v: &'_ VerdictGauge| f64::from(v.condition);
    let of = verdicts.iter().map(|v| ([("direction", v.direction), ("upstream", v.upstream.as_str())], condition(v)));
    out.samples(&CONDITION, of);
    let causes = verdicts.iter().filter_map(|v| {
        let labels = [("direction", v.direction), ("upstream", v.upstream.as_str()), ("cause", v.cause?)];
        Some((labels, 1.0))
    });
    out.samples(&CAUSE, causes);
}

pub(super) fn retries(out: &mut Exposition, retries: &[RetryGauge]) {
    let ended = retries.iter().flat_map(|r| {
        let result = |result, count: u64| {
            ([("upstream", r.upstream.as_str()), ("route", r.route.as_str()), ("result", result)], count as f64)
        };
        [result("rescued", r.rescued), result("wasted", r.wasted)]
    });
    out.samples(&RETRY_ATTEMPTS, ended);
    let verdicts = retries.iter().flat_map(|r| {
        Helpfulness::ALL.map(|verdict| {
            let labels = [("upstream", r.upstream.as_str()), ("route", r.route.as_str()), ("verdict", verdict.token())];
            (labels, flag(r.verdict == verdict))
        })
    });
    out.samples(&RETRY_VERDICT, verdicts);
}

pub(super) fn certificates(out: &mut Exposition, all: &[CertificateGauge]) {
    type Times = (i64, i64);
    fn each(all: &[CertificateGauge]) -> impl Iterator<Item = ([(&'static str, &str); 3], Times)> {
        all.iter().flat_map(|gauge| {
            let labels = |role| [("direction", gauge.direction), ("upstream", gauge.upstream.as_str()), ("role", role)];
            [("presented", gauge.presented), ("believed", gauge.believed)]
                .into_iter()
                .filter_map(move |(role, times)| Some((labels(role), times?)))
        })
    }
    out.samples(&CERTIFICATE_EXPIRES, each(all).map(|(labels, (not_after, _))| (labels, not_after as f64)));
    out.samples(&CERTIFICATE_LIFETIME, each(all).map(|(labels, (_, lifetime))| (labels, lifetime as f64)));
    let refused = all
        .iter()
        .map(|gauge| ([("direction", gauge.direction), ("upstream", gauge.upstream.as_str())], flag(gauge.refused)));
    out.samples(&CERTIFICATE_REFUSED, refused);
}

pub(super) fn letters(out: &mut Exposition, letters: &[LetterGauge]) {
    let of = |value: fn(&LetterGauge) -> u64| {
        letters.iter().map(move |l| ([("queue", l.queue.as_str()), ("state", l.state)], value(l) as f64))
    };
    out.samples(&LETTERS, of(|l| l.letters));
    out.samples(&LETTER_BYTES, of(|l| l.bytes));
    let oldest = letters.iter().filter_map(|l| Some(([("queue", l.queue.as_str())], l.oldest? as f64)));
    out.samples(&LETTERS_OLDEST, oldest);
}

pub(super) fn policy(out: &mut Exposition, policy: &PolicyStatus) {
    if let Some(at) = policy.applied_at {
        out.samples(&POLICY_INFO, [([("hash", policy.hash.as_str()), ("version", POLICY_VERSION)], 1.0)]);
        out.samples(&POLICY_REVISION, [(NO_LABELS, policy.revision as f64)]);
        out.samples(&POLICY_TIME, [(NO_LABELS, at)]);
    }
    let results = [("success", policy.applied), ("failure", policy.rejected)];
    out.samples(&POLICY_RELOADS, results.map(|(result, n)| ([("result", result)], n as f64)));
    out.samples(&POLICY_FAILED, [(NO_LABELS, flag(policy.last_failed))]);
    let actions = [("warned", policy.guard_warned), ("rolled_back", policy.guard_rolled_back)];
    out.samples(&POLICY_GUARD, actions.map(|(action, n)| ([("action", action)], n as f64)));
}

/// Numbers about the telemetry itself.
pub(super) struct Ourselves {
    pub(super) log_lines_dropped: u64,
    pub(super) journal_records_lost: u64,
    pub(super) series: usize,
    pub(super) overflows: u64,
}

pub(super) fn ourselves(out: &mut Exposition, ourselves: &Ourselves) {
    let Ourselves { log_lines_dropped, journal_records_lost, series, overflows } = ourselves;
    out.samples(&BUILD, [([("version", env!("CARGO_PKG_VERSION"))], 1.0)]);
    out.samples(&LOG_DROPPED, [(NO_LABELS, *log_lines_dropped as f64)]);
    out.samples(&JOURNAL_LOST, [(NO_LABELS, *journal_records_lost as f64)]);
    out.samples(&SERIES, [(NO_LABELS, *series as f64)]);
    out.samples(&OVERFLOWS, [(NO_LABELS, *overflows as f64)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rescue_that_is_taken_back_makes_no_counter_fall() {
        let gauge = |rescued, wasted| RetryGauge {
            upstream: "payments".to_owned(),
            route: "charge".to_owned(),
            rescued,
            wasted,
            verdict: Helpfulness::Unknown,
        };
        let mut told = vec![gauge(0, 0)];
        let mut course = Vec::new();
        // The last one is a ledger that began anew.
        for (rescued, wasted) in [(10, 5), (9, 6), (9, 7), (11, 7), (1, 1)] {
            told = only_growing(&told, vec![gauge(rescued, wasted)]);
            course.push((told[0].rescued, told[0].wasted));
        }
        assert_eq!(course, [(10, 5), (10, 5), (10, 6), (11, 7), (1, 1)]);
    }
}
