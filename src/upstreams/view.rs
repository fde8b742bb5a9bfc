//! What operators see of the living state: plain snapshots, read by metrics, admin API and CLI.

use serde::{Deserialize, Serialize};

use crate::reliability::hedge::{HedgePolicy, HedgeReport, Suppressed};

/// One dependency (or the app behind `inbound`) at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamView {
    pub name: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    pub endpoints: Vec<EndpointView>,
    /// Seconds since the endpoint set last changed.
    pub endpoint_set_age_seconds: u64,
    /// Error of the last resolution, if it failed; the last good set is kept.
    pub resolve_error: Option<String>,
    /// Most endpoints are tripped: ejection is ignored.
    pub panic: bool,
    /// Most endpoints fail their health checks: checks are ignored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checks_ignored: bool,
    pub circuit: Option<CircuitView>,
    pub budget: BudgetView,
    pub limits: LimitsView,
    /// Latency of successful attempts, milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Totals since the upstream was first seen by this process.
    pub totals: TotalsView,
    /// Hedges, for each route that may be hedged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hedges: Vec<HedgeView>,
    /// Limits per caller, by route; routes without one are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimitView>,
    /// What mechanisms in mode observe would have done; those that enforce are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<ObservedView>,
}

/// What hedges of one route have come to since the process first saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HedgeView {
    pub route: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// When a hedge is sent now, in milliseconds; absent until enough first attempts are known.
    pub delay_ms: Option<f64>,
    /// First attempts of late that are known.
    pub samples: u64,
    pub first_attempts: u64,
    /// Hedges that brought the answer, and the others.
    pub won: u64,
    pub lost: u64,
    /// Hedges that would have been sent.
    pub observed: u64,
    /// Hedges that were due and not sent, by reason, reasons with a count only.
    pub suppressed: Vec<(String, u64)>,
    /// How long attempts had run that were cancelled because the other one had answered.
    pub cancelled_seconds: f64,
}

/// Hedges of a route from which on it can be said whether they are worth their load.
const HEDGES_JUDGED: u64 = 20;

impl HedgeView {
    /// As operators see it.
    pub fn new(route: &str, policy: &HedgePolicy, report: &HedgeReport) -> HedgeView {
        let counts = &report.counts;
        let suppressed = Suppressed::ALL.iter().zip(counts.suppressed).filter(|(_, count)| *count > 0);
        HedgeView {
            route: route.to_owned(),
            mode: if policy.observe { "observe" } else { "enforce" }.to_owned(),
            delay_ms: report.delay.map(|delay| delay.as_secs_f64() * 1e3),
            samples: report.samples,
            first_attempts: counts.first_attempts,
            won: counts.won,
            lost: counts.lost,
            observed: counts.observed,
            suppressed: suppressed.map(|(why, count)| (why.token().to_owned(), count)).collect(),
            cancelled_seconds: counts.cancelled.as_secs_f64(),
        }
    }

    /// Hedges per hundred first attempts.
    pub fn load_percent(&self) -> f64 {
        (self.won + self.lost) as f64 * 100.0 / self.first_attempts.max(1) as f64
    }

    /// Whether hedges are load that hardly ever helps: fewer than one in ten wins.
    pub fn is_wasteful(&self) -> bool {
        self.won + self.lost >= HEDGES_JUDGED && self.won * 10 < self.won + self.lost
    }

    /// What there is to say of it, in a sentence.
    pub fn sentence(&self) -> String {
        let HedgeView { won, lost, .. } = *self;
        let sent = won + lost;
        let when = self.delay_ms.map(|delay| format!("after {delay:.0} ms"));
        match (&when, sent) {
            (None, 0) => format!("{} first attempts are known; a percentile needs more.", self.samples),
            (Some(when), 0) if self.mode == "observe" => {
                format!("Observed: {when} {} of {} would have been hedged.", self.observed, self.first_attempts)
            }
            (Some(when), 0) => format!("Nothing was slow enough yet: a hedge is sent {when}."),
            (_, _) if self.is_wasteful() => format!(
                "{won} of {sent} hedges won: they cost {:.1}% more load and hardly help. Raise hedge.delay, or remove hedge.",
                self.load_percent()
            ),
            (_, _) => format!("{won} of {sent} hedges won, for {:.1}% more load.", self.load_percent()),
        }
    }
}

/// How many requests each caller of one route may send, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitView {
    pub route: String,
    /// `address`, `header:NAME` or `mtls:spiffe`.
    pub by: String,
    /// `enforce` or `observe`.
    pub mode: String,
    pub requests: u32,
    /// As in the policy: `1s`.
    pub per: String,
    pub burst: u32,
    /// Refused since the start of the process.
    pub refused: u64,
    /// Let through in mode observe that would have been refused.
    pub would_refuse: u64,
    /// Since the last request that was too much.
    pub last_seconds_ago: Option<u64>,
}

/// What one mechanism in mode observe would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedView {
    /// `circuitBreaker`, `throttle`, `ejection` or `retryBudget`.
    pub mechanism: String,
    /// Requests that it would have refused, endpoints that it would have taken out, retries that it would have denied.
    pub count: u64,
}

/// Mechanisms that can only observe, by their blocks in the policy.
pub const BREAKER: &str = "circuitBreaker";
/// See [`BREAKER`].
pub const THROTTLE: &str = "throttle";
/// See [`BREAKER`].
pub const EJECTION: &str = "ejection";
/// See [`BREAKER`].
pub const BUDGET: &str = "retryBudget";

impl UpstreamView {
    /// What a mechanism would have done so far, if it is in mode observe.
    pub fn observed_count(&self, mechanism: &str) -> Option<u64> {
        self.observed.iter().find(|observed| observed.mechanism == mechanism).map(|observed| observed.count)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    pub address: String,
    pub pending: u32,
    pub open_connections: u32,
    pub idle_connections: u32,
    pub ewma_ms: f64,
    pub failure_percent: f64,
    pub samples: u32,
    /// Tripped: it gets no ordinary traffic unless the set is in panic.
    pub ejected_for_ms: Option<u64>,
    /// Why it was tripped last, or the last failure's token.
    pub last_failure: Option<String>,
    /// Where it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthView>,
    /// Where the policy knows zones: `local`, or the name of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What health checks say of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthView {
    /// `unknown`, `healthy` or `unhealthy`.
    pub state: String,
    /// Why the last check did not pass.
    pub cause: Option<String>,
    /// It gets no traffic for that.
    pub sits_out: bool,
}

impl EndpointView {
    /// It gets no ordinary traffic.
    pub fn sits_out(&self) -> bool {
        self.ejected_for_ms.is_some() || self.health.as_ref().is_some_and(|health| health.sits_out)
    }

    /// It fails its health checks, whatever follows from that.
    pub fn fails_checks(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.state == "unhealthy")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitView {
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// `open` or `closed` while an operator holds it.
    pub held: Option<String>,
    pub retry_after_ms: Option<u64>,
    pub failure_percent: f64,
    pub slow_percent: f64,
    pub samples: u32,
    /// Share of requests that the throttle rejects, 0 to 1.
    pub throttle_rejection: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetView {
    /// Tokens left of the cap, 0 to 1.
    pub remaining_ratio: f64,
    /// Retries are held to probes because they do not rescue.
    pub gated: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    pub in_flight: u32,
    pub in_flight_max: u32,
    /// How many may be in flight now: `in_flight_max`, or less where a limit that was found is in force.
    #[serde(default)]
    pub in_force: u32,
    pub pending: u32,
    pub pending_max: u32,
    /// With `limits.adaptive`: the limit that was found.
    #[serde(default)]
    pub found: Option<FoundLimitView>,
    /// Requests that got no slot, or would have got none, since the upstream was first seen; those with a count only.
    #[serde(default)]
    pub shed: Vec<ShedView>,
    /// Classes of which requests got no slot lately, and how many a second.
    #[serde(default)]
    pub shed_per_second: Vec<(String, f64)>,
}

/// A limit that was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundLimitView {
    pub limit: u32,
    /// `enforce` or `observe`.
    pub mode: String,
}

/// Requests that got no slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShedView {
    /// A word of `reliability::priority::Criticality`.
    pub class: String,
    /// A word of `reliability::limit::Reason`.
    pub reason: String,
    /// `enforce`: they were refused. `observe`: they would have been.
    pub mode: String,
    pub count: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalsView {
    pub requests: u64,
    pub requests_failed: u64,
    pub attempts: u64,
    pub first_attempts_failed: u64,
    pub retries: u64,
    pub rescued: u64,
    /// Denied retries by reason, reasons with a count only.
    pub denied: Vec<(String, u64)>,
    pub refused: u64,
}

#[cfg(test)]
mod tests;
