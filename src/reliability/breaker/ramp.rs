//! The time after closing in which only part of the traffic passes.

use super::super::entropy::Entropy;
use std::time::{Duration, Instant};

/// Longest ramp after closing.
const RAMP_MAX: Duration = Duration::from_secs(10);
/// Refused share when the ramp starts; the throttle's maximum.
const RAMP_REFUSED: f64 = 0.9;
/// Requests per second that the ramp never refuses; below this rate the throttle is not active either.
const RAMP_FREE_PER_SECOND: u32 = 2;

/// Refuses a share of requests that falls linearly to zero.
#[derive(Debug)]
pub(super) struct Ramp {
    start: Instant,
    length: Duration,
    /// second of the ramp that `passed` counts
    second: u64,
    passed: u32,
}

impl Ramp {
    pub(super) fn after(start: Instant, outage: Duration) -> Self {
        Ramp { start, length: outage.min(RAMP_MAX), second: 0, passed: 0 }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) >= self.length
    }

    pub(super) fn admit(&mut self, now: Instant, entropy: &mut impl Entropy) -> bool {
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed.as_secs() != self.second {
            self.second = elapsed.as_secs();
            self.passed = 0;
        }
        // `is_over` was asked before, so the length is not zero.
        let refused = RAMP_REFUSED * (1.0 - elapsed.as_secs_f64() / self.length.as_secs_f64());
        let admitted = self.passed < RAMP_FREE_PER_SECOND || entropy.unit() >= refused;
        self.passed = self.passed.saturating_add(u32::from(admitted));
        admitted
    }
}
