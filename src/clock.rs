//! The only reader of the monotonic clock. Tests may pause it (tokio's virtual time).

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The current moment. Read once per event and passed down as an argument.
#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time, for timestamps that people or other processes read. Never for arithmetic on durations.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Microseconds of the clock that only runs forward, as systemd counts them.
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// [`wall`] in milliseconds since 1970, as stores count; 0 before.
pub fn wall_millis() -> u64 {
    let since = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
