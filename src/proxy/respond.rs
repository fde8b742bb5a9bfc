//! From the end of the attempts to what the client reads. The only place that chooses a status code.

mod call;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, TRAILER};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use super::admit::Refusal;
use super::body::{Body, End};
use super::grpc::{self, Standing};
use super::hygiene;
use super::record::{Quota, Record};
use crate::idempotency::answer::StoredAnswer;
use crate::policy::ProxyStatus;
use crate::reliability::attempts::{Denied, Stop};
use crate::reliability::classify::PeerMark;
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::{Failure, Sent};
use crate::wire::Answer;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// Says that retries of this request are exhausted or denied.
pub const RETRY_MARK: HeaderName = HeaderName::from_static("x-outrigger-retry");
/// What became of the request's idempotency key.
const KEY_STATUS: HeaderName = HeaderName::from_static("idempotency-status");
/// `true`: this answer was given before.
const KEY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Under which number a request is kept that could not be served.
const DEAD_LETTER: HeaderName = HeaderName::from_static("outrigger-dead-letter");
/// How many requests a caller may send, and how many of them are left (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Where the problem types are described.
const TYPE_BASE: &str = "https://outrigger.dev/problems/";

/// A failure of our own making, with what the client may know of it.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// What failed.
    pub failure: Failure,
    /// How much of the request an upstream may have seen.
    pub sent: Sent,
    /// In words, where there is more to say than the failure's title.
    pub detail: Option<&'a str>,
    /// When a retry makes sense.
    pub retry_after: Option<Duration>,
    /// Why no further attempt was made.
    pub stop: Option<Stop>,
}

impl From<Failure> for Explained<'_> {
    fn from(failure: Failure) -> Self {
        Explained { failure, sent: Sent::No, detail: None, retry_after: None, stop: None }
    }
}

/// problem+json (RFC 9457) of a failure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// RFC 9209 error type.
    error: &'static str,
    /// Our own word for the cause.
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    attempts: u32,
    sent: &'static str,
    side: &'static str,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_denied: Option<&'static str>,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<String>,
}

/// Answers a request that no upstream answered.
pub fn fail(explained: Explained<'_>, mut record: Box<Record>) -> Response<Body> {
    if record.is_grpc() {
        return call::fail(&explained, record);
    }
    let failure = explained.failure;
    record.failed(failure, explained.sent);
    let disclosure = disclosure(&record);
    let body = problem(&explained, &record, disclosure);
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    if let Some(value) = own_status(&record, &explained, disclosure) {
        headers.insert(PROXY_STATUS, value);
    }
    if let Some(after) = explained.retry_after {
        // Whole seconds, rounded up: a client that obeys must not come too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    let gave_up = explained.stop.and_then(|stop| retry_mark(stop, &record));
    if let Some(mark) = gave_up.or_else(|| refusal_mark(failure)) {
        headers.insert(RETRY_MARK, mark);
    }
    tell_fate(headers, &record);
    response.map(|()| Body::full(body, record))
}

/// Answers a request that was not let in.
pub fn refuse(refusal: &Refusal, record: Box<Record>) -> Response<Body> {
    let (words, retry_after) = (refusal.words(), refusal.retry_after);
    fail(Explained { detail: words.as_deref(), retry_after, ..refusal.failure.into() }, record)
}

fn disclosure(record: &Record) -> ProxyStatus {
    record.target().map_or(ProxyStatus::Basic, |(_, route)| route.proxy_status)
}

fn problem(explained: &Explained<'_>, record: &Record, disclosure: ProxyStatus) -> Bytes {
    let failure = explained.failure;
    let full = disclosure == ProxyStatus::Full;
    let target = record.target().filter(|_| full);
    let trace_id = record.trace.trace_id();
    let problem = Problem {
        r#type: format!("{TYPE_BASE}{}", failure.token()),
        title: failure.title(),
        status: failure.status(),
        detail: detail(explained, record, full),
        error: failure.error_type(),
        reason: failure.token(),
        upstream: target.map(|(upstream, _)| &*upstream.name),
        route: target.map(|(_, route)| &*route.name),
        attempts: record.attempts(),
        sent: explained.sent.as_str(),
        side: failure.side().as_str(),
        phase: failure.phase().as_str(),
        retry_denied: record.denied().map(Denied::token),
        trace_id: trace_id.as_str(),
        retry_after_ms: explained.retry_after.map(|d| d.as_millis() as u64),
        dead_letter: record.dead_letter.map(|id| id.to_string()),
    };
    // Plain strings and numbers always serialise; an empty body would still be an answer.
    serde_json::to_vec(&problem).map(Bytes::from).unwrap_or_default()
}

fn detail(explained: &Explained<'_>, record: &Record, full: bool) -> String {
    let failure = explained.failure;
    let mut text = explained.detail.unwrap_or(failure.title()).to_owned();
    text.push('.');
    let attempts = record.attempts();
    if attempts > 0 {
        text.push_str(match explained.sent {
            Sent::No => " Nothing was sent to it",
            Sent::Maybe => " It may have received the request",
            Sent::Yes => " It received the request",
        });
        text.push_str(&match attempts {
            1 => " (1 attempt).".to_owned(),
            n => format!(" ({n} attempts)."),
        });
    }
    if full && let Some((upstream, _)) = record.target() {
        text = format!("{}: {text}", upstream.name);
    }
    if let Some(reason) = record.denied() {
        text.push_str(" No retry was made: ");
        text.push_str(reason.token());
        text.push('.');
    }
    text
}

fn own_status(record: &Record, explained: &Explained<'_>, disclosure: ProxyStatus) -> Option<HeaderValue> {
    let name = &record.snapshot().proxy_name;
    let error = explained.failure.error_type();
    let text = match disclosure {
        ProxyStatus::None => return None,
        ProxyStatus::Basic => format!("{name}; error={error}"),
        ProxyStatus::Full => {
            let next_hop = next_hop(record.last_endpoint());
            let denied = denied_words(record);
            let (token, attempts) = (explained.failure.token(), record.attempts());
            format!("{name}; error={error}{next_hop}; details=\"{token}; attempts={attempts}{denied}\"")
        }
    };
    HeaderValue::try_from(text).ok()
}

fn next_hop(endpoint: Option<SocketAddr>) -> String {
    endpoint.map_or_else(String::new, |addr| format!("; next-hop=\"{addr}\""))
}

fn denied_words(record: &Record) -> String {
    match record.denied() {
        None => String::new(),
        Some(Denied::Budget) => "; retry-budget-exhausted".to_owned(),
        Some(reason) => format!("; no-retry={}", reason.token()),
    }
}

/// Tells a proxy before us not to retry what we have given up on.
/// What a proxy of our kind says of an answer, whatever else it may say one day.
pub fn read_mark(mark: &HeaderValue) -> PeerMark {
    if mark.as_bytes().starts_with(b"refused") { PeerMark::Refused } else { PeerMark::GaveUp }
}

/// Tells a proxy before us that our own breaker or throttle is in force.
fn refusal_mark(failure: Failure) -> Option<HeaderValue> {
    match failure {
        Failure::CircuitOpen => Some(HeaderValue::from_static("refused;reason=circuit-open")),
        Failure::Throttled => Some(HeaderValue::from_static("refused;reason=throttled")),
        _ => None,
    }
}

fn retry_mark(stop: Stop, record: &Record) -> Option<HeaderValue> {
    match stop {
        Stop::AttemptsSpent => HeaderValue::try_from(format!("exhausted;attempts={}", record.attempts())).ok(),
        Stop::Denied(reason) => HeaderValue::try_from(format!("denied;reason={}", reason.token())).ok(),
        Stop::Answered | Stop::DeadlinePassed | Stop::Refused(_) => None,
    }
}

/// Passes an upstream's answer on.
pub fn pass(answer: Answer, stop: Stop, mut end: End) -> Response<Body> {
    let ended = grpc::standing(&answer);
    let (mut head, mut body) = answer.into_parts();
    hygiene::clean_response(&mut head.headers);
    head.version = http::Version::HTTP_11;
    // What the upstream's connection brought along is no business of the client's.
    if !head.extensions.is_empty() {
        head.extensions.clear();
    }
    let status = head.status.as_u16();
    end.record.answered(status);
    if let Some(Standing::Ended { code, .. }) = ended {
        end.record.called(code);
    }
    if ended == Some(Standing::Begun) && end.record.is_http1() && !head.headers.contains_key(TRAILER) {
        call::announce_usual(&mut head.headers);
    }
    if status >= 500 || !matches!(stop, Stop::Answered) {
        if let Some(value) = received_status(&end, status) {
            head.headers.append(PROXY_STATUS, value);
        }
        // What a proxy behind us says goes on to the one before us.
        let passed_on = stop == Stop::Denied(Denied::Pushback);
        if !passed_on && let Some(mark) = retry_mark(stop, &end.record) {
            head.headers.insert(RETRY_MARK, mark);
            if ended.is_some() {
                call::forbid_retry(&mut head.headers, &mut body);
            }
        }
    }
    tell_fate(&mut head.headers, &end.record);
    Response::from_parts(head, Body::upstream(body, end))
}

/// Passes an upstream's answer on whose body has been read.
pub fn whole(
    mut head: http::response::Parts,
    (body, trailers): (Bytes, Option<HeaderMap>),
    stop: Stop,
    mut record: Box<Record>,
) -> Response<Body> {
    hygiene::clean_response(&mut head.headers);
    head.version = http::Version::HTTP_11;
    head.extensions.clear();
    let status = head.status.as_u16();
    record.answered(status);
    if let Some(mark) = retry_mark(stop, &record) {
        head.headers.insert(RETRY_MARK, mark);
    }
    // The body has its length now, whatever way it came. What ends with trailers is not told it.
    match &trailers {
        Some(trailers) => {
            head.headers.remove(CONTENT_LENGTH);
            call::announce(&mut head.headers, trailers);
        }
        None if body.is_empty() => {}
        None => {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
    }
    tell_fate(&mut head.headers, &record);
    Response::from_parts(head, Body::ending(body, trailers, record))
}

/// Gives an answer again.
pub fn replay(answer: StoredAnswer, mut record: Box<Record>) -> Response<Body> {
    record.answered(answer.status);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    *headers = answer.headers();
    let trailers = answer.trailers();
    if let Some(code) = trailers.as_ref().and_then(grpc::code_in).or_else(|| grpc::code_in(headers)) {
        record.called(code);
    }
    if let Some(trailers) = &trailers {
        call::announce(headers, trailers);
    }
    headers.insert(KEY_REPLAYED, HeaderValue::from_static("true"));
    if disclosure(&record) != ProxyStatus::None {
        let name = &record.snapshot().proxy_name;
        let text = format!("{name}; received-status={}; details=\"idempotent replay\"", answer.status);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(PROXY_STATUS, value);
        }
    }
    tell_fate(headers, &record);
    response.map(|()| Body::ending(answer.body.unwrap_or_default(), trailers, record))
}

/// For a client whose request is being executed while this process is made to end.
pub fn cut_short() -> Response<Body> {
    let mut response = Response::new(Body::switched());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// The fields of an answer that are not its connection's.
pub fn cleaned(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    hygiene::clean_response(&mut headers);
    // Made anew for each answer.
    headers.remove(CONTENT_LENGTH);
    headers
}

/// What an answer says of its key.
pub fn key_status(response: &Response<Body>) -> Option<KeyStatus> {
    let word = response.headers().get(KEY_STATUS)?;
    KeyStatus::ALL.into_iter().find(|status| status.as_str() == word)
}

/// Whether it is an answer of our own making.
pub fn is_problem(response: &Response<Body>) -> bool {
    response.headers().get(CONTENT_TYPE) == Some(&PROBLEM_JSON)
}

fn tell_fate(headers: &mut HeaderMap, record: &Record) {
    if let Some(quota) = record.quota {
        tell_quota(headers, record, quota);
    }
    if let Some(status) = record.key_status {
        headers.insert(KEY_STATUS, HeaderValue::from_static(status.as_str()));
    }
    if let Some(Ok(id)) = record.dead_letter.map(|id| HeaderValue::try_from(id.to_string())) {
        headers.insert(DEAD_LETTER, id);
    }
}

/// Beside what the upstream says of limits of its own: both fields are lists.
fn tell_quota(headers: &mut HeaderMap, record: &Record, quota: Quota) {
    let Some(limit) = record.target().and_then(|(_, route)| route.rate_limit.as_ref()) else { return };
    let seconds = quota.resets.as_nanos().div_ceil(1_000_000_000);
    if let Ok(value) = HeaderValue::try_from(format!("\"per-caller\";r={};t={seconds}", quota.left)) {
        headers.append(RATE_LIMIT_POLICY, limit.field.clone());
        headers.append(RATE_LIMIT, value);
    }
}

fn received_status(end: &End, status: u16) -> Option<HeaderValue> {
    let record = &end.record;
    let name = &record.snapshot().proxy_name;
    let text = match disclosure(record) {
        ProxyStatus::None => return None,
        ProxyStatus::Basic => format!("{name}; received-status={status}"),
        ProxyStatus::Full => {
            let next_hop = next_hop(end.in_flight.as_ref().map(|i| i.endpoint().addr));
            let denied = denied_words(record);
            let attempts = record.attempts();
            format!("{name}; received-status={status}{next_hop}; details=\"attempts={attempts}{denied}\"")
        }
    };
    HeaderValue::try_from(text).ok()
}
