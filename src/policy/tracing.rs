//! `tracing`: which requests are told to a collector, and where it is.

use std::time::Duration;

/// The block, compiled. What it leaves open is the environment's to say (`OTEL_*`).
#[derive(Clone, Debug, PartialEq)]
pub struct TracingPolicy {
    /// `http://HOST:PORT` of a collector.
    pub endpoint: Option<String>,
    /// Share of the traces beginning here that are exported.
    pub sample_ratio: Option<f64>,
    /// Requests that failed, were retried or were denied a retry are exported above the ratio.
    pub errors: bool,
    /// So are requests that took this long.
    pub slow: Option<Duration>,
    /// How many requests a second are exported above the ratio.
    pub keep_per_second: u32,
}

impl Default for TracingPolicy {
    fn default() -> Self {
        TracingPolicy {
            endpoint: None,
            sample_ratio: None,
            errors: true,
            slow: Some(Duration::from_secs(1)),
            keep_per_second: 10,
        }
    }
}
