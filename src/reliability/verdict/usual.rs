//! What an upstream does while nothing is wrong with it: learnt, and slowly forgotten.

use super::history::{LATENCY_BUCKETS, Latencies, Tick, latency_bucket};
use super::rates::{self, Counted, of_aborts, of_attempts, of_requests};
use std::time::Duration;

/// What is kept of a second's weight after another one: half of it after four minutes. Slow enough to outlast a wave
/// of traffic, quick enough to follow a day.
const KEEP: f64 = 0.997;
/// Fewer seconds, or samples, are no habit.
const SECONDS_LEAST: f64 = 4.0;
const LATENCIES_LEAST: f64 = 40.0;

/// A count that fades.
#[derive(Clone, Copy, Debug, Default)]
struct Faded {
    bad: f64,
    all: f64,
}

impl Faded {
    fn learn(&mut self, counted: Counted) {
        self.bad = self.bad * KEEP + counted.bad as f64;
        self.all = self.all * KEEP + counted.all as f64;
    }

    fn share(self) -> f64 {
        rates::usual(self.bad, self.all)
    }
}

/// The habits of one upstream. About 400 bytes.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    requests: Faded,
    attempts: Faded,
    aborts: Faded,
    seconds: f64,
    latencies: [f64; LATENCY_BUCKETS],
}

impl Default for Usual {
    fn default() -> Self {
        let nothing = Faded::default();
        Usual { requests: nothing, attempts: nothing, aborts: nothing, seconds: 0.0, latencies: [0.0; LATENCY_BUCKETS] }
    }
}

impl Usual {
    /// A second in which nothing was wrong.
    pub fn learn(&mut self, tick: &Tick) {
        self.requests.learn(of_requests(&tick.requests));
        self.attempts.learn(of_attempts(&tick.attempts));
        self.aborts.learn(of_aborts(&tick.requests));
        self.seconds = self.seconds * KEEP + 1.0;
        for (mine, new) in self.latencies.iter_mut().zip(tick.latencies.0) {
            *mine = *mine * KEEP + f64::from(new);
        }
    }

    /// Usual share of failed requests.
    pub fn requests(&self) -> f64 {
        self.requests.share()
    }

    /// Usual share of failed attempts.
    pub fn attempts(&self) -> f64 {
        self.attempts.share()
    }

    /// Usual share of requests that clients end.
    pub fn aborts(&self) -> f64 {
        self.aborts.share()
    }

    /// Successful attempts per second; `None` while too little is known.
    pub fn successes_per_second(&self) -> Option<f64> {
        (self.seconds >= SECONDS_LEAST).then(|| self.latencies.iter().sum::<f64>() / self.seconds)
    }

    /// A quantile of the usual latencies; `None` while too little is known.
    pub fn latency(&self, q: f64) -> Option<Duration> {
        let all: f64 = self.latencies.iter().sum();
        if self.seconds < SECONDS_LEAST || all < LATENCIES_LEAST {
            return None;
        }
        let mut seen = 0.0;
        let at = self.latencies.iter().position(|count| {
            seen += count;
            seen >= all * q
        })?;
        let mut only = Latencies::default();
        *only.0.get_mut(at)? = 1;
        only.quantile(0.5)
    }

    /// Usual share of answers that take longer than `limit`.
    pub fn slower(&self, limit: Duration) -> f64 {
        let above: f64 = self.latencies.iter().skip(latency_bucket(limit) + 1).sum();
        rates::usual(above, self.latencies.iter().sum())
    }
}

/// How many answers certainly took longer than `limit`.
pub(super) fn slower(latencies: &Latencies, limit: Duration) -> Counted {
    let above = latencies.0.iter().skip(latency_bucket(limit) + 1).map(|count| u64::from(*count)).sum();
    Counted { bad: above, all: latencies.total() }
}
