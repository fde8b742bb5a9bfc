//! What a simulation counts.

use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::latency::Histogram;
use std::time::Duration;

/// A second in which fewer requests succeed is one of trouble, as for the load tests.
const RECOVERED: f64 = 0.99;
/// One second of the counted part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Requests that came in it.
    pub requests: u32,
    /// Of them, those that succeeded.
    pub succeeded: u32,
    /// Requests that endpoints received in it.
    pub received: u32,
    /// Attempts launched in it that were not the first of their request.
    pub again: u32,
    /// Of requests that came in it and were answered.
    pub times: Histogram,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Requests of clients.
    pub requests: u64,
    /// Answered below 400.
    pub succeeded: u64,
    /// Requests that endpoints received: what amplification is counted from.
    pub received: u64,
    /// Attempts launched by the first sidecar, by [`Kind`].
    pub attempts: [u64; Kind::ALL.len()],
    /// Requests that succeeded after their first attempt had failed.
    pub rescued: u64,
    /// Retries that were not made, by [`Denied`].
    pub denied: [u64; Denied::ALL.len()],
    /// Refused unsent because the breaker was open.
    pub refused_open: u64,
    /// Refused unsent by the throttle.
    pub refused_throttle: u64,
    /// Refused unsent by the limit of requests in flight.
    pub refused_limit: u64,
    /// Ended by their deadline.
    pub deadlines: u64,
    /// From arrival to answer, of all requests that were answered.
    pub times: Histogram,
    /// Of those that succeeded.
    pub good_times: Histogram,
    /// Of attempts that were answered well, as the first sidecar saw them.
    pub attempt_times: Histogram,
    /// How long the breakers of all sidecars were open or probing.
    pub open: Duration,
    /// Endpoints ejected.
    pub ejections: u64,
    /// By the second of arrival.
    pub seconds: Vec<Second>,
    /// When breakers were not closed, since the beginning of the counted part; of the last sidecar.
    pub open_spans: Vec<(Duration, Duration)>,
}

/// Spans that are kept for the curves.
pub(super) const SPANS_MAX: usize = 1_000;

impl Outcome {
    pub(super) fn new(duration: Duration) -> Outcome {
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        Outcome {
            requests: 0,
            succeeded: 0,
            received: 0,
            attempts: [0; Kind::ALL.len()],
            rescued: 0,
            denied: [0; Denied::ALL.len()],
            refused_open: 0,
            refused_throttle: 0,
            refused_limit: 0,
            deadlines: 0,
            times: Histogram::default(),
            good_times: Histogram::default(),
            attempt_times: Histogram::default(),
            open: Duration::ZERO,
            ejections: 0,
            seconds: vec![Second::default(); usize::try_from(seconds).unwrap_or(0)],
            open_spans: Vec::new(),
        }
    }

    /// Share of requests that succeeded, 0 to 1.
    pub fn success(&self) -> f64 {
        self.succeeded as f64 / self.requests.max(1) as f64
    }

    /// Requests that endpoints received, per request of a client.
    pub fn amplification(&self) -> f64 {
        self.received as f64 / self.requests.max(1) as f64
    }

    /// Attempts of one kind.
    pub fn attempts_of(&self, kind: Kind) -> u64 {
        Kind::ALL.iter().zip(self.attempts).find(|(of, _)| **of == kind).map_or(0, |(_, count)| count)
    }

    /// From `end`, when the last fault was over, to the end of the last second of trouble. None = there was no second
    /// to judge, infinite = it did not recover.
    pub fn recovery(&self, end: Duration) -> Option<f64> {
        let first = usize::try_from(end.as_secs()).ok()?;
        let after = self.seconds.get(first..)?;
        after.iter().any(|second| second.requests > 0).then_some(())?;
        let sick = |second: &Second| f64::from(second.succeeded) < RECOVERED * f64::from(second.requests);
        match after.iter().rposition(sick) {
            None => Some(0.0),
            Some(last) if after[last + 1..].iter().any(|second| second.requests > 0) => {
                Some(((first + last + 1) as f64 - end.as_secs_f64()).max(0.0))
            }
            Some(_) => Some(f64::INFINITY),
        }
    }
}
