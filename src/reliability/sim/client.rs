//! The client side of the models: sidecars with a budget each, and requests that use it.

use super::rivals::{Aws, Concurrency, Deposit, Grpc, Leaky, Rival, Unlimited};
use crate::reliability::attempts::{AttemptId, Attempts, Plan, RetryPolicy, Step};
use crate::reliability::backoff::Backoff;
use crate::reliability::breaker::Permit;
use crate::reliability::budget::BudgetPolicy;
use crate::reliability::classify::Outcome;
use crate::reliability::dependency::{Dependency, DependencyPolicy};
use crate::reliability::efficacy::{Helpfulness, RouteNumber};
use crate::reliability::entropy::Entropy;
use std::fmt;
use std::time::{Duration, Instant};

/// A retry policy that takes part in a comparison.
#[derive(Clone)]
pub struct Contender {
    /// Name in the table.
    pub name: &'static str,
    /// Retries per request at most.
    pub retries: u32,
    kind: ContenderKind,
}

#[derive(Clone)]
enum ContenderKind {
    Ours(BudgetPolicy),
    Rival(fn() -> Box<dyn Rival>),
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).field("retries", &self.retries).finish_non_exhaustive()
    }
}

impl Contender {
    /// Outrigger with this budget.
    pub fn ours(name: &'static str, budget: BudgetPolicy) -> Self {
        Contender { name, retries: 3, kind: ContenderKind::Ours(budget) }
    }

    /// Another system.
    pub fn rival(name: &'static str, retries: u32, make: fn() -> Box<dyn Rival>) -> Self {
        Contender { name, retries, kind: ContenderKind::Rival(make) }
    }

    /// No retries at all.
    pub fn none() -> Self {
        Self::rival("none", 0, || Box::new(Unlimited))
    }

    /// One retry for every failure.
    pub fn naive_once() -> Self {
        Self::rival("naive x1", 1, || Box::new(Unlimited))
    }

    /// Three retries for every failure.
    pub fn naive() -> Self {
        Self::rival("naive x3", 3, || Box::new(Unlimited))
    }

    /// gRPC retry throttling with the example values of its proposal.
    pub fn grpc() -> Self {
        Self::rival("gRPC 10/0.1", 3, || Box::new(Grpc::new(10.0, 0.1)))
    }

    /// AWS SDKs from November 2026 on.
    pub fn aws() -> Self {
        Self::rival("AWS 500/14", 3, || Box::new(Aws::new(14)))
    }

    /// AWS SDKs before that.
    pub fn aws_before_2026() -> Self {
        Self::rival("AWS 500/5", 3, || Box::new(Aws::new(5)))
    }

    /// Envoy's retry budget with its defaults.
    pub fn envoy() -> Self {
        Self::rival("Envoy 20%/3", 3, || Box::new(Concurrency::new(0.2, 3)))
    }

    /// Finagle's retry budget with its defaults.
    pub fn finagle() -> Self {
        Self::rival("Finagle 0.2, 10/s", 3, || Box::new(Leaky::new(Deposit::Request, 0.2, 10.0, 10.0)))
    }

    /// Finagle's with a floor like ours.
    pub fn finagle_low_floor() -> Self {
        Self::rival("Finagle 0.2, 1/s", 3, || Box::new(Leaky::new(Deposit::Request, 0.2, 10.0, 1.0)))
    }

    /// linkerd's ServiceProfile budget (tower), as documented.
    pub fn linkerd() -> Self {
        Self::rival("linkerd 0.2, 10/s", 3, || Box::new(Leaky::new(Deposit::Success, 0.2, 10.0, 10.0)))
    }

    /// The same with a floor like ours: a budget fed by successes that knows no refund.
    pub fn success_deposit() -> Self {
        Self::rival("success deposit 0.2, 1/s", 3, || Box::new(Leaky::new(Deposit::Success, 0.2, 10.0, 1.0)))
    }

    /// Outrigger's defaults.
    pub fn outrigger() -> Self {
        Self::ours("Outrigger", BudgetPolicy::default())
    }

    /// Outrigger with a tenth of the floor.
    pub fn outrigger_low_floor() -> Self {
        let budget = BudgetPolicy { floor_per_second: 0.1, ..BudgetPolicy::default() };
        Self::ours("Outrigger, floor 0.1/s", budget)
    }

    /// What its clients do with a failed request.
    pub(super) fn policy(&self, backoff: Backoff) -> RetryPolicy {
        RetryPolicy { retries: self.retries, backoff, ..RetryPolicy::default() }
    }

    pub(super) fn sidecar(&self, start: Instant) -> Sidecar {
        match &self.kind {
            ContenderKind::Ours(budget) => {
                // No breaker and no throttle: the comparison is about budgets.
                let policy = DependencyPolicy { budget: budget.clone(), breaker: None, throttle: None };
                let mut dependency = Dependency::new(&policy, start);
                dependency.efficacy.keep(start, [ROUTE]);
                Sidecar { start, kind: SidecarKind::Ours(Box::new(dependency)) }
            }
            ContenderKind::Rival(make) => Sidecar { start, kind: SidecarKind::Rival(make()) },
        }
    }
}

/// The route that all requests take.
const ROUTE: RouteNumber = RouteNumber(0);

/// One client process with its budget.
pub(super) struct Sidecar {
    start: Instant,
    kind: SidecarKind,
}

enum SidecarKind {
    Ours(Box<Dependency>),
    Rival(Box<dyn Rival>),
}

impl Sidecar {
    /// Whether its retries help; None of a rival.
    pub fn helpfulness(&self, now: Duration) -> Option<Helpfulness> {
        let SidecarKind::Ours(dependency) = &self.kind else { return None };
        Some(dependency.efficacy.reports(self.start + now, ROUTE).first()?.verdict)
    }
}

/// What a request does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Send an attempt.
    Send,
    /// Nothing before this time.
    Sleep(Duration),
    /// An attempt is out.
    Await,
    /// Over.
    Done,
}

/// One request. Ours is driven by the proxy's own machine.
pub(super) struct Job<'a> {
    policy: &'a RetryPolicy,
    kind: JobKind<'a>,
}

enum JobKind<'a> {
    Ours { attempts: Box<Attempts<'a>>, out: Option<(AttemptId, Permit)> },
    Rival { sent: u32, next: Move },
}

impl<'a> Job<'a> {
    pub fn new(policy: &'a RetryPolicy, timeout: Duration, now: Duration, sidecar: &Sidecar) -> Self {
        let kind = match sidecar.kind {
            SidecarKind::Ours(_) => {
                let plan = Plan {
                    policy,
                    // Far away: the models have attempt timeouts only.
                    deadline: sidecar.start + now + Duration::from_secs(3600),
                    backend_request: Some(timeout),
                    idempotent: true,
                    replayable: true,
                    chain_stop: false,
                    endpoints: 1,
                    ledger: Some(ROUTE),
                    hedge: None,
                };
                JobKind::Ours { attempts: Box::new(Attempts::new(plan)), out: None }
            }
            SidecarKind::Rival(_) => JobKind::Rival { sent: 0, next: Move::Send },
        };
        Job { policy, kind }
    }

    pub fn next(&mut self, now: Duration, sidecar: &mut Sidecar, entropy: &mut impl Entropy) -> Move {
        match (&mut self.kind, &mut sidecar.kind) {
            (JobKind::Ours { attempts, out }, SidecarKind::Ours(dependency)) => {
                match attempts.next(sidecar.start + now, dependency, entropy) {
                    Step::Launch { id, permit, .. } => {
                        *out = Some((id, permit));
                        Move::Send
                    }
                    Step::Wait { .. } if out.is_some() => Move::Await,
                    Step::Wait { until } => Move::Sleep(until - sidecar.start),
                    Step::Finish { .. } => Move::Done,
                }
            }
            (JobKind::Rival { sent, next }, SidecarKind::Rival(rival)) => {
                let due = match *next {
                    Move::Sleep(until) if until <= now => Move::Send,
                    other => other,
                };
                if due == Move::Send {
                    rival.on_sent(now.as_secs_f64(), *sent > 0);
                    *sent += 1;
                    *next = Move::Await;
                }
                due
            }
            (JobKind::Ours { .. }, SidecarKind::Rival(_)) | (JobKind::Rival { .. }, SidecarKind::Ours(_)) => Move::Done,
        }
    }

    /// The attempt that is out ended.
    pub fn ended(
        &mut self,
        now: Duration,
        outcome: Outcome,
        elapsed: Duration,
        sidecar: &mut Sidecar,
        entropy: &mut impl Entropy,
    ) {
        match (&mut self.kind, &mut sidecar.kind) {
            (JobKind::Ours { attempts, out }, SidecarKind::Ours(dependency)) => {
                if let Some((id, permit)) = out.take() {
                    attempts.on_outcome(sidecar.start + now, id, permit, outcome, elapsed, dependency, entropy);
                }
            }
            (JobKind::Rival { sent, next }, SidecarKind::Rival(rival)) => {
                let (time, success) = (now.as_secs_f64(), outcome == Outcome::answered(200));
                rival.on_ended(time, *sent > 1, success);
                let again = !success && *sent <= self.policy.retries && rival.try_retry(time);
                *next = if again {
                    Move::Sleep(now + self.policy.backoff.delay(*sent - 1, false, None, entropy))
                } else {
                    Move::Done
                };
            }
            (JobKind::Ours { .. }, SidecarKind::Rival(_)) | (JobKind::Rival { .. }, SidecarKind::Ours(_)) => {}
        }
    }
}
