//! What is kept of the samples of a window: enough for a quantile, and not more memory the more traffic there is.

use std::collections::VecDeque;
use std::time::Duration;

/// Values kept at once.
const KEPT: usize = 512;

/// Latencies of a window. When there is no room left every other one is forgotten, and from then on every other one is
/// kept: those that are kept are spread evenly over the window.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    micros: Vec<u32>,
    seen: u32,
    stride: u32,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies { micros: Vec::with_capacity(KEPT), seen: 0, stride: 1 }
    }

    pub(super) fn add(&mut self, rtt: Duration) {
        if self.seen.is_multiple_of(self.stride) {
            if self.micros.len() == KEPT {
                let mut nth = 0_u32;
                self.micros.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.stride = self.stride.saturating_mul(2);
            }
            if self.seen.is_multiple_of(self.stride) {
                self.micros.push(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
            }
        }
        self.seen = self.seen.saturating_add(1);
    }

    /// How many there were.
    pub(super) const fn count(&self) -> u32 {
        self.seen
    }

    /// The 90th percentile in seconds, and a window without samples.
    pub(super) fn take_p90(&mut self) -> Option<f64> {
        let rank = (self.micros.len() * 9).div_ceil(10).checked_sub(1)?;
        let (_, p90, _) = self.micros.select_nth_unstable(rank);
        let seconds = f64::from(*p90) / 1e6;
        self.clear();
        Some(seconds)
    }

    pub(super) fn clear(&mut self) {
        self.micros.clear();
        (self.seen, self.stride) = (0, 1);
    }
}

/// The median of the last few values: one odd window decides nothing.
#[derive(Clone, Debug)]
pub(super) struct Median<const N: usize> {
    last: VecDeque<f64>,
}

impl<const N: usize> Median<N> {
    pub(super) fn new() -> Median<N> {
        Median { last: VecDeque::with_capacity(N) }
    }

    pub(super) fn add(&mut self, value: f64) -> f64 {
        if self.last.len() == N {
            self.last.pop_front();
        }
        self.last.push_back(value);
        let mut sorted: Vec<f64> = self.last.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(value)
    }
}

/// Of fewer pairs nothing is said: two are always in line.
const FEWEST_PAIRS: f64 = 8.0;

/// Pairs of values of the last windows, and whether one follows the other.
#[derive(Clone, Debug)]
pub(super) struct Pairs<const N: usize> {
    pairs: VecDeque<(f64, f64)>,
}

/// What pairs say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Relation {
    /// Pearson's coefficient, -1 to 1; 0 as long as one of both does not move.
    pub(super) correlation: f64,
    /// Coefficient of variation of the second value.
    pub(super) variation: f64,
    /// That of the first one.
    pub(super) spread: f64,
}

impl<const N: usize> Pairs<N> {
    pub(super) fn new() -> Pairs<N> {
        Pairs { pairs: VecDeque::with_capacity(N) }
    }

    pub(super) fn add(&mut self, x: f64, y: f64) -> Relation {
        if self.pairs.len() == N {
            self.pairs.pop_front();
        }
        self.pairs.push_back((x, y));
        self.relation()
    }

    pub(super) fn clear(&mut self) {
        self.pairs.clear();
    }

    fn relation(&self) -> Relation {
        let n = self.pairs.len() as f64;
        if n < FEWEST_PAIRS {
            return Relation::default();
        }
        let (sum_x, sum_y) = self.pairs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mean_x, mean_y) = (sum_x / n, sum_y / n);
        let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
        for (x, y) in &self.pairs {
            let (dx, dy) = (x - mean_x, y - mean_y);
            (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy);
        }
        let both = (xx * yy).sqrt();
        let correlation = if both > f64::EPSILON { xy / both } else { 0.0 };
        let of_mean = |squares: f64, mean: f64| if mean > 0.0 { (squares / n).sqrt() / mean } else { 0.0 };
        Relation { correlation, variation: of_mean(yy, mean_y), spread: of_mean(xx, mean_x) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_of_many_is_that_of_all_and_no_more_are_kept() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.take_p90(), None);
        for n in 0..100_000_u64 {
            // A fixed shuffle of 1 to 1000 ms.
            latencies.add(Duration::from_millis(n * 7_919 % 1_000 + 1));
            assert!(latencies.micros.len() <= KEPT);
        }
        assert_eq!(latencies.count(), 100_000);
        let p90 = latencies.take_p90().expect("samples");
        assert!((0.85..0.95).contains(&p90), "{p90}");
        assert_eq!(latencies.count(), 0);
        (1..=10).for_each(|n| latencies.add(Duration::from_millis(n)));
        assert_eq!(latencies.take_p90(), Some(0.009));
    }

    #[test]
    fn the_median_ignores_one_odd_value_and_follows_a_step_after_half_its_length() {
        let mut median = Median::<5>::new();
        for value in [1.0, 1.0, 1.0, 9.0] {
            assert_eq!(median.add(value), 1.0);
        }
        let followed: Vec<f64> = (0..4).map(|_| median.add(9.0)).collect();
        assert_eq!(followed, [1.0, 9.0, 9.0, 9.0]);
    }

    #[test]
    fn pairs_know_what_rises_together_falls_apart_and_stands_still() {
        let relation = |of: &dyn Fn(f64) -> f64| {
            let mut pairs = Pairs::<10>::new();
            (0..20).map(|n| pairs.add(f64::from(n), of(f64::from(n)))).last().expect("twenty")
        };
        assert!((relation(&|x| 2.0 * x).correlation - 1.0).abs() < 1e-9);
        assert!((relation(&|x| -x).correlation + 1.0).abs() < 1e-9);
        let still = relation(&|_| 5.0);
        assert_eq!((still.correlation, still.variation), (0.0, 0.0));
        assert!((still.spread - 8.25_f64.sqrt() / 14.5).abs() < 1e-9, "of 10..=19");
        // Of 10..=19 the deviation is sqrt(8.25), the mean 14.5.
        assert!((relation(&|x| x).variation - 8.25_f64.sqrt() / 14.5).abs() < 1e-9);
    }
}
