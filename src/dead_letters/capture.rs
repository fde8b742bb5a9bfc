//! From a request to what is kept of it: what may be shown, and what is sealed. Pure; a request of any shape gives a
//! letter within bounds.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, SET_COOKIE,
};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};

use super::contents::Contents;
use super::letter::{Captured, KeyOrigin};
use crate::policy::Direction;
use crate::policy::dead_letter::{Credentials, DeadLetterBounds};
use crate::reliability::classify::Contract;

/// Of the fields, so many bytes are shown.
const FIELDS_SHOWN_MAX: usize = 16 * 1024;
/// …and of the target.
const TARGET_SHOWN_MAX: usize = 8 * 1024;
/// Of an answer's body, so many bytes are shown.
const ANSWER_SHOWN_MAX: usize = 4 * 1024;

/// In place of a value of which not even a digest is shown.
const HIDDEN: &str = "[redacted]";

/// Fields that hold secrets whatever the policy says.
const CREDENTIALS: [HeaderName; 5] =
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE, HeaderName::from_static("x-api-key")];
/// Usual names of keys. A key opens an answer, so none stands readable in a store.
const KEYS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];
/// What the first try said of itself. A replay has a time, a number and a trace of its own, and a body whose length is
/// known.
const OF_THE_TRY: [HeaderName; 7] = [
    CONTENT_LENGTH,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-attempt-count"),
    HeaderName::from_static("grpc-previous-rpc-attempts"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// A request as it came, less what belongs to its connection.
#[derive(Clone, Debug)]
pub struct Original {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// The client's.
    pub fields: HeaderMap,
    /// As far as it is held.
    pub body: Payload,
    /// Its idempotency key: the field, its value, and who gave it.
    pub key: Option<(HeaderName, HeaderValue, KeyOrigin)>,
    /// The field that names whose key it is.
    pub principal: Option<HeaderName>,
    /// The SPIFFE id in the caller's certificate, which was verified.
    pub caller: Option<Arc<str>>,
}

/// A request's body, as far as it is held.
#[derive(Clone, Debug)]
pub enum Payload {
    /// All of it.
    Whole(Bytes),
    /// With trailers behind it, which no replay could repeat.
    WithTrailers(Bytes),
    /// It was sent while it arrived.
    Streamed {
        /// As announced.
        length: Option<u64>,
    },
}

/// Where it was going.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// As in the policy.
    pub queue: &'a str,
    /// By name.
    pub upstream: &'a str,
    /// By name.
    pub route: &'a str,
    /// Towards a dependency, or from a caller.
    pub direction: Direction,
    /// What the upstream promises.
    pub contract: Contract,
    /// 32 hex digits.
    pub trace_id: &'a str,
    /// The policy it ran under.
    pub policy_revision: u64,
}

/// What must not be shown.
#[derive(Clone, Copy, Debug)]
pub struct Redaction<'a> {
    /// Fields, besides the usual ones.
    pub headers: &'a [HeaderName],
    /// Parameters of the query, in any case, whose values are shown by their digest. No value is shown as it is.
    pub query: &'a [String],
    /// The field with the idempotency key.
    pub key: Option<&'a HeaderName>,
}

impl<'a> Redaction<'a> {
    /// By the policy, for requests whose key stands in `key`.
    pub fn new(bounds: &'a DeadLetterBounds, key: Option<&'a HeaderName>) -> Redaction<'a> {
        Redaction { headers: &bounds.redact_headers, query: &bounds.redact_query, key }
    }

    fn covers(&self, name: &HeaderName) -> bool {
        self.is_credential(name) || KEYS.contains(name) || self.key == Some(name)
    }

    fn is_credential(&self, name: &HeaderName) -> bool {
        CREDENTIALS.contains(name) || self.headers.contains(name)
    }
}

/// What may be shown of it.
pub fn captured(original: &Original, place: &Place<'_>, bounds: &DeadLetterBounds) -> Captured {
    let redaction = Redaction::new(bounds, original.key.as_ref().map(|(name, ..)| name));
    let (bytes, digest) = match &original.body {
        Payload::Whole(body) | Payload::WithTrailers(body) => (body.len() as u64, hex(&Sha256::digest(body))),
        // Of what is not held there is no digest.
        Payload::Streamed { length } => (length.unwrap_or_default(), String::new()),
    };
    Captured {
        queue: place.queue.to_owned(),
        upstream: place.upstream.to_owned(),
        route: place.route.to_owned(),
        direction: place.direction.as_str().to_owned(),
        method: original.method.as_str().to_owned(),
        host: original.fields.get(HOST).map(|host| shown(host.as_bytes())).unwrap_or_default(),
        target: shown_target(&original.target, &redaction),
        fields: shown_fields(&original.fields, &redaction),
        body_bytes: bytes,
        body_sha256: digest,
        not_replayable: not_replayable(original, bounds),
        key_origin: original.key.as_ref().map_or(KeyOrigin::None, |(_, _, origin)| *origin),
        trace_id: place.trace_id.to_owned(),
        policy_revision: place.policy_revision,
        contract: place.contract.as_str().to_owned(),
    }
}

/// What a replay needs of it; `None` if there can be none.
pub fn contents(original: &Original, bounds: &DeadLetterBounds) -> Option<Contents> {
    let (Payload::Whole(body), None) = (&original.body, not_replayable(original, bounds)) else { return None };
    let redaction = Redaction::new(bounds, None);
    // Without key and principal a replay would be another request; a parameter of the query is part of which one it is,
    // too.
    let key = original.key.as_ref().map(|(name, ..)| name);
    let names_it = |name| Some(name) == key || Some(name) == original.principal.as_ref();
    let drops = bounds.credentials == Credentials::Drop;
    let dropped = |name| OF_THE_TRY.contains(name) || (drops && redaction.is_credential(name) && !names_it(name));
    let mut fields = HeaderMap::with_capacity(original.fields.len());
    for (name, value) in original.fields.iter().filter(|(name, _)| !dropped(*name)) {
        fields.append(name.clone(), value.clone());
    }
    Some(Contents {
        method: original.method.clone(),
        target: original.target.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        fields,
        body: body.clone(),
        key: original.key.as_ref().map(|(name, value, _)| (name.clone(), value.clone())),
        caller: original.caller.as_deref().map(str::to_owned),
    })
}

/// Why it can never be sent again.
fn not_replayable(original: &Original, bounds: &DeadLetterBounds) -> Option<String> {
    let max = bounds.max_body;
    match &original.body {
        Payload::Streamed { .. } => Some(format!(
            "Its body went out while it arrived: it was larger than what may be held (deadLetter.capture.maxBody is {max} \
             bytes), or the memory for held bodies (limits.replayBytes) was used up"
        )),
        Payload::WithTrailers(_) => Some("Its body had trailers, which a replay could not repeat".to_owned()),
        Payload::Whole(body) if body.len() > max => {
            Some(format!("Its body of {} bytes is larger than deadLetter.capture.maxBody ({max} bytes)", body.len()))
        }
        Payload::Whole(_) => None,
    }
}

/// Lines `name: value`, as many as may be shown.
pub fn shown_fields(fields: &HeaderMap, redaction: &Redaction<'_>) -> Vec<String> {
    let (mut lines, mut room) = (Vec::new(), FIELDS_SHOWN_MAX);
    for (at, (name, value)) in fields.iter().enumerate() {
        let value = if redaction.covers(name) { redacted(value.as_bytes()) } else { shown(value.as_bytes()) };
        let line = format!("{name}: {value}");
        let Some(left) = room.checked_sub(line.len()) else {
            lines.push(format!("[cut: {} more lines]", fields.len() - at));
            break;
        };
        room = left;
        lines.push(line);
    }
    lines
}

/// Path and query, without the query's values: nobody knows which of them are secrets.
pub fn shown_target(target: &Uri, redaction: &Redaction<'_>) -> String {
    let mut text = shown(target.path().as_bytes());
    if let Some(query) = target.query() {
        let parts: Vec<String> = query.split('&').map(|part| shown_parameter(part, redaction)).collect();
        text.push('?');
        text.push_str(&parts.join("&"));
    }
    cut(text, TARGET_SHOWN_MAX)
}

fn shown_parameter(part: &str, redaction: &Redaction<'_>) -> String {
    let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
    let (plain, name) = (unescaped(name), shown(name.as_bytes()));
    if redaction.query.iter().any(|hidden| hidden.as_bytes().eq_ignore_ascii_case(&plain)) {
        return format!("{name}={}", redacted(value.unwrap_or_default().as_bytes()));
    }
    match value {
        Some(_) => format!("{name}={HIDDEN}"),
        None if part.is_empty() => String::new(),
        // It may be a value as well as a name.
        None => HIDDEN.to_owned(),
    }
}

/// The name that an application would read: a name in disguise hides nothing less.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut out) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let [first, rest @ ..] = bytes {
        let escape = match rest {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        bytes = match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest.get(2..).unwrap_or_default()
            }
            None => {
                out.push(if *first == b'+' { b' ' } else { *first });
                rest
            }
        };
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The beginning of an answer's body. One that is no text is told by its size.
pub fn shown_answer(body: &Bytes) -> String {
    let start = body.get(..ANSWER_SHOWN_MAX).unwrap_or(body);
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The bound may fall into a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(start.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return format!("[{} bytes that are no text]", body.len()),
    };
    let text: String = valid.chars().map(|c| if is_hostile(c) && c != '\n' { '\u{fffd}' } else { c }).collect();
    cut(text, ANSWER_SHOWN_MAX)
}

/// Enough to see that two secrets are the same, too little to find one that is worth its name.
fn redacted(secret: &[u8]) -> String {
    let digest = hex(&Sha256::digest(secret));
    format!("[redacted:{}]", digest.get(..8).unwrap_or_default())
}

/// Text for a screen: nothing that a terminal obeys, whatever a client wrote.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if is_hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that turn the direction of what stands around them.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push_str("[cut]");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
