//! Idempotency keys by hand: look at one, settle an outcome that nobody knows.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::api::{KeyAnswer, KeyResponse, KeyView, ResolveAs, ResolveKeyRequest, ResolvedKey, ShowKeyRequest};
use super::control::{Control, KeyName, Outcome, ResolveOrder};
use super::extract::{Posted, author, blocking, reason};
use super::problem::Problem;
use super::words;
use crate::reliability::idempotency::{KeySyntax, parse_key};

/// Statuses that can be replayed. Those below 200 are no answers.
pub(crate) const STATUS_MIN: u16 = 200;
pub(crate) const STATUS_MAX: u16 = 599;

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<ShowKeyRequest>,
) -> Result<Json<KeyView>, Problem> {
    let ShowKeyRequest { upstream, route, key, principal } = request;
    let name = KeyName { upstream, route, key: unquoted(&key)?, principal };
    Ok(Json(blocking(control, move |control| (control.show_key)(name)).await??))
}

pub(super) async fn resolve(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<ResolveKeyRequest>,
) -> Result<Json<ResolvedKey>, Problem> {
    let ResolveKeyRequest { upstream, route, key, principal, outcome, reason: why, response, author: who } = request;
    let order = ResolveOrder {
        name: KeyName { upstream, route, key: unquoted(&key)?, principal },
        outcome: stated(outcome, response)?,
        reason: reason(&why)?,
        author: author(who)?,
    };
    Ok(Json(blocking(control, move |control| (control.resolve_key)(order)).await??))
}

/// As a header would be read, whatever the route's syntax: operators need not type quotes.
fn unquoted(key: &str) -> Result<Vec<u8>, Problem> {
    parse_key(key.as_bytes(), KeySyntax::Lenient).map_err(|error| {
        Problem::invalid(
            format!("`key` is no idempotency key: {}", error.as_str()),
            "write it as the header has it, in double quotes if it holds blanks",
        )
    })
}

/// What an operator states, if it makes sense.
pub(super) fn stated(outcome: ResolveAs, response: Option<KeyResponse>) -> Result<Outcome, Problem> {
    let response = match (outcome, response) {
        (ResolveAs::NotExecuted, None) => return Ok(Outcome::NotExecuted),
        (ResolveAs::NotExecuted, Some(_)) => {
            let detail = "what was not executed has no `response`: the next request with the key gets its own";
            return Err(Problem::invalid(detail, "leave `response` out, or state `executed`"));
        }
        (ResolveAs::Executed, response) => response.unwrap_or_default(),
    };
    let (status, body) = (response.status.unwrap_or(200), response.body.unwrap_or_default());
    if !(STATUS_MIN..=STATUS_MAX).contains(&status) {
        let detail = format!("`status` {status} is no answer of {STATUS_MIN} to {STATUS_MAX}");
        return Err(Problem::invalid(detail, "state the status that clients are to get, for example 201"));
    }
    // RFC 9110 §15.3.5, §15.3.6, §15.4.5.
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        return Err(Problem::invalid(format!("an answer {status} has no body"), "leave `body` out"));
    }
    Ok(Outcome::Executed { status, body })
}

/// Where a key stands and what becomes of repetitions, in a word and a sentence or two.
pub(crate) fn sentence(key: &KeyView) -> String {
    let still = match key.expires_in_ms {
        None => "until its dead letter is closed".to_owned(),
        Some(left) => format!("for another {}", words::span(Duration::from_millis(left))),
    };
    let lease = words::span(Duration::from_millis(key.lease_left_ms.unwrap_or(0)));
    match (key.state.as_str(), key.ambiguous) {
        ("claimed", _) if key.lease_left_ms.unwrap_or(0) == 0 => {
            "claimed. Its owner is gone and sent nothing: the next request with it is executed.".to_owned()
        }
        ("claimed", _) => format!("claimed. A request with it is about to be sent; its lease lasts {lease}."),
        ("sent", _) => {
            format!("sent. A request with it is being executed; its owner is believed to be alive for {lease}.")
        }
        ("unknown", _) => {
            format!("unknown. It was sent and its outcome is not known; repetitions are refused with 409 {still}.")
        }
        ("complete", false) => format!("complete. Repetitions {} {still}.", replayed(key.answer)),
        ("complete", true) => format!(
            "complete, but ambiguous. Its answer leaves open whether there was an effect; repetitions {} {still}.",
            replayed(key.answer)
        ),
        ("retryable", false) => "retryable. It was not executed: the next request with it is.".to_owned(),
        ("retryable", true) => format!(
            "retryable. It was sent and its outcome is not known; the upstream recognises the key, so that a \
             repetition is sent again; this is remembered {still}."
        ),
        (state, _) => format!("{state}."),
    }
}

/// What repetitions get, after "repetitions".
pub(crate) fn replayed(answer: Option<KeyAnswer>) -> String {
    match answer {
        Some(KeyAnswer { status, body_bytes: Some(bytes) }) => {
            format!("get {status} with {} byte{}", words::grouped(bytes), if bytes == 1 { "" } else { "s" })
        }
        Some(KeyAnswer { status, body_bytes: None }) => {
            format!("are refused with 409, because the answer {status} was too large to keep,")
        }
        None => "get its answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(state: &str, ambiguous: bool) -> KeyView {
        KeyView {
            state: state.to_owned(),
            attempt: 1,
            fence: 1,
            contract: "opaque".to_owned(),
            ambiguous,
            pinned: false,
            expires_in_ms: Some(604_000_000),
            lease_left_ms: None,
            route: "payments/charge".to_owned(),
            answer: None,
        }
    }

    #[test]
    fn each_state_says_what_becomes_of_repetitions() {
        assert_eq!(
            sentence(&key("unknown", true)),
            "unknown. It was sent and its outcome is not known; repetitions are refused with 409 for another 6 d 23 h."
        );
        let answer = |body_bytes| Some(KeyAnswer { status: 201, body_bytes });
        let complete = KeyView { answer: answer(Some(7)), ..key("complete", false) };
        assert_eq!(sentence(&complete), "complete. Repetitions get 201 with 7 bytes for another 6 d 23 h.");
        let large = KeyView { answer: answer(None), expires_in_ms: None, ..complete };
        assert_eq!(
            sentence(&large),
            "complete. Repetitions are refused with 409, because the answer 201 was too large to keep, until its dead \
             letter is closed."
        );
        let abandoned = KeyView { lease_left_ms: Some(0), ..key("claimed", false) };
        assert!(sentence(&abandoned).contains("the next request with it is executed"));
        assert!(sentence(&key("retryable", true)).contains("its outcome is not known"));
    }

    #[test]
    fn an_answer_to_replay_is_one() {
        let response = |status, body: &str| Some(KeyResponse { status, body: Some(body.to_owned()) });
        let fine = |status, body: &str| Outcome::Executed { status, body: body.to_owned() };
        assert_eq!(stated(ResolveAs::Executed, None).unwrap(), fine(200, ""));
        assert_eq!(stated(ResolveAs::Executed, response(Some(201), "x")).unwrap(), fine(201, "x"));
        assert_eq!(stated(ResolveAs::Executed, response(Some(204), "")).unwrap(), fine(204, ""));
        assert_eq!(stated(ResolveAs::NotExecuted, None).unwrap(), Outcome::NotExecuted);
        for (outcome, wrong) in [
            (ResolveAs::Executed, response(Some(100), "")),
            (ResolveAs::Executed, response(Some(600), "")),
            (ResolveAs::Executed, response(Some(204), "x")),
            (ResolveAs::NotExecuted, response(None, "")),
        ] {
            assert!(stated(outcome, wrong).is_err());
        }
    }
}
