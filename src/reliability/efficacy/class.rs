//! The ledger of one class of failure on one route, and the hold on its retries.

use super::counts::{Counts, Tries};
use super::harm::Harm;
use super::holdout::Control;
use super::{Helpfulness, WINDOW};
use crate::reliability::entropy::Entropy;
use crate::reliability::window::Window;
use std::time::{Duration, Instant};

/// Between two probes, give or take a half: many processes that lost the same dependency must not probe in step.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The hold ends when so many …
const CLEAR_RESCUES: u32 = 3;
/// … of so many probes rescued.
const CLEAR_PROBES: u32 = 5;

/// Retries are held to probes.
#[derive(Clone, Copy, Debug)]
struct Hold {
    next_probe: Instant,
    /// Of the last probes, newest in bit 0, 1 = rescued.
    probes: u32,
}

/// About 6 KiB, and there only once the route has failed in this way.
#[derive(Clone, Debug)]
pub(super) struct Class {
    tries: Window<Tries>,
    counts: Window<Counts>,
    /// Since the route was first seen.
    pub all_tries: Tries,
    pub all_counts: Counts,
    pub control: Control,
    verdict: Helpfulness,
    hold: Option<Hold>,
}

impl Class {
    pub fn new(now: Instant) -> Self {
        Class {
            tries: Window::new(now, WINDOW),
            counts: Window::new(now, WINDOW),
            all_tries: Tries::default(),
            all_counts: Counts::default(),
            control: Control::default(),
            verdict: Helpfulness::Unknown,
            hold: None,
        }
    }

    /// Counts something that is no end of a retry.
    pub fn count(&mut self, now: Instant, count: impl Fn(&mut Counts)) {
        count(self.counts.record(now));
        count(&mut self.all_counts);
    }

    /// A retry has ended.
    pub fn ended(&mut self, now: Instant, good: bool) {
        self.all_tries.add(good);
        self.tries.record(now).add(good);
        let Some(hold) = &mut self.hold else { return };
        hold.probes = ((hold.probes << 1) | u32::from(good)) & ((1 << CLEAR_PROBES) - 1);
        if hold.probes.count_ones() >= CLEAR_RESCUES {
            // What was counted before belongs to the trouble that is over; kept, it would hold retries again at once.
            self.hold = None;
            self.tries.clear();
            self.counts.clear();
        }
    }

    /// An answer counted as good was for nobody.
    pub fn late(&mut self, now: Instant) {
        self.all_tries.add_late();
        self.tries.record(now).add_late();
    }

    /// The verdict of now, and the one before if it has changed.
    pub fn judge(&mut self, now: Instant, harm: Harm) -> (Helpfulness, Option<Helpfulness>) {
        let tries = self.tries.read(now);
        let verdict = if self.hold.is_none() {
            Helpfulness::of(&tries, harm)
        } else if tries.retries() == 0 {
            // Nothing failed for a whole window, or nothing was sent: what is held against retries is too old.
            self.hold = None;
            Helpfulness::Unknown
        } else if harm.is_done() {
            Helpfulness::Harmful
        } else {
            Helpfulness::NotHelping
        };
        if verdict.holds() && self.hold.is_none() {
            self.hold = Some(Hold { next_probe: now + PROBE_EVERY, probes: 0 });
        }
        let before = std::mem::replace(&mut self.verdict, verdict);
        (verdict, (before != verdict).then_some(before))
    }

    /// Whether a retry may be made: retries are not held, or a probe is due.
    pub fn allows(&self, now: Instant) -> bool {
        self.hold.is_none_or(|hold| now >= hold.next_probe)
    }

    /// A retry will be made; while retries are held, that is the probe.
    pub fn probe(&mut self, now: Instant, entropy: &mut impl Entropy) {
        if let Some(hold) = &mut self.hold {
            hold.next_probe = now + PROBE_EVERY.mul_f64(entropy.between(0.5, 1.5));
        }
    }

    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    pub fn verdict(&self) -> Helpfulness {
        self.verdict
    }

    /// The retries of the window.
    pub fn tries(&self, now: Instant) -> Tries {
        self.tries.read(now)
    }

    /// All else of the window.
    pub fn counts(&self, now: Instant) -> Counts {
        self.counts.read(now)
    }
}
