//! What the engine is told, and what it says.

use std::time::{Duration, Instant};

use super::history::Tick;
use super::{Cause, Condition, Confidence};
use crate::reliability::breaker::{Hold, State};
use crate::reliability::ending::{Ending, Endings};

/// What one look sees of one upstream.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The app behind `inbound`.
    pub inbound: bool,
    /// What was counted since the last look.
    pub tick: &'a Tick,
    /// Its endpoints. Their counters only grow.
    pub endpoints: &'a [EndpointSeen],
    /// Its routes. Their counters only grow.
    pub routes: &'a [RouteSeen<'a>],
    /// `None`: it has no breaker.
    pub circuit: Option<State>,
    /// An operator holds the breaker.
    pub held: Option<Hold>,
    /// The last look-up of its name failed.
    pub unresolved: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait for a slot.
    pub waiting: u32,
    /// `slowCall.threshold` of its policy.
    pub slow_call: Option<Duration>,
}

/// One endpoint at one look.
#[derive(Clone, Debug)]
pub struct EndpointSeen {
    /// Its address.
    pub name: String,
    /// How attempts ended so far.
    pub endings: Endings,
    /// Successful ones so far, and how long they took together.
    pub answered: u64,
    /// See `answered`.
    pub answered_in: Duration,
    /// It sits out.
    pub ejected: bool,
    /// How the last failed attempt ended.
    pub last_failure: Option<Ending>,
}

/// One route at one look.
#[derive(Clone, Copy, Debug)]
pub struct RouteSeen<'a> {
    /// Its name.
    pub name: &'a str,
    /// How requests ended so far.
    pub endings: Endings,
}

/// What is seen to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// Attempts, or requests, end so.
    Fails(Ending),
    /// Nothing ends at all, and requests pile up.
    Stalls,
    /// Answers take much longer than usual.
    Slow,
    /// There is no endpoint.
    NoEndpoint,
    /// The name does not resolve; the last good endpoints are used.
    Unresolved,
    /// An operator holds the circuit.
    Held(Hold),
    /// A limit of our own is reached.
    Full,
    /// Clients leave.
    Aborts,
    /// It does well again, and has not done so for long; or the breaker lets traffic return step by step.
    Recovering,
}

/// What is wrong with one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub condition: Condition,
    /// The class of it.
    pub cause: Cause,
    /// What is seen.
    pub symptom: Symptom,
    /// The first second of it.
    pub since: Instant,
    /// Share of the upstream's requests that are hit.
    pub share: f64,
    /// How sure this is.
    pub confidence: Confidence,
    /// The endpoints that do it, if they are not all.
    pub endpoints: Vec<String>,
    /// How many endpoints there are.
    pub endpoints_total: usize,
    /// The route, if it is one route alone.
    pub route: Option<String>,
    /// The dependency that makes the app fail.
    pub dependency: Option<String>,
    /// The numbers that it rests on.
    pub numbers: Numbers,
    /// The change that came just before it.
    pub suspect: Option<Suspicion>,
}

/// Counts of the last [`Numbers::window`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// The span of the counts.
    pub window: Duration,
    /// Requests, without those that their client ended.
    pub requests: u64,
    /// Of these, those that failed or were refused.
    pub requests_failed: u64,
    /// Requests that their client ended.
    pub cancelled: u64,
    /// Attempts.
    pub attempts: u64,
    /// Of these, those that failed.
    pub attempts_failed: u64,
    /// Requests that a retry saved.
    pub rescued: u64,
    /// Median of successful attempts; of the slow endpoints, where these are to blame.
    pub latency: Option<Duration>,
    /// The same as it usually is; of the other endpoints, where some are to blame.
    pub usual_latency: Option<Duration>,
}

/// A change that may be the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// The change.
    pub change: Change,
    /// From the change to the first failure; zero if they came together.
    pub before: Duration,
    /// Shares of failed requests before and after.
    pub rates: (f64, f64),
    /// Median latencies before and after, where slowness is the matter.
    pub latencies: Option<(Duration, Duration)>,
}

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// What kind of thing.
    pub kind: ChangeKind,
    /// The upstreams it names; none: it is about the process, or about all of them.
    pub upstreams: Vec<String>,
    /// It in a few words: `revision 12`.
    pub summary: String,
    /// What it means for requests, a line each: `payments: retry.attempts 1 -> 3`.
    pub effects: Vec<String>,
    /// The policy's revision, if it is one.
    pub revision: Option<u64>,
}

/// Kinds of [`Change`] that can be a reason. What breakers and ejection do is none: it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A policy came into force.
    Policy,
    /// The set of addresses changed.
    Endpoints,
    /// A certificate was exchanged.
    Certificate,
    /// The process started.
    Start,
    /// Somebody did something by hand.
    Manual,
}

impl ChangeKind {
    /// The word in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Policy => "policy-applied",
            ChangeKind::Endpoints => "endpoints",
            ChangeKind::Certificate => "certificate",
            ChangeKind::Start => "process-started",
            ChangeKind::Manual => "manual",
        }
    }
}
