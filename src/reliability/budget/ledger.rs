//! What the budget remembers: counts of the last `ttl`, and whether retries helped lately.

use std::time::{Duration, Instant};

/// Slots per window. A count is exact to one slot: it lives between 0.9 and 1.0 of the window.
const SLOTS: usize = 10;

/// Counts within one slot, or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub first_attempts: u64,
    pub successes: u64,
    pub retries: u64,
    /// Of the retries; counted when they end.
    pub rescues: u64,
}

impl Counts {
    /// Retries that rescued nothing, or have not yet.
    pub fn wasted(&self) -> u64 {
        self.retries.saturating_sub(self.rescues)
    }
}

/// First attempts, successes, retries and rescues of the last `ttl`.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// Slot borders are `anchor + n * width` for ever. Re-anchoring at `now` would lose a part of a slot
    /// each time and shorten the window by almost half under traffic.
    anchor: Instant,
    width: Duration,
    /// Number of the newest slot.
    newest: u64,
    slots: [Counts; SLOTS],
}

impl Ledger {
    pub fn new(now: Instant, ttl: Duration) -> Self {
        let width = (ttl / SLOTS as u32).max(Duration::from_millis(1));
        Ledger { anchor: now, width, newest: 0, slots: [Counts::default(); SLOTS] }
    }

    /// The slot of `now`, to count in. A `now` from before the newest slot counts as the newest: callers
    /// read the clock before they take the lock.
    pub fn at(&mut self, now: Instant) -> &mut Counts {
        self.advance(now);
        &mut self.slots[(self.newest % SLOTS as u64) as usize]
    }

    /// What was counted within the window that ends at `now`.
    pub fn totals(&mut self, now: Instant) -> Counts {
        self.advance(now);
        self.slots.iter().fold(Counts::default(), |sum, slot| Counts {
            first_attempts: sum.first_attempts + slot.first_attempts,
            successes: sum.successes + slot.successes,
            retries: sum.retries + slot.retries,
            rescues: sum.rescues + slot.rescues,
        })
    }

    /// Moves all counts into a window of another length, each to where its slot began.
    pub fn rescale(&mut self, now: Instant, ttl: Duration) {
        self.advance(now);
        let mut scaled = Ledger::new(self.anchor, ttl);
        let oldest = self.newest.saturating_sub(SLOTS as u64 - 1);
        for number in oldest..=self.newest {
            let old = self.slots[(number % SLOTS as u64) as usize];
            let began = self.anchor + Duration::from_nanos(self.nanos().saturating_mul(number));
            let slot = scaled.at(began);
            slot.first_attempts += old.first_attempts;
            slot.successes += old.successes;
            slot.retries += old.retries;
            slot.rescues += old.rescues;
        }
        scaled.advance(now);
        *self = scaled;
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.width.as_nanos()).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, now: Instant) {
        let age = u64::try_from(now.saturating_duration_since(self.anchor).as_nanos()).unwrap_or(u64::MAX);
        let current = age / self.nanos();
        if current <= self.newest {
            return;
        }
        // Each slot is emptied at most once, however long nothing happened.
        let stale = (current - self.newest).min(SLOTS as u64);
        for number in current + 1 - stale..=current {
            self.slots[(number % SLOTS as u64) as usize] = Counts::default();
        }
        self.newest = current;
    }
}

/// How far back the gate looks for the outcomes that shut it.
const LOOK_BACK: Duration = Duration::from_secs(30);
/// Outcomes needed to shut it.
const TRIP_OUTCOMES: u64 = 5;
/// It shuts below this share of rescues, one in so many.
const TRIP_ONE_IN: u64 = 10;
/// It opens when so many ...
const CLEAR_RESCUES: u32 = 3;
/// ... of so many outcomes rescued.
const CLEAR_OUTCOMES: u32 = 5;

/// Shut while retries do not help. Latched: it opens only by rescues, never by the passing of time.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// `retries` counts outcomes, `successes` rescues.
    outcomes: Ledger,
    /// Outcomes since it shut, newest in bit 0, 1 = rescued. None = open.
    since_shut: Option<u32>,
}

impl Gate {
    pub fn new(now: Instant) -> Self {
        Gate { outcomes: Ledger::new(now, LOOK_BACK), since_shut: None }
    }

    pub fn is_shut(&self) -> bool {
        self.since_shut.is_some()
    }

    pub fn record(&mut self, now: Instant, rescued: bool) {
        if let Some(history) = self.since_shut {
            let history = ((history << 1) | u32::from(rescued)) & ((1 << CLEAR_OUTCOMES) - 1);
            if history.count_ones() >= CLEAR_RESCUES {
                // What was counted before belongs to the trouble that is over; kept, it would shut the gate
                // again on the next failure.
                *self = Gate::new(now);
            } else {
                self.since_shut = Some(history);
            }
            return;
        }
        let slot = self.outcomes.at(now);
        slot.retries += 1;
        slot.successes += u64::from(rescued);
        let totals = self.outcomes.totals(now);
        if totals.retries >= TRIP_OUTCOMES && totals.successes * TRIP_ONE_IN < totals.retries {
            self.since_shut = Some(0);
        }
    }
}
