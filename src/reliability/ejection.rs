//! Endpoint ejection. Skeleton: to be filled.
use super::entropy::Entropy;
use std::time::{Duration, Instant};
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionPolicy { /// default 5
    pub consecutive_failures: u32, /// default 50
    pub failure_percent: f64, /// default 20
    pub min_requests: u32, /// default 10 s
    pub window: Duration, /// default 1 s
    pub base: Duration, /// default 60 s
    pub max: Duration, /// at most this share of the set is ejected; default 50
    pub max_ejected_percent: u32, pub observe: bool }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointSignal { Success, /// connect, reset, per-attempt timeout, 502/503/504
    Hard, /// other 5xx: windowed rate only
    Soft, /// 429
    Overload, Ignored }
/// One endpoint's health. One small lock per endpoint in the shell.
#[derive(Debug)]
pub struct Ejection { _p: () }
impl Ejection {
    pub fn new(now: Instant) -> Self { let _ = now; Ejection { _p: () } }
    /// `peer_median_failure_percent`: of the other endpoints, None below 3 endpoints. Returns Some(until) when this record trips it.
    pub fn record(&mut self, now: Instant, signal: EndpointSignal, policy: &EjectionPolicy, peer_median_failure_percent: Option<f64>, entropy: &mut impl Entropy) -> Option<Instant> { let _ = (now, signal, policy, peer_median_failure_percent, entropy); todo!() }
    pub fn tripped_until(&self, now: Instant) -> Option<Instant> { let _ = now; todo!() }
    /// clears a trip by hand
    pub fn reset(&mut self, now: Instant) { let _ = now; todo!() }
    pub fn failure_percent(&self, now: Instant) -> (u32, f64) { let _ = now; todo!() }
}
/// Whether ejection is enforced for the set: `tripped` of `total` endpoints. Never the last one; at most
/// `max_ejected_percent`; below 50 % healthy = panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetState { Normal, /// ejection is ignored
    Panic }
pub fn set_state(tripped: usize, total: usize) -> SetState { let _ = (tripped, total); todo!() }
