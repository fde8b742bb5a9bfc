//! Drives `reliability::attempts`: launch, wait, finish. One loop, no policy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;
use tokio::time::sleep_until;

use super::record::{AttemptNote, Record};
use super::route::Route;
use super::{hygiene, respond};
use crate::clock;
use crate::drain::Tasks;
use crate::random::Random;
use crate::reliability::attempts::{AttemptId, Attempts, Denied, Kind, Plan, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{self, Outcome, Reply};
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::AttemptEnd;
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::upstreams::{Upstream, pool_limits};
use crate::wire::h1::Link;
use crate::wire::{Answer, RequestBody, SendError, dial};

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
    /// Cleaned; deadline and attempt headers are set per attempt.
    pub headers: HeaderMap,
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
#[expect(clippy::large_enum_variant, reason = "one per request, moved once: a box would be an allocation for each")]
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
    endpoint: Option<Arc<Endpoint>>,
}

impl Flight<'_> {
    fn land(mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let now = clock::now();
        self.upstream.decide(|d| d.on_cancelled(now, permit));
        let (endpoint, elapsed) = (self.endpoint.take(), now.saturating_duration_since(self.launched));
        self.record.attempt(AttemptNote { endpoint, kind: self.kind, elapsed, end: AttemptEnd::Cancelled });
    }
}

/// Runs the attempts of one request.
pub async fn run(route: &Route<'_>, mut request: Outgoing, record: &mut Record, tasks: &Tasks) -> Verdict {
    let mut running = Running { upstream: route.state, machine: Attempts::new(plan(route, &request)) };
    let machine = &mut running.machine;
    let mut used: Vec<Arc<Endpoint>> = Vec::new();
    let mut landed: Option<(AttemptId, Landed)> = None;
    let mut last = (Failure::Internal, Sent::No);
    loop {
        let step = route.state.decide(|d| machine.next(clock::now(), d, &mut Random));
        match step {
            Step::Launch { id, kind, cutoff, permit } => {
                let launched = clock::now();
                let attempt = Attempt { route, number: machine.launched(), cutoff, used: &used, tasks };
                let permit = Some(permit);
                let mut flight =
                    Flight { upstream: route.state, record: &mut *record, permit, kind, launched, endpoint: None };
                let result = attempt.run(&mut request, &mut flight.endpoint).await;
                let permit = flight.land();
                let now = clock::now();
                let elapsed = now.saturating_duration_since(launched);
                let (outcome, endpoint) = outcome_of(&result, cutoff, request.deadline);
                note(record, kind, &outcome, endpoint.clone(), elapsed);
                settle_endpoint(route, endpoint.as_deref(), &outcome, elapsed, now);
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
                    used.extend(endpoint);
                }
                match result {
                    Ok(ok) if superseded => discard(ok.answer, request.deadline).await,
                    Ok(ok) => landed = Some((id, ok)),
                    Err(_) => {}
                }
            }
            Step::Wait { until } => sleep_until(until.into()).await,
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

type AttemptResult = Result<Landed, (Failure, Sent, Option<Arc<Endpoint>>)>;

fn outcome_of(result: &AttemptResult, cutoff: Instant, deadline: Instant) -> (Outcome, Option<Arc<Endpoint>>) {
    match result {
        Ok(landed) => {
            let headers = landed.answer.headers();
            let mut outcome = Outcome::answered(landed.answer.status().as_u16());
            if matches!(landed.answer.status().as_u16(), 429 | 503) {
                outcome.retry_after = headers.get(http::header::RETRY_AFTER).and_then(retry_after);
            }
            outcome.final_by_peer = headers.contains_key(respond::RETRY_MARK);
            (outcome, Some(Arc::clone(landed.in_flight.endpoint())))
        }
        Err((failure, sent, endpoint)) => {
            // The time of one try and the time of the request may be the same instant.
            let whole = *failure == Failure::TryTimeout && cutoff >= deadline;
            let failure = if whole { Failure::DeadlineExceeded } else { *failure };
            (Outcome::failed(failure, *sent), endpoint.clone())
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

fn note(record: &mut Record, kind: Kind, outcome: &Outcome, endpoint: Option<Arc<Endpoint>>, elapsed: Duration) {
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
    cutoff: Instant,
    used: &'a [Arc<Endpoint>],
    tasks: &'a Tasks,
}

impl Attempt<'_> {
    /// `chosen` is set as soon as the endpoint is.
    async fn run(&self, request: &mut Outgoing, chosen: &mut Option<Arc<Endpoint>>) -> AttemptResult {
        let state = self.route.state;
        if state.is_resolving() {
            state.resolved(self.cutoff).await;
        }
        let key = request.hash_key.as_ref().map(HeaderValue::as_bytes);
        let in_flight = state
            .pick(self.route.upstream, key, self.used, clock::now())
            .map_err(|failure| (failure, Sent::No, None))?;
        let endpoint = Arc::clone(in_flight.endpoint());
        *chosen = Some(Arc::clone(&endpoint));
        match self.exchange(&endpoint, request).await {
            Ok(answer) => Ok(Landed { answer, in_flight }),
            Err((failure, sent)) => Err((failure, sent, Some(endpoint))),
        }
    }

    async fn exchange(&self, endpoint: &Arc<Endpoint>, request: &mut Outgoing) -> Result<Answer, (Failure, Sent)> {
        let limits = pool_limits(self.route.upstream);
        let mut stale = 0;
        loop {
            let kept = if request.upgrade || stale >= STALE_LINKS_MAX {
                None
            } else {
                endpoint.pool.checkout(clock::now(), &limits)
            };
            let reused = kept.is_some();
            let link = match kept {
                Some(link) => {
                    self.route.state.meters.connection_reused();
                    link
                }
                None => self.connect(endpoint).await.map_err(|failure| (failure, Sent::No))?,
            };
            let Some(body) = request.body.take() else { return Err((Failure::Internal, Sent::No)) };
            let replay = body.replay();
            let head = self.head(endpoint, request, body);
            match self.send(link, head, request.upgrade, limits.idle_max).await {
                Ok(answer) => {
                    request.body = replay;
                    hygiene::check_response(answer.headers()).map_err(|failure| (failure, Sent::Yes))?;
                    return Ok(answer);
                }
                Err(SendError { failure, sent, unsent }) => {
                    request.body = replay.or_else(|| unsent.map(|r| r.into_body()));
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
        let linked = match dial::tcp(endpoint.addr, by).await {
            Ok(stream) => Link::new(stream, opening).await,
            Err(failure) => Err(failure),
        };
        match &linked {
            Ok(_) => state.meters.connection_opened(),
            Err(_) => state.on_connect_failure(),
        }
        linked
    }

    async fn send(
        &self,
        link: Link,
        head: Request<RequestBody>,
        upgrade: bool,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        if upgrade {
            link.send_upgrade(head, self.cutoff, self.tasks).await
        } else if head.body().is_streaming() {
            link.send_spawned(head, self.cutoff, idle_max, self.tasks).await
        } else {
            link.send(head, self.cutoff, idle_max).await
        }
    }

    /// The head of this attempt: Host, attempt number, what is left of the time.
    fn head(&self, endpoint: &Endpoint, request: &Outgoing, body: RequestBody) -> Request<RequestBody> {
        // hyper gives a GET no framing of its own for a body of unknown length: the bytes would be dropped.
        let chunked = !body.is_end_stream() && body.size_hint().exact().is_none();
        let mut head = Request::new(body);
        *head.method_mut() = request.method.clone();
        *head.uri_mut() = request.uri.clone();
        *head.version_mut() = Version::HTTP_11;
        let mut headers = request.headers.clone();
        if !self.route.upstream.preserve_host || !headers.contains_key(http::header::HOST) {
            headers.insert(http::header::HOST, endpoint.authority.clone());
        }
        if chunked && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let count = request.inbound_attempt.saturating_add(self.number - 1);
        hygiene::set_attempt(&mut headers, count, self.cutoff, &self.route.policy.deadline, clock::now());
        *head.headers_mut() = headers;
        head
    }
}
