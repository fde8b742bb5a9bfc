//! What was counted of one upstream, second by second for a minute and in steps of ten seconds for ten minutes.

use crate::reliability::ending::{Endings, began_anew};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Buckets of [`Latencies`].
pub const LATENCY_BUCKETS: usize = 42;

/// Latencies of successful attempts: two buckets per power of two, from 64 µs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latencies(pub [u32; LATENCY_BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Latencies([0; LATENCY_BUCKETS])
    }
}

/// The bucket of a latency.
pub fn latency_bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(64);
    let octave = micros.ilog2();
    let upper_half = micros >> (octave - 1) & 1;
    ((octave as usize - 6) * 2 + upper_half as usize).min(LATENCY_BUCKETS - 1)
}

impl Latencies {
    /// How many.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The middle of the bucket in which the quantile `q` (0 to 1) lies. None = no samples.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let octave = 64_u64 << (at / 2);
        // A half of an octave begins at 1 or 1.5 times its power of two, and is half of that power wide.
        Some(Duration::from_micros(octave + octave / 2 * (at as u64 % 2) + octave / 4))
    }
}

/// What happened to one upstream in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Requests, by how they ended for their client.
    pub requests: Endings,
    /// Attempts.
    pub attempts: Endings,
    /// Of the attempts, those that were not a request's first.
    pub retries: u32,
    /// Requests that succeeded after a failed attempt.
    pub rescued: u32,
    /// Of successful attempts.
    pub latencies: Latencies,
}

impl Tick {
    /// What came after `earlier`, where both are readings of counters that only grow, modulo 2^32. Counters that ran
    /// backwards have begun anew: an upstream that is removed and comes back within a second is another one.
    pub fn since(&self, earlier: &Tick) -> Tick {
        let came = Tick {
            requests: self.requests - earlier.requests,
            attempts: self.attempts - earlier.attempts,
            retries: self.retries.wrapping_sub(earlier.retries),
            rescued: self.rescued.wrapping_sub(earlier.rescued),
            latencies: Latencies(std::array::from_fn(|at| self.latencies.0[at].wrapping_sub(earlier.latencies.0[at]))),
        };
        let endings = came.requests.0.iter().chain(&came.attempts.0);
        let mut counts = endings.chain([&came.retries, &came.rescued]).chain(&came.latencies.0);
        if counts.any(|count| began_anew(*count)) { *self } else { came }
    }
}

impl AddAssign for Tick {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.retries = self.retries.saturating_add(other.retries);
        self.rescued = self.rescued.saturating_add(other.rescued);
        for (mine, theirs) in self.latencies.0.iter_mut().zip(other.latencies.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// Length of the fine steps.
pub const FINE: Duration = Duration::from_secs(1);
/// Length of the coarse steps.
pub const COARSE: Duration = Duration::from_secs(10);
/// Steps of each kind that are kept.
pub const STEPS: usize = 60;

/// The ring of one step length.
#[derive(Clone, Debug)]
struct Ring {
    step: Duration,
    /// Number of the newest step.
    newest: u64,
    ticks: Box<[Tick]>,
}

impl Ring {
    fn new(step: Duration) -> Ring {
        Ring { step, newest: 0, ticks: vec![Tick::default(); STEPS].into_boxed_slice() }
    }

    fn number(&self, since_origin: Duration) -> u64 {
        (since_origin.as_nanos() / self.step.as_nanos().max(1)) as u64
    }

    fn record(&mut self, at: Duration, tick: &Tick) {
        let number = self.number(at).max(self.newest);
        for stale in (self.newest + 1..=number).rev().take(STEPS) {
            self.ticks[stale as usize % STEPS] = Tick::default();
        }
        self.newest = number;
        self.ticks[number as usize % STEPS] += *tick;
    }

    /// Steps that begin in `from..to`, oldest first, as far as they are kept.
    fn steps(&self, from: Duration, to: Duration) -> impl Iterator<Item = (Duration, &Tick)> {
        let oldest = (self.newest + 1).saturating_sub(STEPS as u64);
        // A step that has begun before `from` belongs to the time before it.
        let first = self.number(from) + u64::from(!from.as_nanos().is_multiple_of(self.step.as_nanos().max(1)));
        let step = self.step;
        (first.max(oldest)..=self.newest)
            .map(move |number| (step.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)), number))
            .take_while(move |(begins, _)| *begins < to)
            .map(|(begins, number)| (begins, &self.ticks[number as usize % STEPS]))
    }
}

/// Of one upstream. About 34 KiB.
#[derive(Clone, Debug)]
pub struct History {
    origin: Instant,
    fine: Ring,
    coarse: Ring,
}

impl History {
    /// Nothing happened yet.
    pub fn new(now: Instant) -> History {
        History { origin: now, fine: Ring::new(FINE), coarse: Ring::new(COARSE) }
    }

    /// `tick` happened in the step that ends at `now`. To be called about once per [`FINE`].
    pub fn record(&mut self, now: Instant, tick: &Tick) {
        // What is counted at the end of a second happened in that second.
        let at = now.saturating_duration_since(self.origin).saturating_sub(FINE / 2);
        self.fine.record(at, tick);
        self.coarse.record(at, tick);
    }

    /// The sum from `from` until `to`; by the second within the last minute, by ten seconds before that.
    pub fn sum(&self, from: Instant, to: Instant) -> Tick {
        let mut sum = Tick::default();
        self.steps(from, to).for_each(|(_, tick)| sum += *tick);
        sum
    }

    /// The steps that begin within `from..to`, oldest first: when each begins, and what happened in it.
    pub fn steps(&self, from: Instant, to: Instant) -> impl Iterator<Item = (Instant, &Tick)> {
        let since = |at: Instant| at.saturating_duration_since(self.origin);
        let (from, to) = (since(from), since(to));
        let oldest_fine = FINE.saturating_mul((self.fine.newest + 1).saturating_sub(STEPS as u64) as u32);
        // From here on seconds are kept; the border is one of both rings.
        let border = COARSE.saturating_mul(oldest_fine.as_secs().div_ceil(COARSE.as_secs()) as u32);
        let coarse = self.coarse.steps(from, to.min(border));
        let fine = self.fine.steps(from.max(border), to);
        coarse.chain(fine).map(|(begins, tick)| (self.origin + begins, tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::ending::Ending;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn one() -> Tick {
        let mut tick = Tick::default();
        tick.requests.add(Ending::Success, 1);
        tick
    }

    /// One request a second, counted at its end.
    fn filled(t0: Instant, length: u64) -> History {
        let mut history = History::new(t0);
        (1..=length).for_each(|second| history.record(t0 + seconds(second), &one()));
        history
    }

    #[test]
    fn a_sum_counts_each_second_once_over_both_rings() {
        let t0 = Instant::now();
        for length in [1, 9, 10, 59, 60, 61, 75, 300, 599] {
            let history = filled(t0, length);
            let all = history.sum(t0, t0 + seconds(length));
            assert_eq!(all.requests.total(), length, "after {length} s");
        }
        let history = filled(t0, 300);
        assert_eq!(history.sum(t0 + seconds(290), t0 + seconds(300)).requests.total(), 10);
        assert_eq!(history.sum(t0 + seconds(100), t0 + seconds(200)).requests.total(), 100);
    }

    #[test]
    fn what_is_older_than_ten_minutes_is_forgotten() {
        let t0 = Instant::now();
        let history = filled(t0, 5_000);
        let kept = history.sum(t0, t0 + seconds(5_000)).requests.total();
        assert!((590..=600).contains(&kept), "{kept}");
    }

    #[test]
    fn an_idle_gap_of_any_length_empties_it() {
        let t0 = Instant::now();
        for gap in [61, 601, 86_400 * 365] {
            let mut history = filled(t0, 60);
            history.record(t0 + seconds(60 + gap), &one());
            let minute = history.sum(t0 + seconds(gap), t0 + seconds(60 + gap));
            assert!(minute.requests.total() <= 10, "after {gap} s: {}", minute.requests.total());
        }
    }

    #[test]
    fn counters_that_begin_anew_are_not_taken_for_billions() {
        let mut before = one();
        before.requests.add(Ending::Error, 7);
        before.retries = 3;
        let mut after = Tick::default();
        after.attempts.add(Ending::Success, 2);
        assert_eq!(after.since(&before), after, "another upstream of that name");
        assert_eq!(after.requests.since(&before.requests).total(), 0);
        let wrapped = |count: u32| Tick { retries: count, ..Tick::default() };
        assert_eq!(wrapped(4).since(&wrapped(u32::MAX - 5)).retries, 10, "one that wraps goes on");
    }

    #[test]
    fn quantiles_are_within_a_quarter() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000_u64 {
            latencies.0[latency_bucket(Duration::from_millis(millis))] += 1;
        }
        for (q, wanted) in [(0.5, 0.5), (0.99, 0.99), (0.1, 0.1)] {
            let found = latencies.quantile(q).unwrap().as_secs_f64();
            assert!((found / wanted - 1.0_f64).abs() < 0.3, "{q}: {found}");
        }
        assert_eq!(Latencies::default().quantile(0.5), None);
        assert!(latency_bucket(Duration::MAX) < LATENCY_BUCKETS);
        assert_eq!(latency_bucket(Duration::ZERO), 0);
    }
}
