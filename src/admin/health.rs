//! `/metrics` and the probes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::Readiness;
use super::control::Control;
use super::extract::blocking;
use super::problem::Problem;

pub(super) async fn metrics(State(control): State<Arc<Control>>) -> Result<Response, Problem> {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let text = blocking(control, |control| (control.render_metrics)()).await?;
    Ok((kind, text).into_response())
}

/// Answering at all is the answer.
pub(super) async fn livez(headers: HeaderMap) -> Response {
    answer(&headers, Readiness { ready: true, reasons: Vec::new() })
}

pub(super) async fn readyz(State(control): State<Arc<Control>>, headers: HeaderMap) -> Response {
    answer(&headers, (control.readiness)())
}

fn answer(headers: &HeaderMap, readiness: Readiness) -> Response {
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepted.contains("application/json") {
        return (status, Json(readiness)).into_response();
    }
    let text = if readiness.ready { "ok\n".to_owned() } else { format!("{}\n", readiness.reasons.join("\n")) };
    (status, text).into_response()
}
