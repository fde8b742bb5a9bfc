//! The test language: the program under test, clients that see every byte, and load.
//!
//! Behind feature `testing`; never part of the shipped program. Everything here panics with what it saw when
//! an expectation fails, and everything that waits has a [`BOUND`]: a test fails, it does not hang.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test says what it saw by a panic, and measures from outside"
)]

pub mod certificates;
mod client;
mod dns;
pub mod frames;
pub mod http2;
mod load;
mod metrics;
mod policies;
mod program;
mod redis;
mod tls;
mod volume;

use std::net::SocketAddr;
use std::time::Duration;

pub use certificates::{Authority, Identity, IdentityFiles, Leaf};
pub use client::{Answer, Client, get};
pub use dns::NameServer;
pub use frames::{Frame, Frames, FramesServer};
pub use http2::{Exchange, Http2, Http2Answer};
pub use load::{Load, Report};
pub use metrics::Metrics;
pub use policies::{PolicySize, RoutedRequest};
pub use program::{Program, Signal, free_address};
pub use redis::RedisServer;
pub use tls::{ClientTls, ClientTlsBuilder, Handshake};
pub use volume::Volume;

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

/// Waits until every connection to this address of a local server has been closed by the server, and the other
/// side's kernel knows. That the server has called `close` is not enough: on a busy machine the last segment may
/// still be on its way when the next request arrives.
pub async fn closed_by(server: SocketAddr) {
    const ESTABLISHED: &str = "01";
    let remote = format!(":{:04X}", server.port());
    eventually("closed connections", async || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let open = sockets.lines().skip(1).any(|line| {
            let mut columns = line.split_whitespace().skip(2);
            columns.next().is_some_and(|r| r.ends_with(&remote)) && columns.next() == Some(ESTABLISHED)
        });
        (!open).then_some(())
    })
    .await;
}
