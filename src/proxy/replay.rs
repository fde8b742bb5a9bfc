//! A dead letter's request sent again: under the policy in force, through the same breaker, limits and key as a
//! client's. There is one attempt: whoever replays decides about another one, and the budget of live traffic is not
//! touched. (A kept connection that closes as it is used is replaced by a fresh one, as for every request, where the
//! upstream recognises the key.)

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, VIA};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;

use super::Proxy;
use super::admit;
use super::attempt::{self, Outgoing, Verdict};
use super::body::{Body, End, Held};
use super::client_cert;
use super::connection::Connection;
use super::execution::Execution;
use super::grpc;
use super::hygiene::{self, Present};
use super::keyed::handle::{Keyed, as_anyone};
use super::keyed::{self, Asked, Told};
use super::record::Record;
use super::respond::{self, Explained};
use super::route::{self, Route};
use crate::clock;
use crate::dead_letters::letter::{KeyOrigin, LetterId};
use crate::dead_letters::seal::Contents;
use crate::policy::Policy;
use crate::policy::routes::RouteId;
use crate::reliability::Failure;
use crate::reliability::classify::PeerMark;
use crate::reliability::dead_letters::{Class, of_answer, of_failure};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::{KeyStatus, is_refusal};
use crate::tls::Peer;
use crate::wire::alarm::alarmed;
use crate::wire::{Alarm, OwnFields, RequestBody};

/// Tells the upstream which letter this is, and the how-manieth replay of it.
const REPLAY: HeaderName = HeaderName::from_static("outrigger-replay");
/// The trace of the request that failed.
const REPLAY_OF: HeaderName = HeaderName::from_static("outrigger-replay-of-trace");

/// What is sent again.
pub struct Again {
    /// By name.
    pub upstream: String,
    /// By name.
    pub route: String,
    /// Which letter.
    pub letter: LetterId,
    /// 1 = its first replay.
    pub number: u32,
    /// Who gave it its key.
    pub origin: KeyOrigin,
    /// The request.
    pub contents: Contents,
    /// Of the request that failed.
    pub trace_id: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The upstream has answered, and that is final.
    Answered {
        /// Its status.
        status: u16,
    },
    /// Not sent: its key has an answer.
    AnsweredBefore,
    /// It was not served this time either.
    Failed {
        /// Of the upstream's answer, or of ours.
        status: Option<u16>,
        /// In a word.
        reason: String,
        /// What is known of its execution now. `None`: nothing new.
        class: Option<Class>,
    },
}

impl Ended {
    fn unsent(failure: Failure) -> Ended {
        Ended::Failed { status: None, reason: failure.token().to_owned(), class: None }
    }
}

impl Proxy {
    /// Sends it and waits for its end.
    pub async fn replay(&self, again: Again) -> Ended {
        let snapshot = self.snapshot.load_full();
        let named = route_named(&snapshot.policy, &again.upstream, &again.route);
        let Some(route) = named.and_then(|id| route::of(&snapshot, id)) else {
            return Ended::unsent(Failure::NoRoute);
        };
        let now = clock::now();
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut connection = Connection::new(unspecified, unspecified, route.policy.timeouts.idle, None);
        connection.identity = caller(&again.contents);
        let connection = Arc::new(connection);
        let Some(request) = request(&again) else { return Ended::unsent(Failure::BadRequest) };
        let present = Present::of(request.headers());
        let direction = route.upstream.direction;
        let mut record = Record::start(&self.telemetry, &connection, &snapshot, direction, &request, present, now);
        record.routed(route.id);
        record.request_bytes = again.contents.body.len() as u64;
        let deadline = match admit::deadline(route.policy, request.headers(), present, now, None) {
            Ok((deadline, _)) => deadline,
            Err(failure) => return refused(respond::fail(failure.into(), record), failure).await,
        };
        let key = match (&route.policy.idempotency, again.origin) {
            (Some(policy), KeyOrigin::Client) => {
                let contract = route.policy.retry.contract;
                let caller = connection.identity.as_deref();
                match keyed::asked(policy, contract, request.method(), request.headers(), caller) {
                    Ok(Asked::Key { key, principal }) => Some((policy, key, principal)),
                    Ok(Asked::Nothing | Asked::Ignored | Asked::Invent) => None,
                    Err((failure, words)) => {
                        let explained = Explained { detail: Some(words), ..failure.into() };
                        return refused(respond::fail(explained, record), failure).await;
                    }
                }
            }
            _ => None,
        };
        let outgoing = match self.outgoing(&route, request, present, &record, (deadline, &again)) {
            Ok(outgoing) => outgoing,
            Err(failure) => return refused(respond::fail(failure.into(), record), failure).await,
        };
        match key {
            Some((policy, key, principal)) => {
                let key = Keyed { policy, key: &key, principal: &principal };
                self.replay_keyed(&route, &key, outgoing, record).await
            }
            None => self.replay_plain(&route, outgoing, record).await,
        }
    }

    fn outgoing(
        &self,
        route: &Route<'_>,
        request: Request<()>,
        present: Present,
        record: &Record,
        (deadline, again): (Instant, &Again),
    ) -> Result<Outgoing, Failure> {
        let (head, ()) = request.into_parts();
        let mut headers = head.headers;
        let hash_key = route.upstream.hash_on.as_ref().and_then(|name| headers.get(name).cloned());
        hygiene::clean_request(&mut headers, present, false)?;
        let mut own = OwnFields::new();
        own.value(&VIA, &self.identity(route).via);
        let caller = record.connection().identity.as_deref();
        client_cert::tell(route.upstream.client_cert, &mut headers, &mut own, present, caller);
        let body = match again.contents.body.is_empty() {
            true => RequestBody::Empty,
            false => RequestBody::Buffered { data: again.contents.body.clone(), trailers: None },
        };
        Ok(Outgoing {
            method: head.method,
            uri: hygiene::origin_form(head.uri),
            headers,
            own,
            present,
            body: Some(body),
            upgrade: false,
            once: true,
            inbound_attempt: 1,
            deadline,
            hash_key,
            claim: None,
            late: None,
            lineage: record.lineage(),
        })
    }

    async fn replay_keyed(
        &self,
        route: &Route<'_>,
        key: &Keyed<'_>,
        mut outgoing: Outgoing,
        mut record: Box<Record>,
    ) -> Ended {
        let (told, _) = self.ask(route, key, &outgoing).await;
        as_anyone(&mut outgoing, key.policy);
        let claim = match told {
            Some(Told::Execute(claim)) => Arc::new(claim),
            Some(Told::Replay(answer)) => {
                record.key_status = Some(KeyStatus::Replayed);
                drain(respond::replay(answer, record)).await;
                return Ended::AnsweredBefore;
            }
            Some(Told::Refused { failure, status, retry_after }) => {
                record.key_status = Some(status);
                let explained = Explained { retry_after, ..failure.into() };
                return refused(respond::fail(explained, record), failure).await;
            }
            // The policy lets clients through without their key; a replay must not rely on luck.
            None => {
                let failure = Failure::StoreUnavailable;
                return refused(respond::fail(failure.into(), record), failure).await;
            }
        };
        outgoing.claim = Some(Arc::clone(&claim));
        let execution = Execution {
            route: route.id,
            policy: Arc::clone(key.policy),
            outgoing,
            record,
            claim,
            waiting: Arc::clone(&self.waiting),
            tasks: self.tasks.clone(),
            held: Held::default(),
            // Its letter exists already.
            watch: None,
            late: self.late.clone(),
        };
        let response = execution.run().await;
        let key_status = respond::key_status(&response);
        let (status, reason) = reason(response).await;
        let failed = |class| Ended::Failed { status: Some(status), reason, class: Some(class) };
        match key_status {
            Some(KeyStatus::Stored | KeyStatus::StoreFailed) if status < 500 => Ended::Answered { status },
            Some(KeyStatus::Stored) => failed(Class::FailedResponse),
            Some(KeyStatus::NotStored) => failed(Class::NotExecuted),
            _ => failed(Class::Unknown),
        }
    }

    async fn replay_plain(&self, route: &Route<'_>, mut outgoing: Outgoing, mut record: Box<Record>) -> Ended {
        let deadline = outgoing.deadline;
        let asks = (&outgoing.headers, outgoing.present);
        let mut slot = match admit::admit(route, asks, record.started(), deadline).await {
            Ok((slot, waited)) => {
                record.waited(waited);
                slot
            }
            Err(refusal) => return refused(respond::refuse(&refusal, record), refusal.failure).await,
        };
        let alarm = Alarm::new();
        let run = attempt::run(route, &mut outgoing, &mut record, &alarm, &self.tasks);
        let verdict = alarmed(&alarm, std::pin::pin!(run)).await;
        slot.learn(record.load(route));
        match verdict {
            Verdict::Failed { failure, sent, executed, retry_after, stop } => {
                let class = of_failure(failure, executed).map(|(_, class)| class);
                let explained = Explained { failure, sent, detail: None, retry_after, stop: Some(stop) };
                drain(respond::fail(explained, record)).await;
                Ended::Failed { status: None, reason: failure.token().to_owned(), class }
            }
            Verdict::Answered { answer, in_flight, stop, earlier } => {
                let mark = answer.headers().get(respond::RETRY_MARK).map_or(PeerMark::None, respond::read_mark);
                let idle = route.policy.timeouts.idle;
                let end = End { record, slot: Some(slot), in_flight: Some(in_flight), deadline, idle, keeper: None };
                let (status, reason) = reason(respond::pass(answer, stop, end)).await;
                match of_answer(status, mark, earlier, route.policy.retry.contract) {
                    Some((_, class)) => Ended::Failed { status: Some(status), reason, class: Some(class) },
                    // Who is not let in has not been served: a letter with an old token stays open.
                    None if is_refusal(status) => {
                        Ended::Failed { status: Some(status), reason, class: Some(Class::NotExecuted) }
                    }
                    None => Ended::Answered { status },
                }
            }
        }
    }
}

fn route_named(policy: &Policy, upstream: &str, route: &str) -> Option<RouteId> {
    let at = policy.upstreams.iter().position(|candidate| *candidate.name == *upstream)?;
    let routes = &policy.upstreams.get(at)?.routes;
    let route = routes.iter().position(|candidate| *candidate.name == *route)?;
    Some(RouteId { upstream: u32::try_from(at).ok()?, route: u32::try_from(route).ok()? })
}

/// On whose behalf it is sent again: who that is was verified when the request came in, and has been sealed since.
fn caller(contents: &Contents) -> Option<Arc<Peer>> {
    let spiffe = contents.caller.as_deref().map(Arc::from)?;
    Some(Arc::new(Peer { spiffe: Some(spiffe), names: Arc::default() }))
}

/// As the client sent it, with what tells the upstream that this is a replay.
fn request(again: &Again) -> Option<Request<()>> {
    let Contents { method, target, fields, body: _, key, caller: _ } = &again.contents;
    let mut request = Request::builder().method(method.clone()).uri(target.as_str()).body(()).ok()?;
    let headers = request.headers_mut();
    headers.clone_from(fields);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::try_from(again.upstream.as_str()).ok()?);
    }
    if let Some((name, value)) = key {
        headers.insert(name, value.clone());
    }
    headers.insert(REPLAY, HeaderValue::try_from(format!("{};n={}", again.letter, again.number)).ok()?);
    if let Ok(value) = HeaderValue::try_from(&again.trace_id) {
        headers.insert(REPLAY_OF, value);
    }
    Some(request)
}

/// Nothing was sent.
async fn refused(response: Response<Body>, failure: Failure) -> Ended {
    drain(response).await;
    Ended::unsent(failure)
}

/// Of an answer's body, so much is looked at.
const READ_MAX: usize = 16 * 1024;

/// Reads an answer to its end: its record, its place and its connection are settled there. Returns its beginning.
async fn drain(response: Response<Body>) -> (Vec<u8>, Option<Code>) {
    let (head, mut body) = response.into_parts();
    let (mut begun, mut code) = (Vec::new(), grpc::code_in(&head.headers));
    // It has a deadline of its own.
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Some(data) = frame.data_ref().filter(|data| begun.len() + data.len() <= READ_MAX) {
            begun.extend_from_slice(data);
        }
        code = frame.trailers_ref().and_then(grpc::code_in).or(code);
    }
    (begun, code)
}

/// The status that an answer weighs as, and what it says went wrong, in a word.
async fn reason(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let is_ours = respond::is_problem(&response);
    let (begun, code) = drain(response).await;
    if let Some(code) = code {
        return (code.as_status(), code.as_str().to_ascii_lowercase().replace('_', "-"));
    }
    let word = || serde_json::from_slice::<serde_json::Value>(&begun).ok()?.get("reason")?.as_str().map(str::to_owned);
    let word = if is_ours { word() } else { None };
    (status, word.unwrap_or_else(|| format!("status-{status}")))
}
