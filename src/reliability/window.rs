//! Sliding time windows of plain counters, shared by breaker, ejection and throttle.
//!
//! A window is ten slots in a ring. Slot borders are multiples of a tenth of the window, counted from a
//! fixed origin. The origin NEVER moves: tower's budget re-anchors at `now` whenever it expires a slot, and
//! under traffic its 10 s window then holds only about 6 s.

use std::array;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Slots per window. A sample is forgotten between 0.9 and 1.0 windows after it was made.
pub const SLOTS: usize = 10;

/// Counters `T` over the last `length`. No allocation; reading costs ten additions.
#[derive(Clone, Debug)]
pub struct Window<T> {
    origin: Instant,
    slot_nanos: u64,
    length: Duration,
    /// Newest epoch recorded: a caller whose clock reading is older than another's must not reset slots.
    newest: u64,
    slots: [Slot<T>; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    epoch: u64,
    counts: T,
}

impl<T: Copy + Default + AddAssign> Window<T> {
    /// An empty window. A `length` below 10 ns counts as 10 ns.
    pub fn new(now: Instant, length: Duration) -> Self {
        let slot_nanos = (nanos(length) / SLOTS as u64).max(1);
        let slots = array::from_fn(|_| Slot { epoch: 0, counts: T::default() });
        Window { origin: now, slot_nanos, length, newest: 0, slots }
    }

    /// The length given to [`Window::new`].
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The counters of the current slot, to add to. A `now` older than one seen before counts as that one.
    pub fn record(&mut self, now: Instant) -> &mut T {
        let epoch = self.epoch(now);
        self.newest = epoch;
        let slot = &mut self.slots[(epoch % SLOTS as u64) as usize];
        if slot.epoch != epoch {
            *slot = Slot { epoch, counts: T::default() };
        }
        &mut slot.counts
    }

    /// The sum over the window that ends at `now`.
    pub fn read(&self, now: Instant) -> T {
        let epoch = self.epoch(now);
        let mut sum = T::default();
        for slot in &self.slots {
            // Slots that were never used hold zeros, so their epoch of 0 does no harm.
            if slot.epoch + SLOTS as u64 > epoch {
                sum += slot.counts;
            }
        }
        sum
    }

    /// Forgets every sample; the origin stays.
    pub fn clear(&mut self) {
        self.slots.fill(Slot { epoch: 0, counts: T::default() });
    }

    fn epoch(&self, now: Instant) -> u64 {
        (nanos(now.saturating_duration_since(self.origin)) / self.slot_nanos).max(self.newest)
    }
}

/// 584 years fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// How attempts ended: what breaker and ejection count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// attempts that said something
    pub total: u32,
    /// of these, failed
    pub fail: u32,
    /// of these, slower than the threshold, failed or not
    pub slow: u32,
}

impl Counts {
    /// Failed share in percent; 0 without samples.
    pub fn failure_percent(&self) -> f64 {
        percent(self.fail, self.total)
    }

    /// Slow share in percent; 0 without samples.
    pub fn slow_percent(&self) -> f64 {
        percent(self.slow, self.total)
    }

    /// One more attempt.
    pub fn add(&mut self, failed: bool, slow: bool) {
        *self += Counts { total: 1, fail: u32::from(failed), slow: u32::from(slow) };
    }

    /// An attempt that was counted as good has failed after all.
    pub fn fail_late(&mut self) {
        self.fail = self.fail.saturating_add(1);
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.fail = self.fail.saturating_add(other.fail);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    // What failed late may have been counted in a slot that the window has left behind.
    if whole == 0 { 0.0 } else { f64::from(part.min(whole)) * 100.0 / f64::from(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn w1_slow_share_counts_slow_successes_and_slow_failures() {
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        for (failed, millis) in [(false, 10_000), (true, 10_000), (false, 100), (false, 100), (false, 100)] {
            window.record(t0).add(failed, millis > 1_000);
        }
        let counts = window.read(t0);
        assert_eq!(counts.total, 5);
        assert_eq!(counts.slow_percent(), 40.0);
    }

    #[test]
    fn w2_failure_share_falls_with_each_success_and_to_zero_when_the_error_leaves_the_window() {
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        let mut seen = Vec::new();
        for (at, failed) in [(0, true), (2, false), (4, false), (6, false), (10, false)] {
            let now = t0 + Duration::from_secs(at);
            window.record(now).add(failed, false);
            seen.push(window.read(now).failure_percent());
        }
        assert_eq!(seen[..2], [100.0, 50.0]);
        assert!((seen[2] - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(seen[3..], [25.0, 0.0]);
    }

    #[test]
    fn w3_polly_steps_of_two_seconds() {
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        let mut seen = Vec::new();
        for round in 0..5u64 {
            let now = t0 + Duration::from_secs(2 * round);
            window.record(now).add(round < 2, false);
            window.record(now).add(false, false);
            seen.push(window.read(now + seconds(2.0)));
        }
        seen.push(window.read(t0 + seconds(12.0)));
        let health: Vec<_> = seen.iter().map(|c| (c.total, c.failure_percent() / 100.0, c.fail)).collect();
        assert_eq!(health[0], (2, 0.5, 1));
        assert_eq!(health[1], (4, 0.5, 2));
        assert_eq!(health[3..], [(8, 0.25, 2), (8, 0.125, 1), (6, 0.0, 0)]);
    }

    #[test]
    fn w4_a_sample_is_gone_exactly_at_the_edge_of_the_window() {
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        for second in 0..10 {
            window.record(t0 + Duration::from_secs(second)).add(false, false);
        }
        assert_eq!(window.read(t0 + seconds(9.999)).total, 10);
        assert_eq!(window.read(t0 + seconds(10.0)).total, 9);
        assert_eq!(window.read(t0 + seconds(11.0)).total, 8);

        let mut single = Window::<Counts>::new(t0, TEN_SECONDS);
        single.record(t0).add(true, false);
        assert_eq!(single.read(t0 + seconds(10.0)), Counts::default());
    }

    #[test]
    fn w5_any_idle_gap_empties_the_window_and_never_wedges_it() {
        let t0 = Instant::now();
        // Slots of 1 ms: ten years are more than u32::MAX of them.
        let mut window = Window::<Counts>::new(t0, Duration::from_millis(10));
        let year = Duration::from_secs(365 * 86_400);
        for gap in [Duration::from_millis(10), Duration::from_secs(60), year, 10 * year] {
            window.record(t0 + gap).add(true, false);
            assert_eq!(window.read(t0 + gap).total, 1, "after a gap of {gap:?}");
            assert_eq!(window.read(t0 + gap + Duration::from_millis(10)).total, 0);
        }
    }

    #[test]
    fn a_reading_of_the_clock_that_arrives_late_still_counts_once() {
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        window.record(t0 + seconds(30.0)).add(true, false);
        window.record(t0 + seconds(12.0)).add(true, false);
        window.record(t0).add(true, false);
        assert_eq!(window.read(t0 + seconds(30.0)).total, 3);
        assert_eq!(window.read(t0).total, 3);
        assert_eq!(window.read(t0 + seconds(40.0)).total, 0);
    }

    #[test]
    fn the_anchor_does_not_drift_under_traffic() {
        // A record every 1.01 slots is what shortens tower's window to about 6 s.
        let t0 = Instant::now();
        let mut window = Window::<Counts>::new(t0, TEN_SECONDS);
        let mut exact: VecDeque<Duration> = VecDeque::new();
        for step in 0..10_000u32 {
            let at = step * seconds(1.01);
            window.record(t0 + at).add(false, false);
            exact.push_back(at);
            while exact.front().is_some_and(|oldest| at - *oldest >= TEN_SECONDS) {
                exact.pop_front();
            }
            let (held, ideal) = (window.read(t0 + at).total as usize, exact.len());
            assert!(held == ideal || held + 1 == ideal, "step {step}: {held} of {ideal}");
        }
    }
}
