//! Bodies: the request's, read ahead as far as it may be sent again, and the answer's, which carries what must
//! end with it (deadline, slot, record).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, timeout_at};

use super::keeper::Keeper;
use super::record::Record;
use super::{grpc, hygiene};
use crate::clock;
use crate::reliability::ejection::EndpointSignal;
use crate::reliability::grpc::{Code, Messages};
use crate::reliability::{Failure, Sent};
use crate::upstreams::endpoint::InFlight;
use crate::upstreams::slots::Slot;
use crate::wire::body::upload_failure;
use crate::wire::{AnswerBody, RequestBody};

/// Bytes of request bodies held for replay, over all requests.
#[derive(Debug, Default)]
pub struct ReplayBytes(AtomicUsize);

/// A share of [`ReplayBytes`], given back when dropped.
#[derive(Debug, Default)]
pub struct Held {
    /// `None` while nothing is held.
    all: Option<Arc<ReplayBytes>>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(all) = &self.all {
            all.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Held {
    fn grow(&mut self, all: &Arc<ReplayBytes>, bytes: usize, max: usize) -> bool {
        let grown = all
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= max)
            })
            .is_ok();
        if grown {
            self.bytes += bytes;
            self.all.get_or_insert_with(|| Arc::clone(all));
        }
        grown
    }
}

/// A request body, read ahead.
#[derive(Debug)]
pub struct ReadAhead {
    /// What is sent.
    pub body: RequestBody,
    /// Its share of the memory for replay.
    pub held: Held,
    /// It was too large for replay, by the route's bound or by the sum over all requests.
    pub too_large: bool,
    /// It was the sum.
    pub crowded: bool,
}

impl ReadAhead {
    fn held(body: RequestBody, held: Held) -> ReadAhead {
        ReadAhead { body, held, too_large: false, crowded: false }
    }
}

/// How far a body is read ahead.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// And not longer.
    pub deadline: Instant,
    /// Up to so many bytes.
    pub bytes: usize,
    /// It may be one side of a conversation, whose sender waits for an answer before it goes on.
    pub talks: bool,
}

/// Who has sent whole messages of a call and does not go on for so long is taken to wait for an answer. A call with
/// one message ends with it, most often in the same packet.
const TALK: Duration = Duration::from_millis(5);

/// Reads `body` as far as it may be held: up to its bounds, and up to `all_max` over all requests. What is larger, or
/// a conversation, streams and can be sent once.
///
/// # Errors
/// [`Failure::RequestBodyTimeout`] when `deadline` passes, [`Failure::RequestBodyIncomplete`] when it breaks.
pub async fn read_ahead(
    body: Incoming,
    bounds: Bounds,
    all: &Arc<ReplayBytes>,
    all_max: usize,
) -> Result<ReadAhead, Failure> {
    if body.is_end_stream() {
        return Ok(ReadAhead::held(RequestBody::Empty, Held::default()));
    }
    // Boxed: requests without a body need no room for it.
    Box::pin(read(body, bounds, all, all_max)).await
}

async fn read(
    mut body: Incoming,
    Bounds { deadline, bytes: bound, talks }: Bounds,
    all: &Arc<ReplayBytes>,
    all_max: usize,
) -> Result<ReadAhead, Failure> {
    let mut held = Held::default();
    let announced = body.size_hint().exact();
    if bound == 0 || announced.is_some_and(|n| n > bound as u64) {
        let too_large = bound > 0;
        let body = RequestBody::Streaming { prefix: Bytes::new(), rest: body };
        return Ok(ReadAhead { body, held, too_large, crowded: false });
    }
    let mut chunks = Chunks::default();
    let mut messages = Messages::default();
    loop {
        let waits = talks && messages.is_between();
        let until = if waits { deadline.min(clock::now() + TALK) } else { deadline };
        let frame = timeout_at(until.into(), std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
        let frame = match frame {
            Err(_elapsed) if until < deadline => {
                let body = RequestBody::Streaming { prefix: chunks.join(), rest: body };
                return Ok(ReadAhead::held(body, Held::default()));
            }
            Err(_elapsed) => return Err(Failure::RequestBodyTimeout),
            Ok(Some(Err(broken))) => return Err(upload_failure(&broken)),
            Ok(None) => {
                let body = RequestBody::Buffered { data: chunks.join(), trailers: None };
                return Ok(ReadAhead::held(body, held));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                let small = chunks.len() + data.len() <= bound;
                let fits = small && held.grow(all, data.len(), all_max);
                if talks {
                    messages.feed(&data);
                }
                chunks.push(data);
                if !fits {
                    let body = RequestBody::Streaming { prefix: chunks.join(), rest: body };
                    // It can be sent once, so nothing is held for replay.
                    let held = Held::default();
                    return Ok(ReadAhead { body, held, too_large: true, crowded: small });
                }
                if body.is_end_stream() {
                    let body = RequestBody::Buffered { data: chunks.join(), trailers: None };
                    return Ok(ReadAhead::held(body, held));
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok().map(Box::new);
                let body = RequestBody::Buffered { data: chunks.join(), trailers };
                return Ok(ReadAhead::held(body, held));
            }
        }
    }
}

/// Chunks that are usually one: joined only if there are several.
#[derive(Default)]
struct Chunks {
    first: Bytes,
    joined: BytesMut,
}

impl Chunks {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = data;
        } else {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
            self.joined.extend_from_slice(&data);
        }
    }

    fn join(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.first) } else { self.joined.split().freeze() }
    }
}

/// Why an answer was cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut(pub Failure);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.title())
    }
}

impl std::error::Error for Cut {}

/// The answer's body as the client's connection sees it.
pub struct Body {
    kind: Kind,
    /// Of a body of our own.
    trailers: Option<Box<HeaderMap>>,
    /// Settled on drop.
    end: Option<End>,
    clock: Option<Clock>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Upstream { body: AnswerBody, ended: bool },
}

/// What ends with the body.
pub struct End {
    /// Written on drop.
    pub record: Box<Record>,
    /// The upstream's limit.
    pub slot: Option<Slot>,
    /// The endpoint's count of attempts in flight.
    pub in_flight: Option<InFlight>,
    /// The whole request.
    pub deadline: Instant,
    /// Between two frames.
    pub idle: Duration,
    /// Settles the record of an idempotency key, or a dead letter, when the body has ended.
    pub keeper: Option<Keeper>,
}

/// The timer of a body that does not arrive at once.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    idle_at: Instant,
}

impl Body {
    /// A body of our own; empty is allowed.
    pub fn full(bytes: Bytes, record: Box<Record>) -> Body {
        let kind = if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) };
        let deadline = record.started();
        let end = End { record, slot: None, in_flight: None, deadline, idle: Duration::ZERO, keeper: None };
        Body { kind, trailers: None, end: Some(end), clock: None }
    }

    /// A body of our own that ends with trailers.
    pub fn ending(bytes: Bytes, trailers: Option<HeaderMap>, record: Box<Record>) -> Body {
        let mut body = Body::full(bytes, record);
        body.trailers = trailers.map(Box::new);
        body
    }

    /// After a 101 there is no body, and the tunnel settles the rest.
    pub fn switched() -> Body {
        Body { kind: Kind::Empty, trailers: None, end: None, clock: None }
    }

    /// The upstream's body.
    pub fn upstream(body: AnswerBody, end: End) -> Body {
        Body { kind: Kind::Upstream { body, ended: false }, trailers: None, end: Some(end), clock: None }
    }

    /// Tells the stream, if this is the body of one, whether the client is to take a frame now.
    fn handed(&self, frame: bool) {
        if let Some(end) = &self.end {
            end.record.connection().handed(frame);
        }
    }

    fn cut(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(end) = &mut self.end {
            end.record.failed(failure, Sent::Yes);
            if let Some(keeper) = end.keeper.take() {
                keeper.settle(Some(failure), &end.record);
            }
            if let (Some(in_flight), Some(upstream)) = (&end.in_flight, end.record.upstream()) {
                let policy = end.record.target().map(|(upstream, _)| upstream);
                if let (Some(policy), true) = (policy, failure != Failure::DeadlineExceeded) {
                    let (token, endpoint) = (Some(failure.token()), in_flight.endpoint());
                    let now = clock::now();
                    upstream.record_attempt(policy, endpoint, EndpointSignal::Hard, token, Duration::ZERO, now);
                }
            }
        }
        Poll::Ready(Some(Err(Cut(failure))))
    }

    /// Nothing moved: is it time to stop waiting?
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(end) = &self.end else { return Poll::Pending };
        let clock = self.clock.get_or_insert_with(|| {
            let idle_at = clock::now() + end.idle;
            Clock { sleep: Box::pin(tokio::time::sleep_until(end.deadline.min(idle_at).into())), idle_at }
        });
        loop {
            if clock.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = clock::now();
            if now >= end.deadline {
                return Poll::Ready(Failure::DeadlineExceeded);
            }
            if now >= clock.idle_at {
                return Poll::Ready(Failure::IdleTimeout);
            }
            // Frames came since the timer was set: it follows lazily.
            clock.sleep.as_mut().reset(end.deadline.min(clock.idle_at).into());
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        this.handed(true);
        let frame = match &mut this.kind {
            Kind::Empty => return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                if let Some(end) = &mut this.end {
                    end.record.response_bytes += bytes.len() as u64;
                }
                this.kind = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Kind::Upstream { body, ended } => {
                let frame = Pin::new(body).poll_frame(cx);
                *ended |= matches!(frame, Poll::Ready(None));
                frame
            }
        };
        match frame {
            Poll::Ready(Some(Ok(mut frame))) => {
                // A body that is always ready never asks the timer. The last frame may go whatever the time.
                let over = |end: &End| clock::now() >= end.deadline;
                if !this.is_end_stream() && this.end.as_ref().is_some_and(over) {
                    return this.cut(Failure::DeadlineExceeded);
                }
                if let Some(end) = &mut this.end {
                    end.record.response_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                    if let Some(clock) = &mut this.clock {
                        clock.idle_at = clock::now() + end.idle;
                    }
                }
                if let Some(trailers) = frame.trailers_mut() {
                    hygiene::clean_response(trailers);
                    if let Some(end) = &mut this.end {
                        let code = grpc::code_in(trailers).unwrap_or(Code::Unknown);
                        grpc::ended(&mut end.record, end.in_flight.as_ref(), code);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_broken))) => this.cut(Failure::ResponseIncomplete),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.poll_clock(cx) {
                Poll::Pending => {
                    this.handed(false);
                    Poll::Pending
                }
                Poll::Ready(failure) => this.cut(failure),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => self.trailers.is_none(),
            Kind::Full(bytes) => bytes.is_empty() && self.trailers.is_none(),
            Kind::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            // Of a body with a known length no trailers are sent over HTTP/1.
            Kind::Empty | Kind::Full(_) if self.trailers.is_some() => SizeHint::default(),
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let complete = match &self.kind {
            Kind::Empty | Kind::Full(_) => true,
            Kind::Upstream { body, ended } => *ended || body.is_end_stream(),
        };
        let Some(end) = &mut self.end else { return };
        if complete {
            // Without trailers a call ends without a status.
            grpc::ended(&mut end.record, end.in_flight.as_ref(), Code::Unknown);
            end.record.complete();
        } else {
            grpc::left(&mut end.record, end.in_flight.as_ref());
        }
        if let Some(keeper) = end.keeper.take() {
            // A client that left before the end does not make the answer any other.
            keeper.settle(None, &end.record);
        }
    }
}

/// The body of an answer that is to be kept.
pub enum Collected {
    /// All of it, and what came after it.
    Whole(Bytes, Option<HeaderMap>),
    /// Larger than the bound: what has been read goes first.
    TooMuch(AnswerBody),
    /// It did not arrive.
    Broken(Failure),
}

/// Reads up to `max` bytes. `idle`: between two frames.
pub async fn collect(mut body: AnswerBody, max: usize, deadline: Instant, idle: Duration) -> Collected {
    let (mut chunks, mut trailers) = (Chunks::default(), None);
    loop {
        if body.is_end_stream() {
            return Collected::Whole(chunks.join(), trailers);
        }
        let until = deadline.min(clock::now() + idle);
        let frame = timeout_at(until.into(), std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
        match frame {
            Ok(None) => return Collected::Whole(chunks.join(), trailers),
            Ok(Some(Ok(frame))) => {
                let data = match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        trailers = frame.into_trailers().ok();
                        continue;
                    }
                };
                chunks.push(data);
                if chunks.len() > max {
                    return Collected::TooMuch(body.preceded_by(chunks.join()));
                }
            }
            Ok(Some(Err(_broken))) => return Collected::Broken(Failure::ResponseIncomplete),
            Err(_elapsed) if until >= deadline => return Collected::Broken(Failure::DeadlineExceeded),
            Err(_elapsed) => return Collected::Broken(Failure::IdleTimeout),
        }
    }
}
