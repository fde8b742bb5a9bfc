//! What a gRPC caller is told: an HTTP 200 whose head is all there is (trailers-only), with the end of the call in it.
//! An HTTP error with a JSON body would reach the application as UNKNOWN or UNAVAILABLE without a word.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TRAILER};
use http::{HeaderMap, Response};

use super::{Explained, PROXY_STATUS, RETRY_MARK};
use crate::proxy::body::Body;
use crate::proxy::grpc::{self, CONTENT, MESSAGE, PUSHBACK, STATUS};
use crate::proxy::record::Record;
use crate::reliability::Failure;
use crate::reliability::grpc::{Code, encode_message};
use crate::wire::AnswerBody;

/// Do not repeat it.
const NEVER: HeaderValue = HeaderValue::from_static("-1");

/// Answers a call that no upstream answered.
pub(super) fn fail(explained: &Explained<'_>, mut record: Box<Record>) -> Response<Body> {
    let failure = explained.failure;
    let code = Code::of_failure(failure);
    let disclosure = super::disclosure(&record);
    let sentence = super::detail(explained, &record, disclosure == crate::policy::ProxyStatus::Full);
    let mut response = Response::new(());
    record.answered(response.status().as_u16());
    record.called(code);
    record.failed(failure, explained.sent);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, CONTENT);
    headers.insert(STATUS, HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::try_from(encode_message(&sentence)) {
        headers.insert(MESSAGE, message);
    }
    if let Some(value) = super::own_status(&record, explained, disclosure) {
        headers.insert(PROXY_STATUS, value);
    }
    let gave_up = explained.stop.and_then(|stop| super::retry_mark(stop, &record));
    if let Some(pushback) = pushback(explained, gave_up.is_some()) {
        headers.insert(PUSHBACK, pushback);
    }
    if let Some(mark) = gave_up.or_else(|| super::refusal_mark(failure)) {
        headers.insert(RETRY_MARK, mark);
    }
    super::tell_fate(headers, &record);
    response.map(|()| Body::full(Bytes::new(), record))
}

/// In milliseconds, rounded up: a client that obeys must not come too early.
fn pushback(explained: &Explained<'_>, gave_up: bool) -> Option<HeaderValue> {
    // Whoever repeats these meets the same end, or does twice what may have been done.
    let final_word = matches!(explained.failure, Failure::OutcomeUnknown | Failure::AnswerNotRetained);
    if gave_up || final_word {
        return Some(NEVER);
    }
    let millis = explained.retry_after?.as_nanos().div_ceil(1_000_000);
    Some(HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)))
}

/// Tells callers not to repeat a call that we have given up on, where they look: beside its status.
pub(super) fn forbid_retry(head: &mut HeaderMap, body: &mut AnswerBody) {
    if let Some(code) = grpc::code_in(head) {
        if code.is_failure() {
            head.insert(PUSHBACK, NEVER);
        }
        return;
    }
    let Some(trailers) = body.trailers_mut() else { return };
    if grpc::code_in(trailers).is_some_and(Code::is_failure) {
        trailers.insert(PUSHBACK, NEVER);
        announce(head, trailers);
    }
}

/// Trailers that are to come are not known yet; these are those of gRPC.
pub(super) fn announce_usual(headers: &mut HeaderMap) {
    headers.insert(TRAILER, HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin"));
}

/// Names the trailers that follow: over HTTP/1 they are not sent otherwise.
pub(super) fn announce(headers: &mut HeaderMap, trailers: &HeaderMap) {
    let names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
    if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(TRAILER, names);
    }
}
