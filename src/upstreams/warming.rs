//! Slow start in a set: how much each of those that have just come may take, looked at now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::reliability::balance::Company;

/// Looks per slow start: a step of the ramp is as fine as that.
const STEPS: u32 = 64;

/// Read by every pick, in one load while nobody starts slowly.
#[derive(Debug)]
pub struct Warming {
    /// Nanoseconds since the set's origin at which to look again; 0 = nobody starts slowly.
    due: AtomicU64,
    /// [`Company`], its two numbers as bits; `top` is 0 where all weigh the same.
    top: AtomicU64,
    lift: AtomicU64,
}

impl Default for Warming {
    fn default() -> Self {
        // Endpoints may have come with the set: the first request looks.
        Warming { due: AtomicU64::new(1), top: AtomicU64::new(0), lift: AtomicU64::new(0) }
    }
}

impl Warming {
    /// Whether it is time to look.
    pub fn is_due(&self, nanos: u64) -> bool {
        let due = self.due.load(Ordering::Acquire);
        due != 0 && nanos >= due
    }

    /// Somebody starts slowly from now on.
    pub fn begin(&self) {
        self.due.store(1, Ordering::Release);
    }

    /// Nobody does.
    pub fn end(&self) {
        self.top.store(0, Ordering::Relaxed);
        self.due.store(0, Ordering::Release);
    }

    /// Takes in the ramps of those that take traffic.
    pub fn look(&self, ramps: impl Iterator<Item = f64> + Clone, nanos: u64, window: Duration) {
        if ramps.clone().all(|ramp| ramp >= 1.0) {
            return self.end();
        }
        let (top, lift) = Company::of(ramps).map_or((0.0, 0.0), |company| (company.top, company.lift));
        self.top.store(f64::to_bits(top), Ordering::Relaxed);
        self.lift.store(f64::to_bits(lift), Ordering::Relaxed);
        let step = u64::try_from((window / STEPS).as_nanos()).unwrap_or(u64::MAX);
        self.due.store(nanos.saturating_add(step).max(1), Ordering::Release);
    }

    /// What the set's weights are measured by; `None`: all weigh the same.
    pub fn company(&self) -> Option<Company> {
        if self.due.load(Ordering::Acquire) == 0 {
            return None;
        }
        let top = f64::from_bits(self.top.load(Ordering::Relaxed));
        (top > 0.0).then(|| Company { top, lift: f64::from_bits(self.lift.load(Ordering::Relaxed)) })
    }
}
