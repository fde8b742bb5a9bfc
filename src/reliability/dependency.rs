//! What all requests to one dependency share.

use super::breaker::{Breaker, BreakerPolicy, Hold, Permit, Signal};
use super::budget::{Budget, BudgetPolicy};
use super::efficacy::Ledgers;
use super::entropy::Entropy;
use super::hedge::Hedges;
use super::latency::Quantiles;
use super::throttle::{Throttle, ThrottlePolicy};
use std::time::Instant;

/// What the policy says about one dependency as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct DependencyPolicy {
    /// `retryBudget`. Always there: without a block in the file the defaults hold.
    pub budget: BudgetPolicy,
    /// `circuitBreaker`. None = no breaker.
    pub breaker: Option<BreakerPolicy>,
    /// None = no throttle.
    pub throttle: Option<ThrottlePolicy>,
}

/// Budget, breaker, throttle, latency and the ledgers of retries of one dependency. The shell holds one lock around all of it and
/// never awaits under it.
#[derive(Debug)]
pub struct Dependency {
    /// Pays for retries.
    pub budget: Budget,
    /// Stops sending to a dependency that is down.
    pub breaker: Option<Breaker>,
    /// Sends less to a dependency that rejects.
    pub throttle: Option<Throttle>,
    /// Latency of successful attempts, for per-attempt timeouts and the deadline check.
    pub latency: Quantiles,
    /// Whether retries help, by route.
    pub efficacy: Ledgers,
    /// When hedges are sent and what they come to, by route.
    pub hedges: Hedges,
}

impl Dependency {
    /// A dependency nothing is known about yet.
    pub fn new(policy: &DependencyPolicy, now: Instant) -> Self {
        Dependency {
            budget: Budget::new(policy.budget.clone(), now),
            breaker: policy.breaker.clone().map(|policy| Breaker::new(policy, now)),
            throttle: policy.throttle.clone().map(|policy| Throttle::new(policy, now)),
            latency: Quantiles::new(now),
            efficacy: Ledgers::default(),
            hedges: Hedges::default(),
        }
    }

    /// Takes a new policy and keeps what was learned: a reload must neither forget an outage nor mint tokens.
    pub fn reconfigure(&mut self, policy: &DependencyPolicy, now: Instant) {
        self.budget.reconfigure(policy.budget.clone(), now);
        match (&mut self.breaker, &policy.breaker) {
            (Some(breaker), Some(policy)) => breaker.reconfigure(policy.clone(), now),
            (breaker, policy) => *breaker = policy.clone().map(|policy| Breaker::new(policy, now)),
        }
        match (&mut self.throttle, &policy.throttle) {
            (Some(throttle), Some(policy)) => throttle.reconfigure(policy.clone(), now),
            (throttle, policy) => *throttle = policy.clone().map(|policy| Throttle::new(policy, now)),
        }
    }

    /// An operator's hand: holds the breaker until `until`. Held closed, everything passes, so the throttle
    /// stands aside as well. None = there is no breaker to hold.
    pub fn hold(&mut self, now: Instant, hold: Hold, until: Instant) -> Option<()> {
        self.breaker.as_mut()?.hold(now, hold, until);
        if let Some(throttle) = &mut self.throttle {
            match hold {
                Hold::Closed => throttle.suspend(now, until),
                Hold::Open => {}
            }
        }
        Some(())
    }

    /// An operator's hand: ends a hold, closes the breaker, forgets the outage. None = there is no breaker.
    pub fn reset(&mut self, now: Instant) -> Option<()> {
        self.breaker.as_mut()?.reset(now);
        if let Some(throttle) = &mut self.throttle {
            throttle.suspend(now, now);
        }
        Some(())
    }

    /// A gRPC call that had begun well has ended badly; what its begin has earned stays.
    pub fn on_late(&mut self, now: Instant, signal: Signal, entropy: &mut impl Entropy) {
        if let Some(breaker) = &mut self.breaker {
            breaker.record_late(now, signal, entropy);
        }
    }

    /// An attempt was cancelled (client gone, hedge loser): the permit comes back, nothing is learned.
    pub fn on_cancelled(&mut self, now: Instant, permit: Permit) {
        if let Some(breaker) = &mut self.breaker {
            breaker.cancel(now, permit);
        }
        if let Some(throttle) = &mut self.throttle {
            // It was counted when it was sent; unanswered it would look like a rejection.
            throttle.on_accept(now);
        }
    }
}
