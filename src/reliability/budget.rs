//! The retry budget: retries are paid for by first attempts that succeeded, and refunded when they help.
//!
//! Why this shape: a budget fed by *requests* keeps retrying through a total outage and can hold an
//! overloaded service down for ever; a budget fed by *successes* alone falls silent too early when one of
//! several endpoints is dead. Refunding a retry that succeeded separates the two cases.
//!
//! Token counts are integers in millionths: in floats a long run would drift, in thousandths a ratio of
//! 0.0001 would deposit nothing.

use super::entropy::Entropy;
use std::time::{Duration, Instant};

mod ledger;

use ledger::{Gate, Ledger};

/// One token in the unit of account.
const TOKEN: u64 = 1_000_000;

/// What the policy says about the budget of one dependency.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Retries earned per successful first attempt, 0.0 to 1.0. `retryBudget.percent` / 100. Default 0.2.
    pub ratio: f64,
    /// How long a success counts. `retryBudget.interval`. Default 10 s.
    pub ttl: Duration,
    /// Tokens at start, and the least that the cap can be. Default 10.
    pub burst: u32,
    /// Hard cap: retries that rescue nothing per first attempt within `ttl`, whoever pays. Default 0.5.
    pub max_ratio: f64,
    /// Retries per second that are always allowed. `retryBudget.minPerSecond`. Default 1.
    pub floor_per_second: f64,
    /// Denies nothing, and counts what it would deny. Default false.
    pub observe: bool,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        BudgetPolicy {
            ratio: 0.2,
            ttl: Duration::from_secs(10),
            burst: 10,
            max_ratio: 0.5,
            floor_per_second: 1.0,
            observe: false,
        }
    }
}

/// What a retry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryClass {
    /// Free: the request provably was not processed.
    Transparent,
    /// Costs 1.
    Ordinary,
    /// Costs 2: the dependency asked for less.
    Overload,
}

impl RetryClass {
    const fn cost(self) -> u64 {
        match self {
            RetryClass::Transparent => 0,
            RetryClass::Ordinary => TOKEN,
            RetryClass::Overload => 2 * TOKEN,
        }
    }

    /// What comes back when the retry succeeded. Overload is never refunded: even a retry that got through
    /// was load that the dependency had asked not to get.
    const fn refund(self) -> u64 {
        match self {
            RetryClass::Transparent | RetryClass::Overload => 0,
            RetryClass::Ordinary => TOKEN,
        }
    }
}

/// Who paid for a granted retry; handed back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Transparent: nobody.
    Free,
    /// Tokens.
    Tokens(RetryClass),
    /// The floor: there were no tokens.
    Floor(RetryClass),
}

/// Retries refused so far, by reason. Never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Neither tokens nor floor.
    pub tokens: u64,
    /// The hard cap `max_ratio`.
    pub hard_cap: u64,
}

/// Why a hedge cannot be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHedge {
    /// The share of first attempts that may be hedged is used up.
    Spent,
    /// Less than half of the retry tokens are left: they are for requests that have failed, not for slow ones.
    RetriesFirst,
}

/// Hedges that can be saved up whatever the traffic, in tokens.
const HEDGES_SAVED_MIN: u64 = 2;
/// Of what first attempts earn within `ttl`, one part in so many can be saved up: two seconds' worth of ten. A stall of
/// everything at once must not be answered by a wave of hedges.
const HEDGES_SAVED_PART: u64 = 5;

/// The budget of one dependency in one process.
#[derive(Clone, Debug)]
pub struct Budget {
    policy: BudgetPolicy,
    /// `policy.ratio` and `policy.max_ratio` in millionths.
    ratio: u64,
    max_ratio: u64,
    /// Millionths of a token.
    tokens: u64,
    /// Hedges that are paid for, in millionths. Earned by first attempts alone, spent by hedges alone.
    hedges: u64,
    ledger: Ledger,
    next_floor: Instant,
    gate: Gate,
    refused: Refused,
    /// Retries made in observe mode that would have been denied.
    observed: u64,
}

impl Budget {
    /// A budget with `burst` tokens in hand.
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self {
        Budget {
            ratio: millionths(policy.ratio),
            max_ratio: millionths(policy.max_ratio),
            tokens: u64::from(policy.burst) * TOKEN,
            hedges: 0,
            ledger: Ledger::new(now, policy.ttl),
            next_floor: now,
            gate: Gate::new(now),
            refused: Refused::default(),
            observed: 0,
            policy,
        }
    }

    /// Takes a new policy; keeps tokens (clamped to the new cap) and all counters. Mints nothing: a policy
    /// that is reloaded every second must not refill the budget every second.
    pub fn reconfigure(&mut self, policy: BudgetPolicy, now: Instant) {
        self.settle(now);
        if policy.ttl != self.policy.ttl {
            self.ledger.rescale(now, policy.ttl);
        }
        self.ratio = millionths(policy.ratio);
        self.max_ratio = millionths(policy.max_ratio);
        self.policy = policy;
        self.settle(now);
    }

    /// A first attempt is being sent.
    pub fn on_first_attempt(&mut self, now: Instant) {
        self.ledger.at(now).first_attempts += 1;
    }

    /// A first attempt succeeded: the only event that earns tokens, besides refunds.
    pub fn on_first_success(&mut self, now: Instant) {
        self.ledger.at(now).successes += 1;
        self.deposit(now, self.ratio);
    }

    /// Checks and spends in one step. None = denied.
    pub fn try_retry(&mut self, now: Instant, class: RetryClass, entropy: &mut impl Entropy) -> Option<Grant> {
        self.settle(now);
        if self.is_at_hard_cap(now) {
            self.refused.hard_cap += 1;
            return self.unpaid();
        }
        let grant = if class == RetryClass::Transparent {
            Grant::Free
        } else if self.tokens >= class.cost() {
            self.tokens -= class.cost();
            Grant::Tokens(class)
        } else if self.take_floor(now, entropy) {
            Grant::Floor(class)
        } else {
            self.refused.tokens += 1;
            return self.unpaid();
        };
        self.ledger.at(now).retries += 1;
        Some(grant)
    }

    /// A retry that is denied; in observe mode it is made all the same, and nothing of it is counted, so that the next
    /// answer is the one that an enforced budget would give.
    fn unpaid(&mut self) -> Option<Grant> {
        self.observed += u64::from(self.policy.observe);
        self.policy.observe.then_some(Grant::Free)
    }

    /// In observe mode: retries so far that would have been denied.
    pub fn observed(&self) -> Option<u64> {
        self.policy.observe.then_some(self.observed)
    }

    /// The outcome of a granted retry. A rescue refunds it (unless overload) and earns as much when the
    /// floor paid; both kinds of outcome move the gate.
    pub fn on_retry_outcome(&mut self, now: Instant, grant: Grant, rescued: bool) {
        self.ledger.at(now).rescues += u64::from(rescued);
        match grant {
            Grant::Free => {}
            Grant::Tokens(class) | Grant::Floor(class) => {
                if rescued {
                    self.deposit(now, class.refund());
                }
                self.gate.record(now, rescued);
            }
        }
    }

    /// A granted retry was not sent after all (the breaker opened or the deadline passed while it waited).
    /// What it paid comes back; it stays counted against the hard cap.
    pub fn on_retry_unsent(&mut self, now: Instant, grant: Grant) {
        match grant {
            Grant::Free | Grant::Floor(_) => {}
            Grant::Tokens(class) => self.deposit(now, class.cost()),
        }
    }

    /// A first attempt that may be hedged is being sent. `ratio`: hedges per first attempt, 0.0 to 1.0.
    pub fn on_hedgeable(&mut self, ratio: f64) {
        self.hedges = self.hedges.saturating_add(millionths(ratio));
    }

    /// Checks and spends in one step. A hedge is paid for by first attempts alone, so that there are never more than
    /// `ratio` of them; it never comes back, and it does not count against retries, which go first.
    ///
    /// # Errors
    /// [`NoHedge`]: it is not paid for.
    pub fn try_hedge(&mut self, now: Instant, ratio: f64) -> Result<(), NoHedge> {
        self.settle(now);
        let earned = millionths(ratio).saturating_mul(self.ledger.totals(now).first_attempts);
        self.hedges = self.hedges.min((earned / HEDGES_SAVED_PART).max(HEDGES_SAVED_MIN * TOKEN));
        if self.hedges < TOKEN {
            return Err(NoHedge::Spent);
        }
        if self.tokens.saturating_mul(2) < self.cap(now) {
            return Err(NoHedge::RetriesFirst);
        }
        self.hedges -= TOKEN;
        Ok(())
    }

    /// A hedge that was paid for was not sent after all.
    pub fn on_hedge_unsent(&mut self) {
        self.hedges = self.hedges.saturating_add(TOKEN);
    }

    /// Tokens left as a share of the cap, 0.0 to 1.0.
    pub fn remaining_ratio(&mut self, now: Instant) -> f64 {
        self.settle(now);
        let cap = self.cap(now);
        if cap == 0 { 0.0 } else { self.tokens as f64 / cap as f64 }
    }

    /// Whether retries do not help now, so that the floor is a tenth of itself.
    pub fn gated(&self) -> bool {
        self.gate.is_shut()
    }

    /// Retries refused so far, by reason.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// The most tokens that may be held now, in millionths.
    fn cap(&mut self, now: Instant) -> u64 {
        let earned = self.ratio.saturating_mul(self.ledger.totals(now).successes);
        earned.max(u64::from(self.policy.burst) * TOKEN)
    }

    /// The cap shrinks as successes age, and the tokens with it.
    fn settle(&mut self, now: Instant) {
        self.tokens = self.tokens.min(self.cap(now));
    }

    fn deposit(&mut self, now: Instant, amount: u64) {
        self.tokens = self.tokens.saturating_add(amount).min(self.cap(now));
    }

    /// A cap on what retries waste, not on what they rescue: at half of all attempts failing, three retries in four
    /// requests are needed and every second one is a rescue. In an outage, or where each retry fails, all are waste.
    fn is_at_hard_cap(&mut self, now: Instant) -> bool {
        let totals = self.ledger.totals(now);
        let allowed = self.max_ratio.saturating_mul(totals.first_attempts).max(u64::from(self.policy.burst) * TOKEN);
        totals.wasted().saturating_mul(TOKEN) >= allowed
    }

    /// Takes the floor's next retry if it is due. Its spacing is jittered, so that many processes that lost
    /// the same dependency do not probe it in step.
    fn take_floor(&mut self, now: Instant, entropy: &mut impl Entropy) -> bool {
        let floor = self.policy.floor_per_second;
        if floor.is_nan() || floor <= 0.0 || now < self.next_floor {
            return false;
        }
        let slowdown = if self.gate.is_shut() { 10.0 } else { 1.0 };
        let spacing = Duration::try_from_secs_f64(entropy.between(0.5, 1.5) / floor * slowdown);
        // Beyond what a clock can hold means: not in this process's life, which a day stands for.
        let day = Duration::from_secs(24 * 3600);
        self.next_floor = now + spacing.map_or(day, |spacing| spacing.min(day));
        true
    }
}

/// A ratio in millionths; what is no ratio counts as none.
fn millionths(ratio: f64) -> u64 {
    // The cast saturates, and takes NaN to 0.
    (ratio.max(0.0) * TOKEN as f64).round() as u64
}

#[cfg(test)]
mod tests;
