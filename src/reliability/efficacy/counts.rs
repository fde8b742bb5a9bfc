//! What is counted of retries.

use crate::reliability::attempts::Denied;
use crate::reliability::verdict::history::{Latencies, latency_bucket};
use std::ops::AddAssign;
use std::time::Duration;

/// Places in the order of attempts that are told apart: the first retry, the second, the third, all later ones.
pub const PLACES: usize = 4;

/// Retries that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Their answer was good.
    good: u64,
    /// There was none, or it was not.
    bad: u64,
    /// Good ones whose client had gone when the answer was there.
    late: u64,
}

impl Tries {
    /// One more has ended.
    pub(super) fn add(&mut self, good: bool) {
        *if good { &mut self.good } else { &mut self.bad } += 1;
    }

    /// One whose answer was good was for nobody.
    pub(super) fn add_late(&mut self) {
        self.late += 1;
    }

    /// All.
    pub fn retries(&self) -> u64 {
        self.good + self.bad
    }

    /// Those that turned a failure into a success.
    pub fn rescued(&self) -> u64 {
        // What came late may have left the window before the answer that it is about.
        self.good.saturating_sub(self.late)
    }

    /// The others.
    pub fn wasted(&self) -> u64 {
        self.retries() - self.rescued()
    }
}

impl AddAssign for Tries {
    fn add_assign(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.late += other.late;
    }
}

/// Retries of one kind, and how many of them had a good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// All.
    pub tried: u64,
    /// With a good answer.
    pub good: u64,
}

impl Share {
    pub(super) fn add(&mut self, good: bool) {
        self.tried += 1;
        self.good += u64::from(good);
    }

    /// None = there were none.
    pub fn ratio(&self) -> Option<f64> {
        (self.tried > 0).then(|| self.good as f64 / self.tried as f64)
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.tried += other.tried;
        self.good += other.good;
    }
}

/// All else that is counted of requests whose first attempt failed in a way that the policy retries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// These requests.
    pub first_failed: u64,
    /// Of them, those with a retry.
    pub retried: u64,
    /// Retries by their place.
    pub by_place: [Share; PLACES],
    /// Retries on another endpoint than those tried before.
    pub elsewhere: Share,
    /// Retries on one that was tried before.
    pub same: Share,
    /// From the first failure to the end of a request that was rescued.
    pub rescued_tax: Latencies,
    /// The same where retries did not rescue.
    pub failed_tax: Latencies,
    /// Retries that were not made, by reason.
    pub denied: [u64; Denied::ALL.len()],
    /// Time that upstreams spent on wasted retries.
    pub wasted_time: Duration,
}

impl Counts {
    pub(super) fn add_tax(&mut self, rescued: bool, tax: Duration) {
        let taxes = if rescued { &mut self.rescued_tax } else { &mut self.failed_tax };
        if let Some(count) = taxes.0.get_mut(latency_bucket(tax)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn deny(&mut self, reason: Denied) {
        self.denied[reason as usize] += 1;
    }

    /// Reasons with a count.
    pub fn denials(&self) -> impl Iterator<Item = (Denied, u64)> {
        Denied::ALL.into_iter().zip(self.denied).filter(|(_, count)| *count > 0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.first_failed += other.first_failed;
        self.retried += other.retried;
        self.by_place.iter_mut().zip(other.by_place).for_each(|(mine, theirs)| *mine += theirs);
        self.elsewhere += other.elsewhere;
        self.same += other.same;
        for (mine, theirs) in [(&mut self.rescued_tax, other.rescued_tax), (&mut self.failed_tax, other.failed_tax)] {
            mine.0.iter_mut().zip(theirs.0).for_each(|(mine, theirs)| *mine = mine.saturating_add(theirs));
        }
        self.denied.iter_mut().zip(other.denied).for_each(|(mine, theirs)| *mine += theirs);
        self.wasted_time += other.wasted_time;
    }
}
