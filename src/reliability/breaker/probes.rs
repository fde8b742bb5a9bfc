//! The probes of HALF_OPEN: how many are out, since when, and how they went.

use super::{BreakerPolicy, LONGEST};
use std::time::{Duration, Instant};

/// Most probes at a time, whatever the policy says.
const PROBES_MAX: u32 = 1_000;

/// Successes that close.
pub(super) fn probes_wanted(policy: &BreakerPolicy) -> u32 {
    policy.half_open_requests.clamp(1, PROBES_MAX)
}

/// The probes of one HALF_OPEN.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Oldest first, since all get the same time unless the policy changes meanwhile.
    pub(super) out: Vec<(u32, Instant)>,
    next_serial: u32,
    pub(super) succeeded: u32,
    pub(super) slow: u32,
}

impl Probes {
    pub(super) fn launch(&mut self, now: Instant, policy: &BreakerPolicy) -> Option<u32> {
        // One is always allowed: a reload may have lowered the number to what has succeeded already, and with
        // no probe out nobody would ever close it.
        if !self.out.is_empty() && self.out.len() as u32 + self.succeeded >= probes_wanted(policy) {
            return None;
        }
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.out.push((serial, now + policy.probe_timeout.min(LONGEST)));
        Some(serial)
    }

    pub(super) fn take_back(&mut self, serial: u32) -> bool {
        let place = self.out.iter().position(|(out, _)| *out == serial);
        place.map(|place| self.out.remove(place)).is_some()
    }

    pub(super) fn first_expiry(&self) -> Option<Instant> {
        self.out.iter().map(|(_, expiry)| *expiry).min()
    }

    pub(super) fn patience(&self, now: Instant) -> Duration {
        self.first_expiry().map_or(Duration::ZERO, |expiry| expiry.saturating_duration_since(now))
    }
}
