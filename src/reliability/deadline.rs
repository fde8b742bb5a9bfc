//! Deadlines. Skeleton: to be filled.
use std::time::{Duration, Instant};

/// `timeouts` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts { /// total over all attempts and backoff; default 15 s
    pub request: Duration, /// one attempt; None = derived
    pub backend_request: Option<Duration>, /// default 250 ms
    pub connect: Duration, /// default 60 s
    pub idle: Duration }

/// Parses `grpc-timeout` (RFC-like: at most 8 digits + H M S m u n). None = malformed (ignored, counted).
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> { let _ = value; todo!() }
/// Parses milliseconds (`x-envoy-expected-rq-timeout-ms`). None = malformed.
pub fn parse_timeout_ms(value: &[u8]) -> Option<Duration> { let _ = value; todo!() }
/// Formats a remainder as grpc-timeout: at most 8 digits, rounds down, never longer than `left`
pub fn format_grpc_timeout(left: Duration) -> String { let _ = left; todo!() }
/// The minimum wins; a caller can shorten, never lengthen. None = already passed (< 1 ms remains).
pub fn inherit(now: Instant, total: Duration, caller: Option<Duration>) -> Option<Instant> { let _ = (now, total, caller); todo!() }
/// What is left at `now`, less the `margin`; zero when nothing is left.
pub fn remaining(now: Instant, deadline: Instant, margin: Duration) -> Duration { let _ = (now, deadline, margin); todo!() }
