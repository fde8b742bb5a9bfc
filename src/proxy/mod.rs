//! The data plane. Start reading at [`Proxy::handle`]; files stand in the order a request meets them.

pub mod accept;
pub mod admit;
pub mod attempt;
pub mod body;
mod callers;
mod client_cert;
mod connect;
pub mod connection;
mod course;
mod dead_letters;
mod enter;
mod exchange;
mod execution;
pub mod grpc;
mod hedged;
pub mod hygiene;
mod keeper;
mod keyed;
mod late;
pub mod listeners;
pub mod record;
pub mod replay;
pub mod respond;
pub mod route;
mod traced;
pub mod translate;
pub mod upgrade;
pub mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{CONTENT_LENGTH, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;

use self::admit::Refusal;
use self::attempt::{Outgoing, Verdict};
use self::body::{Body, Bounds, End, Held, ReadAhead, ReplayBytes};
use self::callers::Callers;
use self::connection::Connection;
use self::dead_letters::Watch;
use self::hygiene::Present;
use self::keyed::Asked;
use self::keyed::handle::Keyed;
use self::record::{Record, Telemetry};
use self::respond::Explained;
use self::route::Route;
use self::traced::Traced;
use crate::clock;
use crate::drain::Tasks;
use crate::idempotency::stores::Stores;
use crate::idempotency::waiting::Waiting;
use crate::policy::Direction;
use crate::random::Random;
use crate::reliability::attempts::Denied;
use crate::reliability::entropy::Entropy;
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::{Failure, Sent};
use crate::telemetry::trace_state;
use crate::upstreams::reconcile::Snapshot;
use crate::upstreams::slots::Slot;
use crate::wire::OwnFields;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Everything a request needs. One per process.
pub struct Proxy {
    /// The policy in force with its living state; a request keeps the one it began with.
    pub snapshot: ArcSwap<Snapshot>,
    /// Every task of the data plane.
    pub tasks: Tasks,
    telemetry: Arc<Telemetry>,
    replay_bytes: Arc<ReplayBytes>,
    /// Where idempotency keys are kept; they outlive policies.
    pub stores: ArcSwap<Stores>,
    waiting: Arc<Waiting>,
    late: late::Listeners,
    callers: Callers,
    traced: Arc<Traced>,
    outbound: Identity,
    inbound: Identity,
}

/// How we mark requests of one direction, to know them again. Per direction, because a service that calls
/// itself passes its own sidecar twice and is no loop.
struct Identity {
    via: HeaderValue,
    /// On what was received over HTTP/2.
    via_http2: HeaderValue,
    mark: String,
}

impl Identity {
    fn new(instance: u32, direction: &str) -> Identity {
        let mark = format!("outrigger-{instance:08x}-{direction}");
        // Letters and digits, as they are made here.
        let via = |version: &str| HeaderValue::try_from(format!("{version} {mark}"));
        let via_http2 = via("2.0").unwrap_or(HeaderValue::from_static("2.0 outrigger"));
        Identity { via: via("1.1").unwrap_or(HeaderValue::from_static("1.1 outrigger")), via_http2, mark }
    }
}

/// A request that was let in, and what it was granted.
struct Admitted {
    prepared: Prepared,
    slot: Slot,
}

/// A request as it will go out, its body read as far as it is held.
struct Prepared {
    outgoing: Outgoing,
    client_upgrade: Option<hyper::upgrade::OnUpgrade>,
    held: Held,
    too_large: bool,
    /// It is too large because all bodies together are.
    crowded: bool,
    /// Set if it becomes a dead letter should it fail.
    watch: Option<Box<Watch>>,
}

impl Proxy {
    /// A data plane that begins with `snapshot`.
    pub fn new(snapshot: Snapshot, telemetry: Arc<Telemetry>, tasks: Tasks) -> Proxy {
        let instance = Random.next_u64() as u32;
        Proxy {
            snapshot: ArcSwap::from_pointee(snapshot),
            tasks,
            telemetry,
            replay_bytes: Arc::default(),
            stores: ArcSwap::default(),
            waiting: Arc::default(),
            late: late::Listeners::default(),
            callers: Callers::default(),
            traced: Arc::default(),
            outbound: Identity::new(instance, "out"),
            inbound: Identity::new(instance, "in"),
        }
    }

    /// A client is served no more: `malformed`, bytes arrived that are no HTTP request (hyper has answered them with a
    /// bare 400 or 431, or with GOAWAY), or `abuse`.
    fn unserved(&self, listener: SocketAddr, reason: &'static str) {
        self.telemetry.metrics.unrouted(self.direction_of(listener), reason);
    }

    fn direction_of(&self, listener: SocketAddr) -> Direction {
        route::listener(&self.snapshot.load(), listener).map_or(Direction::Outbound, |l| l.direction)
    }

    /// One request, from its head to the head of its answer: route → admit → attempts → respond. The record is
    /// written when the answer's body ends, or when this future is dropped because the client has gone.
    pub async fn handle(&self, connection: &Arc<Connection>, mut request: Request<Incoming>) -> Response<Body> {
        let now = clock::now();
        let snapshot = self.snapshot.load_full();
        let content_length_named = connection.begin_exchange(!request.body().is_end_stream());
        let listener = route::listener(&snapshot, connection.listener);
        let direction = listener.map_or(Direction::Outbound, |l| l.direction);
        if connection.is_stream() {
            translate::from_http2(&mut request);
        }
        let present = Present::of(request.headers());
        let mut record = Record::start(&self.telemetry, connection, &snapshot, direction, &request, present, now);

        if let Err((failure, words)) = hygiene::check(&request, present, content_length_named) {
            // What follows on this connection comes from someone who cannot, or does not want to, be understood.
            connection.close_soon();
            return respond::fail(Explained { detail: Some(words), ..failure.into() }, record);
        }
        let Some(listener) = listener else {
            // The listener was taken out of the policy; this connection is about to be closed.
            return respond::fail(Failure::Draining.into(), record);
        };
        let Some(route) = route::select(&snapshot, listener, &request) else {
            let (host, path) = (hygiene::requested_host(&request), request.uri().path());
            let words = format!("No upstream on {} matches host `{host}` and path `{path}`", listener.addr);
            return respond::fail(Explained { detail: Some(&words), ..Failure::NoRoute.into() }, record);
        };
        record.routed(route.id);
        if let Err(refusal) = self.count(connection, &route, request.headers(), &mut record) {
            return respond::refuse(&refusal, record);
        }

        let mut invent = None;
        if let Some(policy) = &route.policy.idempotency {
            let contract = route.policy.retry.contract;
            match keyed::asked(policy, contract, request.method(), request.headers(), connection.identity.as_deref()) {
                Ok(Asked::Nothing) => {}
                Ok(Asked::Ignored) => record.key_status = Some(KeyStatus::Ignored),
                Ok(Asked::Invent) => invent = Some(&policy.header),
                Ok(Asked::Key { key, principal }) => {
                    let key = Keyed { policy, key: &key, principal: &principal };
                    return Box::pin(self.handle_keyed(connection, &route, key, request, present, record)).await;
                }
                Err((failure, words)) => {
                    return respond::fail(Explained { detail: Some(words), ..failure.into() }, record);
                }
            }
        }
        let admitted = match self.admit(connection, &route, request, present, &mut record).await {
            Ok(admitted) => admitted,
            Err(refusal) => return respond::refuse(&refusal, record),
        };
        let Admitted { mut prepared, slot } = admitted;
        let invented = invent.map(|header| (header, keyed::invented()));
        if let Some((header, key)) = &invented {
            prepared.outgoing.own.text(header, key.as_bytes());
        }
        self.watch(&route, &record, &mut prepared, invented.as_ref().map(|(_, key)| &**key));
        self.exchange(connection, &route, prepared, slot, record).await
    }

    /// The attempts, and what the client is told of them.
    async fn exchange(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        prepared: Prepared,
        mut slot: Slot,
        mut record: Box<Record>,
    ) -> Response<Body> {
        let Prepared { mut outgoing, client_upgrade, held, too_large, crowded: _, watch } = prepared;
        let asked = outgoing.upgrade.then(|| outgoing.headers.clone());
        let deadline = outgoing.deadline;
        let verdict = attempt::run(route, &mut outgoing, &mut record, connection.alarm(), &self.tasks).await;
        slot.learn(record.load(route));

        match verdict {
            Verdict::Failed { failure, sent, retry_after, stop, executed } => {
                if too_large && record.denied().is_none() && sent != Sent::No {
                    record.deny(Denied::BodyTooLarge);
                }
                if let Some(watch) = watch {
                    Box::pin(self.keep_failed(watch, held, (failure, executed), &mut record)).await;
                }
                respond::fail(Explained { failure, sent, detail: None, retry_after, stop: Some(stop) }, record)
            }
            Verdict::Answered { answer, in_flight, stop, earlier } => {
                let idle = route.policy.timeouts.idle;
                // Nothing is sent again from here on; what is held from now on is held for a letter.
                let contract = route.policy.retry.contract;
                let keeper = match watch {
                    Some(watch) => {
                        Box::pin(self.keep_answered(contract, watch, held, (&answer, earlier), &mut record)).await
                    }
                    None => {
                        drop(held);
                        None
                    }
                };
                let end = End { record, slot: Some(slot), in_flight: Some(in_flight), deadline, idle, keeper };
                match asked {
                    _ if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS => {
                        self.switch(asked, client_upgrade, answer, end)
                    }
                    // To a CONNECT any 2xx says that the tunnel is open, which it is not.
                    Some(_) if end.record.connection().is_stream() && answer.status().is_success() => no_switch(end),
                    _ => respond::pass(answer, stop, end),
                }
            }
        }
    }

    /// Deadline, breaker, limit; then the body, which is not touched before (`Expect: 100-continue`).
    async fn admit(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        request: Request<Incoming>,
        present: Present,
        record: &mut Record,
    ) -> Result<Admitted, Refusal> {
        let deadline = self.enter(connection, route, &request, present, record)?;
        let slot = match admit::admit(route, (request.headers(), present), record.started(), deadline).await {
            Ok((slot, waited)) => {
                record.waited(waited);
                slot
            }
            Err(refusal) => {
                if route.policy.dead_letter.is_some() {
                    Box::pin(self.keep_refused(connection, route, request, present, record, refusal.failure)).await;
                }
                return Err(refusal);
            }
        };
        let bound = dead_letters::held_max(route, record, request.method());
        let bounds = Bounds { deadline, bytes: bound, talks: present.grpc() };
        let mut prepared = self.prepare(connection, route, request, present, record, bounds).await?;
        // Of what is held for a letter alone, no retry was ever meant to be made.
        prepared.too_large &= route.policy.replay_body_max > 0;
        Ok(Admitted { prepared, slot })
    }

    fn identity(&self, route: &Route<'_>) -> &Identity {
        match route.upstream.direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
        }
    }

    /// The body, as far as it is held, and the head as the next hop gets it.
    async fn prepare(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        mut request: Request<Incoming>,
        present: Present,
        record: &mut Record,
        bounds: Bounds,
    ) -> Result<Prepared, Failure> {
        let deadline = bounds.deadline;
        let upgrade = hygiene::wants_upgrade(&request, present, !request.body().is_end_stream());
        let client_upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let policy = record.snapshot().policy.replay_bytes_max;
        let ReadAhead { body, held, too_large, crowded } =
            body::read_ahead(body, bounds, &self.replay_bytes, policy).await?;
        record.request_bytes = body.size_hint().lower();

        let hash_key = route.upstream.hash_on.as_ref().and_then(|name| head.headers.get(name).cloned());
        let inbound_attempt = record.attempt_of_caller;
        let mut headers = head.headers;
        hygiene::clean_request(&mut headers, present, upgrade)?;
        // The length of what is held is announced by the wire; a stale number must not contradict it.
        if present.framing() && !body.is_streaming() && head.method.is_safe() && body.is_end_stream() {
            headers.remove(CONTENT_LENGTH);
        }
        let mut own = OwnFields::new();
        let identity = self.identity(route);
        own.value(&VIA, if connection.is_stream() { &identity.via_http2 } else { &identity.via });
        forward(&mut headers, &mut own, present, record, connection, route.upstream.direction);
        let field = route.upstream.client_cert;
        client_cert::tell(field, &mut headers, &mut own, present, connection.identity.as_deref());
        let outgoing = Outgoing {
            method: head.method,
            uri: hygiene::origin_form(head.uri),
            headers,
            own,
            present,
            body: Some(body),
            upgrade,
            once: false,
            inbound_attempt,
            deadline,
            hash_key,
            claim: None,
            late: None,
            lineage: record.lineage(),
        };
        Ok(Prepared { outgoing, client_upgrade, held, too_large, crowded, watch: None })
    }

    /// A 101 is passed on only to who asked for it.
    fn switch(
        &self,
        asked: Option<HeaderMap>,
        client: Option<hyper::upgrade::OnUpgrade>,
        answer: crate::wire::Answer,
        end: End,
    ) -> Response<Body> {
        match (asked, client) {
            (Some(asked), Some(client)) if upgrade::is_wanted(&asked, &answer, end.record.connection()) => {
                upgrade::join(client, &asked, answer, end, &self.tasks)
            }
            _ => no_switch(end),
        }
    }
}

fn no_switch(end: End) -> Response<Body> {
    respond::fail(Explained { sent: Sent::Yes, ..Failure::UpgradeFailed.into() }, end.record)
}

/// What the next hop is told: the trace, and inbound who the caller was.
fn forward(
    headers: &mut HeaderMap,
    own: &mut OwnFields,
    present: Present,
    record: &Record,
    connection: &Connection,
    direction: Direction,
) {
    // What attempts say of their spans takes the place of what the caller said.
    if present.trace() && record.lineage().is_some() {
        headers.remove(TRACEPARENT);
        // Without a trace that could be read, what belonged to it is worth nothing.
        if !record.trace.inherited() || !trace_state::is_valid(headers) {
            headers.remove(TRACESTATE);
        }
    }
    if direction == Direction::Inbound {
        // A line of its own: joining would have to choose among lines that earlier hops added.
        own.text(&FORWARDED_FOR, connection.peer.ip().to_string().as_bytes());
    }
}
