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
    /// requests that must still succeed in a row to end it early
    to_prove: u32,
    proof: u32,
}

impl Ramp {
    /// `proof`: so many successes in a row end the ramp before its time.
    pub(super) fn after(start: Instant, outage: Duration, proof: u32) -> Self {
        Ramp { start, length: outage.min(RAMP_MAX), second: 0, passed: 0, to_prove: proof, proof }
    }

    /// An answer arrived. Time alone would refuse most of the traffic of a dependency that has been back for
    /// seconds; a run of successes as long as the breaker needs to judge a failure is as good a sign.
    pub(super) fn learn(&mut self, success: bool) {
        self.to_prove = if success { self.to_prove.saturating_sub(1) } else { self.proof };
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.to_prove == 0 || now.saturating_duration_since(self.start) >= self.length
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
