//! Small models of the retry budgets of other systems, from their published descriptions.
//!
//! They are written for comparison, not for use: floats, seconds since the start, nothing concurrent.

pub mod limits;

use std::collections::VecDeque;

/// A retry budget under comparison. All times are seconds since the start.
pub trait Rival {
    /// An attempt is sent.
    fn on_sent(&mut self, now: f64, retry: bool) {
        let _ = (now, retry);
    }

    /// An attempt ended. A failure here is one that the client would like to retry.
    fn on_ended(&mut self, now: f64, retry: bool, success: bool) {
        let _ = (now, retry, success);
    }

    /// Asks for one more attempt, and pays for it.
    fn try_retry(&mut self, now: f64) -> bool;
}

/// No budget: only the number of attempts per request limits it.
#[derive(Debug)]
pub struct Unlimited;

impl Rival for Unlimited {
    fn try_retry(&mut self, _now: f64) -> bool {
        true
    }
}

/// gRPC retry throttling (gRFC A6): failures cost 1, successes earn `ratio`, retries need more than half.
#[derive(Debug)]
pub struct Grpc {
    max: f64,
    ratio: f64,
    /// Tokens left.
    pub tokens: f64,
}

impl Grpc {
    /// Starts full.
    pub fn new(max: f64, ratio: f64) -> Self {
        Grpc { max, ratio, tokens: max }
    }
}

impl Rival for Grpc {
    fn on_ended(&mut self, _now: f64, _retry: bool, success: bool) {
        // In thousandths, as A6 prescribes, so that 0.1 adds up exactly.
        let delta = if success { self.ratio } else { -1.0 };
        self.tokens = ((self.tokens + delta) * 1000.0).round() / 1000.0;
        self.tokens = self.tokens.clamp(0.0, self.max);
    }

    fn try_retry(&mut self, _now: f64) -> bool {
        self.tokens > self.max / 2.0
    }
}

/// AWS SDK standard mode: a fixed quota, one unit back per first-attempt success, full refund on rescue.
#[derive(Debug)]
pub struct Aws {
    capacity: u32,
    cost: u32,
    /// Units left.
    pub units: u32,
}

impl Aws {
    /// 500 units; 14 per retry since 2026, 5 before.
    pub fn new(cost: u32) -> Self {
        Aws { capacity: 500, cost, units: 500 }
    }
}

impl Rival for Aws {
    fn on_ended(&mut self, _now: f64, retry: bool, success: bool) {
        if success {
            self.units = (self.units + if retry { self.cost } else { 1 }).min(self.capacity);
        }
    }

    fn try_retry(&mut self, _now: f64) -> bool {
        let paid = self.units.checked_sub(self.cost);
        self.units = paid.unwrap_or(self.units);
        paid.is_some()
    }
}

/// Envoy `retry_budget` (and failsafe-go's budget): a share of the concurrency. Retries count from the
/// moment they are scheduled.
#[derive(Debug)]
pub struct Concurrency {
    share: f64,
    least: f64,
    active: u32,
    retries: u32,
}

impl Concurrency {
    /// Envoy: 0.2 and 3.
    pub fn new(share: f64, least: u32) -> Self {
        Concurrency { share, least: f64::from(least), active: 0, retries: 0 }
    }

    /// Retries that may be outstanding with so many attempts active.
    pub fn limit(&self, active: u32) -> f64 {
        (self.share * f64::from(active)).max(self.least)
    }
}

impl Rival for Concurrency {
    fn on_sent(&mut self, _now: f64, _retry: bool) {
        self.active += 1;
    }

    fn on_ended(&mut self, _now: f64, retry: bool, _success: bool) {
        self.active = self.active.saturating_sub(1);
        self.retries = self.retries.saturating_sub(u32::from(retry));
    }

    fn try_retry(&mut self, _now: f64) -> bool {
        let granted = f64::from(self.retries) < self.limit(self.active);
        self.retries += u32::from(granted);
        granted
    }
}

/// What a deposit into a [`Leaky`] budget is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deposit {
    /// Every request (Finagle `RetryFilter`, Gateway API `retryConstraint`).
    Request,
    /// Every response that needs no retry (tower, linkerd ServiceProfile).
    Success,
}

/// The leaky token bucket of Finagle and tower: deposits and withdrawals of the last `ttl` plus a reserve.
#[derive(Debug)]
pub struct Leaky {
    deposit: Deposit,
    ratio: f64,
    ttl: f64,
    reserve: f64,
    /// Time and amount, oldest first.
    entries: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Leaky {
    /// `ratio` retries per deposit, and `per_second` always.
    pub fn new(deposit: Deposit, ratio: f64, ttl: f64, per_second: f64) -> Self {
        Leaky { deposit, ratio, ttl, reserve: per_second * ttl, entries: VecDeque::new(), sum: 0.0 }
    }

    /// Retries that could be made now.
    pub fn balance(&mut self, now: f64) -> f64 {
        while let Some((time, amount)) = self.entries.front().copied()
            && now - time >= self.ttl
        {
            self.sum -= amount;
            self.entries.pop_front();
        }
        self.sum + self.reserve
    }

    /// Adds to the window, by hand in tests of the model itself.
    pub fn put(&mut self, now: f64, amount: f64) {
        self.entries.push_back((now, amount));
        self.sum += amount;
    }

    /// One deposit.
    pub fn on_deposit(&mut self, now: f64) {
        self.put(now, self.ratio);
    }
}

impl Rival for Leaky {
    fn on_sent(&mut self, now: f64, retry: bool) {
        if self.deposit == Deposit::Request && !retry {
            self.on_deposit(now);
        }
    }

    fn on_ended(&mut self, now: f64, _retry: bool, success: bool) {
        if self.deposit == Deposit::Success && success {
            self.on_deposit(now);
        }
    }

    fn try_retry(&mut self, now: f64) -> bool {
        // Within rounding of a whole retry: 5 × 0.2 is one.
        let granted = self.balance(now) >= 1.0 - 1e-9;
        if granted {
            self.put(now, -1.0);
        }
        granted
    }
}

/// smithy-rs: tokens are held while a retry runs, which makes the bucket a limit on concurrent retries.
/// Rewards add up in fractions.
#[derive(Debug)]
pub struct Held {
    cost: u32,
    /// Tokens that nobody holds.
    pub free: u32,
    fraction: f64,
}

impl Held {
    /// A full bucket.
    pub fn new(capacity: u32, cost: u32) -> Self {
        Held { cost, free: capacity, fraction: 0.0 }
    }

    /// A success earns a part of a token; whole ones become free.
    pub fn reward(&mut self, amount: f64) {
        self.fraction += amount;
        self.free += self.fraction as u32;
        self.fraction = self.fraction.fract();
    }
}

impl Rival for Held {
    fn on_ended(&mut self, _now: f64, retry: bool, _success: bool) {
        if retry {
            self.free += self.cost;
        }
    }

    fn try_retry(&mut self, _now: f64) -> bool {
        let left = self.free.checked_sub(self.cost);
        self.free = left.unwrap_or(self.free);
        left.is_some()
    }
}
