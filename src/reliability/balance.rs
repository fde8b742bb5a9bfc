//! Which endpoint. Skeleton: to be filled.
use super::entropy::Entropy;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance { PeakEwma, LeastRequest, RoundRobin, Hash }
/// What a pick may know of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct View { /// not ejected (or ejection ignored)
    pub available: bool, /// used by this request before
    pub used: bool, /// attempts in flight
    pub pending: u32, /// decayed EWMA in seconds
    pub ewma: f64 }
/// Index of the endpoint, None only if n == 0. Prefers available and unused; then available and used... then any (panic).
/// `turn` is the caller's round-robin counter. Asks `view` for as few endpoints as possible (P2C: two, a few re-draws, then a scan).
pub fn pick(by: Balance, n: usize, turn: usize, view: impl Fn(usize) -> View, entropy: &mut impl Entropy) -> Option<usize> { let _ = (by, n, turn, view, entropy); todo!() }
/// `order`: endpoints in ring order of preference (hash); the first available and unused one.
pub fn first_available(order: impl Iterator<Item = usize>, view: impl Fn(usize) -> View) -> Option<usize> { let _ = (order, view); todo!() }
