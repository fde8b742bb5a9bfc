//! The words between the attempt machine and its driver.

use crate::reliability::backoff::Backoff;
use crate::reliability::breaker::{self, Permit};
use crate::reliability::classify::{Contract, RetryOn, StatusSet};
use crate::reliability::efficacy::RouteNumber;
use crate::reliability::grpc::CodeSet;
use crate::reliability::hedge::HedgePolicy;
use std::time::{Duration, Instant};

/// `retry` of a route, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first try; 0 = no retries. At most 10.
    pub retries: u32,
    /// Failures that are retried.
    pub on: RetryOn,
    /// Statuses that are retried.
    pub codes: StatusSet,
    /// Ends of gRPC calls that are retried.
    pub grpc_codes: CodeSet,
    /// Waits before retries.
    pub backoff: Backoff,
    /// Retry-After is a minimum for the wait. False = ignored.
    pub respect_retry_after: bool,
    /// What the upstream promises for unsafe methods.
    pub contract: Contract,
    /// `retry.methods: all`: whatever is asked for may be asked for twice. False = by the method.
    pub all_methods: bool,
    /// `retry.holdoutPercent`: so many requests in a hundred are never retried, by lot, to measure what retries add.
    pub holdout_percent: f64,
}

impl RetryPolicy {
    /// Whether a request that the upstream may have processed may be sent again.
    pub fn may_repeat(&self, idempotent: bool) -> bool {
        idempotent || self.contract == Contract::Dedupes
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            retries: 2,
            on: RetryOn::ALL,
            codes: StatusSet::from_iter([502, 503, 504]),
            grpc_codes: CodeSet::DEFAULT,
            backoff: Backoff::default(),
            respect_retry_after: true,
            contract: Contract::Opaque,
            all_methods: false,
            holdout_percent: 0.0,
        }
    }
}

/// What the machine needs to know of one request.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The route's `retry`.
    pub policy: &'a RetryPolicy,
    /// When the request must be over.
    pub deadline: Instant,
    /// `timeouts.backendRequest`, or None: derived from the dependency's p99 and the total.
    pub backend_request: Option<Duration>,
    /// The method is idempotent per RFC 9110 §9.2.2, or the policy says that every request is.
    pub idempotent: bool,
    /// The body can be sent again.
    pub replayable: bool,
    /// The request is already someone's retry (attempt count > 1): transparent retries only.
    pub chain_stop: bool,
    /// Endpoints the dependency has now. With a single one a retry may go to the same.
    pub endpoints: usize,
    /// The ledger of its route. None = nothing is counted, and nothing held for it.
    pub ledger: Option<RouteNumber>,
    /// The route's `hedge`; needs a ledger. None = no second attempt beside a first.
    pub hedge: Option<&'a HedgePolicy>,
}

/// Names an attempt within its request: 0 is the first, in order of launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u32);

/// Why an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself.
    First,
    /// After a failure, paid for by the budget.
    Retry,
    /// After a failure that provably processed nothing: free, once per request.
    Transparent,
    /// In parallel to a slow attempt.
    Hedge,
}

/// Why an eligible retry was not made. One word each in metric, log and response marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// The retry budget of the dependency is spent.
    Budget,
    /// It could not be answered before the deadline.
    Deadline,
    /// The breaker is open, or its probes are taken.
    Breaker,
    /// The body was not kept for replay.
    BodyTooLarge,
    /// The method is unsafe, the upstream promises nothing, and it may have seen the request.
    NotIdempotent,
    /// The request is itself a retry of a caller.
    ChainStop,
    /// The peer says that retrying is pointless.
    Pushback,
    /// The dependency rejects so much that retries are not sent.
    Throttle,
    /// Retries of this route after this kind of failure do not help; they are held to probes.
    Efficacy,
    /// By lot the request belongs to the control group (`retry.holdoutPercent`).
    Holdout,
}

impl Kind {
    /// Every kind, in declaration order.
    pub const ALL: [Kind; 4] = [Kind::First, Kind::Retry, Kind::Transparent, Kind::Hedge];

    /// The word in metric, log and admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::First => "first",
            Kind::Retry => "retry",
            Kind::Transparent => "transparent",
            Kind::Hedge => "hedge",
        }
    }
}

impl Denied {
    /// Every reason, in declaration order.
    pub const ALL: [Denied; 10] = [
        Denied::Budget,
        Denied::Deadline,
        Denied::Breaker,
        Denied::BodyTooLarge,
        Denied::NotIdempotent,
        Denied::ChainStop,
        Denied::Pushback,
        Denied::Throttle,
        Denied::Efficacy,
        Denied::Holdout,
    ];

    /// The word in metric, log, `details` and `x-outrigger-retry`.
    pub const fn token(self) -> &'static str {
        match self {
            Denied::Budget => "budget",
            Denied::Deadline => "deadline",
            Denied::Breaker => "breaker",
            Denied::BodyTooLarge => "body-too-large",
            Denied::NotIdempotent => "not-idempotent",
            Denied::ChainStop => "chain-stop",
            Denied::Pushback => "pushback",
            Denied::Throttle => "throttle",
            Denied::Efficacy => "efficacy",
            Denied::Holdout => "holdout",
        }
    }
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The last outcome is the answer: success, or nothing the policy retries.
    Answered,
    /// Retryable, but the attempts are used up.
    AttemptsSpent,
    /// Retryable, but refused.
    Denied(Denied),
    /// The deadline passed while waiting.
    DeadlinePassed,
    /// The breaker or throttle refused the *first* attempt: nothing was sent.
    Refused(breaker::Refusal),
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Start an attempt now; it must end by `cutoff`. The permit goes back through [`Attempts::on_outcome`](super::Attempts::on_outcome)
    /// or [`Dependency::on_cancelled`](crate::reliability::dependency::Dependency::on_cancelled).
    Launch {
        /// Names the attempt in `on_outcome`.
        id: AttemptId,
        /// Why it is made.
        kind: Kind,
        /// When it must have ended: report `TryTimeout`, or `DeadlineExceeded` if this is the deadline.
        cutoff: Instant,
        /// The breaker's leave to send it.
        permit: Permit,
    },
    /// Nothing to do before `until` unless an outcome arrives. An outcome that is ready goes first.
    Wait {
        /// Later than the `now` of the call.
        until: Instant,
    },
    /// Final.
    Finish {
        /// Why.
        stop: Stop,
        /// The attempt whose answer goes to the client; None = no attempt answered.
        answer: Option<AttemptId>,
    },
}
