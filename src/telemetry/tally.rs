//! Counts that only grow, written by the data plane and read once a second by the observer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::reliability::ending::{Ending, Endings};
use crate::reliability::verdict::history::{LATENCY_BUCKETS, Latencies, Tick, latency_bucket};

/// How many ended how.
#[derive(Debug, Default)]
pub struct EndingTally([AtomicU64; Ending::ALL.len()]);

impl EndingTally {
    /// One more.
    pub fn add(&self, ending: Ending) {
        self.0[ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended in a way that is wanted.
    pub fn sum(&self, wanted: impl Fn(Ending) -> bool) -> u64 {
        let counts = Ending::ALL.iter().filter(|ending| wanted(**ending));
        counts.map(|ending| self.0[*ending as usize].load(Ordering::Relaxed)).fold(0, u64::saturating_add)
    }

    /// The counts, modulo 2^32: their differences are right for as long as less than that happens between two looks.
    pub fn read(&self) -> Endings {
        Endings(std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed) as u32))
    }
}

/// What happened to one upstream since the process first saw it.
#[derive(Debug)]
pub struct Tally {
    /// Requests, by how they ended for their client.
    pub requests: EndingTally,
    /// Attempts.
    pub attempts: EndingTally,
    retries: AtomicU64,
    rescued: AtomicU64,
    latencies: [AtomicU64; LATENCY_BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            requests: EndingTally::default(),
            attempts: EndingTally::default(),
            retries: AtomicU64::new(0),
            rescued: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Tally {
    /// An attempt ended after `elapsed`. `again`: it was not its request's first.
    pub fn attempt(&self, ending: Ending, again: bool, elapsed: Duration) {
        self.attempts.add(ending);
        if again {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        if ending == Ending::Success {
            self.latencies[latency_bucket(elapsed)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request ended. `rescued`: well, after an attempt had failed.
    pub fn request(&self, ending: Ending, rescued: bool) {
        self.requests.add(ending);
        if rescued {
            self.rescued.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Retries so far.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Requests so far that succeeded after an attempt had failed.
    pub fn rescued(&self) -> u64 {
        self.rescued.load(Ordering::Relaxed)
    }

    /// The counts of this moment, modulo 2^32.
    pub fn read(&self) -> Tick {
        Tick {
            requests: self.requests.read(),
            attempts: self.attempts.read(),
            retries: self.retries.load(Ordering::Relaxed) as u32,
            rescued: self.rescued.load(Ordering::Relaxed) as u32,
            latencies: Latencies(std::array::from_fn(|at| self.latencies[at].load(Ordering::Relaxed) as u32)),
        }
    }
}
