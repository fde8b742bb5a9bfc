//! What all requests to one dependency share. Skeleton: to be filled.
use super::breaker::{Breaker, BreakerPolicy, Permit};
use super::budget::{Budget, BudgetPolicy};
use super::latency::Quantiles;
use super::throttle::{Throttle, ThrottlePolicy};
use std::time::Instant;

#[derive(Clone, Debug, PartialEq)]
pub struct DependencyPolicy { pub budget: BudgetPolicy, /// None = no breaker
    pub breaker: Option<BreakerPolicy>, /// None = no throttle
    pub throttle: Option<ThrottlePolicy> }

/// Budget, breaker, throttle and latency of one dependency. One lock around all of it in the shell.
#[derive(Debug)]
pub struct Dependency { pub budget: Budget, pub breaker: Option<Breaker>, pub throttle: Option<Throttle>,
    /// latency of successful attempts, for per-attempt timeouts and the deadline check
    pub latency: Quantiles }

impl Dependency {
    pub fn new(policy: &DependencyPolicy, now: Instant) -> Self { let _ = (policy, now); todo!() }
    pub fn reconfigure(&mut self, policy: &DependencyPolicy, now: Instant) { let _ = (policy, now); todo!() }
    /// an attempt was cancelled (client gone, hedge loser): the permit comes back, nothing is learned
    pub fn on_cancelled(&mut self, now: Instant, permit: Permit) { let _ = (now, permit); todo!() }
}
