//! Backoff. Skeleton: to be filled.
use super::entropy::Entropy;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter { Full, Equal, None }

/// `retry.backoff`, `retry.maxBackoff`, `retry.jitter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff { /// default 25 ms
    pub base: Duration, /// default 250 ms
    pub cap: Duration, pub jitter: Jitter,
    /// overload class: default 250 ms
    pub overload_base: Duration, /// default 2 s
    pub overload_cap: Duration }

impl Backoff {
    /// `retries` already made; `hint` = Retry-After, already capped at 300 s; the hint is a minimum
    pub fn delay(&self, retries: u32, overload: bool, hint: Option<Duration>, entropy: &mut impl Entropy) -> Duration { let _ = (retries, overload, hint, entropy); todo!() }
}
