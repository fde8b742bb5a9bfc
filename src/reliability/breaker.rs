//! Dependency breaker. Skeleton: to be filled.
use super::entropy::Entropy;
use std::time::{Duration, Instant};

/// `circuitBreaker`.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy { /// default 10 s
    pub window: Duration, /// default 20
    pub min_requests: u32, /// opens at this failure rate, percent; default 50
    pub failure_percent: f64,
    /// opens after this many failures in a row; None = off
    pub consecutive_failures: Option<u32>,
    pub slow_call: Option<SlowCall>,
    /// first open time; grows ×2 per trip up to `max_open`, with jitter. default 5 s
    pub open: Duration, /// default 60 s
    pub max_open: Duration, /// default 3
    pub half_open_requests: u32,
    /// a probe not answered in this time counts as failed. default 5 s
    pub probe_timeout: Duration,
    /// report only
    pub observe: bool }

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCall { pub threshold: Duration, pub percent: f64 }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State { Closed, Open, HalfOpen }

/// The right to send one attempt. Not Clone: given back exactly once.
#[derive(Debug)]
pub struct Permit { pub(super) generation: u64, pub(super) probe: bool }
impl Permit { /// for dependencies without a breaker
    pub const fn free() -> Self { Permit { generation: 0, probe: false } } }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal { CircuitOpen { retry_after: Duration }, Throttled }

/// What the breaker learns from one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal { Success, /// counts in the rate and in the run
    Failure, /// 429-like: degrades the rate, never the run; fails a probe
    Overload, /// permit returned, nothing learned
    Ignored }

/// Why the breaker changed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause { FailureRate, ConsecutiveFailures, SlowCalls, AllEndpointsDown, ProbeFailed, ProbeTimeout, ProbesSucceeded, OpenTimeOver, Manual }

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition { pub from: State, pub to: State, pub cause: Cause, /// failure rate and sample count at that moment
    pub failure_percent: f64, pub samples: u32 }

/// Manual hold by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold { Open, Closed }

#[derive(Debug)]
pub struct Breaker { policy: BreakerPolicy }

impl Breaker {
    pub fn new(policy: BreakerPolicy, now: Instant) -> Self { let _ = now; Breaker { policy } }
    pub fn reconfigure(&mut self, policy: BreakerPolicy, now: Instant) { let _ = now; self.policy = policy; }
    /// time left if open and not yet probing; takes no permit, changes no state. For admission.
    pub fn precheck(&self, now: Instant) -> Option<Duration> { let _ = (now, &self.policy); todo!() }
    pub fn acquire(&mut self, now: Instant, entropy: &mut impl Entropy) -> Result<Permit, Refusal> { let _ = (now, entropy); todo!() }
    pub fn record(&mut self, now: Instant, permit: Permit, signal: Signal, elapsed: Duration, entropy: &mut impl Entropy) { let _ = (now, permit, signal, elapsed, entropy); todo!() }
    /// every endpoint is tripped or unconnectable since `since`; None = not so
    pub fn on_all_endpoints_down(&mut self, now: Instant, entropy: &mut impl Entropy) { let _ = (now, entropy); todo!() }
    pub fn hold(&mut self, now: Instant, hold: Hold, until: Instant) { let _ = (now, hold, until); todo!() }
    /// ends a hold, closes, forgets the window
    pub fn reset(&mut self, now: Instant) { let _ = now; todo!() }
    pub fn held(&self, now: Instant) -> Option<Hold> { let _ = now; todo!() }
    pub fn state(&self, now: Instant) -> State { let _ = now; todo!() }
    /// transitions since the last call, oldest first, bounded (at most 8 kept); the shell publishes them after unlocking
    pub fn take_transitions(&mut self) -> Vec<Transition> { todo!() }
    pub fn has_transitions(&self) -> bool { todo!() }
    /// (samples, failure percent, slow percent) in the window
    pub fn rates(&self, now: Instant) -> (u32, f64, f64) { let _ = now; todo!() }
}
