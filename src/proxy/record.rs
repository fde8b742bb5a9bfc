//! What is remembered of one request, written exactly once: on drop, at the end of the answer's body.
//! Cancellation is an outcome too.

mod load;
mod tell;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request};

use self::trace::Spans;
use super::connection::Connection;
use super::hygiene::Present;
use super::traced::Held;
use crate::clock;
use crate::dead_letters::letter::{LetterId, Tried};
use crate::policy::routes::RouteId;
use crate::policy::{Direction, RoutePolicy, UpstreamPolicy};
use crate::reliability::attempts::{Denied, Kind, Stop};
use crate::reliability::efficacy::Rescue;
use crate::reliability::ending::Ending;
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::{Failure, Sent};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{AttemptEnd, Metrics, RequestOutcome, RouteMeters};
use crate::telemetry::stories::Stories;
use crate::telemetry::trace_context::TraceContext;
use crate::upstreams::Upstream;
use crate::upstreams::reconcile::Snapshot;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where records go.
pub struct Telemetry {
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// One line per request.
    pub access_log: AccessLog,
    /// The last requests that are worth a story.
    pub stories: Arc<Stories>,
}

/// One attempt as it will be told.
#[derive(Clone, Copy, Debug)]
pub struct AttemptNote {
    /// `None` if no endpoint was chosen.
    pub endpoint: Option<SocketAddr>,
    /// Why it was made.
    pub kind: Kind,
    /// When it was launched.
    pub launched: Instant,
    /// Its request's.
    pub deadline: Instant,
    /// From its launch to the head of the answer, or to its failure.
    pub elapsed: Duration,
    /// How it ended.
    pub end: AttemptEnd,
    /// The same as far as verdicts tell endings apart.
    pub ending: Ending,
    /// A call that goes on: end and ending are those of its begin, and it is counted when it is over.
    pub open: bool,
}

impl AttemptNote {
    /// How much time its request had left at its launch. Nobody asks if all is well.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.launched)
    }
}

/// What is left of its caller's rate limit, where it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// So many requests.
    pub left: u32,
    /// Until there are more.
    pub resets: Duration,
}

/// One request.
pub struct Record {
    telemetry: Arc<Telemetry>,
    connection: Arc<Connection>,
    snapshot: Arc<Snapshot>,
    direction: Direction,
    route: Option<RouteId>,
    started: Instant,
    method: Method,
    path: Option<PathAndQuery>,
    host: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    /// Which trace it belongs to.
    pub trace: TraceContext,
    spans: Spans,
    status: u16,
    /// It is a gRPC call.
    grpc: bool,
    /// How the call ended, where its client was told.
    call: Option<Code>,
    failure: Option<(Failure, Sent)>,
    outcome: Option<RequestOutcome>,
    /// Nearly every request has one attempt: no allocation for it.
    first: Option<AttemptNote>,
    more: Vec<AttemptNote>,
    denied: Option<Denied>,
    /// The answer on its way is one that the first attempt had failed to get.
    pub rescue: Option<Rescue>,
    stop: Option<Stop>,
    /// In the queue for a slot.
    waited: Duration,
    /// Who set its deadline.
    pub deadline_from: DeadlineFrom,
    /// Which attempt of its caller it is, counted from 1.
    pub attempt_of_caller: u32,
    /// Calls that the app makes for it inherit from it.
    pub traced: Option<Held>,
    /// What its caller is told of its rate limit.
    pub quota: Option<Quota>,
    /// What became of its idempotency key.
    pub key_status: Option<KeyStatus>,
    /// Under which number it is kept, if it is.
    pub dead_letter: Option<LetterId>,
    /// Bytes of body sent to the client.
    pub response_bytes: u64,
    /// Bytes of body read from the client, if they were buffered.
    pub request_bytes: u64,
}

impl Record {
    /// Begins the record of `request`. Boxed: it passes through many hands, and ends with the answer's body.
    pub fn start<B>(
        telemetry: &Arc<Telemetry>,
        connection: &Arc<Connection>,
        snapshot: &Arc<Snapshot>,
        direction: Direction,
        request: &Request<B>,
        present: Present,
        now: Instant,
    ) -> Box<Record> {
        let (trace, spans) = trace::begin(snapshot, request, present);
        Box::new(Record {
            telemetry: Arc::clone(telemetry),
            connection: Arc::clone(connection),
            snapshot: Arc::clone(snapshot),
            direction,
            route: None,
            started: now,
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            host: request.headers().get(http::header::HOST).cloned(),
            request_id: present.request_id().then(|| request.headers().get(REQUEST_ID).cloned()).flatten(),
            trace,
            spans,
            status: 0,
            grpc: present.grpc(),
            call: None,
            failure: None,
            outcome: None,
            first: None,
            more: Vec::new(),
            denied: None,
            rescue: None,
            stop: None,
            waited: Duration::ZERO,
            deadline_from: DeadlineFrom::Policy,
            attempt_of_caller: 1,
            traced: None,
            quota: None,
            key_status: None,
            dead_letter: None,
            response_bytes: 0,
            request_bytes: 0,
        })
    }

    /// When its head had been read.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The policy it runs under.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The client's connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where what is known of it goes.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Towards a dependency, or from a caller.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The route was chosen.
    pub fn routed(&mut self, route: RouteId) {
        self.route = Some(route);
    }

    /// Upstream and route, if one was chosen.
    pub fn target(&self) -> Option<(&UpstreamPolicy, &RoutePolicy)> {
        let id = self.route?;
        let upstream = self.snapshot.policy.upstreams.get(id.upstream as usize)?;
        Some((upstream, upstream.routes.get(id.route as usize)?))
    }

    /// The living state of the upstream, if a route was chosen.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.snapshot.upstreams.get(self.route?.upstream as usize)
    }

    fn meters(&self) -> Option<&Arc<RouteMeters>> {
        let id = self.route?;
        self.snapshot.meters.get(id.upstream as usize)?.get(id.route as usize)
    }

    /// An attempt ended.
    pub fn attempt(&mut self, note: AttemptNote) {
        if !note.open {
            self.count_attempt(&note);
        }
        match &mut self.first {
            // A hedge may end before the first attempt does. What is told is told in the order of launches.
            Some(first) if note.launched < first.launched => {
                let later = std::mem::replace(first, note);
                self.more.insert(0, later);
            }
            Some(_) => self.more.push(note),
            first @ None => *first = Some(note),
        }
    }

    /// Whether there was an attempt after a failure.
    fn retried(&self) -> bool {
        self.more.iter().any(|note| matches!(note.kind, Kind::Retry | Kind::Transparent))
    }

    /// The attempt whose end was the request's: of two at once, not the one that was cancelled.
    fn decisive(&self) -> Option<&AttemptNote> {
        let over = |note: &&AttemptNote| note.end != AttemptEnd::Cancelled;
        self.more.iter().rev().chain(&self.first).find(over).or(self.first.as_ref())
    }

    fn count_attempt(&self, note: &AttemptNote) {
        if let Some(meters) = self.meters() {
            meters.attempt(note.kind, &self.method, note.end, note.elapsed);
        }
        if let Some(upstream) = self.upstream() {
            count_attempt(upstream, note);
        }
    }

    /// Its caller speaks gRPC, and reads nothing else.
    pub fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// Its client is told, or will be, that the call ended so.
    pub fn called(&mut self, code: Code) {
        self.call = Some(code);
    }

    /// How the call ended, where its client was told.
    pub fn call(&self) -> Option<Code> {
        self.call
    }

    /// A call that had begun is over. False: there was none.
    pub fn call_ended(&mut self, code: Code) -> bool {
        let ended = self.leave_call_as(Some(code));
        if ended {
            self.call = Some(code);
        }
        ended
    }

    /// Nobody will see the end of a call that had begun. False: there was none.
    pub fn leave_call(&mut self) -> bool {
        self.leave_call_as(None)
    }

    fn leave_call_as(&mut self, code: Option<Code>) -> bool {
        // Only one attempt can be one whose answer is passed on.
        let mut notes = self.more.iter_mut().rev().chain(self.first.as_mut());
        let Some(note) = notes.find(|note| note.open) else { return false };
        note.open = false;
        if let Some(code) = code {
            (note.end, note.ending) = (AttemptEnd::Call(code), code.ending(false));
        }
        let note = *note;
        self.count_attempt(&note);
        true
    }

    /// A retry was not made.
    pub fn deny(&mut self, reason: Denied) {
        self.denied = Some(reason);
        if let Some(meters) = self.meters() {
            meters.retry_denied(reason);
        }
        if let Some(upstream) = self.upstream() {
            upstream.totals.deny(reason);
        }
    }

    /// Its caller has sent more than it may. `observe`: it is let through all the same.
    pub fn limited(&self, observe: bool) {
        if let Some(meters) = self.meters() {
            meters.limited(observe, self.started);
        }
    }

    /// The attempts are over, and why.
    pub fn stopped(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    /// It stood in the queue for a slot.
    pub fn waited(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// Attempts that ended so far.
    pub fn attempts(&self) -> u32 {
        u32::from(self.first.is_some()) + self.more.len() as u32
    }

    /// The attempts, for a letter.
    pub fn tried(&self) -> Vec<Tried> {
        let tried = |note: &AttemptNote| Tried {
            endpoint: note.endpoint.map_or_else(String::new, |endpoint| endpoint.to_string()),
            duration_ms: u64::try_from(note.elapsed.as_millis()).unwrap_or(u64::MAX),
            end: match note.end {
                AttemptEnd::Status(status) => status.to_string(),
                AttemptEnd::Call(code) => code.as_str().to_owned(),
                AttemptEnd::Failed(failure) => failure.token().to_owned(),
                AttemptEnd::Cancelled => "cancelled".to_owned(),
            },
        };
        self.first.iter().chain(&self.more).map(tried).collect()
    }

    /// The endpoint of the last attempt, or of the one that brought the answer.
    pub fn last_endpoint(&self) -> Option<SocketAddr> {
        self.decisive()?.endpoint
    }

    /// Why a retry was not made.
    pub fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// The head of an upstream's answer goes to the client.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// A failure of our own making goes to the client, or cuts the answer.
    pub fn failed(&mut self, failure: Failure, sent: Sent) {
        if self.status == 0 {
            self.status = failure.status();
        }
        self.failure = Some((failure, sent));
    }

    /// The answer is complete.
    pub fn complete(&mut self) {
        let outcome = match self.failure {
            Some((Failure::ClientGone | Failure::ClientStalled, _)) => RequestOutcome::ClientGone,
            Some((_, Sent::No)) if self.attempts() == 0 => RequestOutcome::Refused,
            Some(_) => RequestOutcome::Failed,
            None if self.status >= 500 || self.call.is_some_and(|code| code.as_status() >= 500) => {
                RequestOutcome::UpstreamError
            }
            None => RequestOutcome::Success,
        };
        self.outcome = Some(outcome);
    }

    fn settle(&mut self) -> RequestOutcome {
        if let Some(outcome) = self.outcome {
            return outcome;
        }
        // Dropped before its end: nobody waits any more, or the answer broke.
        match self.failure {
            Some((Failure::ClientGone | Failure::ClientStalled, _)) => RequestOutcome::ClientGone,
            Some(_) => RequestOutcome::Failed,
            None if self.connection.is_cut() => {
                let sent = if self.attempts() == 0 { Sent::No } else { Sent::Maybe };
                self.failure = Some((Failure::Draining, sent));
                RequestOutcome::Failed
            }
            None => {
                let gone = if self.connection.stalled() { Failure::ClientStalled } else { Failure::ClientGone };
                let sent = if self.attempts() == 0 { Sent::No } else { Sent::Maybe };
                self.failure = Some((gone, sent));
                RequestOutcome::ClientGone
            }
        }
    }

    fn count(&self, outcome: RequestOutcome, elapsed: Duration) {
        let error = self.failure.map(|(failure, _)| failure);
        if let Some(meters) = self.meters() {
            let status = if self.status == 0 { 499 } else { self.status };
            meters.request(&self.method, status, error, outcome, elapsed);
            if let Some(key) = self.key_status {
                meters.keyed(key);
            }
            if let Some(code) = self.call {
                meters.called(code);
            }
        }
        let Some(upstream) = self.upstream() else {
            let reason = error.map_or("none", Failure::token);
            return self.telemetry.metrics.unrouted(self.direction, reason);
        };
        let ending = self.ending(outcome);
        let retried = self.retried();
        let rescued = retried && ending == Ending::Success;
        if outcome != RequestOutcome::Success
            && let Some(rescue) = self.rescue
        {
            let now = self.started + elapsed;
            upstream.decide(|dependency| dependency.efficacy.on_late(now, rescue));
        }
        upstream.tally.request(ending, rescued);
        if outcome == RequestOutcome::Refused && ending.counts() {
            upstream.totals.refused.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(meters) = self.meters() {
            meters.tally.add(ending);
            if retried {
                meters.retried(rescued);
            }
        }
    }

    fn is_overload(&self) -> bool {
        self.status == 429 || self.call == Some(Code::ResourceExhausted)
    }

    /// How it ended, for verdicts.
    fn ending(&self, outcome: RequestOutcome) -> Ending {
        match (outcome, self.failure) {
            // To the log it is an answer like others; whoever asked for something did not get it.
            (RequestOutcome::Success, _) if self.is_overload() && self.first.is_some() => Ending::Overload,
            (RequestOutcome::Success, _) => Ending::Success,
            (RequestOutcome::ClientGone, _) => Ending::Cancelled,
            (_, Some((failure, _))) => Ending::of_failure(failure),
            // The upstream's own answer, which the last attempt has told apart.
            (_, None) => self.decisive().map_or(Ending::Error, |note| note.ending),
        }
    }
}

fn count_attempt(upstream: &Upstream, note: &AttemptNote) {
    let again = match note.kind {
        Kind::First => {
            let failed = match note.end {
                AttemptEnd::Status(status) => status >= 500,
                AttemptEnd::Call(code) => code.as_status() >= 500,
                AttemptEnd::Failed(_) => true,
                AttemptEnd::Cancelled => false,
            };
            if failed {
                upstream.totals.first_attempts_failed.fetch_add(1, Ordering::Relaxed);
            }
            false
        }
        Kind::Retry | Kind::Transparent => true,
        Kind::Hedge => false,
    };
    upstream.tally.attempt(note.ending, again, note.elapsed);
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = clock::now();
        self.connection.end_exchange(now);
        self.leave_call();
        let outcome = self.settle();
        if outcome != RequestOutcome::ClientGone {
            self.connection.served();
        }
        let elapsed = now.saturating_duration_since(self.started);
        self.count(outcome, elapsed);
        self.tell(outcome, elapsed, now);
        self.export(outcome, elapsed, now);
    }
}
