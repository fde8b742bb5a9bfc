//! What is told of a policy, and when a difference is worth a word.

use std::time::Duration;

use serde::Serialize;

use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::sim::system::Outcome;

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Requests that were answered below 400.
    Success,
    /// Requests that endpoints received, per request of a client.
    Amplification,
    /// Until the answer, of requests that succeeded.
    P50,
    /// The same.
    P99,
    /// What requests take above what attempts take.
    AddedP50,
    /// The same.
    AddedP99,
    /// From the end of the trouble until it is over for clients.
    Recovery,
    /// Retries made, per 100 requests.
    Retries,
    /// Hedges made, per 100 requests.
    Hedges,
    /// Requests saved by a retry or hedge, per 100.
    Rescued,
    /// Refused unsent by the breaker, per 100 requests.
    RefusedByBreaker,
    /// By the throttle.
    RefusedByThrottle,
    /// By the limit of requests in flight.
    RefusedByLimit,
    /// Ended by their deadline, per 100 requests.
    Deadlines,
    /// How long breakers were open or probing.
    BreakerOpen,
    /// Times that an endpoint was taken out.
    Ejections,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
    /// It says how, not how well.
    Neither,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 100.
    Percent,
    /// Times.
    Factor,
    /// Thousandths of a second.
    Millis,
    /// Seconds.
    Seconds,
    /// Per 100 requests.
    PerHundred,
    /// A number.
    Count,
}

impl Measure {
    /// In the order in which they are told.
    pub const ALL: [Measure; 16] = [
        Measure::Success,
        Measure::Amplification,
        Measure::P50,
        Measure::P99,
        Measure::AddedP50,
        Measure::AddedP99,
        Measure::Recovery,
        Measure::Retries,
        Measure::Hedges,
        Measure::Rescued,
        Measure::RefusedByBreaker,
        Measure::RefusedByThrottle,
        Measure::RefusedByLimit,
        Measure::Deadlines,
        Measure::BreakerOpen,
        Measure::Ejections,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Success => "success",
            Measure::Amplification => "amplification",
            Measure::P50 => "p50 of requests",
            Measure::P99 => "p99 of requests",
            Measure::AddedP50 => "p50 above attempts",
            Measure::AddedP99 => "p99 above attempts",
            Measure::Recovery => "recovery",
            Measure::Retries => "retries",
            Measure::Hedges => "hedges",
            Measure::Rescued => "rescued",
            Measure::RefusedByBreaker => "refused by breaker",
            Measure::RefusedByThrottle => "refused by throttle",
            Measure::RefusedByLimit => "refused by limit",
            Measure::Deadlines => "ended by deadline",
            Measure::BreakerOpen => "breaker open",
            Measure::Ejections => "ejections",
        }
    }

    /// How it is written.
    pub const fn unit(self) -> Unit {
        match self {
            Measure::Success => Unit::Percent,
            Measure::Amplification => Unit::Factor,
            Measure::P50 | Measure::P99 | Measure::AddedP50 | Measure::AddedP99 => Unit::Millis,
            Measure::Recovery | Measure::BreakerOpen => Unit::Seconds,
            Measure::Ejections => Unit::Count,
            _ => Unit::PerHundred,
        }
    }

    /// Which way is better, and from which difference on it is worth a word; of times, a share of the old value.
    pub const fn judged(self) -> (Better, f64) {
        match self {
            Measure::Success => (Better::Higher, 0.1),
            Measure::Amplification => (Better::Lower, 0.01),
            Measure::P99 => (Better::Lower, 0.05),
            Measure::Recovery => (Better::Lower, 1.0),
            _ => (Better::Neither, 0.0),
        }
    }

    /// Of one run. `trouble_ends`: when what went wrong was over. None = there is nothing to tell.
    pub fn of(self, outcome: &Outcome, trouble_ends: Option<Duration>) -> Option<f64> {
        let hundred = |count: u64| Some(count as f64 * 100.0 / outcome.requests.max(1) as f64);
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        let added = |share: f64| {
            let (whole, part) = (outcome.good_times.quantile(share), outcome.attempt_times.quantile(share));
            Some((millis(whole)? - millis(part)?).max(0.0))
        };
        match self {
            Measure::Success => Some(outcome.success() * 100.0),
            Measure::Amplification => Some(outcome.amplification()),
            Measure::P50 => millis(outcome.good_times.quantile(0.5)),
            Measure::P99 => millis(outcome.good_times.quantile(0.99)),
            Measure::AddedP50 => added(0.5),
            Measure::AddedP99 => added(0.99),
            Measure::Recovery => outcome.recovery(trouble_ends?),
            Measure::Retries => hundred(outcome.attempts_of(Kind::Retry) + outcome.attempts_of(Kind::Transparent)),
            Measure::Hedges => hundred(outcome.attempts_of(Kind::Hedge)),
            Measure::Rescued => hundred(outcome.rescued),
            Measure::RefusedByBreaker => hundred(outcome.refused_open),
            Measure::RefusedByThrottle => hundred(outcome.refused_throttle),
            Measure::RefusedByLimit => hundred(outcome.refused_limit),
            Measure::Deadlines => hundred(outcome.deadlines),
            Measure::BreakerOpen => Some(outcome.open.as_secs_f64()),
            Measure::Ejections => Some(outcome.ejections as f64),
        }
    }
}

/// Retries that were not made, per 100 requests.
pub fn denied(outcome: &Outcome, reason: Denied) -> f64 {
    let at = Denied::ALL.iter().position(|of| *of == reason);
    let count = at.and_then(|at| outcome.denied.get(at)).copied().unwrap_or(0);
    count as f64 * 100.0 / outcome.requests.max(1) as f64
}
