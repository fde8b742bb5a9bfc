//! Drives `reliability::attempts`: launch, wait, finish. One loop, no policy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Uri};
use tokio::time::sleep_until;

use super::exchange::{Attempt, AttemptResult};
use super::grpc::{self, Standing};
use super::hygiene::Present;
use super::record::{AttemptNote, Record};
use super::respond;
use super::route::Route;
use crate::clock;
use crate::drain::Tasks;
use crate::idempotency::claim::Claim;
use crate::random::Random;
use crate::reliability::attempts::{AttemptId, Attempts, Denied, Kind, Plan, RetryPolicy, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{self, Contract, Outcome, Reply};
use crate::reliability::ending::Ending;
use crate::reliability::grpc::Code;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::AttemptEnd;
use crate::telemetry::traces::Lineage;
use crate::upstreams::Upstream;
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::wire::{Alarm, Answer, Late, OwnFields, RequestBody};

/// Of an answer that a retry supersedes, so much is read to keep its connection.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// …and for so long.
const DRAIN_TIME: Duration = Duration::from_millis(50);

/// The request as it goes out, attempt by attempt.
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Origin form.
    pub uri: Uri,
    /// The client's, cleaned.
    pub headers: HeaderMap,
    /// Ours; number and time of the attempt are set per attempt.
    pub own: OwnFields,
    /// What the client's head carried before it was cleaned.
    pub present: Present,
    /// `None` once a body that can be sent once has been sent.
    pub body: Option<RequestBody>,
    /// The client asks to switch protocols.
    pub upgrade: bool,
    /// There is one attempt, whatever becomes of it.
    pub once: bool,
    /// `x-envoy-attempt-count` of the request that came in, at least 1.
    pub inbound_attempt: u32,
    /// The whole request.
    pub deadline: Instant,
    /// Value of the header that the policy hashes on.
    pub hash_key: Option<HeaderValue>,
    /// It has an idempotency key: leave to send is the store's to give.
    pub claim: Option<Arc<Claim>>,
    /// With a claim: the exchange of the last attempt, if its time was over before its answer came.
    pub late: Option<Box<Late>>,
    /// The trace that each attempt names, with a span of its own. `None`: the caller's headers say it.
    pub lineage: Option<Lineage>,
}

impl Outgoing {
    /// Whether sending it twice is harmless by its method, or because its route says so. With a key it is not: somebody
    /// asked for once.
    pub fn is_idempotent(&self, policy: &RetryPolicy) -> bool {
        (policy.all_methods || self.method.is_idempotent()) && self.claim.is_none()
    }

    fn is_replayable(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.is_streaming()) && !self.upgrade && !self.once
    }
}

/// How the attempts ended.
pub enum Verdict {
    /// An upstream's answer goes to the client.
    Answered {
        /// The answer.
        answer: Answer,
        /// The endpoint it comes from.
        in_flight: InFlight,
        /// Why no further attempt was made.
        stop: Stop,
        /// What the attempts before it may have done.
        earlier: Sent,
    },
    /// No answer.
    Failed {
        /// What happened last.
        failure: Failure,
        /// Of the attempt that got furthest.
        sent: Sent,
        /// As `sent`, less what the upstream has answered without doing it, by its contract.
        executed: Sent,
        /// When a retry makes sense, where known.
        retry_after: Option<Duration>,
        /// Why no further attempt was made.
        stop: Stop,
    },
}

/// An attempt that ended well.
struct Landed {
    answer: Answer,
    in_flight: InFlight,
}

/// The machine of a request. Dropped before its end (the client has gone), what was paid for a retry that waits comes
/// back, and one that was in flight is counted as wasted.
struct Running<'a> {
    upstream: &'a Upstream,
    machine: Attempts<'a>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.machine.is_unsettled() {
            self.upstream.decide(|d| self.machine.abandon(clock::now(), d));
        }
    }
}

/// An attempt in flight. Dropped before it has landed (the client has gone), it returns its permit and is noted
/// as cancelled.
struct Flight<'a> {
    upstream: &'a Upstream,
    record: &'a mut Record,
    permit: Option<Permit>,
    kind: Kind,
    launched: Instant,
    deadline: Instant,
    in_flight: Option<InFlight>,
}

impl Flight<'_> {
    fn land(mut self) -> (Option<Permit>, Option<InFlight>) {
        (self.permit.take(), self.in_flight.take())
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let now = clock::now();
        self.upstream.decide(|d| d.on_cancelled(now, permit));
        let endpoint = self.in_flight.as_ref().map(|i| i.endpoint().addr);
        let (kind, launched, deadline) = (self.kind, self.launched, self.deadline);
        let elapsed = now.saturating_duration_since(launched);
        let (end, ending) = (AttemptEnd::Cancelled, Ending::Cancelled);
        let open = false;
        self.record.attempt(AttemptNote { endpoint, kind, launched, deadline, elapsed, end, ending, open });
    }
}

/// Runs the attempts of one request. `alarm`: the timer of this task.
pub async fn run(
    route: &Route<'_>,
    request: &mut Outgoing,
    record: &mut Record,
    alarm: &Alarm,
    tasks: &Tasks,
) -> Verdict {
    let policy = &route.policy.retry;
    let mut running = Running { upstream: route.state, machine: Attempts::new(plan(route, request)) };
    let machine = &mut running.machine;
    let mut used: Vec<Arc<Endpoint>> = Vec::new();
    let mut landed: Option<(AttemptId, Landed)> = None;
    let (mut last, mut executed) = ((Failure::Internal, Sent::No), Sent::No);
    let mut now = clock::now();
    loop {
        let step = route.state.decide(|d| machine.next(now, d, &mut Random));
        match step {
            Step::Launch { id, kind, cutoff, permit } => {
                let launched = now;
                // Whatever an earlier attempt waited for: this one is made because nobody waits for it any more.
                request.late = None;
                let attempt =
                    Attempt { route, number: machine.launched(), launched, cutoff, used: &used, alarm, tasks };
                let (permit, deadline) = (Some(permit), request.deadline);
                let (upstream, in_flight) = (&**route.state, None);
                let mut flight = Flight { upstream, record: &mut *record, permit, kind, launched, deadline, in_flight };
                let result = attempt.run(request, &mut flight.in_flight).await;
                let (permit, in_flight) = flight.land();
                now = clock::now();
                let elapsed = now.saturating_duration_since(launched);
                let outcome = outcome_of(&result, cutoff, request.deadline);
                let endpoint = in_flight.as_ref().map(InFlight::endpoint);
                let begun = is_begun(&result);
                record.attempt(note(kind, &outcome, endpoint.map(|e| e.addr), (launched, deadline), elapsed, begun));
                settle_endpoint(route, endpoint.map(|e| &**e), &outcome, begun, elapsed, now);
                tell_endpoint(machine, kind, endpoint, &used);
                machine.set_replayable(request.body.is_some() && !request.upgrade && !request.once);
                let Some(permit) = permit else { continue };
                let superseded =
                    route.state.decide(|d| machine.on_outcome(now, id, permit, outcome, elapsed, d, &mut Random));
                if let Reply::Failed(failure) = outcome.reply {
                    last = (failure, last.1.max(outcome.sent));
                    executed = executed.max(outcome.sent);
                } else {
                    // Of a superseded answer nothing is kept: only the breaker or the deadline can stop its retry.
                    last = (if superseded { Failure::CircuitOpen } else { last.0 }, Sent::Yes);
                }
                if superseded && may_have_had_effect(outcome.reply, policy.contract) {
                    executed = Sent::Yes;
                }
                if superseded {
                    // Allocates, so only where another attempt follows.
                    used.extend(endpoint.cloned());
                }
                match (result, in_flight) {
                    (Ok(answer), _) if superseded => {
                        Box::pin(discard(answer, request.deadline)).await;
                        now = clock::now();
                    }
                    (Ok(answer), Some(in_flight)) => landed = Some((id, Landed { answer, in_flight })),
                    (Ok(_) | Err(_), _) => {}
                }
            }
            Step::Wait { until } => {
                Box::pin(sleep_until(until.into())).await;
                now = clock::now();
            }
            Step::Finish { stop, answer } => {
                record.stopped(stop);
                if let Some(reason) = machine.denied() {
                    record.deny(reason);
                }
                record.rescue = machine.rescue();
                return verdict(stop, answer, landed, last, executed);
            }
        }
    }
}

fn plan<'a>(route: &Route<'a>, request: &Outgoing) -> Plan<'a> {
    Plan {
        policy: &route.policy.retry,
        deadline: request.deadline,
        backend_request: route.policy.timeouts.backend_request,
        idempotent: request.is_idempotent(&route.policy.retry),
        replayable: request.is_replayable(),
        chain_stop: request.inbound_attempt > 1,
        endpoints: route.state.endpoint_count(),
        // A replay is made once, and by an operator: it says nothing of retries.
        ledger: route.ledger.filter(|_| !request.once),
    }
}

fn verdict(
    stop: Stop,
    answer: Option<AttemptId>,
    landed: Option<(AttemptId, Landed)>,
    last: (Failure, Sent),
    executed: Sent,
) -> Verdict {
    if let (Some(wanted), Some((id, landed))) = (answer, landed)
        && wanted == id
    {
        return Verdict::Answered { answer: landed.answer, in_flight: landed.in_flight, stop, earlier: executed };
    }
    let (failure, sent) = last;
    let (failure, retry_after) = match stop {
        Stop::Refused(Refusal::CircuitOpen { retry_after }) => (Failure::CircuitOpen, Some(retry_after)),
        Stop::Refused(Refusal::Throttled) => (Failure::Throttled, Some(Duration::from_secs(1))),
        Stop::DeadlinePassed => (Failure::DeadlineExceeded, None),
        Stop::Denied(Denied::Breaker) if failure == Failure::CircuitOpen => (failure, Some(Duration::from_secs(1))),
        Stop::Answered | Stop::AttemptsSpent | Stop::Denied(_) => (failure, None),
    };
    Verdict::Failed { failure, sent, executed, retry_after, stop }
}

fn outcome_of(result: &AttemptResult, cutoff: Instant, deadline: Instant) -> Outcome {
    match result {
        Ok(answer) => {
            let headers = answer.headers();
            let mut outcome = match grpc::standing(answer) {
                Some(Standing::Ended { code, pushback }) => Outcome::called(code, pushback),
                Some(Standing::Begun) | None => Outcome::answered(answer.status().as_u16()),
            };
            if matches!(answer.status().as_u16(), 429 | 503) {
                outcome.retry_after = headers.get(http::header::RETRY_AFTER).and_then(retry_after);
            }
            // Only what is not simply good can be retried.
            let good = match outcome.reply {
                Reply::Call(code) => code == Code::Ok,
                _ => answer.status().is_success(),
            };
            if !good && let Some(mark) = headers.get(respond::RETRY_MARK) {
                outcome.mark = respond::read_mark(mark);
            }
            outcome
        }
        Err((failure, sent)) => {
            // The time of one try and the time of the request may be the same instant.
            let whole = *failure == Failure::TryTimeout && cutoff >= deadline;
            Outcome::failed(if whole { Failure::DeadlineExceeded } else { *failure }, *sent)
        }
    }
}

/// `Retry-After` in seconds or as a date; a past date means now. At most 300 s; unreadable values are none.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    const CAP: Duration = Duration::from_secs(300);
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are more than the cap.
        return Some(text.parse().map_or(CAP, Duration::from_secs).min(CAP));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(clock::wall()).unwrap_or_default().min(CAP))
}

/// Whether an answer that is not passed on leaves open that something was done.
fn may_have_had_effect(reply: Reply, contract: Contract) -> bool {
    match reply {
        Reply::Status(_) => contract != Contract::Atomic5xx,
        Reply::Call(code) => !code.is_not_executed(contract),
        Reply::Failed(_) => false,
    }
}

/// Whether it is a call that goes on: how it ends is not known yet.
fn is_begun(result: &AttemptResult) -> bool {
    matches!(result, Ok(answer) if grpc::standing(answer) == Some(Standing::Begun))
}

fn note(
    kind: Kind,
    outcome: &Outcome,
    endpoint: Option<SocketAddr>,
    (launched, deadline): (Instant, Instant),
    elapsed: Duration,
    open: bool,
) -> AttemptNote {
    let end = match outcome.reply {
        Reply::Status(status) => AttemptEnd::Status(status),
        Reply::Call(code) => AttemptEnd::Call(code),
        Reply::Failed(failure) => AttemptEnd::Failed(failure),
    };
    AttemptNote { endpoint, kind, launched, deadline, elapsed, end, ending: Ending::of(outcome), open }
}

/// `begun`: how a call ended is counted at its end.
fn settle_endpoint(
    route: &Route<'_>,
    endpoint: Option<&Endpoint>,
    outcome: &Outcome,
    begun: bool,
    elapsed: Duration,
    now: Instant,
) {
    let Some(endpoint) = endpoint else { return };
    if !begun {
        endpoint.tally.add(Ending::of(outcome));
    }
    let token = match outcome.reply {
        Reply::Status(429) => Some("429"),
        Reply::Status(500..) => Some("5xx"),
        Reply::Call(code) if code.is_failure() => Some(code.as_str()),
        Reply::Status(_) | Reply::Call(_) => None,
        Reply::Failed(failure) => Some(failure.token()),
    };
    let signal = classify::endpoint_signal(outcome);
    route.state.record_attempt(route.upstream, endpoint, signal, token, elapsed, now);
}

/// Whether a retry went where no attempt before it had gone.
fn tell_endpoint(machine: &mut Attempts<'_>, kind: Kind, endpoint: Option<&Arc<Endpoint>>, used: &[Arc<Endpoint>]) {
    if kind != Kind::First
        && let Some(endpoint) = endpoint
    {
        machine.set_elsewhere(!used.iter().any(|tried| Arc::ptr_eq(tried, endpoint)));
    }
}

/// Reads the rest of an answer that nobody gets, so that its connection is kept.
async fn discard(answer: Answer, deadline: Instant) {
    let rest = answer.into_body().drain(DRAIN_BYTES_MAX);
    let until = deadline.min(clock::now() + DRAIN_TIME);
    let _ = tokio::time::timeout_at(until.into(), rest).await;
}
