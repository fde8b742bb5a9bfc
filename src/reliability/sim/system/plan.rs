//! What is simulated, as values: sidecars with their policies, load, and the endpoints behind them.

use crate::reliability::attempts::RetryPolicy;
use crate::reliability::balance::Balance;
use crate::reliability::deadline::Timeouts;
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::ejection::EjectionPolicy;
use crate::reliability::entropy::Entropy;
use crate::reliability::hedge::HedgePolicy;
use crate::reliability::limit::Limits;
use crate::reliability::priority::Criticality;
use std::time::Duration;

/// What a caller's deadline loses on its way through a sidecar, unless the policy says otherwise.
pub const MARGIN: Duration = Duration::from_millis(10);

/// A whole simulation.
#[derive(Clone, Debug)]
pub struct Setup<'p> {
    /// The sidecar that clients call, then the one that the service behind it calls. One or two.
    pub sidecars: Vec<SidecarPlan<'p>>,
    /// What clients send; at least one stream.
    pub streams: Vec<Stream>,
    /// Behind the last sidecar.
    pub endpoints: Vec<EndpointPlan>,
    /// From the first fault's point of view this is before the beginning; nothing of it is counted.
    pub warm_up: Duration,
    /// What is counted.
    pub duration: Duration,
    /// What one exchange takes besides the work of the endpoint.
    pub hop: Duration,
    /// Whether routes keep ledgers, so that retries which do not help are held. The proxy always does; programs before
    /// that did not.
    pub ledgers: bool,
}

/// One upstream of a policy.
#[derive(Clone, Debug)]
pub struct SidecarPlan<'p> {
    /// Budget, breaker, throttle.
    pub dependency: &'p DependencyPolicy,
    /// Of its endpoints.
    pub ejection: &'p EjectionPolicy,
    /// Which endpoint is next.
    pub balance: Balance,
    /// Requests in flight, and those that wait.
    pub limits: Limits,
    /// Requests share connections (HTTP/2).
    pub shared: bool,
    /// How long an endpoint that comes, or comes back, gets less than its share. None = it does not.
    pub slow_start: Option<Duration>,
    /// By the number that a stream names.
    pub routes: Vec<RoutePlan<'p>>,
}

/// One route of it.
#[derive(Clone, Copy, Debug)]
pub struct RoutePlan<'p> {
    /// Its time limits.
    pub timeouts: Timeouts,
    /// Its retries.
    pub retry: &'p RetryPolicy,
    /// A second attempt beside a slow first one.
    pub hedge: Option<&'p HedgePolicy>,
    /// How important its requests are, where that is said; retries of callers are then one class less.
    pub class: Option<Criticality>,
    /// What requests say of themselves counts.
    pub heeds: bool,
    /// What is taken off a deadline that is passed on; None = it is not passed on.
    pub margin: Option<Duration>,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Index in [`SidecarPlan::routes`].
    pub route: usize,
    /// When they come.
    pub arrivals: Arrivals,
    /// By their method, or because the policy says so.
    pub idempotent: bool,
    /// Their bodies are held.
    pub replayable: bool,
    /// How important they say they are.
    pub says: Option<Criticality>,
}

/// When requests come.
#[derive(Clone, Debug)]
pub enum Arrivals {
    /// So many per second, independent of each other.
    Poisson(f64),
    /// So many per second, at equal distances.
    Constant(f64),
    /// So many clients; each sends its next request when it has its answer.
    Closed(u32),
    /// So many in each step; where in the step, is drawn.
    Counted {
        /// Length of a step.
        step: Duration,
        /// From the beginning of the counted part on; before it, as in the first step.
        counts: Vec<u32>,
    },
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct EndpointPlan {
    /// How long its work takes while nothing is wrong.
    pub latency: Spread,
    /// Share of requests that are answered 503 while nothing is wrong.
    pub error_ratio: f64,
    /// How much it does at once. None = everything.
    pub capacity: Option<Capacity>,
    /// What goes wrong when; they do not overlap.
    pub faults: Vec<Fault>,
    /// Instead of latency and errors: what was seen, by stream and step.
    pub recorded: Option<Recorded>,
}

/// How much an endpoint does at once; more waits in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Requests at once.
    pub slots: u32,
    /// Work whose caller has gone is given up. False = it runs to its end.
    pub cancels: bool,
}

/// A stretch in which something is wrong with an endpoint. Times since the beginning of the counted part.
#[derive(Clone, Debug)]
pub struct Fault {
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
    /// What it is.
    pub kind: FaultKind,
}

/// What can be wrong.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// New connections are refused, open ones are reset.
    Dead,
    /// New connections are not answered; requests on open ones wait until the end.
    BlackHole,
    /// Nothing is begun until the end.
    Stall,
    /// A share of the requests is answered with this status.
    Errors {
        /// 0 to 1.
        ratio: f64,
        /// 400 to 599.
        status: u16,
    },
    /// The work takes this long.
    Slow(Spread),
    /// A share of the requests is answered by a reset.
    Reset {
        /// 0 to 1.
        ratio: f64,
        /// After the work, not before it.
        after: bool,
    },
    /// It is no endpoint of the dependency: removed, or not yet added.
    Absent,
}

/// What an endpoint did to the requests of each stream, step by step.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Length of a step.
    pub step: Duration,
    /// By stream, then by step; an index into `cells`.
    pub steps: Vec<Vec<u32>>,
    /// What is drawn from.
    pub cells: Vec<Cell>,
}

/// Attempts of one stream at one endpoint in one step.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Rising shares of attempts, the last one 1, and what became of them. Empty = all are answered 200.
    pub fates: Vec<(f64, Fate)>,
    /// Of those that were answered.
    pub latency: Spread,
}

/// What becomes of an attempt, if its time suffices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// An answer with this status.
    Answer(u16),
    /// No connection.
    Refused,
    /// The connection breaks, before the work or after it.
    Reset {
        /// After the work.
        after: bool,
    },
    /// There is never an answer.
    Hang,
}

/// Points of a spread: one draw reads two of them.
const POINTS: usize = 512;

/// How long something takes: a table of quantiles at equal distances, so that a draw costs the same for any shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Nanoseconds; empty = none, one = always that.
    table: Vec<u64>,
}

impl Spread {
    /// Always the same.
    pub fn fixed(time: Duration) -> Spread {
        Spread { table: vec![nanos(time)] }
    }

    /// Through these points (share 0 to 1, rising), in straight lines; before the first and after the last it is flat.
    pub fn through(points: &[(f64, Duration)]) -> Spread {
        let at = |number: usize| value_at(points, number as f64 / POINTS as f64);
        Spread { table: (0..=POINTS).map(at).collect() }
    }

    /// Nanoseconds.
    pub fn draw(&self, entropy: &mut impl Entropy) -> u64 {
        match self.table.as_slice() {
            [] => 0,
            [only] => *only,
            table => {
                let place = entropy.unit() * (table.len() - 1) as f64;
                let index = place as usize;
                let low = table.get(index).copied().unwrap_or_default();
                let high = table.get(index + 1).copied().unwrap_or(low);
                low + ((high.saturating_sub(low)) as f64 * (place - index as f64)) as u64
            }
        }
    }

    /// Whether nothing takes any time.
    pub fn is_none(&self) -> bool {
        self.table.iter().all(|nanos| *nanos == 0)
    }
}

fn value_at(points: &[(f64, Duration)], share: f64) -> u64 {
    match points.iter().position(|(at, _)| *at > share) {
        None => points.last().map_or(0, |(_, time)| nanos(*time)),
        Some(0) => points.first().map_or(0, |(_, time)| nanos(*time)),
        Some(next) => {
            let (low, high) = (points[next - 1], points[next]);
            let weight = (share - low.0) / (high.0 - low.0);
            nanos(low.1.mul_f64(1.0 - weight) + high.1.mul_f64(weight))
        }
    }
}

/// As the simulation counts time.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
