//! When it is worth coming back: how long the upstream needs for all who were turned away lately.
//!
//! Nothing here reads a clock on the way of a request that is served: what ends is counted, and the count is looked at
//! when somebody is refused.

use std::time::{Duration, Instant};

/// Refusals and ends of so long are compared: of one such span and what has passed of the next.
const SPAN: Duration = Duration::from_millis(2_500);
/// A mark that is older than this belongs to another overload.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Less says nothing of a rate.
const TELLING: Duration = Duration::from_millis(100);
/// Nobody is told to come back sooner, or to stay away for longer.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    finished: u64,
    refused: u64,
}

/// What came free, and who was turned away.
#[derive(Clone, Debug, Default)]
pub(super) struct Drain {
    finished: u64,
    refused: u64,
    before: Option<Mark>,
    last: Option<Mark>,
}

impl Drain {
    /// A slot came free.
    pub(super) const fn finish(&mut self) {
        self.finished = self.finished.wrapping_add(1);
    }

    /// Somebody is turned away while `waiting` others wait: when it is worth coming back.
    pub(super) fn refuse(&mut self, now: Instant, waiting: u32) -> Duration {
        self.refused = self.refused.wrapping_add(1);
        let mark = Mark { at: now, finished: self.finished, refused: self.refused };
        let age = |mark: &Mark| now.saturating_duration_since(mark.at);
        match &self.last {
            None => self.last = Some(mark),
            Some(last) if age(last) >= FORGOTTEN => (self.before, self.last) = (None, Some(mark)),
            Some(last) if age(last) >= SPAN => (self.before, self.last) = (Some(*last), Some(mark)),
            Some(_) => {}
        }
        let Some(since) = self.before.or(self.last).filter(|since| age(since) >= TELLING) else { return SOONEST };
        let finished = self.finished.wrapping_sub(since.finished).max(1);
        let owed = self.refused.wrapping_sub(since.refused).saturating_add(u64::from(waiting));
        let needs = age(&since).as_secs_f64() * owed as f64 / finished as f64;
        Duration::from_secs_f64(needs.clamp(SOONEST.as_secs_f64(), LATEST.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last advice after `seconds` of an overload in which of `arrive` a second `serve` are served.
    fn advice(seconds: u32, arrive: u32, serve: u32) -> f64 {
        let t0 = Instant::now();
        let mut drain = Drain::default();
        let mut last = Duration::ZERO;
        for n in 0..seconds * arrive {
            let now = t0 + Duration::from_secs(1) * n / arrive;
            // Evenly spread.
            if n * serve % arrive < serve {
                drain.finish();
            } else {
                last = drain.refuse(now, 0);
            }
        }
        last.as_secs_f64()
    }

    #[test]
    fn the_advice_grows_with_what_is_owed_and_stays_within_its_bounds() {
        assert_eq!(advice(1, 100, 99), 1.0, "hardly anybody is refused");
        let (brief, lasting) = (advice(1, 300, 100), advice(20, 300, 100));
        assert!(brief < 3.0, "{brief}");
        // Two thirds are refused, and 2.5 to 5 s are looked at: twice as long.
        assert!((4.5..=10.5).contains(&lasting), "{lasting}");
        assert_eq!(advice(20, 300, 1), 30.0, "nearly nothing is served");
    }

    #[test]
    fn the_first_refusal_after_a_calm_time_says_one_second() {
        let t0 = Instant::now();
        let mut drain = Drain::default();
        assert_eq!(drain.refuse(t0, 5), Duration::from_secs(1));
        (0..1_000).for_each(|_| _ = drain.refuse(t0 + Duration::from_secs(1), 5));
        assert_eq!(drain.refuse(t0 + Duration::from_secs(2), 5), Duration::from_secs(30), "nothing is served");
        assert_eq!(drain.refuse(t0 + Duration::from_secs(60), 5), Duration::from_secs(1), "that was another overload");
    }
}
