//! One attempt: balance, connect, send.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Body as _;

use super::attempt::Outgoing;
use super::connect::{Tongue, Way};
use super::route::Route;
use super::{grpc, hygiene};
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
use crate::wire::{Alarm, Answer, Head, Late, OwnFields, Pool, RequestBody, SendError, Terms};

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
    /// The timer of this task.
    pub(super) alarm: &'a Alarm,
    pub(super) tasks: &'a Tasks,
}

/// The request as one attempt has it.
pub(super) enum Parcel<'r> {
    /// Alone: what can be sent once is this attempt's to send.
    Alone(&'r mut Outgoing),
    /// Another attempt may be under way. What is held is sent by both, and what differs is each one's own.
    Beside { request: &'r Outgoing, own: OwnFields },
}

impl Deref for Parcel<'_> {
    type Target = Outgoing;

    fn deref(&self) -> &Outgoing {
        match self {
            Parcel::Alone(request) => request,
            Parcel::Beside { request, .. } => request,
        }
    }
}

impl<'r> Parcel<'r> {
    /// For one of two attempts. The client's fields of attempts have been dropped.
    pub(super) fn beside(request: &'r Outgoing) -> Parcel<'r> {
        Parcel::Beside { request, own: request.own.clone() }
    }

    fn fields(&self) -> &OwnFields {
        match self {
            Parcel::Alone(request) => &request.own,
            Parcel::Beside { own, .. } => own,
        }
    }

    fn fields_mut(&mut self) -> &mut OwnFields {
        match self {
            Parcel::Alone(request) => &mut request.own,
            Parcel::Beside { own, .. } => own,
        }
    }

    /// What streams is there once.
    fn take_body(&mut self) -> Option<RequestBody> {
        match self {
            Parcel::Alone(request) => request.body.take(),
            Parcel::Beside { request, .. } => request.body.as_ref().and_then(RequestBody::replay),
        }
    }

    fn came_back(&mut self, unsent: Option<RequestBody>, late: Option<Box<Late>>) {
        match self {
            Parcel::Alone(request) => {
                request.body = request.body.take().or(unsent);
                request.late = late;
            }
            // What is held has not gone, and who has a key has no second attempt.
            Parcel::Beside { .. } => {}
        }
    }
}

impl Attempt<'_> {
    /// `in_flight` is set as soon as the endpoint is chosen. `used`: endpoints that have failed this request.
    pub(super) async fn run(
        &self,
        request: &mut Outgoing,
        used: &[Arc<Endpoint>],
        in_flight: &mut Option<InFlight>,
    ) -> AttemptResult {
        let (chosen, now) = self.choose(request, used).await.map_err(|failure| (failure, Sent::No))?;
        self.deliver(in_flight.insert(chosen).endpoint(), &mut Parcel::Alone(request), now).await
    }

    /// An endpoint, and when it was chosen.
    pub(super) async fn choose(
        &self,
        request: &Outgoing,
        used: &[Arc<Endpoint>],
    ) -> Result<(InFlight, Instant), Failure> {
        let state = self.route.state;
        let mut now = self.launched;
        if state.is_resolving() {
            Box::pin(state.resolved(self.cutoff)).await;
            now = clock::now();
        }
        Ok((state.pick(self.route.upstream, request.hash(), used, now)?, now))
    }

    /// To this endpoint, up to the head of its answer.
    pub(super) async fn deliver(
        &self,
        endpoint: &Arc<Endpoint>,
        request: &mut Parcel<'_>,
        now: Instant,
    ) -> AttemptResult {
        let answer = self.exchange(endpoint, request, now).await?;
        if !request.present.grpc() {
            return Ok(answer);
        }
        // What is held has been sent; what streams is still being sent.
        Box::pin(grpc::judged(answer, request.body.is_some(), self.cutoff)).await
    }

    /// Over a kept connection if there is one. One that the endpoint has closed meanwhile says nothing of the
    /// endpoint: the request goes out again, over another connection, where that is safe.
    async fn exchange(&self, endpoint: &Arc<Endpoint>, request: &mut Parcel<'_>, mut now: Instant) -> AttemptResult {
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
            let late = late.filter(|_| request.claim.is_some() && may_listen_on(&line.pool, &limits));
            request.came_back(unsent, late);
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
        failure == Failure::ConnectionTerminated
            && self.route.policy.retry.may_repeat(request.is_idempotent(&self.route.policy.retry))
    }

    /// What is held in memory is written by this task, and can be written again.
    async fn send_held(
        &self,
        link: Link,
        endpoint: &Endpoint,
        request: &Parcel<'_>,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        let Some(body) = &request.body else { return Err(gone()) };
        let head = Head {
            method: &request.method,
            target: &request.uri,
            host: self.host(endpoint, &request.headers),
            fields: &request.headers,
            own: request.fields(),
        };
        link.send(&head, body, Terms { cutoff: self.cutoff, idle_max, alarm: self.alarm }).await
    }

    /// What streams, or switches protocols, goes through a task of its own, and only once.
    async fn send_once(
        &self,
        link: Link,
        endpoint: &Endpoint,
        request: &mut Parcel<'_>,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        let Some(body) = request.take_body() else { return Err(gone()) };
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
        request: &mut Parcel<'_>,
    ) -> Result<Answer, SendError> {
        let streams = request.body.as_ref().ok_or_else(gone)?.is_streaming();
        let once = if streams { request.take_body() } else { None };
        // HTTP/2 has no requests without a host, as they come from HTTP/1.0.
        let nameless = request.headers.get(http::header::HOST).is_none_or(HeaderValue::is_empty);
        let host = self.host(endpoint, &request.headers).or(nameless.then_some(&endpoint.authority));
        let (method, target, fields, own) = (&request.method, &request.uri, &request.headers, request.fields());
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

    fn set_own(&self, request: &mut Parcel<'_>, now: Instant) {
        let (present, count) = (request.present, request.inbound_attempt.saturating_add(self.number - 1));
        let span = request.lineage.as_ref().map(|lineage| lineage.traceparent(self.number));
        let policy = &self.route.policy.deadline;
        let left = deadline::remaining(now, self.cutoff, policy.margin);
        if let Parcel::Alone(request) = request {
            hygiene::drop_attempt(&mut request.headers, present, policy);
        }
        let own = request.fields_mut();
        hygiene::set_attempt(own, present, count, left, policy);
        if let Some(span) = span {
            own.text(&super::TRACEPARENT, &span);
        }
    }

    fn whole_head(&self, endpoint: &Endpoint, request: &Parcel<'_>, body: RequestBody) -> Request<RequestBody> {
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
        request.fields().append_to(&mut headers);
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
