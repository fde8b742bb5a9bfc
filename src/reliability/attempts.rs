//! The attempt loop as a machine. Skeleton: to be filled.
use super::backoff::Backoff;
use super::breaker::{self, Permit};
use super::budget::RetryClass;
use super::classify::{Contract, Outcome, RetryOn, StatusSet};
use super::dependency::Dependency;
use super::entropy::Entropy;
use std::time::{Duration, Instant};

/// `retry` of a route, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy { /// retries after the first try; 0 = no retries. At most 10.
    pub retries: u32, pub on: RetryOn, pub codes: StatusSet, pub backoff: Backoff, pub respect_retry_after: bool, pub contract: Contract }

/// What the machine needs to know of one request.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    pub policy: &'a RetryPolicy,
    pub deadline: Instant,
    /// `timeouts.backendRequest`, or None: derived from the dependency's p99 and the total
    pub backend_request: Option<Duration>,
    /// method is idempotent per RFC 9110 §9.2.2
    pub idempotent: bool,
    /// the body can be sent again
    pub replayable: bool,
    /// the request is already someone's retry (attempt count > 1): transparent retries only
    pub chain_stop: bool,
    /// endpoints the dependency has now (a single endpoint: a retry may go to the same one)
    pub endpoints: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind { First, Retry, Transparent, Hedge }

/// Why an eligible retry was not made. One word each in metric, log and response marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied { Budget, Deadline, Breaker, BodyTooLarge, NotIdempotent, ChainStop, Pushback, Throttle }

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// the last outcome is the answer (success, or nothing the policy retries)
    Answered,
    /// retryable, but the attempts are used up
    AttemptsSpent,
    /// retryable, but refused
    Denied(Denied),
    /// the deadline passed while waiting
    DeadlinePassed,
    /// the breaker or throttle refused the *first* attempt: nothing was sent
    Refused(breaker::Refusal),
}

#[derive(Debug)]
pub enum Step {
    /// Start an attempt now; it must end by `cutoff`. The permit must be given back through `on_outcome` or `on_cancelled`.
    Launch { id: AttemptId, kind: Kind, cutoff: Instant, permit: Permit },
    /// Nothing to do before `until` unless an outcome arrives.
    Wait { until: Instant },
    /// Final; `answer` is the attempt whose answer goes to the client, None = no attempt answered.
    Finish { stop: Stop, answer: Option<AttemptId> },
}

#[derive(Debug)]
pub struct Attempts<'a> { plan: Plan<'a> }

impl<'a> Attempts<'a> {
    pub fn new(plan: Plan<'a>) -> Self { Attempts { plan } }
    pub fn next(&mut self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) -> Step { let _ = (now, dependency, entropy, &self.plan); todo!() }
    /// Takes the permit back and decides about a retry. `elapsed` of that attempt. Returns true when this answer
    /// will be discarded because a retry is coming (the shell may drain it), false when it is final.
    pub fn on_outcome(&mut self, now: Instant, id: AttemptId, permit: Permit, outcome: Outcome, elapsed: Duration, dependency: &mut Dependency, entropy: &mut impl Entropy) -> bool { let _ = (now, id, permit, outcome, elapsed, dependency, entropy); todo!() }
    /// attempts launched so far
    pub fn launched(&self) -> u32 { todo!() }
    /// retries that were denied, if any (also when the answer was final for that reason)
    pub fn denied(&self) -> Option<Denied> { todo!() }
    /// class of the retry in flight or last made
    pub fn last_class(&self) -> Option<RetryClass> { todo!() }
}
