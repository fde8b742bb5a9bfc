//! What operators see of the living state: plain snapshots, read by metrics, admin API and CLI.

use serde::{Deserialize, Serialize};

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
    pub circuit: Option<CircuitView>,
    pub budget: BudgetView,
    pub limits: LimitsView,
    /// Latency of successful attempts, milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Totals since the upstream was first seen by this process.
    pub totals: TotalsView,
    /// Limits per caller, by route; routes without one are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimitView>,
    /// What mechanisms in mode observe would have done; those that enforce are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<ObservedView>,
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
    pub pending: u32,
    pub pending_max: u32,
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
