//! What handlers take: a strict JSON body, a strict query, and work that may block.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::control::Control;
use super::problem::Problem;
use super::words;

/// Largest request body read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest author, in characters.
const AUTHOR_CHARS_MAX: usize = 100;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

/// A JSON body without unknown or repeated fields. An empty body reads as `{}`.
pub(super) struct Posted<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
                format!("the body is longer than {BODY_BYTES_MAX} bytes, or ended early"),
                "send less",
            )
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let wrong = |why: &str| {
            Problem::invalid(
                format!("the body is not what this call takes: {}", words::plain(why, 200)),
                "correct the body; GET / shows the shape of each call",
            )
        };
        // serde would also read an array as a struct, field by field.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(wrong("not a JSON object"));
        }
        serde_json::from_slice(text).map(Posted).map_err(|error| wrong(&error.to_string()))
    }
}

/// A query without unknown parameters.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Asked(query)).map_err(|error| {
            Problem::invalid(
                format!("the query is not what this call takes: {}", words::plain(&error.to_string(), 200)),
                "correct the query; GET / shows the shape of each call",
            )
        })
    }
}

/// Runs `work` where it may read and write files, away from the thread that answers probes.
pub(super) async fn blocking<T: Send + 'static>(
    control: Arc<Control>,
    work: impl FnOnce(&Control) -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || work(&control)).await.map_err(|_| Problem::interrupted())
}

/// Who says so: what the caller states, else `admin-api`.
pub(super) fn author(stated: Option<String>) -> Result<String, Problem> {
    match stated {
        None => Ok("admin-api".to_owned()),
        Some(author) => line("author", &author, AUTHOR_CHARS_MAX),
    }
}

/// Why: required, because whoever finds the change will ask.
pub(super) fn reason(stated: &str) -> Result<String, Problem> {
    line("reason", stated, REASON_CHARS_MAX)
}

/// One line of text, neither empty nor too long: it is journalled and printed.
fn line(field: &str, text: &str, chars_max: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > chars_max || words::plain(text, chars_max) != text {
        return Err(Problem::invalid(
            format!("`{field}` must be one line of 1 to {chars_max} characters"),
            format!("state a short `{field}`"),
        ));
    }
    Ok(text.to_owned())
}
