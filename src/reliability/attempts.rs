//! The attempt loop as a machine: what to do next for one request, and when it is over.
//!
//! The caller asks [`Attempts::next`], does what it says, and reports every attempt's end through
//! [`Attempts::on_outcome`] (or [`Dependency::on_cancelled`]). The machine sends nothing, waits for nothing
//! and reads no clock; it decides. Several attempts may be in flight.
//!
//! What holds for any order of events:
//!
//! * At most `1 + retries` attempts and one hedge, none of them launched at or after the deadline.
//! * A retry is paid for before its backoff: one that nobody can afford must not add latency.
//! * `Finish` is final, and `Wait` names an instant in the future.
//! * Every permit that a `Launch` hands out is given back exactly once, by its type.
//! * Every retry that is launched is counted once in the route's ledger, as rescued or as wasted, also if it is
//!   abandoned; a request that is held out is never retried.

mod account;
mod book;
mod hedging;
mod vocabulary;

pub use vocabulary::{AttemptId, Denied, Kind, Plan, RetryPolicy, Step, Stop};

use super::breaker::Permit;
use super::budget::{Grant, RetryClass};
use super::classify::{self, Outcome, Reply, Retry, Verdict};
use super::dependency::Dependency;
use super::entropy::Entropy;
use super::hedge::Standby;
use account::{acquire, admit_first, report, take_back};
use book::Book;
use hedging::Hedging;
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

/// An attempt that was launched and has not been reported.
#[derive(Clone, Copy, Debug)]
struct Flight {
    id: AttemptId,
    stake: Stake,
    launched: Instant,
}

/// What was staked on an attempt, and what its end means to the budget.
#[derive(Clone, Copy, Debug)]
enum Stake {
    /// Nothing: it earns.
    First,
    /// Retry tokens, or the floor.
    Paid(Grant),
    /// A hedge: it neither earns nor gets anything back.
    Hedge,
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
    /// Of two attempts that fly at once, how the one ended that failed first.
    aside: Option<Verdict>,
    /// It was answered, and its answer is kept.
    kept: bool,
    hedging: Hedging,
    hedged: bool,
    standby: Option<Standby>,
    transparent_used: bool,
    denied: Option<Denied>,
    class: Option<RetryClass>,
    book: Book,
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
            aside: None,
            kept: false,
            hedging: Hedging::Off,
            hedged: false,
            standby: None,
            transparent_used: false,
            denied: None,
            class: None,
            book: Book::default(),
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) -> Step {
        let step = self.step(now, dependency, entropy);
        self.close_book(now, dependency);
        step
    }

    fn step(&mut self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) -> Step {
        match self.phase {
            Phase::Start => {
                self.total = self.plan.deadline.saturating_duration_since(now);
                if self.total.is_zero() {
                    return self.finish(Stop::DeadlinePassed);
                }
                match admit_first(now, dependency, entropy) {
                    Ok(permit) => {
                        dependency.budget.on_first_attempt(now);
                        self.open_book(now, dependency, entropy);
                        self.arm_hedge(now, dependency);
                        self.launch(now, Kind::First, Stake::First, permit, dependency)
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
                Ok(permit) => self.launch(now, retry.kind, Stake::Paid(retry.grant), permit, dependency),
                Err(_) => {
                    take_back(now, retry.grant, dependency);
                    self.deny(Denied::Breaker);
                    self.step_done()
                }
            },
            Phase::Flying => {
                if let Some(launch) = self.hedge(now, dependency, entropy) {
                    return launch;
                }
                let until = if now < self.plan.deadline { self.plan.deadline } else { self.plan.deadline + GRACE };
                let until = self.hedge_due().map_or(until, |due| due.min(until));
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
    #[expect(clippy::too_many_arguments, reason = "facts of one event; a struct would only rename them")]
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
        let verdict = if self.is_lost_race(&outcome) {
            Verdict::Final
        } else {
            classify::classify(&outcome, self.plan.policy, self.plan.idempotent)
        };
        report(now, flight.stake, permit, &outcome, verdict, elapsed, dependency, entropy);
        self.note(now, flight, &outcome, verdict, elapsed, dependency);
        self.note_hedging(now, flight, &outcome, verdict, elapsed, dependency);
        if matches!(self.phase, Phase::Done(_)) {
            return false;
        }
        let replied = !matches!(outcome.reply, Reply::Failed(_));
        if replied || !self.kept {
            self.answer = Some(id);
        }
        if verdict != Verdict::Success && self.flights.iter().any(Option::is_some) {
            // A parallel attempt may still succeed; this answer is kept in case it does not.
            (self.aside, self.kept) = (Some(verdict), replied);
            return false;
        }
        let verdict = self.both(verdict);
        self.kept = false;
        match verdict {
            Verdict::Success => {
                self.supersede(now, dependency);
                self.phase = Phase::Done(Stop::Answered);
            }
            Verdict::Final => self.phase = Phase::Done(Stop::Answered),
            Verdict::Denied(reason) => self.deny(reason),
            Verdict::Retry(retry) => self.schedule(now, retry, dependency, entropy),
        }
        self.close_book(now, dependency);
        matches!(self.phase, Phase::Waiting(_))
    }

    /// Whether the body can be sent (again) from now on. A streaming body that provably was not touched still can.
    pub fn set_replayable(&mut self, replayable: bool) {
        self.plan.replayable = replayable;
    }

    /// Whether [`Attempts::abandon`] would tell the dependency anything.
    pub fn is_unsettled(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_)) || self.is_book_open()
    }

    /// Nobody waits for the answer any more: what was paid for a retry that waits comes back, and a retry in flight
    /// is wasted. Permits of attempts in flight go back through [`Dependency::on_cancelled`].
    pub fn abandon(&mut self, now: Instant, dependency: &mut Dependency) {
        if let Phase::Waiting(retry) = self.phase {
            take_back(now, retry.grant, dependency);
        }
        self.give_up_flights(now, dependency);
        if !matches!(self.phase, Phase::Done(_)) {
            self.phase = Phase::Done(Stop::DeadlinePassed);
        }
        self.close_book(now, dependency);
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
        if self.tries() > plan.policy.retries {
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
        if self.is_held_out() {
            return self.deny(Denied::Holdout);
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
            let made = self.tries().saturating_sub(1);
            plan.policy.backoff.delay(made, class == RetryClass::Overload, hint, entropy)
        };
        let answer_takes = dependency.latency.p50(now).unwrap_or_default().max(LEAST_TIME);
        if plan.deadline.saturating_duration_since(now) < delay.saturating_add(answer_takes) {
            return self.deny(Denied::Deadline);
        }
        if !self.is_allowed(now, dependency) {
            return self.deny(Denied::Efficacy);
        }
        let Some(grant) = dependency.budget.try_retry(now, class, entropy) else {
            return self.deny(Denied::Budget);
        };
        if dependency.throttle.as_mut().is_some_and(|throttle| !throttle.admit(now, true, entropy)) {
            dependency.budget.on_retry_unsent(now, grant);
            return self.deny(Denied::Throttle);
        }
        self.use_allowance(now, dependency, entropy);
        self.transparent_used |= transparent;
        self.class = Some(class);
        let kind = if transparent { Kind::Transparent } else { Kind::Retry };
        self.phase = Phase::Waiting(Pending { at: now + delay, kind, grant });
    }

    fn launch(&mut self, now: Instant, kind: Kind, stake: Stake, permit: Permit, dependency: &mut Dependency) -> Step {
        let id = AttemptId(self.launched);
        let cutoff = self.cutoff(now, dependency);
        let cutoff = self.held_out_cutoff(cutoff);
        self.launched += 1;
        self.phase = Phase::Flying;
        if let Some(free) = self.flights.iter_mut().find(|flight| flight.is_none()) {
            *free = Some(Flight { id, stake, launched: now });
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
        // A hedge has what the first attempt has, which it stands in for.
        let made = if matches!(self.hedging, Hedging::Sent) { 0 } else { self.tries() };
        let last = made >= policy.retries || plan.chain_stop || !self.repeats_timeouts();
        let limit = match plan.backend_request {
            Some(limit) if made == 0 || !last => limit,
            Some(_) => return plan.deadline,
            None if last => return plan.deadline,
            None => self.derived_timeout(now, dependency),
        };
        now.checked_add(limit).map_or(plan.deadline, |cutoff| cutoff.min(plan.deadline))
    }

    /// Whether an attempt that took too long may be followed by another one.
    fn repeats_timeouts(&self) -> bool {
        let Plan { policy, idempotent, replayable, .. } = self.plan;
        replayable && policy.may_repeat(idempotent) && policy.on.timeout
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

#[cfg(test)]
mod tests;
