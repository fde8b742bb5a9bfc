//! The last seconds of one upstream, cut in the lengths that judgement needs.

use super::history::{History, Tick};
use super::rates::{Counted, of_attempts, of_requests};
use crate::reliability::ending::Endings;
use std::time::{Duration, Instant};

/// The length that most is judged by.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// The length that says how it is now.
pub(super) const NOW: Duration = Duration::from_secs(5);
/// The shortest: it sees a sudden fault of a busy upstream at once.
const SUDDEN: Duration = Duration::from_secs(3);
/// The longest: it sees what creeps.
const LONG: Duration = Duration::from_secs(30);
/// How far back the onset is looked for. History keeps seconds for as long.
pub(super) const REACH: Duration = Duration::from_secs(50);

/// What happened lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Windows {
    pub sudden: Tick,
    pub now: Tick,
    pub window: Tick,
    pub long: Tick,
    pub reach: Tick,
    /// The last few failed attempts: of what has just changed a whole window is too much.
    pub last_failures: Endings,
}

impl Windows {
    /// Nothing before `floor` counts.
    pub fn of(history: &History, now: Instant, floor: Instant) -> Windows {
        let last = |length: Duration| sum(history, now, length.min(now.saturating_duration_since(floor)));
        let reach = REACH.min(now.saturating_duration_since(floor));
        Windows {
            sudden: last(SUDDEN),
            now: last(NOW),
            window: last(WINDOW),
            long: last(LONG),
            reach: last(REACH),
            last_failures: last_failures(history, now, reach),
        }
    }

    /// From the shortest on.
    pub fn each(&self) -> [&Tick; 4] {
        [&self.sudden, &self.now, &self.window, &self.long]
    }

    /// The older half of the window.
    pub fn before_now(&self) -> Tick {
        self.window.since(&self.now)
    }
}

/// The seconds that end within `length` before `now`.
pub(super) fn seconds(history: &History, now: Instant, length: Duration) -> impl Iterator<Item = (Instant, &Tick)> {
    // What is counted at a look belongs to the second before it, see `History::record`.
    let from = now.checked_sub(length + super::history::FINE / 2).unwrap_or(now);
    history.steps(from, now)
}

fn sum(history: &History, now: Instant, length: Duration) -> Tick {
    let mut sum = Tick::default();
    seconds(history, now, length).for_each(|(_, tick)| sum += *tick);
    sum
}

/// Attempts of the newest seconds that hold so many failures, or some of them within [`NOW`].
fn last_failures(history: &History, now: Instant, reach: Duration) -> Endings {
    const ENOUGH: u64 = 10;
    const SOME: u64 = 3;
    let newest_first: Vec<(Instant, &Tick)> = seconds(history, now, reach).collect();
    let mut sum = Endings::default();
    for (begins, tick) in newest_first.into_iter().rev() {
        let bad = of_attempts(&sum).bad;
        if bad >= ENOUGH || bad >= SOME && now.saturating_duration_since(begins) > NOW {
            break;
        }
        sum += tick.attempts;
    }
    sum
}

/// The worse of what requests and what attempts met, second by second: whichever fails first shows the onset.
pub(super) fn failures(tick: &Tick) -> Counted {
    let (requests, attempts) = (of_requests(&tick.requests), of_attempts(&tick.attempts));
    if requests.share() > attempts.share() { requests } else { attempts }
}
