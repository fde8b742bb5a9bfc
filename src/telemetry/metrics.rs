//! Every metric name, label and bucket. Skeleton: to be filled.
use crate::policy::Direction;
use crate::reliability::Failure;
use crate::reliability::attempts::{Denied, Kind};
use std::sync::Arc;
use std::time::Duration;

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

/// One attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd { Status(u16), Failed(Failure), Cancelled }

/// All metrics of the process.
pub struct Metrics { _p: () }
impl Metrics {
    pub fn new() -> Arc<Metrics> { todo!() }
    /// Handles of one route; registered when a policy is applied, the same Arc for the same labels.
    pub fn route(&self, direction: Direction, upstream: &str, route: &str) -> Arc<RouteMeters> { let _ = (direction, upstream, route); todo!() }
    pub fn upstream(&self, direction: Direction, upstream: &str) -> Arc<UpstreamMeters> { let _ = (direction, upstream); todo!() }
}

/// Counters and histograms of one route. Every call is a few atomic additions: no lock, no look-up by string.
pub struct RouteMeters { _p: () }
impl RouteMeters {
    pub fn request(&self, method: &http::Method, status: u16, error: Option<Failure>, outcome: RequestOutcome, elapsed: Duration) { let _ = (method, status, error, outcome, elapsed); todo!() }
    pub fn attempt(&self, kind: Kind, method: &http::Method, end: AttemptEnd, elapsed: Duration) { let _ = (kind, method, end, elapsed); todo!() }
    /// a request with at least one retry ended well / badly
    pub fn retried(&self, rescued: bool) { let _ = rescued; todo!() }
    pub fn retry_denied(&self, reason: Denied) { let _ = reason; todo!() }
}

/// Counters of one upstream that no route owns.
pub struct UpstreamMeters { _p: () }
impl UpstreamMeters {
    pub fn connection_opened(&self) { todo!() }
    pub fn connection_reused(&self) { todo!() }
    pub fn circuit_transition(&self, from: &'static str, to: &'static str) { let _ = (from, to); todo!() }
    pub fn ejected(&self) { todo!() }
    pub fn endpoint_set_changed(&self) { todo!() }
}
