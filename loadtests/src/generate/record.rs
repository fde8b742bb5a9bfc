//! What the clients saw, as it happens.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::results::{ClientSide, Second};

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Longest latency that is told apart, in microseconds: the longest timeout, twice.
const LATENCY_MAX: u64 = 120_000_000;

/// Shares at which a latency curve is drawn: denser towards the end, where it matters.
const QUANTILES: &[f64] = &[
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99,
    0.992, 0.994, 0.995, 0.996, 0.997, 0.998, 0.9985, 0.999, 0.9992, 0.9994, 0.9995, 0.9996, 0.9997, 0.9998, 0.9999,
    0.99995, 0.99999, 1.0,
];

/// Why there was no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client gave up.
    Timeout,
    /// No connection.
    Connect,
    /// The connection ended before the head of the answer was complete.
    Reset,
    /// The connection ended within the answer's body.
    Truncated,
    /// A complete answer of gRPC whose status is not 0.
    GrpcStatus,
    /// No connection was free until the client gave up.
    Unsent,
}

impl Failure {
    /// The word in `outcomes`.
    pub const fn word(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Connect => "connect",
            Failure::Reset => "reset",
            Failure::Truncated => "truncated",
            Failure::GrpcStatus => "grpc-status",
            Failure::Unsent => "unsent",
        }
    }
}

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// Of its body.
    pub bytes: u64,
}

/// The recorder of one play.
#[derive(Debug)]
pub struct Record {
    latency: Histogram<u32>,
    failures: Histogram<u32>,
    lag: Histogram<u32>,
    seconds: Vec<(Second, Histogram<u32>)>,
    side: ClientSide,
    failed: u64,
}

impl Record {
    /// For a play of this length.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's own words.
    pub fn new(duration: Duration) -> Result<Record, String> {
        let empty = || Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).map_err(|e| e.to_string());
        let second = || Histogram::new(DIGITS).map(|h| (Second::default(), h)).map_err(|e| e.to_string());
        Ok(Record {
            latency: empty()?,
            failures: empty()?,
            lag: empty()?,
            seconds: (0..duration.as_secs_f64().ceil().max(1.0) as u64).map(|_| second()).collect::<Result<_, _>>()?,
            side: ClientSide::default(),
            failed: 0,
        })
    }

    /// How one request ended that said it was critical; counted besides [`Record::outcome`].
    pub fn critical(&mut self, outcome: Result<Answered, Failure>) {
        self.side.critical += 1;
        self.side.critical_ok += u64::from(outcome.is_ok_and(|answered| (200..400).contains(&answered.status)));
    }

    /// How one request ended: intended at `due` since the beginning, over after `latency`.
    pub fn outcome(&mut self, due: Duration, latency: Duration, outcome: Result<Answered, Failure>) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let last = self.seconds.len() - 1;
        let (second, latencies) = &mut self.seconds[(due.as_secs() as usize).min(last)];
        self.side.intended += 1;
        second.intended += 1;
        let success = match outcome {
            Ok(answered) => {
                self.latency.saturating_record(micros);
                // It grows as needed; a value too large for it does not exist below.
                let _ = latencies.record(micros.min(LATENCY_MAX));
                self.side.bytes += answered.bytes;
                (200..400).contains(&answered.status)
            }
            Err(_) => false,
        };
        if success {
            second.ok += 1;
            self.side.ok += 1;
        } else {
            self.failed += 1;
        }
        match outcome {
            Ok(answered) => {
                if !success {
                    self.failures.saturating_record(micros);
                }
                self.count(answered.status);
            }
            Err(failure) => {
                if failure == Failure::Timeout {
                    self.failures.saturating_record(micros);
                }
                *self.side.outcomes.entry(failure.word().to_owned()).or_default() += 1;
            }
        }
    }

    fn count(&mut self, status: u16) {
        // The usual one without an allocation.
        if status == 200
            && let Some(count) = self.side.outcomes.get_mut("200")
        {
            *count += 1;
            return;
        }
        *self.side.outcomes.entry(status.to_string()).or_default() += 1;
    }

    /// How late a request was handed to a connection that was free.
    pub fn lag(&mut self, lag: Duration) {
        self.lag.saturating_record(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
    }

    /// Successes and failures so far.
    pub fn so_far(&self) -> (u64, u64) {
        (self.side.ok, self.failed)
    }

    /// The sums. `seconds`: from the first intended time to the last one.
    pub fn finish(self, seconds: f64, busy: f64) -> (ClientSide, Vec<Second>) {
        let side = ClientSide {
            seconds,
            latency: curve(&self.latency),
            latency_of_failures: curve(&self.failures),
            send_lag_p99: self.lag.value_at_quantile(0.99),
            generator_busy: busy,
            ..self.side
        };
        let quantiles = |(second, latencies): (Second, Histogram<u32>)| Second {
            p50: latencies.value_at_quantile(0.5),
            p99: latencies.value_at_quantile(0.99),
            ..second
        };
        (side, self.seconds.into_iter().map(quantiles).collect())
    }
}

fn curve(histogram: &Histogram<u32>) -> Vec<(f64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let value = |share: f64| match share {
        0.0 => histogram.min(),
        _ => histogram.value_at_quantile(share),
    };
    QUANTILES.iter().map(|share| (*share, value(*share))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Result<Answered, Failure> = Ok(Answered { status: 200, bytes: 10 });

    #[test]
    fn successes_failures_and_seconds_add_up() {
        let mut record = Record::new(Duration::from_millis(1_500)).unwrap();
        record.outcome(Duration::from_millis(100), Duration::from_millis(2), OK);
        record.outcome(Duration::from_millis(1_100), Duration::from_millis(4), OK);
        record.outcome(Duration::from_millis(1_200), Duration::from_millis(6), Ok(Answered { status: 503, bytes: 1 }));
        record.outcome(Duration::from_millis(1_300), Duration::from_secs(2), Err(Failure::Timeout));
        record.outcome(Duration::from_millis(1_400), Duration::from_secs(2), Err(Failure::Connect));
        assert_eq!(record.so_far(), (2, 3));
        let (side, seconds) = record.finish(1.3, 0.1);
        assert_eq!((side.intended, side.ok, side.bytes), (5, 2, 21));
        let outcomes: Vec<_> = side.outcomes.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        assert_eq!(outcomes, [("200", 2), ("503", 1), ("connect", 1), ("timeout", 1)]);
        assert_eq!(seconds.len(), 2);
        assert_eq!((seconds[0].intended, seconds[0].ok, seconds[1].intended, seconds[1].ok), (1, 1, 4, 1));
        assert_eq!(side.latency.last().unwrap().1 / 10, 600, "the slowest answer took 6 ms");
        assert_eq!(side.latency_of_failures.last().unwrap().1 / 10_000, 200, "the slowest failure took 2 s");
        assert_eq!(side.latency_of_failures.first().unwrap().1 / 10, 600, "the fastest failure took 6 ms");
    }

    #[test]
    fn a_curve_rises_and_is_empty_without_values() {
        let mut record = Record::new(Duration::from_secs(1)).unwrap();
        for millis in 1..=1_000 {
            record.outcome(Duration::ZERO, Duration::from_millis(millis), OK);
        }
        let (side, _) = record.finish(1.0, 0.0);
        assert!(side.latency.is_sorted());
        let at = |share| side.latency.iter().find(|(at, _)| *at == share).unwrap().1 as f64;
        for (share, millis) in [(0.0, 1.0), (0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            assert!((at(share) / (millis * 1e3) - 1.0).abs() < 0.001, "{share}: {}", at(share));
        }
        assert!(side.latency_of_failures.is_empty());
    }
}
