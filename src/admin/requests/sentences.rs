//! A request's life in words: what was decided, by whom, why, and what it led to. One sentence per step.

use std::time::Duration;

use crate::policy::Direction;
use crate::reliability::attempts::{Denied, Kind, Stop};
use crate::reliability::ending::Ending;
use crate::reliability::failure::{Phase, Side};
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::stories::told::{Kept, Told, ToldAttempt};

/// A wait that is shorter is none.
const WAIT_MIN: Duration = Duration::from_micros(500);

/// The story, step by step.
pub(super) fn sentences(told: &Told) -> Vec<String> {
    let mut said = vec![route(told)];
    said.extend(
        told.peer.as_ref().map(|peer| format!("It was sent by {peer}, as the certificate of its connection says.")),
    );
    said.extend(admission(told));
    said.extend(deadline(told).map(str::to_owned));
    for (index, attempt) in told.attempts.iter().enumerate() {
        if let Some(wait) = told.backoff(index).filter(|wait| *wait >= WAIT_MIN) {
            said.push(format!("Waited {} before the next attempt.", span(wait)));
        }
        said.push(attempted(told, index, attempt));
    }
    said.extend(why_no_more(told));
    said.push(result(told));
    said.extend(sent(told));
    said.extend(key(told).map(str::to_owned));
    if let Some(letter) = &told.dead_letter {
        said.push(format!("It is kept as dead letter {letter}: `outrigger dlq show {letter}`."));
    }
    if told.kept == Some(Kept::Slow) {
        said.push("It took more than twice the p99 of its upstream.".to_owned());
    }
    said
}

/// Who cut its time short.
fn deadline(told: &Told) -> Option<&'static str> {
    match told.deadline_from {
        DeadlineFrom::Policy => None,
        DeadlineFrom::Caller => Some("Its deadline is its caller's."),
        DeadlineFrom::Trace => {
            Some("Its deadline is that of the inbound request that it was made for, found by its trace.")
        }
    }
}

/// The precision that matters.
fn span(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        10.0..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

fn target(told: &Told) -> &str {
    told.upstream.as_deref().unwrap_or("the dependency")
}

fn route(told: &Told) -> String {
    let (method, path, revision) = (&told.method, &told.path, told.policy_revision);
    match (&told.upstream, &told.route) {
        (Some(upstream), Some(route)) => {
            let came = match told.direction {
                Direction::Outbound => "went out",
                Direction::Inbound => "came in",
            };
            format!("{method} {path} {came} by route {upstream}/{route} of policy revision {revision}.")
        }
        _ => format!("{method} {path} was given no route (policy revision {revision})."),
    }
}

/// Let in, at once or later, or refused by whom.
fn admission(told: &Told) -> Option<String> {
    if !told.waited.is_zero() {
        return Some(format!(
            "It waited {} for a slot, because as many requests to {} were in flight as its limit allows.",
            span(told.waited),
            target(told)
        ));
    }
    let (failure, _) = told.failure.filter(|_| told.attempts.is_empty())?;
    let by = match failure {
        Failure::CircuitOpen => format!("by the circuit breaker of {}", target(told)),
        Failure::Throttled => format!("by the throttle of {}", target(told)),
        Failure::QueueFull | Failure::QueueTimeout | Failure::Shed | Failure::ConnectionLimit => {
            format!("by the limits of {}", target(told))
        }
        Failure::RateLimited => format!("by the rate limit per caller of {}", target(told)),
        Failure::StoreUnavailable | Failure::StoreFull => "by the store of idempotency keys".to_owned(),
        Failure::ClientGone | Failure::ClientStalled => return None,
        failure => match (failure.side(), failure.phase()) {
            (Side::Client, Phase::Accept | Phase::RequestBody) => "because of what its caller sent".to_owned(),
            (Side::Client, _) => "because of its caller".to_owned(),
            (Side::Upstream, _) => format!("because of {}", target(told)),
            (Side::Ourselves, _) => "by this proxy".to_owned(),
        },
    };
    Some(format!("It was refused {by}: {} ({}).", failure.title(), failure.token()))
}

fn attempted(told: &Told, index: usize, attempt: &ToldAttempt) -> String {
    let number = index + 1;
    let kind = match attempt.kind {
        Kind::First => "",
        Kind::Retry => ", a retry,",
        Kind::Transparent => ", sent again because nothing was processed,",
        Kind::Hedge => ", in parallel to a slow one,",
    };
    let to = match attempt.endpoint {
        Some(endpoint) => format!("to {endpoint}"),
        None => format!("to {} found no endpoint and", target(told)),
    };
    let after = span(attempt.elapsed);
    match attempt.end {
        AttemptEnd::Status(status) if attempt.ending == Ending::Overload => {
            format!("Attempt {number}{kind} {to} answered {status} after {after}: it asks for less load.")
        }
        AttemptEnd::Status(status) => format!("Attempt {number}{kind} {to} answered {status} after {after}."),
        AttemptEnd::Call(code) if attempt.ending == Ending::Overload => {
            format!("Attempt {number}{kind} {to} answered {} after {after}: it asks for less load.", code.as_str())
        }
        AttemptEnd::Call(code) => format!("Attempt {number}{kind} {to} answered {} after {after}.", code.as_str()),
        AttemptEnd::Failed(failure) => {
            format!("Attempt {number}{kind} {to} failed after {after}: {} ({}).", failure.title(), failure.token())
        }
        AttemptEnd::Cancelled if is_overtaken(told) => {
            format!("Attempt {number}{kind} {to} was given up after {after}: the other one had answered.")
        }
        AttemptEnd::Cancelled => {
            format!("Attempt {number}{kind} {to} was given up after {after}, because nobody waited for it any more.")
        }
    }
}

/// Of two attempts at once, one was given up because the other one had answered.
fn is_overtaken(told: &Told) -> bool {
    let hedged = told.attempts.iter().any(|attempt| attempt.kind == Kind::Hedge);
    let answered = |attempt: &ToldAttempt| matches!(attempt.end, AttemptEnd::Status(_) | AttemptEnd::Call(_));
    hedged && told.attempts.iter().any(answered)
}

/// Why a request that was not served was not tried again.
fn why_no_more(told: &Told) -> Option<String> {
    if told.attempts.is_empty() {
        return None;
    }
    if let Some(denied) = told.denied {
        return Some(format!("No further attempt: {} ({}).", denied_words(denied), denied.token()));
    }
    let served = matches!(told.outcome, RequestOutcome::Success | RequestOutcome::ClientGone);
    match told.stop? {
        Stop::AttemptsSpent => {
            // Beside one of them there may have been a hedge.
            let made = told.attempts.iter().filter(|attempt| attempt.kind != Kind::Hedge).count();
            Some(format!("No further attempt: the policy allows {made} in all, and they are used up."))
        }
        Stop::DeadlinePassed => {
            Some("No further attempt: the deadline of the request passed before there could be one.".to_owned())
        }
        Stop::Answered if !served && !is_cut(told) => {
            Some("No further attempt: the policy of this route does not repeat what ended so.".to_owned())
        }
        Stop::Answered | Stop::Denied(_) | Stop::Refused(_) => None,
    }
}

const fn denied_words(denied: Denied) -> &'static str {
    match denied {
        Denied::Budget => "the retry budget of the dependency is spent",
        Denied::Deadline => "it could not have been answered before the deadline",
        Denied::Breaker => "the circuit breaker is open, or its probes are taken",
        Denied::BodyTooLarge => "the body was too large to be held for a second sending",
        Denied::NotIdempotent => {
            "the method is not idempotent, the upstream may have processed the request, and no contract says that it \
             may be repeated"
        }
        Denied::ChainStop => "the request is itself a retry of its caller",
        Denied::Pushback => "the peer says that retrying is pointless",
        Denied::Throttle => "the dependency rejects so much that retries are held back",
        Denied::Efficacy => "retries of this route do not help after such failures, and are held to probes",
        Denied::Holdout => "it belongs to the control group, whose requests are not retried (`retry.holdoutPercent`)",
    }
}

/// The head of an answer went out, and its body broke off.
fn is_cut(told: &Told) -> bool {
    told.call.is_none()
        && told.failure.is_some_and(|(failure, _)| told.status.is_some_and(|status| status != failure.status()))
}

fn result(told: &Told) -> String {
    let after = span(told.duration);
    let title = told.failure.map_or("", |(failure, _)| failure.title());
    let got = told.status.map(|status| told.call.map_or_else(|| status.to_string(), |code| code.as_str().to_owned()));
    match (told.outcome, got) {
        (RequestOutcome::Success, Some(status)) if told.attempts.len() > 1 => {
            let by = |of: fn(&ToldAttempt) -> bool| told.attempts.iter().any(of);
            let why = if by(|attempt| matches!(attempt.kind, Kind::Retry | Kind::Transparent)) {
                ": a retry saved the request"
            } else if by(|attempt| attempt.kind == Kind::Hedge && attempt.end != AttemptEnd::Cancelled) {
                ": the second attempt was sooner there than the first"
            } else {
                ""
            };
            format!("The client got {status} after {after}{why}.")
        }
        (RequestOutcome::ClientGone, Some(status)) => {
            format!("The client was sent {status}, and did not take all of the answer ({after}): {title}.")
        }
        (RequestOutcome::ClientGone, None) => format!("The client left after {after} and got no answer."),
        (RequestOutcome::Failed, Some(status)) if is_cut(told) => {
            format!(
                "The client got the head of an answer, {status}, and then the answer was cut after {after}: {title}."
            )
        }
        (RequestOutcome::UpstreamError, Some(status)) => {
            format!("The client got the upstream's own {status} after {after}.")
        }
        (_, Some(status)) => format!("The client got {status} after {after}."),
        (_, None) => format!("The client got no answer ({after})."),
    }
}

/// How much of it the upstream has, where that is in question.
fn sent(told: &Told) -> Option<String> {
    let (_, sent) = told.failure?;
    if told.upstream.is_none() || told.key == Some(KeyStatus::Replayed) {
        return None;
    }
    let name = target(told);
    Some(match sent {
        Sent::No => format!("Nothing of it was sent to {name}."),
        Sent::Maybe => format!("{name} may have received it."),
        Sent::Yes => format!("{name} has received it."),
    })
}

fn key(told: &Told) -> Option<&'static str> {
    let tried = !told.attempts.is_empty();
    Some(match told.key? {
        KeyStatus::Stored => "The answer is kept under its idempotency key, for repetitions.",
        KeyStatus::NotStored => "Its idempotency key is free: a repetition will be executed.",
        KeyStatus::StoreFailed => {
            "The store did not take its end: a repetition of its idempotency key will be told that the outcome is not \
             known."
        }
        KeyStatus::Replayed => "An earlier request had the same idempotency key: its answer was given again.",
        KeyStatus::InFlight => "Another request with the same idempotency key was being executed.",
        KeyStatus::Unknown if tried => {
            "Nobody knows whether it was executed, and repetitions of its idempotency key are told so."
        }
        KeyStatus::Unknown => "An earlier request with its idempotency key may have been executed; nobody knows.",
        KeyStatus::Mismatch => "Its idempotency key belongs to another request.",
        KeyStatus::Bypassed => "It was let through without deduplication, as the policy says.",
        KeyStatus::Ignored => "Its idempotency key was not looked at: this method needs none.",
    })
}
