//! What is kept of a request, as JSON.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::sentences::sentences;
use crate::admin::api::{RequestLine, StoriesKept, Story, StoryAttempt};
use crate::reliability::Failure;
use crate::reliability::attempts::{Denied, Stop};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::telemetry::access_log::millis;
use crate::telemetry::metrics::AttemptEnd;
use crate::telemetry::stories::told::{Kept, Told, ToldAttempt};
use crate::telemetry::stories::{Holdings, OTHERS_MAX, TROUBLED_MAX};

/// A deadline that far away is none: the route has no limit.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

fn age(at: Timestamp, now: SystemTime) -> u64 {
    now.duration_since(at.into()).map_or(0, |age| age.as_secs())
}

/// The whole story.
pub(super) fn of(told: &Told, now: SystemTime) -> Story {
    let deadline = told.attempts.first().map(|first| first.at.saturating_add(first.left));
    let failure = told.failure.map(|(failure, _)| failure);
    Story {
        trace_id: told.trace_id.to_string(),
        request_id: told.request_id.as_deref().map(str::to_owned),
        peer: told.peer.as_deref().map(str::to_owned),
        at: format!("{:.3}", told.at),
        age_seconds: age(told.at, now),
        method: told.method.to_string(),
        path: told.path.to_string(),
        direction: told.direction.as_str().to_owned(),
        upstream: told.upstream.as_deref().map(str::to_owned),
        route: told.route.as_deref().map(str::to_owned),
        outcome: told.outcome.as_str().to_owned(),
        status: told.status,
        reason: failure.map(|failure| failure.token().to_owned()),
        side: failure.map(|failure| failure.side().as_str().to_owned()),
        phase: failure.map(|failure| failure.phase().as_str().to_owned()),
        sent: told.failure.map(|(_, sent)| sent.as_str().to_owned()),
        duration_ms: millis(told.duration),
        deadline_ms: deadline.filter(|deadline| *deadline < NO_DEADLINE).map(millis),
        queue_ms: Some(told.waited).filter(|waited| !waited.is_zero()).map(millis),
        request_bytes: told.request_bytes,
        response_bytes: told.response_bytes,
        attempts: told.attempts.iter().enumerate().map(|(index, one)| attempt(told, index, one)).collect(),
        retry_denied: told.denied.map(|denied| denied.token().to_owned()),
        stop: told.stop.map(|stop| stop_word(stop).to_owned()),
        idempotency: told.key.map(KeyStatus::as_str).map(str::to_owned),
        dead_letter: told.dead_letter.as_deref().map(str::to_owned),
        policy_revision: told.policy_revision,
        kept: told.kept.map(Kept::as_str).map(str::to_owned),
        sentences: sentences(told),
        also: Vec::new(),
    }
}

fn attempt(told: &Told, index: usize, one: &ToldAttempt) -> StoryAttempt {
    let (status, error) = match one.end {
        AttemptEnd::Status(status) => (Some(status), None),
        AttemptEnd::Call(code) => (Some(200), Some(code.as_str()).filter(|_| code != Code::Ok)),
        AttemptEnd::Failed(failure) => (None, Some(failure.token())),
        AttemptEnd::Cancelled => (None, Some("cancelled")),
    };
    StoryAttempt {
        at_ms: millis(one.at),
        duration_ms: millis(one.elapsed),
        kind: one.kind.as_str().to_owned(),
        endpoint: one.endpoint.map(|endpoint| endpoint.to_string()),
        status,
        error: error.map(str::to_owned),
        backoff_ms: told.backoff(index).map(millis),
        left_ms: millis(one.left.min(NO_DEADLINE)),
    }
}

const fn stop_word(stop: Stop) -> &'static str {
    match stop {
        Stop::Answered => "answered",
        Stop::AttemptsSpent => "attempts-spent",
        Stop::Denied(_) => "denied",
        Stop::DeadlinePassed => "deadline",
        Stop::Refused(_) => "refused",
    }
}

/// In one line.
pub(super) fn line(told: &Told, now: SystemTime) -> RequestLine {
    RequestLine {
        trace_id: told.trace_id.to_string(),
        at: format!("{:.3}", told.at),
        age_seconds: age(told.at, now),
        method: told.method.to_string(),
        path: told.path.to_string(),
        upstream: told.upstream.as_deref().map(str::to_owned),
        route: told.route.as_deref().map(str::to_owned),
        outcome: told.outcome.as_str().to_owned(),
        status: told.status,
        reason: told.failure.map(|(failure, _)| Failure::token(failure).to_owned()),
        duration_ms: millis(told.duration),
        attempts: u32::try_from(told.attempts.len()).unwrap_or(u32::MAX),
        retry_denied: told.denied.map(Denied::token).map(str::to_owned),
        kept: told.kept.map(Kept::as_str).map(str::to_owned),
    }
}

/// How much there is.
pub(super) fn kept(holdings: &Holdings) -> StoriesKept {
    StoriesKept {
        troubled: holdings.troubled,
        troubled_max: TROUBLED_MAX,
        others: holdings.others,
        others_max: OTHERS_MAX,
        bytes: holdings.bytes,
        forgotten: holdings.forgotten,
        oldest: holdings.oldest.map(|at| format!("{at:.3}")),
        since: format!("{:.3}", holdings.since),
    }
}
