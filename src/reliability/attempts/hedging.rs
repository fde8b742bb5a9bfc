//! When a request is hedged, and what is made of two attempts that fly at once.

use super::account::acquire;
use super::{Attempts, Flight, LEAST_TIME, Stake, Step, vocabulary::Kind};
use crate::reliability::breaker::State;
use crate::reliability::budget::NoHedge;
use crate::reliability::classify::{Outcome, Reply, Retry, Verdict};
use crate::reliability::dependency::Dependency;
use crate::reliability::efficacy::RouteNumber;
use crate::reliability::entropy::Entropy;
use crate::reliability::failure::Failure;
use crate::reliability::hedge::{HedgePolicy, Standby, Suppressed};
use std::time::{Duration, Instant};

/// What is to be done about a hedge, of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Hedging {
    /// None is wanted (any more).
    #[default]
    Off,
    /// If the first attempt still flies then, it is decided.
    Due(Instant),
    /// As `Due`, but none will be sent: why, or None because it is only counted.
    Counted(Instant, Option<Suppressed>),
    /// It flies.
    Sent,
}

impl<'a> Attempts<'a> {
    /// When it is to be decided about a hedge, if the first attempt has not ended by then.
    pub fn hedge_due(&self) -> Option<Instant> {
        match self.hedging {
            Hedging::Due(at) => Some(at),
            Hedging::Off | Hedging::Counted(..) | Hedging::Sent => None,
        }
    }

    /// Where a hedge could go; to be said before the decision. Unsaid, any other endpoint is taken to be well.
    pub fn set_standby(&mut self, standby: Standby) {
        self.standby = Some(standby);
    }

    /// Whether an attempt that is in flight may still bring the answer.
    pub fn is_flying(&self) -> bool {
        matches!(self.phase, super::Phase::Flying) && self.flights.iter().any(Option::is_some)
    }

    /// Attempts launched so far that are no hedges.
    pub(super) fn tries(&self) -> u32 {
        self.launched - u32::from(self.hedged)
    }

    fn hedged_route(&self) -> Option<(&'a HedgePolicy, RouteNumber)> {
        Some((self.plan.hedge?, self.plan.ledger?))
    }

    /// The first attempt is on its way: from now on the time counts.
    pub(super) fn arm_hedge(&mut self, now: Instant, dependency: &mut Dependency) {
        let Some((policy, route)) = self.hedged_route() else { return };
        dependency.budget.on_hedgeable(policy.ratio);
        let Some(at) = dependency.hedges.begin(now, route, policy).and_then(|delay| now.checked_add(delay)) else {
            return;
        };
        let barred = self.barred(policy);
        let counted = barred.is_some() || policy.observe;
        self.hedging = if counted { Hedging::Counted(at, barred) } else { Hedging::Due(at) };
    }

    /// What the request itself has against being sent twice.
    fn barred(&self, policy: &HedgePolicy) -> Option<Suppressed> {
        let plan = &self.plan;
        let repeatable = plan.idempotent || (policy.unsafe_methods && plan.policy.may_repeat(false));
        if !repeatable {
            Some(Suppressed::NotIdempotent)
        } else if !plan.replayable {
            Some(Suppressed::BodyTooLarge)
        } else if plan.chain_stop {
            Some(Suppressed::ChainStop)
        } else if plan.endpoints < 2 {
            Some(Suppressed::NoOtherEndpoint)
        } else {
            None
        }
    }

    /// A hedge that is due now is launched, or it is counted why not.
    pub(super) fn hedge(
        &mut self,
        now: Instant,
        dependency: &mut Dependency,
        entropy: &mut impl Entropy,
    ) -> Option<Step> {
        let Hedging::Due(at) = self.hedging else { return None };
        if now < at {
            return None;
        }
        self.hedging = Hedging::Off;
        let (policy, route) = self.hedged_route()?;
        let granted = self.judge_hedge(now, policy, dependency).and_then(|()| {
            let permit = acquire(now, dependency, entropy).map_err(|_| Suppressed::Breaker);
            permit.inspect_err(|_| dependency.budget.on_hedge_unsent())
        });
        match granted {
            Ok(permit) => {
                if let Some(throttle) = &mut dependency.throttle {
                    // Counted like every attempt. It refuses nothing now, or the hedge would not be here.
                    throttle.admit(now, true, entropy);
                }
                self.hedging = Hedging::Sent;
                self.hedged = true;
                Some(self.launch(now, Kind::Hedge, Stake::Hedge, permit, dependency))
            }
            Err(why) => {
                dependency.hedges.suppress(route, why);
                None
            }
        }
    }

    /// From what the moment forbids to what the dependency forbids; the budget is asked last because asking spends.
    fn judge_hedge(&self, now: Instant, policy: &HedgePolicy, dependency: &mut Dependency) -> Result<(), Suppressed> {
        let answer_takes = dependency.latency.p50(now).unwrap_or_default().max(LEAST_TIME);
        if self.plan.deadline.saturating_duration_since(now) < answer_takes {
            return Err(Suppressed::Deadline);
        }
        match self.standby {
            None | Some(Standby::Other) => {}
            Some(Standby::Alone) => return Err(Suppressed::NoOtherEndpoint),
            Some(Standby::Panic) => return Err(Suppressed::Panic),
        }
        if dependency.breaker.as_ref().is_some_and(|breaker| breaker.state(now) != State::Closed) {
            return Err(Suppressed::Breaker);
        }
        if dependency.throttle.as_ref().is_some_and(|throttle| throttle.rejection(now) > 0.0) {
            return Err(Suppressed::Throttle);
        }
        if dependency.hedges.is_paused(now) {
            return Err(Suppressed::Pushback);
        }
        dependency.budget.try_hedge(now, policy.ratio).map_err(|why| match why {
            NoHedge::Spent => Suppressed::Budget,
            NoHedge::RetriesFirst => Suppressed::RetriesFirst,
        })
    }

    /// An answer that only says that the other one of two is being worked on: a request that is recognised by its key.
    pub(super) fn is_lost_race(&self, outcome: &Outcome) -> bool {
        !self.plan.idempotent && outcome.reply == Reply::Status(409) && self.flights.iter().any(Option::is_some)
    }

    /// An attempt has ended: what the percentile learns of it, and what a hedge has come to.
    pub(super) fn note_hedging(
        &mut self,
        now: Instant,
        flight: Flight,
        outcome: &Outcome,
        verdict: Verdict,
        elapsed: Duration,
        dependency: &mut Dependency,
    ) {
        // Whichever route has heard it, it is meant for all.
        if let Some(pause) = outcome.retry_after {
            dependency.hedges.on_pushback(now, pause);
        }
        let Some((policy, route)) = self.hedged_route() else { return };
        match flight.stake {
            Stake::First => {
                let timed_out = matches!(outcome.reply, Reply::Failed(Failure::TryTimeout | Failure::DeadlineExceeded));
                if verdict == Verdict::Success || timed_out {
                    dependency.hedges.on_first(now, route, elapsed);
                }
                self.count_only(now, policy, route, dependency);
            }
            Stake::Hedge if verdict == Verdict::Success && matches!(self.phase, super::Phase::Flying) => {
                self.hedging = Hedging::Off;
                dependency.hedges.count(route, |counts| counts.won += 1);
                // The request is well after all: the first attempt's failure, if it was one, needs no retry.
                self.forget_trouble();
            }
            Stake::Hedge => self.lose_hedge(dependency),
            Stake::Paid(_) => {}
        }
    }

    /// The first attempt has ended. No hedge follows; one that would have been sent is counted.
    fn count_only(&mut self, now: Instant, policy: &HedgePolicy, route: RouteNumber, dependency: &mut Dependency) {
        match self.hedging {
            Hedging::Counted(at, Some(why)) if now >= at => dependency.hedges.suppress(route, why),
            Hedging::Counted(at, None) if now >= at => match self.judge_hedge(now, policy, dependency) {
                Ok(()) => dependency.hedges.count(route, |counts| counts.observed += 1),
                Err(why) => dependency.hedges.suppress(route, why),
            },
            Hedging::Sent => return,
            Hedging::Off | Hedging::Due(_) | Hedging::Counted(..) => {}
        }
        self.hedging = Hedging::Off;
    }

    /// The answer is there: what still flies is superseded. Its permit comes back through
    /// [`Dependency::on_cancelled`]; nothing is said against it.
    pub(super) fn supersede(&mut self, now: Instant, dependency: &mut Dependency) {
        let Some((_, route)) = self.hedged_route() else { return };
        for flight in self.flights.iter_mut().filter_map(Option::take) {
            let ran = now.saturating_duration_since(flight.launched);
            if matches!(flight.stake, Stake::First) {
                dependency.hedges.on_first(now, route, ran);
            }
            dependency.hedges.count(route, |counts| counts.cancelled += ran);
        }
    }

    /// The hedge, if there is one, was of no use.
    pub(super) fn lose_hedge(&mut self, dependency: &mut Dependency) {
        if let (Hedging::Sent, Some((_, route))) = (self.hedging, self.hedged_route()) {
            dependency.hedges.count(route, |counts| counts.lost += 1);
            self.hedging = Hedging::Off;
        }
    }

    /// What two attempts that have both failed mean together.
    pub(super) fn both(&mut self, last: Verdict) -> Verdict {
        match (self.aside.take(), last) {
            (Some(Verdict::Denied(reason)), Verdict::Retry(_)) => Verdict::Denied(reason),
            (Some(Verdict::Retry(one)), Verdict::Retry(two)) => Verdict::Retry(Retry {
                class: one.class.max(two.class),
                elsewhere: one.elsewhere || two.elsewhere,
                hint: one.hint.max(two.hint),
            }),
            (_, last) => last,
        }
    }
}
