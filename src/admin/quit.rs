//! `POST /quitquitquit`: the end of a Job's work is the end of its sidecar.
//!
//! Only for sidecars that are plain containers, which would keep their Job's Pod alive; Kubernetes ends native ones by
//! itself. It is there only where the process was started with `--quit-endpoint`, and only for callers on loopback.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::control::Control;
use super::problem::Problem;
use super::serve::Caller;

/// As other sidecars spell it.
pub(super) const PATH: &str = "/quitquitquit";

pub(super) async fn quit(State(control): State<Arc<Control>>, peer: Option<Extension<Caller>>) -> Response {
    if !peer.is_some_and(|Extension(Caller(peer))| peer.ip().to_canonical().is_loopback()) {
        let next = "call it from a container of the same Pod";
        return Problem::forbidden("not-loopback", "the end of this process is granted to loopback only", next)
            .into_response();
    }
    if let Some(quit) = &control.quit {
        quit();
    }
    (StatusCode::OK, "requests in flight are finished, then the process ends\n").into_response()
}
