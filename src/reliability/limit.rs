//! In-flight limit with a bounded queue. Skeleton: to be filled.
use std::time::{Duration, Instant};
/// `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits { /// connections per endpoint; default 128
    pub connections: u32, /// requests in flight per upstream; default 256
    pub requests: u32, /// queued requests per upstream; default 64
    pub pending: u32 }
/// Counts slots and waiters; the queue of wakers itself is the shell's.
#[derive(Debug)]
pub struct Limit { in_flight: u32 }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission { Granted, /// wait at most this long, then `on_abandoned`
    Queue { max_wait: Duration }, Full }
impl Limit {
    pub fn new() -> Self { Limit { in_flight: 0 } }
    /// max wait = min(25 % of the remaining deadline, 100 ms)
    pub fn admit(&mut self, limits: &Limits, now: Instant, deadline: Instant) -> Admission { let _ = (limits, now, deadline, self.in_flight); todo!() }
    /// a slot came back: true = hand it to the next waiter (in_flight unchanged), false = freed
    pub fn release(&mut self, limits: &Limits) -> bool { let _ = limits; todo!() }
    /// a waiter gave up before it got a slot
    pub fn on_abandoned(&mut self) { todo!() }
    pub fn in_flight(&self) -> u32 { todo!() }
    pub fn waiting(&self) -> u32 { todo!() }
}
impl Default for Limit { fn default() -> Self { Self::new() } }
