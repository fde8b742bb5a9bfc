//! The test language: the program under test, clients that see every byte, and load.
//!
//! Behind feature `testing`; never part of the shipped program. Everything here panics with what it saw when
//! an expectation fails, and everything that waits has a [`BOUND`]: a test fails, it does not hang.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test says what it saw by a panic, and measures from outside"
)]

mod client;
mod load;
mod metrics;
mod policies;
mod program;

use std::time::Duration;

pub use client::{Answer, Client, get};
pub use load::{Load, Report};
pub use metrics::Metrics;
pub use policies::{PolicySize, RoutedRequest};
pub use program::{Program, Signal, free_address};

/// The longest that any single step of a test may take. Far above what it needs on a busy machine: reaching
/// it means failure, and no test passes or fails by how fast it was.
pub const BOUND: Duration = Duration::from_secs(20);

/// Time between two looks at something outside this process that cannot be awaited.
const POLL: Duration = Duration::from_millis(5);

/// Waits for `step`; panics with `what` after [`BOUND`].
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, step).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {BOUND:?}"),
    }
}

/// Looks until `look` returns something; panics with `what` after [`BOUND`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}
