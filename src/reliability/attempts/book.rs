//! What the route's ledger is told of one request, and what it forbids.

use super::{Attempts, Flight, Phase, Stake};
use crate::reliability::classify::{Outcome, Verdict};
use crate::reliability::dependency::Dependency;
use crate::reliability::efficacy::{Ended, FailureClass, Rescue, Retried};
use crate::reliability::entropy::Entropy;
use std::time::{Duration, Instant};

/// The first attempt failed, and the request is not over.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    /// It needs a retry, and takes part in the comparison with the control group.
    compared: bool,
}

/// Of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Book {
    /// Drawn before the first attempt: true = it is never retried. None = it takes no part.
    lot: Option<bool>,
    /// When the attempt of a held-out request would have been given up.
    given_up: Option<Instant>,
    /// Of the first attempt's failure; stays when the request is over.
    class: Option<FailureClass>,
    trouble: Option<Trouble>,
    elsewhere: Option<bool>,
    rescue: Option<Rescue>,
}

impl Attempts<'_> {
    /// The first attempt is about to be sent: it is counted, and the lot is drawn.
    pub(super) fn open_book(&mut self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) {
        let (plan, policy) = (&self.plan, self.plan.policy);
        let Some(route) = plan.ledger else { return };
        dependency.efficacy.on_request(now, route);
        if policy.holdout_percent > 0.0 && policy.retries > 0 && plan.replayable && !plan.chain_stop {
            self.book.lot = Some(entropy.between(0.0, 100.0) < policy.holdout_percent);
        }
    }

    pub(super) fn is_held_out(&self) -> bool {
        self.book.lot == Some(true)
    }

    /// The only attempt of a held-out request gets all the time there is, as every last attempt does: what succeeds
    /// late without a retry counts for the control group.
    pub(super) fn held_out_cutoff(&mut self, cutoff: Instant) -> Instant {
        if !self.is_held_out() || cutoff >= self.plan.deadline || !self.repeats_timeouts() {
            return cutoff;
        }
        // Of the first attempt, also where a hedge follows.
        self.book.given_up.get_or_insert(cutoff);
        self.plan.deadline
    }

    /// An attempt has ended.
    pub(super) fn note(
        &mut self,
        now: Instant,
        flight: Flight,
        outcome: &Outcome,
        verdict: Verdict,
        elapsed: Duration,
        dependency: &mut Dependency,
    ) {
        // What arrives when the request is over is for nobody.
        let over = matches!(self.phase, Phase::Done(_));
        let good = verdict == Verdict::Success && !over;
        match flight.stake {
            Stake::Paid(_) => self.note_retry(now, flight, good, elapsed, dependency),
            Stake::First if !over && self.plan.policy.retries > 0 => self.note_first(now, outcome, verdict, dependency),
            Stake::First | Stake::Hedge => {}
        }
    }

    fn note_first(&mut self, now: Instant, outcome: &Outcome, verdict: Verdict, dependency: &mut Dependency) {
        let Some(route) = self.plan.ledger else { return };
        if let Some(since) = self.book.given_up.filter(|at| now >= *at) {
            self.outlived(since, verdict == Verdict::Success);
            return;
        }
        let compared = match verdict {
            Verdict::Retry(_) => self.book.lot.is_some() && self.plan.replayable,
            Verdict::Denied(_) => false,
            Verdict::Success | Verdict::Final => return,
        };
        let class = FailureClass::of(outcome);
        dependency.efficacy.on_failed(now, route, class);
        self.book.class = Some(class);
        self.book.trouble = Some(Trouble { since: now, compared });
    }

    /// A held-out attempt was still running when it would have been given up, and has ended now.
    fn outlived(&mut self, since: Instant, good: bool) {
        self.book.class = Some(FailureClass::Timeout);
        self.book.trouble = Some(Trouble { since, compared: true });
        if good {
            self.rescued_by(true);
        }
    }

    fn note_retry(&mut self, now: Instant, flight: Flight, good: bool, took: Duration, dependency: &mut Dependency) {
        let (Some(route), Some(class)) = (self.plan.ledger, self.book.class) else { return };
        let place = flight.id.0 - u32::from(self.hedged);
        let retried = Retried { place, elsewhere: self.book.elsewhere.take(), good, took };
        dependency.efficacy.on_retried(now, route, class, retried);
        if good {
            self.rescued_by(false);
        }
    }

    fn rescued_by(&mut self, held_out: bool) {
        let (Some(route), Some(class)) = (self.plan.ledger, self.book.class) else { return };
        let compared = self.book.trouble.is_some_and(|trouble| trouble.compared);
        self.book.rescue = Some(Rescue { route, class, held_out, compared });
    }

    /// Tells the ledger how the request ended, once, if there is anything to tell.
    pub(super) fn close_book(&mut self, now: Instant, dependency: &mut Dependency) {
        if !matches!(self.phase, Phase::Done(_)) {
            return;
        }
        self.lose_hedge(dependency);
        let Some(trouble) = self.book.trouble.take() else { return };
        let (Some(route), Some(class)) = (self.plan.ledger, self.book.class) else { return };
        let ended = Ended {
            retried: self.tries() > 1,
            rescued: self.book.rescue.is_some(),
            tax: now.saturating_duration_since(trouble.since),
            denied: self.denied,
            group: trouble.compared.then_some(self.is_held_out()),
        };
        dependency.efficacy.on_ended(now, route, class, ended);
    }

    /// Attempts in flight whose end nobody will report.
    pub(super) fn give_up_flights(&mut self, now: Instant, dependency: &mut Dependency) {
        for index in 0..self.flights.len() {
            let Some(flight) = self.flights[index].take() else { continue };
            if matches!(flight.stake, Stake::Paid(_)) {
                let took = now.saturating_duration_since(flight.launched);
                self.note_retry(now, flight, false, took, dependency);
            } else if let Some(since) = self.book.given_up.filter(|at| now >= *at) {
                self.outlived(since, false);
            }
        }
    }

    /// A hedge has brought the answer: there is nothing that a retry could have rescued.
    pub(super) fn forget_trouble(&mut self) {
        (self.book.trouble, self.book.given_up) = (None, None);
    }

    pub(super) fn is_book_open(&self) -> bool {
        let in_flight = |flight: &Flight| !matches!(flight.stake, Stake::First) || self.book.given_up.is_some();
        self.book.trouble.is_some() || self.flights.iter().flatten().any(in_flight)
    }

    /// Whether retries of this class are not held, or a probe is due.
    pub(super) fn is_allowed(&self, now: Instant, dependency: &mut Dependency) -> bool {
        let (Some(route), Some(class)) = (self.plan.ledger, self.book.class) else { return true };
        dependency.efficacy.allows(now, route, class)
    }

    /// A retry will be made.
    pub(super) fn use_allowance(&self, now: Instant, dependency: &mut Dependency, entropy: &mut impl Entropy) {
        let (Some(route), Some(class)) = (self.plan.ledger, self.book.class) else { return };
        dependency.efficacy.on_allowed(now, route, class, entropy);
    }

    /// Of the retry that is in flight: whether its endpoint was not tried before. To be said before its outcome.
    pub fn set_elsewhere(&mut self, elsewhere: bool) {
        self.book.elsewhere = Some(elsewhere);
    }

    /// The rescue that the good answer is, if it is one. Whoever finds that its client has gone tells
    /// [`Ledgers::on_late`](crate::reliability::efficacy::Ledgers::on_late).
    pub fn rescue(&self) -> Option<Rescue> {
        self.book.rescue
    }
}
