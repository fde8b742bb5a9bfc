//! Whether retries help.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::api::Retries;
use super::control::Control;
use super::extract::Asked;
use super::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only this dependency.
    upstream: Option<String>,
}

pub(super) async fn retries(
    State(control): State<Arc<Control>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Retries>, Problem> {
    let mut retries = (control.retries)();
    if let Some(name) = which.upstream {
        let views = (control.views)();
        if !views.iter().any(|view| view.name == name) {
            return Err(Problem::unknown_upstream(&name, views.iter().map(|view| view.name.as_str())));
        }
        retries.retain(|report| report.upstream == name);
    }
    Ok(Json(Retries { retries }))
}
