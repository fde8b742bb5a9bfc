//! Latency: peak EWMA per endpoint, streaming quantiles per dependency. Skeleton: to be filled.
use std::time::{Duration, Instant};
/// Peak-sensitive EWMA of round-trip times (tower/linkerd, Finagle). Decay 10 s, start 30 ms.
#[derive(Clone, Debug)]
pub struct PeakEwma { _p: () }
impl PeakEwma {
    pub fn new(now: Instant, start: Duration, decay: Duration) -> Self { let _ = (now, start, decay); PeakEwma { _p: () } }
    pub fn record(&mut self, now: Instant, rtt: Duration) { let _ = (now, rtt); todo!() }
    /// decayed to `now`, in seconds
    pub fn value(&self, now: Instant) -> f64 { let _ = now; todo!() }
}
/// Log-linear histogram over two rotating windows; bounded memory; p50/p99 in O(buckets), cached by count.
#[derive(Clone, Debug)]
pub struct Quantiles { _p: () }
impl Quantiles {
    pub fn new(now: Instant) -> Self { let _ = now; Quantiles { _p: () } }
    pub fn record(&mut self, now: Instant, value: Duration) { let _ = (now, value); todo!() }
    pub fn count(&self, now: Instant) -> u64 { let _ = now; todo!() }
    /// None below 1 sample
    pub fn quantile(&self, now: Instant, q: f64) -> Option<Duration> { let _ = (now, q); todo!() }
    /// cheap: recomputed at most every 100 ms
    pub fn p50(&mut self, now: Instant) -> Option<Duration> { let _ = now; todo!() }
    pub fn p99(&mut self, now: Instant) -> Option<Duration> { let _ = now; todo!() }
}
