//! One attempt: balance, connect, send.

use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Body as _;

use super::attempt::Outgoing;
use super::connect::{Tongue, Way};
use super::hygiene;
use super::route::Route;
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::deadline;
use crate::reliability::{Failure, Sent};
use crate::sabotage::{Point, crash_point};
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::upstreams::pool_limits;
use crate::wire::h1::Link;
use crate::wire::h2::Place;
use crate::wire::pool::PoolLimits;
use crate::wire::{Alarm, Answer, Head, Pool, RequestBody, SendError, Terms};

/// A connection that turns out to be closed before anything was written is replaced at once, so many times.
const STALE_LINKS_MAX: u32 = 3;

/// An answer, or why there is none and how much of the request left.
pub(super) type AttemptResult = Result<Answer, (Failure, Sent)>;

/// One attempt: balance, connect, send.
pub(super) struct Attempt<'a> {
    pub(super) route: &'a Route<'a>,
    /// Counted from 1.
    pub(super) number: u32,
    pub(super) launched: Instant,
    pub(super) cutoff: Instant,
    /// Endpoints that have failed this request.
    pub(super) used: &'a [Arc<Endpoint>],
    /// The timer of this task.
    pub(super) alarm: &'a Alarm,
    pub(super) tasks: &'a Tasks,
}

impl Attempt<'_> {
    /// `in_flight` is set as soon as the endpoint is chosen.
    pub(super) async fn run(&self, request: &mut Outgoing, in_flight: &mut Option<InFlight>) -> AttemptResult {
        let state = self.route.state;
        let mut now = self.launched;
        if state.is_resolving() {
            Box::pin(state.resolved(self.cutoff)).await;
            now = clock::now();
        }
        let key = request.hash_key.as_ref().map(HeaderValue::as_bytes);
        let chosen = state.pick(self.route.upstream, key, self.used, now).map_err(|failure| (failure, Sent::No))?;
        self.exchange(in_flight.insert(chosen).endpoint(), request, now).await
    }

    /// Over a kept connection if there is one. One that the endpoint has closed meanwhile says nothing of the
    /// endpoint: the request goes out again, over another connection, where that is safe.
    async fn exchange(&self, endpoint: &Arc<Endpoint>, request: &mut Outgoing, mut now: Instant) -> AttemptResult {
        let limits = pool_limits(self.route.upstream);
        let line = endpoint.line(self.route.speech);
        let tongue = Tongue::of(&line, request);
        let (mut unwritten, mut before) = (0, Sent::No);
        loop {
            let fresh = request.upgrade || before == Sent::Maybe || unwritten >= STALE_LINKS_MAX;
            let way = self.way(endpoint, &line, tongue, now, fresh).await.map_err(|failure| (failure, before))?;
            if let Way::Own { reused: false, .. } | Way::Shared { .. } = &way {
                now = clock::now();
            }
            if let Some(claim) = request.claim.clone() {
                Box::pin(claim.before_first_byte()).await.map_err(|failure| (failure, before))?;
                now = clock::now();
            }
            self.set_own(request, now);
            crash_point(Point::BeforeFirstByte);
            let held = request.body.as_ref().is_some_and(|b| !b.is_streaming()) && !request.upgrade;
            let (result, reused) = match way {
                Way::Own { link, reused } if held => {
                    (self.send_held(link, endpoint, request, limits.idle_max).await, reused)
                }
                Way::Own { link, reused } => {
                    (Box::pin(self.send_once(link, endpoint, request, limits.idle_max)).await, reused)
                }
                Way::Shared { place, reused } => {
                    let takes_no_more = place.outlook();
                    let result = Box::pin(self.send_shared(place, endpoint, request)).await;
                    // Its peer was about to close it: another connection is as good as this one was meant to be.
                    let closing = matches!(&result, Err(error) if error.sent == Sent::No && takes_no_more());
                    (result, reused || closing)
                }
            };
            let SendError { failure, sent, unsent, late } = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            request.body = request.body.take().or(unsent);
            request.late = late.filter(|_| request.claim.is_some() && may_listen_on(&line.pool, &limits));
            now = clock::now();
            let again = reused && request.body.is_some() && now < self.cutoff && unwritten < STALE_LINKS_MAX;
            match sent {
                Sent::No if again => unwritten += 1,
                Sent::Maybe if again && before == Sent::No && self.may_have_raced(request, failure) => before = sent,
                Sent::No | Sent::Maybe | Sent::Yes => return Err((failure, sent.max(before))),
            }
        }
    }

    /// The endpoint closed a kept connection while the request was on its way to it, as it may at any time. Not a
    /// byte of an answer came, but it may have read the request: only what may be repeated is sent again
    /// (RFC 9112 §9.3.1), once, over a connection that cannot have been idle.
    fn may_have_raced(&self, request: &Outgoing, failure: Failure) -> bool {
        failure == Failure::ConnectionTerminated && self.route.policy.retry.may_repeat(request.is_idempotent())
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
        let refused = |failure| SendError { failure, sent: Sent::Yes, unsent: None, late: None };
        hygiene::check_response(answer.headers()).map_err(refused)?;
        Ok(answer)
    }

    /// On a connection that others use as well. What is held can be sent again; what streams, once.
    async fn send_shared(
        &self,
        place: Place,
        endpoint: &Endpoint,
        request: &mut Outgoing,
    ) -> Result<Answer, SendError> {
        let streams = request.body.as_ref().ok_or_else(gone)?.is_streaming();
        let once = if streams { request.body.take() } else { None };
        // HTTP/2 has no requests without a host, as they come from HTTP/1.0.
        let nameless = request.headers.get(http::header::HOST).is_none_or(HeaderValue::is_empty);
        let host = self.host(endpoint, &request.headers).or(nameless.then_some(&endpoint.authority));
        let (method, target, fields, own) = (&request.method, &request.uri, &request.headers, &request.own);
        let head = Head { method, target, host, fields, own };
        let terms = Terms { cutoff: self.cutoff, idle_max: 0, alarm: self.alarm };
        let answer = match (once, &request.body) {
            (_, _) if request.upgrade => place.switch(&head, terms).await?,
            (Some(body), _) => place.send_streaming(&head, body, terms, self.tasks).await?,
            (None, Some(body)) => place.send(&head, body, terms).await?,
            (None, None) => return Err(gone()),
        };
        let refused = |failure| SendError { failure, sent: Sent::Yes, unsent: None, late: None };
        hygiene::check_response(answer.headers()).map_err(refused)?;
        Ok(answer)
    }

    fn host<'e>(&self, endpoint: &'e Endpoint, headers: &HeaderMap) -> Option<&'e HeaderValue> {
        let kept = self.route.upstream.preserve_host && headers.contains_key(http::header::HOST);
        (!kept).then_some(&endpoint.authority)
    }

    fn set_own(&self, request: &mut Outgoing, now: Instant) {
        let count = request.inbound_attempt.saturating_add(self.number - 1);
        let policy = &self.route.policy.deadline;
        let left = deadline::remaining(now, self.cutoff, policy.margin);
        hygiene::set_attempt(&mut request.headers, &mut request.own, request.present, count, left, policy);
        if let Some(lineage) = &request.lineage {
            request.own.text(&super::TRACEPARENT, &lineage.traceparent(self.number));
        }
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

/// Whether a connection can be spared for an answer that comes too late. Listeners must not take the connections that
/// other requests need: they may hold a quarter of them.
fn may_listen_on(pool: &Pool, limits: &PoolLimits) -> bool {
    pool.open_count().saturating_sub(pool.idle_count()) <= limits.connections_max / 4
}

/// The body has been sent and cannot be sent again. The machine does not ask for that.
fn gone() -> SendError {
    SendError { failure: Failure::Internal, sent: Sent::No, unsent: None, late: None }
}
