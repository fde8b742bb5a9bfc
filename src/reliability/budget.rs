//! Retry budget. Skeleton: to be filled.
use super::entropy::Entropy;
use std::time::{Duration, Instant};

/// What the policy says about the budget of one dependency.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Retries allowed per successful first attempt, 0.0 to 1.0. `retryBudget.percent` / 100. Default 0.2.
    pub ratio: f64,
    /// How long a success counts. `retryBudget.interval`. Default 10 s.
    pub ttl: Duration,
    /// Tokens at start, and the least that the cap can be. Default 10.
    pub burst: u32,
    /// Hard cap: retries per first attempt within `ttl`. Default 0.5.
    pub max_ratio: f64,
    /// Retries per second that are always allowed. `retryBudget.minPerSecond`. Default 1.
    pub floor_per_second: f64,
}

/// What a retry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass { /// free, provably unprocessed
    Transparent, /// costs 1
    Ordinary, /// costs 2: the dependency asked for less
    Overload }

/// Who paid for a granted retry; handed back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant { Free, Tokens(RetryClass), Floor(RetryClass) }

#[derive(Clone, Debug)]
pub struct Budget { policy: BudgetPolicy }

impl Budget {
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self { let _ = now; Budget { policy } }
    /// keeps tokens (clamped to the new cap) and all counters; mints nothing
    pub fn reconfigure(&mut self, policy: BudgetPolicy, now: Instant) { let _ = now; self.policy = policy; }
    pub fn on_first_attempt(&mut self, now: Instant) { let _ = now; todo!() }
    pub fn on_first_success(&mut self, now: Instant) { let _ = now; todo!() }
    /// check and spend in one step; None = denied
    pub fn try_retry(&mut self, now: Instant, class: RetryClass, entropy: &mut impl Entropy) -> Option<Grant> { let _ = (now, class, entropy); todo!() }
    /// outcome of a granted retry: refund on rescue (not overload), feeds the gate
    pub fn on_retry_outcome(&mut self, now: Instant, grant: Grant, rescued: bool) { let _ = (now, grant, rescued); todo!() }
    /// tokens left / cap, 0.0..=1.0
    pub fn remaining_ratio(&mut self, now: Instant) -> f64 { let _ = now; todo!() }
    pub fn gated(&self) -> bool { todo!() }
}
