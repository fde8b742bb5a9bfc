//! Latency: peak EWMA per endpoint, streaming quantiles per dependency.

use std::time::{Duration, Instant};

/// Peak-sensitive moving average of round-trip times (Finagle, tower, linkerd): a sample above it counts at
/// once, one below it by `1 − e^(−t/decay)`. Without samples it falls towards zero, so that an endpoint once
/// slow is tried again.
#[derive(Clone, Debug)]
pub struct PeakEwma {
    seconds: f64,
    at: Instant,
    decay_seconds: f64,
}

impl PeakEwma {
    /// `start`: what an endpoint without history counts as (30 ms, or the pool's p90); `decay`: time
    /// constant (10 s); zero counts as 1 ns.
    pub fn new(now: Instant, start: Duration, decay: Duration) -> Self {
        let decay_seconds = decay.max(Duration::from_nanos(1)).as_secs_f64();
        PeakEwma { seconds: start.as_secs_f64(), at: now, decay_seconds }
    }

    /// One round trip that ended at `now`. Ignored if a later one has been recorded.
    pub fn record(&mut self, now: Instant, rtt: Duration) {
        let Some(elapsed) = now.checked_duration_since(self.at) else { return };
        let keep = self.keep(elapsed);
        let (decayed, sample) = (self.seconds * keep, rtt.as_secs_f64());
        self.seconds = if sample > decayed { sample } else { decayed + sample * (1.0 - keep) };
        self.at = now;
    }

    /// A failed attempt. A failure is often fast and would attract traffic, so it counts as the longest of
    /// its own time, the average, and twice the pool's p99 (linkerd issue 11669).
    pub fn record_failure(&mut self, now: Instant, rtt: Duration, pool_p99: Option<Duration>) {
        let own = rtt.max(Duration::from_secs_f64(self.value(now)));
        self.record(now, own.max(pool_p99.unwrap_or_default().saturating_mul(2)));
    }

    /// Decayed to `now`, in seconds.
    pub fn value(&self, now: Instant) -> f64 {
        self.seconds * self.keep(now.saturating_duration_since(self.at))
    }

    fn keep(&self, elapsed: Duration) -> f64 {
        (-elapsed.as_secs_f64() / self.decay_seconds).exp()
    }
}

/// Buckets per power of two: a bucket is 1/32 of its value wide, and its middle at most 1.6 % off.
const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;
/// Values are kept in microseconds, up to 2^32 − 1 of them (71 min); longer ones count as that.
const VALUE_MAX: u64 = u32::MAX as u64;
const BUCKETS: usize = bucket(VALUE_MAX) + 1;
/// Two of these are read: between 60 and 120 s of history.
const ROTATION: Duration = Duration::from_secs(60);
/// Age up to which a cached quantile is good.
const CACHE: Duration = Duration::from_millis(100);

/// Log-linear histogram over two rotating windows: 7 KiB, allocated once.
#[derive(Clone, Debug)]
pub struct Quantiles {
    origin: Instant,
    /// number of the rotation that `current` belongs to
    rotation: u64,
    current: Histogram,
    previous: Histogram,
    cached: Option<Cached>,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    at: Instant,
    p50: Duration,
    p99: Duration,
}

/// Durations at constant relative precision: 1 µs below 64 µs, 1.6 % above, longest 71 min.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    total: u64,
    buckets: Box<[u32]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { total: 0, buckets: vec![0; BUCKETS].into_boxed_slice() }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(VALUE_MAX).min(VALUE_MAX);
        let count = &mut self.buckets[bucket(micros)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    /// How many.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The value that a share `q` (0 to 1) does not exceed; None without values.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        walk(std::iter::once(self), [q]).map(|[value]| value)
    }

    fn clear(&mut self) {
        if self.total > 0 {
            self.total = 0;
            self.buckets.fill(0);
        }
    }
}

impl Quantiles {
    /// Without samples.
    pub fn new(now: Instant) -> Self {
        Quantiles {
            origin: now,
            rotation: 0,
            current: Histogram::default(),
            previous: Histogram::default(),
            cached: None,
        }
    }

    /// Counts one value.
    pub fn record(&mut self, now: Instant, value: Duration) {
        let rotation = self.rotation_at(now);
        if rotation > self.rotation {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.clear();
            if rotation > self.rotation + 1 {
                self.previous.clear();
            }
            self.rotation = rotation;
        }
        self.current.record(value);
    }

    /// Samples in the last 60 to 120 s.
    pub fn count(&self, now: Instant) -> u64 {
        self.live(now).into_iter().flatten().map(|histogram| histogram.total).sum()
    }

    /// The value that a share `q` (0 to 1) of the samples does not exceed; None without samples. Walks all
    /// buckets: for p50 and p99 per request see [`Quantiles::p50`].
    pub fn quantile(&self, now: Instant, q: f64) -> Option<Duration> {
        self.walk(now, [q]).map(|[value]| value)
    }

    /// Cheap: recomputed at most every 100 ms.
    pub fn p50(&mut self, now: Instant) -> Option<Duration> {
        self.cached(now).map(|cached| cached.p50)
    }

    /// Cheap: recomputed at most every 100 ms.
    pub fn p99(&mut self, now: Instant) -> Option<Duration> {
        self.cached(now).map(|cached| cached.p99)
    }

    fn cached(&mut self, now: Instant) -> Option<Cached> {
        let fresh = self.cached.filter(|cached| now.saturating_duration_since(cached.at) < CACHE);
        if fresh.is_none() {
            self.cached = self.walk(now, [0.5, 0.99]).map(|[p50, p99]| Cached { at: now, p50, p99 });
        }
        self.cached
    }

    /// `shares` in rising order, answered in one walk.
    fn walk<const N: usize>(&self, now: Instant, shares: [f64; N]) -> Option<[Duration; N]> {
        walk(self.live(now).into_iter().flatten(), shares)
    }

    fn live(&self, now: Instant) -> [Option<&Histogram>; 2] {
        match self.rotation_at(now).saturating_sub(self.rotation) {
            0 => [Some(&self.current), Some(&self.previous)],
            1 => [Some(&self.current), None],
            2.. => [None, None],
        }
    }

    fn rotation_at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs() / ROTATION.as_secs()
    }
}

/// Quantiles of all that was counted in `histograms`, for `shares` in rising order; None without values.
fn walk<'h, const N: usize>(
    histograms: impl Iterator<Item = &'h Histogram> + Clone,
    shares: [f64; N],
) -> Option<[Duration; N]> {
    let total: u64 = histograms.clone().map(Histogram::total).sum();
    if total == 0 {
        return None;
    }
    let ranks = shares.map(|q| ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total));
    let mut values = [Duration::ZERO; N];
    let (mut seen, mut next) = (0, 0);
    for index in 0..BUCKETS {
        seen += histograms.clone().map(|histogram| u64::from(histogram.buckets[index])).sum::<u64>();
        while next < N && ranks[next] <= seen {
            values[next] = middle(index);
            next += 1;
        }
    }
    // Only if a bucket is saturated do the buckets hold less than the total.
    values[next..].fill(middle(BUCKETS - 1));
    Some(values)
}

/// Values below 2·SUB have a bucket each; above, each power of two has SUB of them.
const fn bucket(micros: u64) -> usize {
    let magnitude = u64::BITS - (micros | SUB).leading_zeros() - 1;
    let shift = magnitude - SUB_BITS;
    (shift as u64 * SUB + (micros >> shift)) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> Duration {
    let index = index as u64;
    let shift = (index / SUB).saturating_sub(1);
    let low = (index - shift * SUB) << shift;
    Duration::from_nanos(low * 1_000 + ((1_000 << shift) - 1_000) / 2)
}

#[cfg(test)]
mod tests;
