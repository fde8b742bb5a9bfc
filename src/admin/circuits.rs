//! Breakers by hand.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use super::api::{CircuitAction, CircuitRequest, UpstreamCircuit};
use super::control::{CircuitOrder, Control};
use super::extract::{Posted, author, reason};
use super::problem::Problem;
use super::words;
use crate::policy::duration;

/// How long a hold lasts unless stated: long enough to act in, short enough to be forgotten without harm.
const TTL_DEFAULT: Duration = Duration::from_secs(600);
/// The shortest and the longest hold.
pub(crate) const TTL_MIN: Duration = Duration::from_secs(1);
pub(crate) const TTL_MAX: Duration = Duration::from_secs(24 * 3_600);

pub(super) async fn act(
    State(control): State<Arc<Control>>,
    Path(upstream): Path<String>,
    Posted(request): Posted<CircuitRequest>,
) -> Result<Json<UpstreamCircuit>, Problem> {
    let views = (control.views)();
    if !views.iter().any(|view| view.name == upstream) {
        return Err(Problem::unknown_upstream(&upstream, views.iter().map(|view| view.name.as_str())));
    }
    let order = CircuitOrder {
        ttl: ttl(request.action, request.ttl.as_deref())?,
        upstream: upstream.clone(),
        action: request.action,
        reason: reason(&request.reason)?,
        author: author(request.author)?,
    };
    // The order is journalled, hence it may write.
    let circuit = super::extract::blocking(control, move |control| (control.circuit)(order)).await??;
    Ok(Json(UpstreamCircuit { upstream, circuit: Some(circuit) }))
}

fn ttl(action: CircuitAction, stated: Option<&str>) -> Result<Duration, Problem> {
    let Some(stated) = stated else { return Ok(TTL_DEFAULT) };
    match action {
        CircuitAction::Reset => {
            Err(Problem::invalid("`reset` takes effect at once and has no `ttl`", "leave `ttl` out"))
        }
        CircuitAction::Open | CircuitAction::Close => {
            duration::parse(stated).ok().filter(|ttl| (TTL_MIN..=TTL_MAX).contains(ttl)).ok_or_else(|| {
                Problem::invalid(
                    format!("`ttl` {} is not a duration of 1s to 24h", words::quoted(stated, 30)),
                    "write for example 90s, 10m or 1h30m",
                )
            })
        }
    }
}
