//! How many requests an upstream can bear at once, found out instead of configured.
//!
//! Two ways, for two positions:
//!
//! * **AIMD** for a dependency (Netflix concurrency-limits): a timeout, 429 or 503 takes a tenth off, an answer adds one
//!   while at least half of the limit is in use. Latency is not looked at: towards a dependency it is confounded by the
//!   mix of endpoints and of requests.
//! * **Correlated** for the app behind `inbound` (failsafe-go): see [`correlated`].
//!
//! What says nothing of the upstream's capacity is no sample: attempts that were cancelled, losers of hedges, failures
//! of our own.

mod correlated;
mod samples;

use correlated::Correlated;
use std::time::{Duration, Instant};

/// Factor of a limit after a drop.
const BACKOFF: f64 = 0.9;

/// How the limit is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Additive increase, multiplicative decrease, by refusals and timeouts.
    Aimd,
    /// By latency, and by how throughput and latency follow the requests in flight.
    Correlated,
}

/// `limits.adaptive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePolicy {
    /// How.
    pub algorithm: Algorithm,
    /// Report only: computed, never in force.
    pub observe: bool,
    /// The limit never falls below this; at least 1.
    pub min: u32,
    /// The limit never rises above this.
    pub max: u32,
    /// Where it begins.
    pub initial: u32,
}

/// What one request says of its upstream's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// From the launch of the attempt to the head of its answer.
    pub rtt: Duration,
    /// Requests in flight when it was let in, itself included.
    pub in_flight: u32,
    /// It was refused for overload, or not answered in time.
    pub dropped: bool,
}

/// The limit of one upstream.
#[derive(Clone, Debug)]
pub struct Adaptive {
    policy: AdaptivePolicy,
    limit: f64,
    correlated: Option<Box<Correlated>>,
}

impl Adaptive {
    /// Begins at `initial`.
    pub fn new(policy: AdaptivePolicy, now: Instant) -> Adaptive {
        let mut adaptive = Adaptive { policy, limit: f64::from(policy.initial), correlated: None };
        adaptive.prepare(now);
        adaptive.clamp();
        adaptive
    }

    /// Takes a new policy and keeps the limit that was found, as far as it is within the new bounds.
    pub fn reconfigure(&mut self, policy: AdaptivePolicy, now: Instant) {
        if policy.algorithm != self.policy.algorithm {
            *self = Adaptive::new(policy, now);
            return;
        }
        self.policy = policy;
        self.clamp();
    }

    /// One request has ended.
    pub fn record(&mut self, now: Instant, sample: &Sample) {
        match &mut self.correlated {
            Some(correlated) => self.limit = correlated.record(now, sample, self.limit),
            None if sample.dropped => self.limit *= BACKOFF,
            None if f64::from(sample.in_flight) * 2.0 >= self.limit => self.limit += 1.0,
            None => {}
        }
        self.clamp();
    }

    /// The limit, in whole requests.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// The limit, where it is in force.
    pub fn in_force(&self) -> Option<u32> {
        (!self.policy.observe).then(|| self.limit())
    }

    /// Under which policy.
    pub const fn policy(&self) -> &AdaptivePolicy {
        &self.policy
    }

    fn prepare(&mut self, now: Instant) {
        self.correlated = match self.policy.algorithm {
            Algorithm::Aimd => None,
            Algorithm::Correlated => Some(Box::new(Correlated::new(now))),
        };
    }

    fn clamp(&mut self) {
        let least = self.policy.min.max(1);
        self.limit = self.limit.clamp(f64::from(least), f64::from(self.policy.max.max(least)));
    }
}

#[cfg(test)]
mod tests;
