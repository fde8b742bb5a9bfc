//! Adaptive throttling of a dependency. Skeleton: to be filled.
use super::entropy::Entropy;
use std::time::{Duration, Instant};
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottlePolicy { /// default 2.0
    pub k: f64, /// default 10 s
    pub window: Duration, /// default 0.9
    pub max_rejection: f64, /// default 20
    pub min_requests: u32, pub observe: bool }
#[derive(Debug)]
pub struct Throttle { policy: ThrottlePolicy }
impl Throttle {
    pub fn new(policy: ThrottlePolicy, now: Instant) -> Self { let _ = now; Throttle { policy } }
    pub fn reconfigure(&mut self, policy: ThrottlePolicy, now: Instant) { let _ = now; self.policy = policy; }
    /// counts the request at send (also when rejected); false = reject. `retry`: rejected first.
    pub fn admit(&mut self, now: Instant, retry: bool, entropy: &mut impl Entropy) -> bool { let _ = (now, retry, entropy, &self.policy); todo!() }
    pub fn on_accept(&mut self, now: Instant) { let _ = now; todo!() }
    pub fn rejection(&self, now: Instant) -> f64 { let _ = now; todo!() }
}
