//! The simulator: virtual time, the very machines that the proxy runs, and small models of what others do.
//!
//! It answers one question: how much load does a retry policy add, and does the system come back? Three
//! models: [`steady`] (failures that just are), [`stall`] (an overloaded server that must recover) and
//! [`writers`] (clients that contend). [`system`] is what `outrigger simulate` plays: any policy, load and faults.
//! Everything is a function of its arguments and a seed; `start` only gives virtual time an origin.

pub mod client;
pub mod overload;
pub mod rivals;
pub mod stall;
pub mod steady;
pub mod system;
pub mod writers;

use super::entropy::Entropy;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// Events in order of time; events of the same instant in order of insertion.
#[derive(Debug)]
pub struct Timeline<E> {
    heap: BinaryHeap<Entry<E>>,
    inserted: u64,
}

#[derive(Debug)]
struct Entry<E> {
    key: Reverse<(Duration, u64)>,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E> Default for Timeline<E> {
    fn default() -> Self {
        Timeline { heap: BinaryHeap::new(), inserted: 0 }
    }
}

impl<E> Timeline<E> {
    /// Adds an event at a time since the start.
    pub fn at(&mut self, time: Duration, event: E) {
        self.heap.push(Entry { key: Reverse((time, self.inserted)), event });
        self.inserted += 1;
    }

    /// Takes the next event; None = nothing will happen any more.
    pub fn pop(&mut self) -> Option<(Duration, E)> {
        let Entry { key: Reverse((time, _)), event } = self.heap.pop()?;
        Some((time, event))
    }
}

/// A time with exponential distribution: the gap between Poisson arrivals, or a memoryless service.
pub fn exponential(per_second: f64, entropy: &mut impl Entropy) -> Duration {
    Duration::from_secs_f64(-(1.0 - entropy.unit()).ln() / per_second)
}

/// `|N(mean, deviation)|` in milliseconds (Box and Muller).
pub fn normal_ms(mean: f64, deviation: f64, entropy: &mut impl Entropy) -> Duration {
    let radius = (-2.0 * (1.0 - entropy.unit()).ln()).sqrt();
    let z = radius * (std::f64::consts::TAU * entropy.unit()).cos();
    Duration::from_secs_f64((mean + deviation * z).abs() / 1000.0)
}

#[cfg(test)]
mod tests;
