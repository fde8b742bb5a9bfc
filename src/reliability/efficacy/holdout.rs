//! The control group: requests that would have been retried, and by lot were not.
//!
//! Both groups are drawn before the first attempt, and of both only requests count that needed a retry: the first
//! attempt failed in a way that the policy retries, or was still running when it would have been given up. The attempt
//! of a held-out request runs on, since it may succeed late: that is what a retry after a timeout has to beat.

use crate::reliability::statistics::{Z95, newcombe};
use std::ops::AddAssign;

/// Requests that needed a retry, since the route was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Those that might be retried.
    pub treated: u64,
    /// Of them, those that succeeded in the end.
    pub treated_succeeded: u64,
    /// Those that were held out.
    pub control: u64,
    /// Of them, those that succeeded all the same.
    pub control_succeeded: u64,
}

/// What retries add to the share of successes among requests that need one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The share of successes with retries, less that without.
    pub difference: f64,
    /// 95 % bounds of it.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

impl Control {
    pub(super) fn add(&mut self, held_out: bool, succeeded: bool) {
        let (all, good) = match held_out {
            true => (&mut self.control, &mut self.control_succeeded),
            false => (&mut self.treated, &mut self.treated_succeeded),
        };
        *all += 1;
        *good += u64::from(succeeded);
    }

    pub(super) fn take_back(&mut self, held_out: bool) {
        let good = if held_out { &mut self.control_succeeded } else { &mut self.treated_succeeded };
        *good = good.saturating_sub(1);
    }

    /// None without both groups.
    pub fn effect(&self) -> Option<Effect> {
        if self.treated == 0 || self.control == 0 {
            return None;
        }
        let (treated, control) = ((self.treated_succeeded, self.treated), (self.control_succeeded, self.control));
        let share = |(good, all): (u64, u64)| good as f64 / all as f64;
        let (low, high) = newcombe(treated, control, Z95);
        Some(Effect { difference: share(treated) - share(control), low, high })
    }
}

impl AddAssign for Control {
    fn add_assign(&mut self, other: Self) {
        self.treated += other.treated;
        self.treated_succeeded += other.treated_succeeded;
        self.control += other.control;
        self.control_succeeded += other.control_succeeded;
    }
}
