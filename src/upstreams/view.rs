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
