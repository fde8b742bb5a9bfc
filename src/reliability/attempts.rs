//! The attempt loop as a machine: what to do next for one request, and when it is over.
//!
//! The caller asks [`Attempts::next`], does what it says, and reports every attempt's end through
//! [`Attempts::on_outcome`] (or [`Dependency::on_cancelled`]). The machine sends nothing, waits for nothing
//! and reads no clock; it decides. Several attempts may be in flight.
//!
//! What holds for any order of events:
//!
//! * At most `1 + retries` attempts, none of them launched at or after the deadline.
//! * A retry is paid for before its backoff: one that nobody can afford must not add latency.
//! * `Finish` is final, and `Wait` names an instant in the future.
//! * Every permit that a `Launch` hands out is given back exactly once, by its type.

use super::backoff::Backoff;
use super::breaker::{self, Permit, Signal};
use super::budget::{Grant, RetryClass};
use super::classify::{self, Contract, Outcome, Retry, RetryOn, StatusSet, Verdict};
use super::dependency::Dependency;
use super::entropy::Entropy;
use std::time::{Duration, Instant};

/// A retry that cannot be answered in this time is not worth starting, whatever the p50 says.
const LEAST_TIME: Duration = Duration::from_millis(5);

/// The derived per-attempt timeout is never below this: it would mistake a scheduling hiccup for a failure.
const LEAST_TRY: Duration = Duration::from_millis(50);

/// Latency samples from which on the p99 is trusted.
const TRUSTED_SAMPLES: u64 = 100;

/// After the deadline, how long an attempt in flight may take to report its own timeout before the machine
/// gives up on it. Reporting is what lets breaker and ejection learn of a black hole.
const GRACE: Duration = Duration::from_millis(2);

/// Attempts that can be in flight at once: a first attempt or retry, and a hedge.
const IN_FLIGHT: usize = 2;

/// `retry` of a route, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first try; 0 = no retries. At most 10.
    pub retries: u32,
    /// Failures that are retried.
    pub on: RetryOn,
    /// Statuses that are retried.
    pub codes: StatusSet,
    /// Waits before retries.
    pub backoff: Backoff,
    /// Retry-After is a minimum for the wait. False = ignored.
    pub respect_retry_after: bool,
    /// What the upstream promises for unsafe methods.
    pub contract: Contract,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            retries: 2,
            on: RetryOn::ALL,
            codes: StatusSet::from_iter([502, 503, 504]),
            backoff: Backoff::default(),
            respect_retry_after: true,
            contract: Contract::Opaque,
        }
    }
}

/// What the machine needs to know of one request.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The route's `retry`.
    pub policy: &'a RetryPolicy,
    /// When the request must be over.
    pub deadline: Instant,
    /// `timeouts.backendRequest`, or None: derived from the dependency's p99 and the total.
    pub backend_request: Option<Duration>,
    /// The method is idempotent per RFC 9110 §9.2.2.
    pub idempotent: bool,
    /// The body can be sent again.
    pub replayable: bool,
    /// The request is already someone's retry (attempt count > 1): transparent retries only.
    pub chain_stop: bool,
    /// Endpoints the dependency has now. With a single one a retry may go to the same.
    pub endpoints: usize,
}

/// Names an attempt within its request: 0 is the first, in order of launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u32);

/// Why an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself.
    First,
    /// After a failure, paid for by the budget.
    Retry,
    /// After a failure that provably processed nothing: free, once per request.
    Transparent,
    /// In parallel to a slow attempt.
    Hedge,
}

/// Why an eligible retry was not made. One word each in metric, log and response marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// The retry budget of the dependency is spent.
    Budget,
    /// It could not be answered before the deadline.
    Deadline,
    /// The breaker is open, or its probes are taken.
    Breaker,
    /// The body was not kept for replay.
    BodyTooLarge,
    /// The method is unsafe, the upstream promises nothing, and it may have seen the request.
    NotIdempotent,
    /// The request is itself a retry of a caller.
    ChainStop,
    /// The peer says that retrying is pointless.
    Pushback,
    /// The dependency rejects so much that retries are not sent.
    Throttle,
}

impl Denied {
    /// Every reason, in declaration order.
    pub const ALL: [Denied; 8] = [
        Denied::Budget,
        Denied::Deadline,
        Denied::Breaker,
        Denied::BodyTooLarge,
        Denied::NotIdempotent,
        Denied::ChainStop,
        Denied::Pushback,
        Denied::Throttle,
    ];

    /// The word in metric, log, `details` and `x-outrigger-retry`.
    pub const fn token(self) -> &'static str {
        match self {
            Denied::Budget => "budget",
            Denied::Deadline => "deadline",
            Denied::Breaker => "breaker",
            Denied::BodyTooLarge => "body-too-large",
            Denied::NotIdempotent => "not-idempotent",
            Denied::ChainStop => "chain-stop",
            Denied::Pushback => "pushback",
            Denied::Throttle => "throttle",
        }
    }
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The last outcome is the answer: success, or nothing the policy retries.
    Answered,
    /// Retryable, but the attempts are used up.
    AttemptsSpent,
    /// Retryable, but refused.
    Denied(Denied),
    /// The deadline passed while waiting.
    DeadlinePassed,
    /// The breaker or throttle refused the *first* attempt: nothing was sent.
    Refused(breaker::Refusal),
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Start an attempt now; it must end by `cutoff`. The permit goes back through [`Attempts::on_outcome`]
    /// or [`Dependency::on_cancelled`].
    Launch {
        /// Names the attempt in `on_outcome`.
        id: AttemptId,
        /// Why it is made.
        kind: Kind,
        /// When it must have ended: report `TryTimeout`, or `DeadlineExceeded` if this is the deadline.
        cutoff: Instant,
        /// The breaker's leave to send it.
        permit: Permit,
    },
    /// Nothing to do before `until` unless an outcome arrives. An outcome that is ready goes first.
    Wait {
        /// Later than the `now` of the call.
        until: Instant,
    },
    /// Final.
    Finish {
        /// Why.
        stop: Stop,
        /// The attempt whose answer goes to the client; None = no attempt answered.
        answer: Option<AttemptId>,
    },
}

/// An attempt that was launched and has not been reported.
#[derive(Clone, Copy, Debug)]
struct Flight {
    id: AttemptId,
    /// None = a first attempt.
    grant: Option<Grant>,
}

/// A retry that is paid for and waits for its time.
#[derive(Clone, Copy, Debug)]
struct Pending {
    at: Instant,
    kind: Kind,
    grant: Grant,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing was sent yet.
    Start,
    /// The flights decide.
    Flying,
    /// A retry waits.
    Waiting(Pending),
    /// Over.
    Done(Stop),
}

/// The machine of one request.
#[derive(Debug)]
pub struct Attempts<'a> {
    plan: Plan<'a>,
    phase: Phase,
    flights: [Option<Flight>; IN_FLIGHT],
    launched: u32,
    /// The total that the per-attempt timeout is derived from, known at the first `next`.
    total: Duration,
    /// The attempt whose answer is the best known one.
    answer: Option<AttemptId>,
    transparent_used: bool,
    denied: Option<Denied>,
    class: Option<RetryClass>,
}

impl<'a> Attempts<'a> {
    /// A request of which nothing was sent yet. Allocates nothing.
    pub fn new(plan: Plan<'a>) -> Self {
        Attempts {
            plan,
            phase: Phase::Start,
            flights: [None; IN_FLIGHT],
            launched: 0,
            total: Duration::ZERO,
            answer: None,
            transparent_used: false,
            denied: None,
            class: None,
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) -> Step {
        match self.phase {
            Phase::Start => {
                self.total = self.plan.deadline.saturating_duration_since(now);
                if self.total.is_zero() {
                    return self.finish(Stop::DeadlinePassed);
                }
                match admit_first(now, dependency, entropy) {
                    Ok(permit) => {
                        dependency.budget.on_first_attempt(now);
                        self.launch(now, Kind::First, None, permit, dependency)
                    }
                    Err(refusal) => self.finish(Stop::Refused(refusal)),
                }
            }
            Phase::Waiting(retry) if now >= self.plan.deadline => {
                take_back(now, retry.grant, dependency);
                self.finish(Stop::DeadlinePassed)
            }
            Phase::Waiting(retry) if now < retry.at => Step::Wait { until: retry.at },
            Phase::Waiting(retry) => match acquire(now, dependency, entropy) {
                Ok(permit) => self.launch(now, retry.kind, Some(retry.grant), permit, dependency),
                Err(_) => {
                    take_back(now, retry.grant, dependency);
                    self.deny(Denied::Breaker);
                    self.step_done()
                }
            },
            Phase::Flying => {
                let until = if now < self.plan.deadline { self.plan.deadline } else { self.plan.deadline + GRACE };
                if until > now { Step::Wait { until } } else { self.finish(Stop::DeadlinePassed) }
            }
            Phase::Done(_) => self.step_done(),
        }
    }

    /// Takes the permit back, tells the dependency what the outcome means, and decides about a retry.
    /// `elapsed` is the time of this attempt, from launch to outcome.
    ///
    /// Returns true when the answer is superseded by a retry, so that the shell may drain it. It is still
    /// named by `Finish` if the breaker opens or the deadline passes while that retry waits; a shell that
    /// has thrown it away then answers with the failure that stopped the retry.
    #[allow(clippy::too_many_arguments)] // Facts of one event; a struct would only rename them.
    pub fn on_outcome(
        &mut self,
        now: Instant,
        id: AttemptId,
        permit: Permit,
        outcome: Outcome,
        elapsed: Duration,
        dependency: &mut Dependency,
        entropy: &mut impl Entropy,
    ) -> bool {
        let Some(flight) = self.land(id) else {
            // Not ours, or reported twice: only the permit matters.
            dependency.on_cancelled(now, permit);
            return false;
        };
        let verdict = classify::classify(&outcome, self.plan.policy, self.plan.idempotent);
        report(now, flight, permit, &outcome, verdict, elapsed, dependency, entropy);
        if matches!(self.phase, Phase::Done(_)) {
            return false;
        }
        self.answer = Some(id);
        if verdict != Verdict::Success && self.flights.iter().any(Option::is_some) {
            // A parallel attempt may still succeed; this answer is kept in case it does not.
            return false;
        }
        match verdict {
            Verdict::Success | Verdict::Final => self.phase = Phase::Done(Stop::Answered),
            Verdict::Denied(reason) => self.deny(reason),
            Verdict::Retry(retry) => self.schedule(now, retry, dependency, entropy),
        }
        matches!(self.phase, Phase::Waiting(_))
    }

    /// Whether the body can be sent (again) from now on. A streaming body that provably was not touched still can.
    pub fn set_replayable(&mut self, replayable: bool) {
        self.plan.replayable = replayable;
    }

    /// Attempts launched so far.
    pub fn launched(&self) -> u32 {
        self.launched
    }

    /// Why a retry was denied, if one was.
    pub fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// Class of the retry that waits, is in flight, or was made last.
    pub fn last_class(&self) -> Option<RetryClass> {
        self.class
    }

    /// Pays before it sleeps. The order is from what the request itself forbids to what the dependency
    /// forbids; budget and throttle are asked last because asking counts.
    fn schedule(&mut self, now: Instant, retry: Retry, dependency: &mut Dependency, entropy: &mut impl Entropy) {
        let plan = &self.plan;
        if plan.policy.retries == 0 {
            // Nobody asked for retries. Saying "spent" would tell the caller's proxy not to retry either.
            self.phase = Phase::Done(Stop::Answered);
            return;
        }
        if self.launched > plan.policy.retries {
            self.phase = Phase::Done(Stop::AttemptsSpent);
            return;
        }
        let others = plan.endpoints > 1;
        let transparent =
            retry.class == RetryClass::Transparent && !self.transparent_used && (others || !retry.elsewhere);
        if plan.chain_stop && !transparent {
            return self.deny(Denied::ChainStop);
        }
        if !plan.replayable {
            return self.deny(Denied::BodyTooLarge);
        }
        if dependency.breaker.as_ref().is_some_and(|breaker| breaker.precheck(now).is_some()) {
            return self.deny(Denied::Breaker);
        }
        let class = match retry.class {
            RetryClass::Transparent if !transparent => RetryClass::Ordinary,
            class @ (RetryClass::Transparent | RetryClass::Ordinary | RetryClass::Overload) => class,
        };
        let delay = if transparent && others {
            Duration::ZERO
        } else {
            let hint = retry.hint.filter(|_| plan.policy.respect_retry_after);
            let made = self.launched.saturating_sub(1);
            plan.policy.backoff.delay(made, class == RetryClass::Overload, hint, entropy)
        };
        let answer_takes = dependency.latency.p50(now).unwrap_or_default().max(LEAST_TIME);
        if plan.deadline.saturating_duration_since(now) < delay.saturating_add(answer_takes) {
            return self.deny(Denied::Deadline);
        }
        let Some(grant) = dependency.budget.try_retry(now, class, entropy) else {
            return self.deny(Denied::Budget);
        };
        if dependency.throttle.as_mut().is_some_and(|throttle| !throttle.admit(now, true, entropy)) {
            dependency.budget.on_retry_unsent(now, grant);
            return self.deny(Denied::Throttle);
        }
        self.transparent_used |= transparent;
        self.class = Some(class);
        let kind = if transparent { Kind::Transparent } else { Kind::Retry };
        self.phase = Phase::Waiting(Pending { at: now + delay, kind, grant });
    }

    fn launch(
        &mut self,
        now: Instant,
        kind: Kind,
        grant: Option<Grant>,
        permit: Permit,
        dependency: &mut Dependency,
    ) -> Step {
        let id = AttemptId(self.launched);
        let cutoff = self.cutoff(now, dependency);
        self.launched += 1;
        self.phase = Phase::Flying;
        if let Some(free) = self.flights.iter_mut().find(|flight| flight.is_none()) {
            *free = Some(Flight { id, grant });
        }
        Step::Launch { id, kind, cutoff, permit }
    }

    /// When the attempt about to be launched must have ended.
    ///
    /// An attempt that nothing can follow after a timeout gets all the time there is: to cut it short could
    /// only turn an answer into a failure. A written `backendRequest` is overruled by the last *retry*
    /// alone, since on a single attempt it can only be meant as a limit.
    fn cutoff(&self, now: Instant, dependency: &mut Dependency) -> Instant {
        let plan = &self.plan;
        let policy = plan.policy;
        let repeatable = plan.idempotent || policy.contract == Contract::Dedupes;
        let last =
            self.launched >= policy.retries || plan.chain_stop || !(plan.replayable && repeatable && policy.on.timeout);
        let limit = match plan.backend_request {
            Some(limit) if self.launched == 0 || !last => limit,
            Some(_) => return plan.deadline,
            None if last => return plan.deadline,
            None => self.derived_timeout(now, dependency),
        };
        now.checked_add(limit).map_or(plan.deadline, |cutoff| cutoff.min(plan.deadline))
    }

    /// Three times the p99 once enough is known, until then a fair share of the total.
    fn derived_timeout(&self, now: Instant, dependency: &mut Dependency) -> Duration {
        if dependency.latency.count(now) >= TRUSTED_SAMPLES
            && let Some(p99) = dependency.latency.p99(now)
        {
            return p99.saturating_mul(3).max(LEAST_TRY);
        }
        self.total / self.plan.policy.retries.saturating_add(1)
    }

    /// Takes a flight out of the table.
    fn land(&mut self, id: AttemptId) -> Option<Flight> {
        self.flights.iter_mut().find(|flight| flight.is_some_and(|flight| flight.id == id))?.take()
    }

    fn deny(&mut self, reason: Denied) {
        self.denied = Some(reason);
        self.phase = Phase::Done(Stop::Denied(reason));
    }

    fn finish(&mut self, stop: Stop) -> Step {
        self.phase = Phase::Done(stop);
        Step::Finish { stop, answer: self.answer }
    }

    fn step_done(&mut self) -> Step {
        match self.phase {
            Phase::Done(stop) => Step::Finish { stop, answer: self.answer },
            Phase::Start | Phase::Flying | Phase::Waiting(_) => self.finish(Stop::Answered),
        }
    }
}

fn acquire(now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) -> Result<Permit, breaker::Refusal> {
    match &mut dependency.breaker {
        Some(breaker) => breaker.acquire(now, entropy),
        None => Ok(Permit::free()),
    }
}

/// Asks breaker and throttle for a first attempt. The breaker first: what it refuses is not sent and must
/// not look to the throttle like a request that nobody accepted.
fn admit_first(
    now: Instant,
    dependency: &mut Dependency,
    entropy: &mut impl Entropy,
) -> Result<Permit, breaker::Refusal> {
    let permit = acquire(now, dependency, entropy)?;
    if let Some(throttle) = &mut dependency.throttle
        // A probe goes through: it was let out to find out whether the dependency is back.
        && !throttle.admit(now, false, entropy)
        && !permit.probe
    {
        if let Some(breaker) = &mut dependency.breaker {
            breaker.record(now, permit, Signal::Ignored, Duration::ZERO, entropy);
        }
        return Err(breaker::Refusal::Throttled);
    }
    Ok(permit)
}

/// A retry that waited is not sent after all: its tokens come back, and the throttle, which counted it,
/// must not take it for a rejection.
fn take_back(now: Instant, grant: Grant, dependency: &mut Dependency) {
    dependency.budget.on_retry_unsent(now, grant);
    if let Some(throttle) = &mut dependency.throttle {
        throttle.on_accept(now);
    }
}

/// Tells breaker, throttle, latency and budget what one outcome means to them.
#[allow(clippy::too_many_arguments)] // Facts of one event.
fn report(
    now: Instant,
    flight: Flight,
    permit: Permit,
    outcome: &Outcome,
    verdict: Verdict,
    elapsed: Duration,
    dependency: &mut Dependency,
    entropy: &mut impl Entropy,
) {
    let typical = dependency.latency.p50(now);
    let signal =
        if classify::is_cut_short(outcome, elapsed, typical) { Signal::Ignored } else { classify::signal(outcome) };
    if signal == Signal::Ignored {
        return dependency.on_cancelled(now, permit);
    }
    if let Some(breaker) = &mut dependency.breaker {
        breaker.record(now, permit, signal, elapsed, entropy);
    }
    if classify::is_accepted(outcome)
        && let Some(throttle) = &mut dependency.throttle
    {
        throttle.on_accept(now);
    }
    let success = verdict == Verdict::Success;
    if success {
        dependency.latency.record(now, elapsed);
    }
    match flight.grant {
        Some(grant) => dependency.budget.on_retry_outcome(now, grant, success),
        None if success => dependency.budget.on_first_success(now),
        None => {}
    }
}

#[cfg(test)]
mod tests;
