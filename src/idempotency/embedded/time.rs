//! The store's time: wall time, because records outlive the process, but not at the mercy of who sets the clock.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::reliability::idempotency::Millis;

/// A forward step of the wall clock beyond this is not believed at once…
const JUMP: Millis = 60_000;
/// …but when it has lasted for this long.
const CONFIRMED: Millis = 60_000;

/// What both clocks of the machine show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub wall: Millis,
    /// Milliseconds since any fixed moment; never steps.
    pub monotonic: Millis,
}

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// The machine's clocks.
pub fn system_clock() -> Clock {
    let start = clock::now();
    Arc::new(move || Moment {
        wall: clock::wall_millis(),
        monotonic: millis(clock::now().saturating_duration_since(start)),
    })
}

fn millis(duration: std::time::Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Turns two clocks into one that never goes back and does not leap.
pub(super) struct Timekeeper {
    clock: Clock,
    anchor: Mutex<Anchor>,
}

struct Anchor {
    /// The store's time at…
    time: Millis,
    /// …this reading of the monotonic clock.
    monotonic: Millis,
    /// Since when the wall clock has been far ahead, on the monotonic clock.
    ahead_since: Option<Millis>,
}

impl Timekeeper {
    pub fn new(clock: Clock) -> Timekeeper {
        let moment = clock();
        let anchor = Anchor { time: moment.wall, monotonic: moment.monotonic, ahead_since: None };
        Timekeeper { clock, anchor: Mutex::new(anchor) }
    }

    /// The store's time. Goes on by the monotonic clock, and follows the wall clock forward where that is believable.
    /// It does not follow it back: leases that were given would not end.
    pub fn now(&self) -> Millis {
        let moment = (self.clock)();
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = anchor.time.saturating_add(moment.monotonic.saturating_sub(anchor.monotonic));
        if moment.wall <= expected {
            anchor.ahead_since = None;
            return expected;
        }
        if moment.wall - expected > JUMP {
            let since = *anchor.ahead_since.get_or_insert(moment.monotonic);
            if moment.monotonic.saturating_sub(since) < CONFIRMED {
                return expected;
            }
        }
        *anchor = Anchor { time: moment.wall, monotonic: moment.monotonic.max(anchor.monotonic), ahead_since: None };
        moment.wall
    }
}
