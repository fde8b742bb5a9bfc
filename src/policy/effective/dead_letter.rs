//! Dead letters in effect.

use super::{Setting, count, set, time};
use crate::policy::dead_letter::{DeadLetterBounds, DeadLetterPolicy};
use crate::policy::size;
use crate::reliability::dead_letters::Cause;

/// What is kept altogether. Empty if no route keeps anything.
pub(in crate::policy) fn bounds(bounds: Option<&DeadLetterBounds>) -> Vec<Setting> {
    let Some(bounds) = bounds else { return Vec::new() };
    let DeadLetterBounds {
        retention,
        max_bytes,
        max_letters,
        max_share,
        key_file,
        max_body,
        redact_headers,
        redact_query,
        credentials,
    } = bounds;
    let key_file = key_file.as_ref().map_or("beside the store".to_owned(), |path| path.display().to_string());
    let headers: Vec<&str> = redact_headers.iter().map(http::HeaderName::as_str).collect();
    vec![
        time("deadLetter.retention", *retention),
        set("deadLetter.maxBytes", size::print(*max_bytes)),
        count("deadLetter.maxLetters", *max_letters),
        count("deadLetter.maxShare", u32::from(*max_share)),
        set("deadLetter.keyFile", key_file),
        set("deadLetter.capture.maxBody", size::print(*max_body as u64)),
        set("deadLetter.capture.redactHeaders", format!("[{}]", headers.join(", "))),
        set("deadLetter.capture.redactQuery", format!("[{}]", redact_query.join(", "))),
        set("deadLetter.capture.credentials", credentials.as_str()),
    ]
}

/// What a route keeps. Empty = nothing.
pub(super) fn route(policy: Option<&DeadLetterPolicy>) -> Vec<Setting> {
    let Some(DeadLetterPolicy { queue, when, capture }) = policy else { return Vec::new() };
    vec![
        set("deadLetter.queue", &**queue),
        set("deadLetter.when", format!("[{}]", causes(when))),
        set("deadLetter.capture", capture.as_str()),
    ]
}

/// Their words, one after the other.
pub(in crate::policy) fn causes(when: &[Cause]) -> String {
    when.iter().map(|cause| cause.as_str()).collect::<Vec<_>>().join(", ")
}
