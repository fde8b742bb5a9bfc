//! What an operator may set.

use std::time::Duration;

/// `circuitBreaker`.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// length of the window of rates; default 10 s
    pub window: Duration,
    /// samples in the window below which no rate opens; default 20
    pub min_requests: u32,
    /// opens at this failure rate, percent; default 90: what works in part is better served by retries and the throttle
    pub failure_percent: f64,
    /// opens after this many failures in a row; None = off
    pub consecutive_failures: Option<u32>,
    /// opens when calls are slow; None = off
    pub slow_call: Option<SlowCall>,
    /// upper bound of the first open time; grows ×2 per trip up to `max_open`. default 1 s
    pub open: Duration,
    /// upper bound of every open time; default 30 s
    pub max_open: Duration,
    /// probes that must all succeed; default 3
    pub half_open_requests: u32,
    /// a probe not answered in this time counts as failed. default 5 s
    pub probe_timeout: Duration,
    /// report only: the machine runs and publishes its transitions, every attempt is let through
    pub observe: bool,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            window: Duration::from_secs(10),
            min_requests: 20,
            failure_percent: 90.0,
            consecutive_failures: None,
            slow_call: None,
            open: Duration::from_secs(1),
            max_open: Duration::from_secs(30),
            half_open_requests: 3,
            probe_timeout: Duration::from_secs(5),
            observe: false,
        }
    }
}

/// `slowCall`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCall {
    /// strictly longer is slow
    pub threshold: Duration,
    /// opens at this slow rate
    pub percent: f64,
}
