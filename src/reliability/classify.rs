//! What an outcome means. Skeleton: to be filled.
use super::failure::{Failure, Sent};
use std::time::Duration;

/// What came back for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply { /// head of an answer with this status
    Status(u16), Failed(Failure) }

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub reply: Reply, pub sent: Sent,
    /// Retry-After of the answer (429/503), capped at 300 s
    pub retry_after: Option<Duration>,
    /// a peer Outrigger says that its retries are exhausted or denied (`x-outrigger-retry`), or pushback < 0
    pub final_by_peer: bool,
}

/// What the upstream promises for unsafe methods (`idempotency.contract`, or `retry.methods`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract { Opaque, Atomic5xx, Dedupes }

/// `retry.retryOn` as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn { pub connect_failure: bool, pub refused_stream: bool, pub reset: bool, pub timeout: bool }

/// A set of status codes 100..=599, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 8]);
impl StatusSet {
    pub fn insert(&mut self, status: u16) { let _ = status; todo!() }
    pub fn contains(&self, status: u16) -> bool { let _ = status; todo!() }
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ { (100..612).filter(|s| self.contains(*s)) }
}
