//! gRPC as it is met on the wire: how a call ended, as soon as that can be known without making anybody wait.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame};
use tokio::time::timeout_at;

use super::exchange::AttemptResult;
use super::record::Record;
use crate::clock;
use crate::random::Random;
use crate::reliability::grpc::{self, Code, Pushback};
use crate::reliability::{Failure, Sent};
use crate::upstreams::endpoint::InFlight;
use crate::wire::{Answer, AnswerBody};

/// How a call ended.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// In words, percent-encoded.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When a retry may be made; negative = never.
pub const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// What a server may compress its messages with.
pub const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// `Content-Type` of an answer of our own.
pub const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");

/// A head without `grpc-status` is looked behind for so long, if all of the request has been sent: the trailers of a
/// call that failed without a message come right after it. A first message ends the wait, and nobody on the other side
/// waits for us meanwhile.
const LOOK_AHEAD: Duration = Duration::from_millis(5);

/// What is known of a call when its answer is judged. Kept among the extensions of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is over.
    Ended {
        /// How.
        code: Code,
        /// What the server says of retries.
        pushback: Pushback,
    },
    /// It goes on: how it ends is in the trailers, after its messages.
    Begun,
}

/// What was found out about this answer. None = it is no answer of gRPC.
pub fn standing(answer: &Answer) -> Option<Standing> {
    answer.extensions().get().copied()
}

/// The HTTP status that an answer weighs as: its own, or that of the call's end where it is known.
pub fn weight(answer: &Answer) -> u16 {
    match standing(answer) {
        Some(Standing::Ended { code, .. }) => code.as_status(),
        Some(Standing::Begun) | None => answer.status().as_u16(),
    }
}

/// How a call ended, if these fields say so.
pub fn code_in(fields: &HeaderMap) -> Option<Code> {
    fields.get(STATUS).map(|value| Code::parse(value.as_bytes()))
}

fn ended_by(fields: &HeaderMap) -> Option<Standing> {
    let code = code_in(fields)?;
    // Of a call that went well nothing is repeated.
    let said = fields.get(PUSHBACK).filter(|_| code != Code::Ok);
    let pushback = said.map_or(Pushback::None, |value| Pushback::parse(value.as_bytes()));
    Some(Standing::Ended { code, pushback })
}

/// The protocol demands a status; clients take an end without one for this.
const WITHOUT_STATUS: Standing = Standing::Ended { code: Code::Unknown, pushback: Pushback::None };

/// Finds out how the call of this answer stands. `whole`: all of the request has been sent, so that the answer cannot
/// depend on what its client does with the head.
pub(super) async fn judged(mut answer: Answer, whole: bool, cutoff: Instant) -> AttemptResult {
    let headers = answer.headers();
    let standing = if let Some(ended) = ended_by(headers) {
        ended
    } else if answer.status().as_u16() != grpc::HTTP_STATUS || !is_grpc(headers) {
        // Something before the server has answered: that is told by the HTTP status.
        return Ok(answer);
    } else if answer.body().is_end_stream() {
        WITHOUT_STATUS
    } else if whole {
        return look_ahead(answer, cutoff.min(clock::now() + LOOK_AHEAD)).await;
    } else {
        Standing::Begun
    };
    answer.extensions_mut().insert(standing);
    Ok(answer)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| grpc::is_content_type(value.as_bytes()))
}

async fn look_ahead(answer: Answer, until: Instant) -> AttemptResult {
    let (head, mut body) = answer.into_parts();
    let (standing, body) = match timeout_at(until.into(), first(&mut body)).await {
        Err(_elapsed) => (Standing::Begun, body),
        Ok(None) => (WITHOUT_STATUS, body),
        Ok(Some(Err(_broken))) => return Err((Failure::ResponseIncomplete, Sent::Yes)),
        Ok(Some(Ok(frame))) => match frame.into_data() {
            Ok(message) => (Standing::Begun, body.preceded_by(message)),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                (ended_by(&trailers).unwrap_or(WITHOUT_STATUS), body.ended_by(trailers))
            }
        },
    };
    let mut answer = Response::from_parts(head, body);
    answer.extensions_mut().insert(standing);
    Ok(answer)
}

/// The first frame that says anything.
async fn first(body: &mut AnswerBody) -> Option<Result<Frame<Bytes>, <AnswerBody as Body>::Error>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match &frame {
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            _ => return frame,
        }
    }
}

/// A call whose answer had begun is over.
pub(super) fn ended(record: &mut Record, in_flight: Option<&InFlight>, code: Code) {
    if !record.call_ended(code) {
        return;
    }
    let (Some(in_flight), Some(upstream)) = (in_flight, record.upstream()) else { return };
    let endpoint = in_flight.endpoint();
    endpoint.tally.add(code.ending(false));
    let (Some((policy, _)), Some((signal, health))) = (record.target(), code.late()) else { return };
    let now = clock::now();
    upstream.decide(|dependency| dependency.on_late(now, signal, &mut Random));
    upstream.record_attempt(policy, endpoint, health, Some(code.as_str()), Duration::ZERO, now);
}

/// Nobody waits for the end of a call that had begun.
pub(super) fn left(record: &mut Record, in_flight: Option<&InFlight>) {
    if let (true, Some(in_flight)) = (record.leave_call(), in_flight) {
        in_flight.endpoint().tally.add(Code::Ok.ending(false));
    }
}
