//! The only reader of the monotonic clock. Tests may pause it (tokio's virtual time).

use std::time::{Instant, SystemTime};

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
