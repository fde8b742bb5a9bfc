//! Drives `reliability::attempts`: launch, wait, finish. One loop, no policy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;
use tokio::time::sleep_until;

use super::hygiene::Present;
use super::record::{AttemptNote, Record};
use super::route::Route;
use super::{hygiene, respond};
use crate::clock;
use crate::drain::Tasks;
use crate::random::Random;
use crate::reliability::attempts::{AttemptId, Attempts, Denied, Kind, Plan, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{self, Outcome, Reply};
use crate::reliability::deadline;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::AttemptEnd;
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::upstreams::{Upstream, pool_limits};
use crate::wire::h1::Link;
use crate::wire::{Alarm, Answer, Head, OwnFields, RequestBody, SendError, Terms, dial};

/// A connection that turns out to be closed before anything was written is replaced at once, so many times.
const STALE_LINKS_MAX: u32 = 3;
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
    /// `x-envoy-attempt-count` of the request that came in, at least 1.
    pub inbound_attempt: u32,
    /// The whole request.
    pub deadline: Instant,
    /// Value of the header that the policy hashes on.
    pub hash_key: Option<HeaderValue>,
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
    },
    /// No answer.
    Failed {
        /// What happened last.
        failure: Failure,
        /// Of the attempt that got furthest.
        sent: Sent,
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

/// The machine of a request. Dropped while a retry waits (the client has gone), what was paid for it comes back.
struct Running<'a> {
    upstream: &'a Upstream,
    machine: Attempts<'a>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.machine.is_waiting() {
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
        let elapsed = now.saturating_duration_since(self.launched);
        self.record.attempt(AttemptNote { endpoint, kind: self.kind, elapsed, end: AttemptEnd::Cancelled });
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
    let mut running = Running { upstream: route.state, machine: Attempts::new(plan(route, request)) };
    let machine = &mut running.machine;
    let mut used: Vec<Arc<Endpoint>> = Vec::new();
    let mut landed: Option<(AttemptId, Landed)> = None;
    let mut last = (Failure::Internal, Sent::No);
    let mut now = clock::now();
    loop {
        let step = route.state.decide(|d| machine.next(now, d, &mut Random));
        match step {
            Step::Launch { id, kind, cutoff, permit } => {
                let launched = now;
                let attempt =
                    Attempt { route, number: machine.launched(), launched, cutoff, used: &used, alarm, tasks };
                let permit = Some(permit);
                let mut flight =
                    Flight { upstream: route.state, record: &mut *record, permit, kind, launched, in_flight: None };
                let result = attempt.run(request, &mut flight.in_flight).await;
                let (permit, in_flight) = flight.land();
                now = clock::now();
                let elapsed = now.saturating_duration_since(launched);
                let outcome = outcome_of(&result, cutoff, request.deadline);
                let endpoint = in_flight.as_ref().map(InFlight::endpoint);
                note(record, kind, &outcome, endpoint.map(|e| e.addr), elapsed);
                settle_endpoint(route, endpoint.map(|e| &**e), &outcome, elapsed, now);
                machine.set_replayable(request.body.is_some() && !request.upgrade);
                let Some(permit) = permit else { continue };
                let superseded =
                    route.state.decide(|d| machine.on_outcome(now, id, permit, outcome, elapsed, d, &mut Random));
                if let Reply::Failed(failure) = outcome.reply {
                    last = (failure, last.1.max(outcome.sent));
                } else {
                    // Of a superseded answer nothing is kept: only the breaker or the deadline can stop its retry.
                    last = (if superseded { Failure::CircuitOpen } else { last.0 }, Sent::Yes);
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
                if let Some(reason) = machine.denied() {
                    record.deny(reason);
                }
                return verdict(stop, answer, landed, last);
            }
        }
    }
}

fn plan<'a>(route: &Route<'a>, request: &Outgoing) -> Plan<'a> {
    Plan {
        policy: &route.policy.retry,
        deadline: request.deadline,
        backend_request: route.policy.timeouts.backend_request,
        idempotent: request.method.is_idempotent(),
        replayable: request.body.as_ref().is_some_and(|b| !b.is_streaming()) && !request.upgrade,
        chain_stop: request.inbound_attempt > 1,
        endpoints: route.state.endpoint_count(),
    }
}

fn verdict(
    stop: Stop,
    answer: Option<AttemptId>,
    landed: Option<(AttemptId, Landed)>,
    last: (Failure, Sent),
) -> Verdict {
    if let (Some(wanted), Some((id, landed))) = (answer, landed)
        && wanted == id
    {
        return Verdict::Answered { answer: landed.answer, in_flight: landed.in_flight, stop };
    }
    let (failure, sent) = last;
    let (failure, retry_after) = match stop {
        Stop::Refused(Refusal::CircuitOpen { retry_after }) => (Failure::CircuitOpen, Some(retry_after)),
        Stop::Refused(Refusal::Throttled) => (Failure::Throttled, Some(Duration::from_secs(1))),
        Stop::DeadlinePassed => (Failure::DeadlineExceeded, None),
        Stop::Denied(Denied::Breaker) if failure == Failure::CircuitOpen => (failure, Some(Duration::from_secs(1))),
        Stop::Answered | Stop::AttemptsSpent | Stop::Denied(_) => (failure, None),
    };
    Verdict::Failed { failure, sent, retry_after, stop }
}

type AttemptResult = Result<Answer, (Failure, Sent)>;

fn outcome_of(result: &AttemptResult, cutoff: Instant, deadline: Instant) -> Outcome {
    match result {
        Ok(answer) => {
            let headers = answer.headers();
            let mut outcome = Outcome::answered(answer.status().as_u16());
            if matches!(answer.status().as_u16(), 429 | 503) {
                outcome.retry_after = headers.get(http::header::RETRY_AFTER).and_then(retry_after);
            }
            // Only what is not simply good can be retried.
            outcome.final_by_peer = !answer.status().is_success() && headers.contains_key(respond::RETRY_MARK);
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

fn note(record: &mut Record, kind: Kind, outcome: &Outcome, endpoint: Option<SocketAddr>, elapsed: Duration) {
    let end = match outcome.reply {
        Reply::Status(status) => AttemptEnd::Status(status),
        Reply::Failed(failure) => AttemptEnd::Failed(failure),
    };
    record.attempt(AttemptNote { endpoint, kind, elapsed, end });
}

fn settle_endpoint(route: &Route<'_>, endpoint: Option<&Endpoint>, outcome: &Outcome, elapsed: Duration, now: Instant) {
    let Some(endpoint) = endpoint else { return };
    let token = match outcome.reply {
        Reply::Status(429) => Some("429"),
        Reply::Status(500..) => Some("5xx"),
        Reply::Status(_) => None,
        Reply::Failed(failure) => Some(failure.token()),
    };
    let signal = classify::endpoint_signal(outcome);
    route.state.record_attempt(route.upstream, endpoint, signal, token, elapsed, now);
}

/// Reads the rest of an answer that nobody gets, so that its connection is kept.
async fn discard(answer: Answer, deadline: Instant) {
    let rest = answer.into_body().drain(DRAIN_BYTES_MAX);
    let until = deadline.min(clock::now() + DRAIN_TIME);
    let _ = tokio::time::timeout_at(until.into(), rest).await;
}

/// One attempt: balance, connect, send.
struct Attempt<'a> {
    route: &'a Route<'a>,
    /// Counted from 1.
    number: u32,
    launched: Instant,
    cutoff: Instant,
    used: &'a [Arc<Endpoint>],
    alarm: &'a Alarm,
    tasks: &'a Tasks,
}

impl Attempt<'_> {
    /// `in_flight` is set as soon as the endpoint is chosen.
    async fn run(&self, request: &mut Outgoing, in_flight: &mut Option<InFlight>) -> AttemptResult {
        let state = self.route.state;
        if state.is_resolving() {
            Box::pin(state.resolved(self.cutoff)).await;
        }
        let key = request.hash_key.as_ref().map(HeaderValue::as_bytes);
        let chosen =
            state.pick(self.route.upstream, key, self.used, self.launched).map_err(|failure| (failure, Sent::No))?;
        self.exchange(in_flight.insert(chosen).endpoint(), request).await
    }

    async fn exchange(&self, endpoint: &Arc<Endpoint>, request: &mut Outgoing) -> AttemptResult {
        let limits = pool_limits(self.route.upstream);
        let mut stale = 0;
        self.set_own(request);
        loop {
            let kept = if request.upgrade || stale >= STALE_LINKS_MAX {
                None
            } else {
                endpoint.pool.checkout(self.launched, &limits)
            };
            let reused = kept.is_some();
            let link = match kept {
                Some(link) => {
                    self.route.state.meters.connection_reused();
                    link
                }
                // What is rare is boxed: the future of every request would have to have room for it.
                None => Box::pin(self.connect(endpoint)).await.map_err(|failure| (failure, Sent::No))?,
            };
            let held = request.body.as_ref().is_some_and(|b| !b.is_streaming()) && !request.upgrade;
            let sent = if held {
                self.send_held(link, endpoint, request, limits.idle_max).await
            } else {
                Box::pin(self.send_once(link, endpoint, request, limits.idle_max)).await
            };
            match sent {
                Ok(answer) => return Ok(answer),
                Err(SendError { failure, sent, unsent }) => {
                    request.body = request.body.take().or(unsent);
                    // A kept connection that was closed before a byte was written says nothing of the endpoint.
                    if reused && sent == Sent::No && request.body.is_some() && clock::now() < self.cutoff {
                        stale += 1;
                        continue;
                    }
                    return Err((failure, sent));
                }
            }
        }
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>) -> Result<Link, Failure> {
        let state = self.route.state;
        let limits = pool_limits(self.route.upstream);
        let opening = endpoint.pool.open(&limits).ok_or(Failure::ConnectionLimit)?;
        let by = self.cutoff.min(clock::now() + self.route.upstream.connect_timeout);
        let linked = dial::tcp(endpoint.addr, by).await.map(|stream| Link::new(stream, opening));
        match &linked {
            Ok(_) => state.meters.connection_opened(),
            Err(_) => state.on_connect_failure(),
        }
        linked
    }

    /// What is held in memory is written by this task, and can be written again.
    async fn send_held(
        &self,
        link: Link,
        endpoint: &Endpoint,
        request: &Outgoing,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        let Some(body) = &request.body else { return Err(gone()) };
        let head = Head {
            method: &request.method,
            target: &request.uri,
            host: self.host(endpoint, &request.headers),
            fields: &request.headers,
            own: &request.own,
        };
        link.send(&head, body, Terms { cutoff: self.cutoff, idle_max, alarm: self.alarm }).await
    }

    /// What streams, or switches protocols, goes through a task of its own, and only once.
    async fn send_once(
        &self,
        link: Link,
        endpoint: &Endpoint,
        request: &mut Outgoing,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        let Some(body) = request.body.take() else { return Err(gone()) };
        let head = self.whole_head(endpoint, request, body);
        let answer = if request.upgrade {
            link.send_upgrade(head, self.cutoff, self.tasks).await?
        } else {
            link.send_streaming(head, self.cutoff, idle_max, self.tasks).await?
        };
        let refused = |failure| SendError { failure, sent: Sent::Yes, unsent: None };
        hygiene::check_response(answer.headers()).map_err(refused)?;
        Ok(answer)
    }

    fn host<'e>(&self, endpoint: &'e Endpoint, headers: &HeaderMap) -> Option<&'e HeaderValue> {
        let kept = self.route.upstream.preserve_host && headers.contains_key(http::header::HOST);
        (!kept).then_some(&endpoint.authority)
    }

    fn set_own(&self, request: &mut Outgoing) {
        let count = request.inbound_attempt.saturating_add(self.number - 1);
        let policy = &self.route.policy.deadline;
        let left = deadline::remaining(self.launched, self.cutoff, policy.margin);
        hygiene::set_attempt(&mut request.headers, &mut request.own, request.present, count, left, policy);
    }

    fn whole_head(&self, endpoint: &Endpoint, request: &Outgoing, body: RequestBody) -> Request<RequestBody> {
        // hyper gives a GET no framing of its own for a body of unknown length: the bytes would be dropped.
        let chunked = !body.is_end_stream() && body.size_hint().exact().is_none();
        let mut head = Request::new(body);
        *head.method_mut() = request.method.clone();
        *head.uri_mut() = request.uri.clone();
        *head.version_mut() = Version::HTTP_11;
        let mut headers = request.headers.clone();
        if let Some(host) = self.host(endpoint, &headers) {
            headers.insert(http::header::HOST, host.clone());
        }
        if chunked && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        request.own.append_to(&mut headers);
        *head.headers_mut() = headers;
        head
    }
}

/// The body has been sent and cannot be sent again. The machine does not ask for that.
fn gone() -> SendError {
    SendError { failure: Failure::Internal, sent: Sent::No, unsent: None }
}
