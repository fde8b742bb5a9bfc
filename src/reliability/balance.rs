//! Which endpoint gets the next attempt.
//!
//! Power of two choices: of two endpoints drawn at random the cheaper one. It balances nearly as well as
//! looking at all of them, costs the same for a thousand endpoints as for three, and does not send every
//! sidecar to the same best endpoint at once.

use super::entropy::Entropy;

mod slow_start;

pub use slow_start::{Company, ramp};

/// Pairs drawn before all endpoints are looked at. Outside panic at least half are available, so four pairs
/// miss with probability 0.5^8 = 0.4 % (Finagle: effort e such that u^2e ≤ 1 %, 4 at u = 0.5).
const EFFORT: usize = 4;

/// `balance.by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// two choices by expected wait: peak EWMA × (attempts in flight + 1)
    PeakEwma,
    /// two choices by attempts in flight
    LeastRequest,
    /// each in turn
    RoundRobin,
    /// by ring order, see [`first_available`]; through [`pick`] in index order
    Hash,
}

/// What a pick may know of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// not ejected (or ejection ignored)
    pub available: bool,
    /// used by this request before
    pub used: bool,
    /// attempts in flight
    pub pending: u32,
    /// decayed EWMA in seconds
    pub ewma: f64,
    /// 1 = a full member of the set; less while it starts slowly: a draw of it is accepted with this probability
    pub weight: f64,
}

impl View {
    /// Lower is better. A used endpoint that is available beats an ejected one that is not used. One that starts
    /// slowly draws lots, each time it is asked.
    fn rank(&self, entropy: &mut impl Entropy) -> u8 {
        match (self.available, self.used) {
            (true, false) if self.weight >= 1.0 || entropy.unit() < self.weight => 0,
            (true, false) => 1,
            (true, true) => 2,
            (false, false) => 3,
            (false, true) => 4,
        }
    }

    fn cost(&self, by: Balance) -> f64 {
        let places = f64::from(self.pending) + 1.0;
        match by {
            Balance::PeakEwma => self.ewma * places,
            Balance::LeastRequest | Balance::RoundRobin | Balance::Hash => places,
        }
    }
}

/// Index of the endpoint, None only if n == 0. Prefers available and unused; then available and used; then
/// any (panic). `turn` is the caller's round-robin counter. Asks `view` for two endpoints as a rule, for at
/// most `2·EFFORT + n`.
pub fn pick(
    by: Balance,
    n: usize,
    turn: usize,
    view: impl Fn(usize) -> View,
    entropy: &mut impl Entropy,
) -> Option<usize> {
    match by {
        Balance::PeakEwma | Balance::LeastRequest => two_choices(by, n, view, entropy),
        Balance::RoundRobin => in_turn(n, turn, view, entropy),
        Balance::Hash => first_available(0..n, view, entropy),
    }
}

/// `order`: endpoints in ring order of preference (hash). The first of the best rank, see [`pick`]; None only
/// if `order` is empty.
pub fn first_available(
    order: impl Iterator<Item = usize>,
    view: impl Fn(usize) -> View,
    entropy: &mut impl Entropy,
) -> Option<usize> {
    let mut best: Option<(u8, usize)> = None;
    for index in order {
        let rank = view(index).rank(entropy);
        if rank == 0 {
            return Some(index);
        }
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, index));
        }
    }
    best.map(|(_, index)| index)
}

/// The one whose turn it is. What it does not take is dealt out by lot: its neighbour alone would bear it twice.
fn in_turn(n: usize, turn: usize, view: impl Fn(usize) -> View, entropy: &mut impl Entropy) -> Option<usize> {
    let mut start = turn.checked_rem(n)?;
    for _ in 0..=EFFORT {
        if view(start).rank(entropy) == 0 {
            return Some(start);
        }
        start = entropy.below(n);
    }
    first_available((start..n).chain(0..start), view, entropy)
}

fn two_choices(by: Balance, n: usize, view: impl Fn(usize) -> View, entropy: &mut impl Entropy) -> Option<usize> {
    if n < 2 {
        return n.checked_sub(1);
    }
    let mut held: Option<(usize, View)> = None;
    for _ in 0..EFFORT {
        let first = entropy.below(n);
        // Drawn from the others, so that the two differ.
        let second = (first + 1 + entropy.below(n - 1)) % n;
        for index in [first, second] {
            let candidate = view(index);
            if candidate.rank(entropy) != 0 {
                continue;
            }
            match held {
                None => held = Some((index, candidate)),
                Some(other) if other.0 != index => return Some(cheaper(by, other, (index, candidate))),
                Some(_) => {}
            }
        }
    }
    scan(by, n, view, entropy)
}

/// Two choices among exactly those of the best rank: one walk, reservoir sampling of two.
fn scan(by: Balance, n: usize, view: impl Fn(usize) -> View, entropy: &mut impl Entropy) -> Option<usize> {
    let mut best = u8::MAX;
    let mut seen = 0;
    let mut drawn: [Option<(usize, View)>; 2] = [None, None];
    for index in 0..n {
        let candidate = view(index);
        let rank = candidate.rank(entropy);
        if rank > best {
            continue;
        }
        if rank < best {
            best = rank;
            seen = 0;
            drawn = [None, None];
        }
        seen += 1;
        let place = if seen <= 2 { seen - 1 } else { entropy.below(seen) };
        if let Some(slot) = drawn.get_mut(place) {
            *slot = Some((index, candidate));
        }
    }
    match drawn {
        // Drawn in index order: without the coin, equal cost would favour low indices.
        [Some(low), Some(high)] if entropy.below(2) == 0 => Some(cheaper(by, low, high)),
        [Some(low), Some(high)] => Some(cheaper(by, high, low)),
        [Some((only, _)), None] | [None, Some((only, _))] => Some(only),
        [None, None] => None,
    }
}

/// On equal cost the one drawn first.
fn cheaper(by: Balance, first: (usize, View), second: (usize, View)) -> usize {
    let order = second.1.cost(by).total_cmp(&first.1.cost(by)).then(second.1.pending.cmp(&first.1.pending));
    if order.is_lt() { second.0 } else { first.0 }
}

#[cfg(test)]
mod tests;
