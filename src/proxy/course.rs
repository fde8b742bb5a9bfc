//! What becomes of the attempts of one request: each is told to whom it concerns when it ends, whichever way it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::attempt::Verdict;
use super::exchange::AttemptResult;
use super::grpc::{self, Standing};
use super::record::{AttemptNote, Record};
use super::respond;
use super::route::Route;
use crate::clock;
use crate::random::Random;
use crate::reliability::attempts::{AttemptId, Attempts, Denied, Kind, Plan, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{self, Contract, Outcome, Reply};
use crate::reliability::ending::Ending;
use crate::reliability::grpc::Code;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::AttemptEnd;
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::wire::Answer;

/// An attempt as the machine wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub(super) id: AttemptId,
    pub(super) kind: Kind,
    pub(super) cutoff: Instant,
    pub(super) launched: Instant,
}

/// An attempt in flight.
pub(super) struct Flight {
    launch: Launch,
    permit: Permit,
    /// Set as soon as the endpoint is chosen.
    pub(super) in_flight: Option<InFlight>,
}

/// An attempt that ended well.
struct Landed {
    answer: Answer,
    in_flight: InFlight,
}

/// The attempts of one request. Dropped before their end (the client has gone), permits go back, what flies is noted as
/// cancelled, what was paid for a retry that waits comes back, and one that was in flight is counted as wasted.
pub(super) struct Course<'a> {
    route: &'a Route<'a>,
    pub(super) machine: Attempts<'a>,
    record: &'a mut Record,
    deadline: Instant,
    /// Endpoints that have failed this request.
    pub(super) used: Vec<Arc<Endpoint>>,
    /// The attempt, and its hedge.
    pub(super) flights: [Option<Flight>; 2],
    landed: Option<(AttemptId, Landed)>,
    last: (Failure, Sent),
    executed: Sent,
    /// What is sent twice may have an effect twice, but for the upstream's promise.
    unsafe_method: bool,
    pub(super) now: Instant,
}

impl<'a> Course<'a> {
    pub(super) fn begin(route: &'a Route<'a>, plan: Plan<'a>, record: &'a mut Record) -> Course<'a> {
        Course {
            route,
            deadline: plan.deadline,
            unsafe_method: !plan.idempotent,
            machine: Attempts::new(plan),
            record,
            used: Vec::new(),
            flights: [None, None],
            landed: None,
            last: (Failure::Internal, Sent::No),
            executed: Sent::No,
            now: clock::now(),
        }
    }

    pub(super) fn route(&self) -> &'a Route<'a> {
        self.route
    }

    /// What is to be done now.
    pub(super) fn ask(&mut self) -> Step {
        let (machine, now) = (&mut self.machine, self.now);
        self.route.state.decide(|d| machine.next(now, d, &mut Random))
    }

    /// An attempt is on its way.
    pub(super) fn launch(&mut self, launch: Launch, permit: Permit) {
        let flight = Some(Flight { launch, permit, in_flight: None });
        match &mut self.flights {
            [first @ None, _] => *first = flight,
            [_, second] => *second = flight,
        }
    }

    /// The endpoint of an attempt is known.
    pub(super) fn chosen(&mut self, place: usize, in_flight: InFlight) {
        if let Some(Some(flight)) = self.flights.get_mut(place) {
            flight.in_flight = Some(in_flight);
        }
    }

    /// An attempt has ended. `again`: the request could be sent once more. Returns an answer that nobody gets.
    pub(super) fn land(&mut self, place: usize, result: AttemptResult, again: bool) -> Option<Answer> {
        let Flight { launch, permit, in_flight } = self.flights.get_mut(place)?.take()?;
        let Launch { id, kind, cutoff, launched } = launch;
        self.now = clock::now();
        let now = self.now;
        let elapsed = now.saturating_duration_since(launched);
        let outcome = outcome_of(&result, cutoff, self.deadline);
        let endpoint = in_flight.as_ref().map(InFlight::endpoint);
        let begun = is_begun(&result);
        let times = (launched, self.deadline);
        self.record.attempt(note(kind, &outcome, endpoint.map(|e| e.addr), times, elapsed, begun));
        settle_endpoint(self.route, endpoint.map(|e| &**e), &outcome, begun, elapsed, now);
        tell_endpoint(&mut self.machine, kind, endpoint, &self.used);
        self.machine.set_replayable(again);
        let machine = &mut self.machine;
        let superseded =
            self.route.state.decide(|d| machine.on_outcome(now, id, permit, outcome, elapsed, d, &mut Random));
        // Another one flies that may bring a better answer.
        let set_aside = self.machine.is_flying();
        if let Reply::Failed(failure) = outcome.reply {
            self.last = (failure, self.last.1.max(outcome.sent));
            self.executed = self.executed.max(outcome.sent);
        } else {
            // Of a superseded answer nothing is kept: only the breaker or the deadline can stop its retry.
            self.last = (if superseded { Failure::CircuitOpen } else { self.last.0 }, Sent::Yes);
        }
        if (superseded || set_aside) && may_have_had_effect(outcome.reply, self.route.policy.retry.contract) {
            self.executed = Sent::Yes;
        }
        if superseded || set_aside {
            // Allocates, so only where another attempt follows.
            self.used.extend(endpoint.cloned());
        }
        match (result, in_flight) {
            (Ok(answer), _) if superseded => {
                self.landed = None;
                Some(answer)
            }
            (Ok(answer), Some(in_flight)) => {
                self.landed = Some((id, Landed { answer, in_flight }));
                None
            }
            (Ok(_) | Err(_), _) => None,
        }
    }

    /// What still flies has lost to another attempt, and is let go of. Its future is gone, or about to be.
    pub(super) fn supersede(&mut self) {
        for flight in self.flights.iter().flatten() {
            if let Some(in_flight) = &flight.in_flight {
                let ran = self.now.saturating_duration_since(flight.launch.launched);
                in_flight.endpoint().outlasted(self.now, ran);
            }
        }
        self.cancel();
    }

    /// What still flies is not waited for.
    fn cancel(&mut self) {
        for place in 0..self.flights.len() {
            let Some(flight) = self.flights.get_mut(place).and_then(Option::take) else { continue };
            let Flight { launch: Launch { kind, launched, .. }, permit, in_flight } = flight;
            let now = clock::now();
            self.route.state.decide(|d| d.on_cancelled(now, permit));
            let elapsed = now.saturating_duration_since(launched);
            if self.unsafe_method {
                self.executed = self.executed.max(Sent::Maybe);
            }
            let endpoint = in_flight.as_ref().map(|i| i.endpoint().addr);
            let (deadline, end, ending) = (self.deadline, AttemptEnd::Cancelled, Ending::Cancelled);
            let open = false;
            self.record.attempt(AttemptNote { endpoint, kind, launched, deadline, elapsed, end, ending, open });
        }
    }

    /// The attempts are over.
    pub(super) fn end(mut self, stop: Stop, answer: Option<AttemptId>) -> Verdict {
        self.cancel();
        self.record.stopped(stop);
        if let Some(reason) = self.machine.denied() {
            self.record.deny(reason);
        }
        self.record.rescue = self.machine.rescue();
        verdict(stop, answer, self.landed.take(), self.last, self.executed)
    }
}

impl Drop for Course<'_> {
    fn drop(&mut self) {
        self.cancel();
        if self.machine.is_unsettled() {
            let machine = &mut self.machine;
            self.route.state.decide(|d| machine.abandon(clock::now(), d));
        }
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
    if matches!(kind, Kind::Retry | Kind::Transparent)
        && let Some(endpoint) = endpoint
    {
        machine.set_elsewhere(!used.iter().any(|tried| Arc::ptr_eq(tried, endpoint)));
    }
}
