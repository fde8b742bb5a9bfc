//! One finished request, as little of it as its story needs. No query, no field but `x-request-id`, no body.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::policy::Direction;
use crate::reliability::attempts::{Denied, Kind, Stop};
use crate::reliability::ending::Ending;
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::trace_context::TraceId;

/// Longer paths are cut.
const PATH_BYTES_MAX: usize = 256;
/// Longer request ids are cut, here and in the access log.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Longer names of peers are cut. A SPIFFE id may have 2,048 bytes, and is a few dozen.
const PEER_BYTES_MAX: usize = 256;
/// No method is longer that anybody uses.
const METHOD_BYTES_MAX: usize = 32;
/// Attempts that are told; the policy allows no more.
pub const ATTEMPTS_MAX: usize = 16;

/// Why a story is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was not served well, or not at the first attempt, or something became of its key.
    Troubled,
    /// It took more than twice the p99 of its upstream.
    Slow,
    /// The access log drew it.
    Sampled,
}

impl Kept {
    /// The word in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kept::Troubled => "troubled",
            Kept::Slow => "slow",
            Kept::Sampled => "sampled",
        }
    }
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct Told {
    pub trace_id: TraceId,
    /// `x-request-id`, if it carried one.
    pub request_id: Option<Box<str>>,
    /// Whom its client's certificate names, which was verified.
    pub peer: Option<Box<str>>,
    /// When it arrived.
    pub at: Timestamp,
    pub method: Box<str>,
    /// Without the query.
    pub path: Box<str>,
    pub direction: Direction,
    pub upstream: Option<Arc<str>>,
    pub route: Option<Arc<str>>,
    pub outcome: RequestOutcome,
    /// What the client was sent; `None` if it left before that.
    pub status: Option<u16>,
    pub failure: Option<(Failure, Sent)>,
    /// How a gRPC call ended, where its client was told.
    pub call: Option<Code>,
    /// To the end of the answer.
    pub duration: Duration,
    /// How long it waited for a slot.
    pub waited: Duration,
    /// Who set its deadline.
    pub deadline_from: DeadlineFrom,
    pub attempts: Box<[ToldAttempt]>,
    pub denied: Option<Denied>,
    /// Why the attempts ended; `None` if they did not begin, or were dropped.
    pub stop: Option<Stop>,
    pub key: Option<KeyStatus>,
    /// Under which number it is kept as a dead letter.
    pub dead_letter: Option<Box<str>>,
    pub policy_revision: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// `None`: a tap saw it, and it is not kept.
    pub kept: Option<Kept>,
}

/// One attempt of it.
#[derive(Clone, Copy, Debug)]
pub struct ToldAttempt {
    pub endpoint: Option<std::net::SocketAddr>,
    pub kind: Kind,
    /// Since the request's start.
    pub at: Duration,
    pub elapsed: Duration,
    /// What was left of the deadline at its launch.
    pub left: Duration,
    pub end: AttemptEnd,
    pub ending: Ending,
}

impl Told {
    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        let texts = [
            self.request_id.as_deref(),
            self.peer.as_deref(),
            Some(&*self.method),
            Some(&*self.path),
            self.dead_letter.as_deref(),
        ];
        let texts: usize = texts.iter().flatten().map(|text| text.len()).sum();
        size_of::<Told>() + texts + size_of_val(&*self.attempts)
    }

    /// Whether `id` names it. `lower`: the same in lower case.
    pub fn is(&self, id: &str, lower: &str) -> bool {
        self.trace_id.as_str() == lower
            || self.request_id.as_deref() == Some(id)
            || self.dead_letter.as_deref() == Some(lower)
    }

    /// Whether `lower` is the beginning of its trace id, or one end of its dead letter's.
    pub fn is_part(&self, lower: &str) -> bool {
        self.trace_id.as_str().starts_with(lower)
            || self.dead_letter.as_deref().is_some_and(|id| id.starts_with(lower) || id.ends_with(lower))
    }

    /// What was waited before the attempt of this index.
    pub fn backoff(&self, index: usize) -> Option<Duration> {
        let before = self.attempts.get(index.checked_sub(1)?)?;
        Some(self.attempts.get(index)?.at.saturating_sub(before.at.saturating_add(before.elapsed)))
    }
}

/// `text`, cut at a character so that it has at most `bytes_max` bytes and a mark.
pub fn cut(text: &str, bytes_max: usize) -> Box<str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default()).into()
}

/// A path as it is kept.
pub fn path(text: &str) -> Box<str> {
    cut(text.split('?').next().unwrap_or_default(), PATH_BYTES_MAX)
}

/// A peer as it is kept.
pub fn peer(text: &str) -> Box<str> {
    cut(text, PEER_BYTES_MAX)
}

/// A method as it is kept.
pub fn method(text: &str) -> Box<str> {
    cut(text, METHOD_BYTES_MAX)
}

/// A request id as it is kept.
pub fn request_id(bytes: &[u8]) -> Box<str> {
    cut(&String::from_utf8_lossy(bytes), REQUEST_ID_BYTES_MAX)
}
