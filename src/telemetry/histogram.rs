//! Latency histograms that cost two atomic additions per sample.
//!
//! `metrics-exporter-prometheus` keeps every sample with its time until someone drains it: memory and work
//! grow with the rate of requests. Buckets are fixed here instead, so a sample is a search among 17 numbers
//! and two additions, and memory does not depend on traffic.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds. OpenTelemetry's advice for HTTP durations starts at 5 ms; a proxy that adds
/// tens of microseconds needs 0.5, 1 and 2.5 ms as well.
const BOUNDS_MICROS: [u64; 17] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000,
    5_000_000, 7_500_000, 10_000_000,
];

/// The same bounds as `le` label values, in seconds.
const BOUNDS_TEXT: [&str; 17] = [
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5",
    "5", "7.5", "10",
];

/// Durations counted in fixed buckets. Safe to record from any thread.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; the last one is above every bound.
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    /// Microseconds, not nanoseconds: 10,000 requests in flight would wrap the latter in three weeks.
    sum_micros: AtomicU64,
}

/// A histogram at one moment. `count` is the sum of the buckets, so that the two never disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSnapshot {
    /// `(le, samples at or below it)`, rising; without `+Inf`, which is `count`.
    pub cumulative: Vec<(&'static str, u64)>,
    /// All samples.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
}

impl Histogram {
    /// Counts one duration, rounded to the nearest microsecond for the sum.
    pub fn record(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        // Rounded up for the choice of bucket: 500.001 µs is above the bound of 500 µs.
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < nanos.div_ceil(1_000));
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(nanos.saturating_add(500) / 1_000, Ordering::Relaxed);
    }

    /// What has been recorded so far. Samples recorded meanwhile may be in the sum and not yet in the count.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(BOUNDS_TEXT.len());
        for (i, bucket) in self.counts.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(le) = BOUNDS_TEXT.get(i) {
                cumulative.push((*le, count));
            }
        }
        let sum_seconds = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        HistogramSnapshot { cumulative, count, sum_seconds }
    }
}

/// Room for series, shared by the whole process. A label that a client or an upstream can choose must not
/// decide how much memory we use.
#[derive(Debug)]
pub struct SeriesLimit {
    used: AtomicUsize,
    max: usize,
    refused: AtomicU64,
}

impl SeriesLimit {
    /// Room for `max` label sets; one histogram counts as one.
    pub const fn new(max: usize) -> Self {
        SeriesLimit { used: AtomicUsize::new(0), max, refused: AtomicU64::new(0) }
    }

    /// Takes room for one label set, or counts that there was none.
    pub fn reserve(&self) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.max).then_some(n + 1));
        if taken.is_err() {
            self.refuse();
        }
        taken.is_ok()
    }

    fn release(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Label sets in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How often a label set found no room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Label sets that one route may have per histogram. Normal traffic has one to ten; this bounds the walk.
pub const SERIES_PER_ROUTE_MAX: usize = 64;

/// The histograms of one route, by packed label values. Append-only: readers take no lock and never retry.
///
/// The first node is the most common label set of the route, because it was seen first.
#[derive(Debug, Default)]
pub struct HistogramSeries {
    head: OnceLock<Box<Node>>,
    /// Where samples go whose label set found no room.
    overflow: Histogram,
}

#[derive(Debug)]
struct Node {
    key: u32,
    histogram: Histogram,
    next: OnceLock<Box<Node>>,
}

impl HistogramSeries {
    /// Counts `elapsed` under `key`, or under the overflow series if there is no room for another key.
    pub fn record(&self, key: u32, elapsed: Duration, limit: &SeriesLimit) {
        let mut slot = &self.head;
        for _ in 0..SERIES_PER_ROUTE_MAX {
            let node = match slot.get() {
                Some(node) => node,
                None if !limit.reserve() => return self.overflow.record(elapsed),
                None => {
                    let mut appended = false;
                    let node = slot.get_or_init(|| {
                        appended = true;
                        Box::new(Node { key, histogram: Histogram::default(), next: OnceLock::new() })
                    });
                    // Another thread appended here first; its key may be ours or another one.
                    if !appended {
                        limit.release();
                    }
                    node
                }
            };
            if node.key == key {
                return node.histogram.record(elapsed);
            }
            slot = &node.next;
        }
        limit.refuse();
        self.overflow.record(elapsed);
    }

    /// Every series in the order of first use.
    pub fn iter(&self) -> impl Iterator<Item = (u32, HistogramSnapshot)> {
        let mut slot = &self.head;
        std::iter::from_fn(move || {
            let node = slot.get()?;
            slot = &node.next;
            Some((node.key, node.histogram.snapshot()))
        })
    }

    /// The overflow series.
    pub fn overflow(&self) -> HistogramSnapshot {
        self.overflow.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(snapshot: &HistogramSnapshot, le: &str) -> u64 {
        snapshot.cumulative.iter().find(|(bound, _)| *bound == le).map(|(_, n)| *n).unwrap()
    }

    #[test]
    fn a_sample_on_a_bound_belongs_to_that_bucket_and_one_above_to_the_next() {
        let h = Histogram::default();
        h.record(Duration::from_micros(500));
        h.record(Duration::from_nanos(500_001));
        h.record(Duration::from_secs(10));
        h.record(Duration::from_secs(11));
        let s = h.snapshot();
        assert_eq!((at(&s, "0.0005"), at(&s, "0.001"), at(&s, "7.5"), at(&s, "10")), (1, 2, 2, 3));
        assert_eq!(s.count, 4);
        assert!((s.sum_seconds - 21.001).abs() < 1e-9, "{}", s.sum_seconds);
    }

    #[test]
    fn both_spellings_of_the_bounds_agree() {
        for (micros, text) in BOUNDS_MICROS.iter().zip(BOUNDS_TEXT) {
            assert_eq!(text.parse::<f64>().unwrap(), *micros as f64 / 1e6);
        }
    }

    #[test]
    fn an_endless_duration_is_counted_and_does_not_overflow() {
        let h = Histogram::default();
        h.record(Duration::MAX);
        assert_eq!(h.snapshot().count, 1);
    }

    #[test]
    fn keys_beyond_the_limit_share_one_overflow_series_and_are_counted() {
        let limit = SeriesLimit::new(2);
        let series = HistogramSeries::default();
        for key in [1, 2, 3, 1, 4] {
            series.record(key, Duration::from_millis(1), &limit);
        }
        let counts: Vec<_> = series.iter().map(|(key, s)| (key, s.count)).collect();
        assert_eq!(counts, [(1, 2), (2, 1)]);
        assert_eq!((series.overflow().count, limit.refused(), limit.used()), (2, 2, 2));
    }

    #[test]
    fn one_route_cannot_take_all_the_room() {
        let limit = SeriesLimit::new(10_000);
        let series = HistogramSeries::default();
        for key in 0..1_000 {
            series.record(key, Duration::from_millis(1), &limit);
        }
        assert_eq!((series.iter().count(), limit.used()), (SERIES_PER_ROUTE_MAX, SERIES_PER_ROUTE_MAX));
        assert_eq!(series.overflow().count, 1_000 - SERIES_PER_ROUTE_MAX as u64);
    }

    #[test]
    fn threads_that_append_at_once_lose_no_sample_and_no_room() {
        let (limit, series) = (SeriesLimit::new(100), HistogramSeries::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..8_000).for_each(|i| series.record(i % 8, Duration::from_millis(1), &limit)));
            }
        });
        assert!(series.iter().all(|(_, s)| s.count == 4_000));
        assert_eq!((series.iter().count(), limit.used(), limit.refused()), (8, 8, 0));
    }
}
