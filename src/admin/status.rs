//! The living state, whole and in parts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use super::api::{
    Budgets, Certificates, Circuits, Condition, Curves, Endpoints, Status, UpstreamBudget, UpstreamCircuit,
    UpstreamEndpoints, Upstreams,
};
use super::control::{ChangesFilter, Control};
use super::extract::blocking;
use super::problem::Problem;
use super::summary::{self, Parts};
use super::verdict;
use crate::upstreams::view::UpstreamView;

/// Changes shown with the status.
const RECENT_CHANGES: usize = 5;
/// Changes looked through for the last one that matters, and how old it may be.
const CHANGES_READ: usize = 100;
const CHANGES_SINCE: Duration = Duration::from_secs(600);

pub(super) async fn status(State(control): State<Arc<Control>>) -> Result<Json<Status>, Problem> {
    blocking(control, |control| Json(gather(control))).await
}

fn gather(control: &Control) -> Status {
    let readiness = (control.readiness)();
    let draining = (control.draining)();
    let policy = (control.policy)().policy;
    let upstreams = (control.views)();
    // An unreadable journal must not hide the rest; GET /changes states the error.
    let mut changes =
        (control.changes)(ChangesFilter { limit: CHANGES_READ, ..ChangesFilter::default() }).unwrap_or_default();
    // As unreadable letters: no route may keep any.
    let repairs = (control.letters.stats)().map_or_else(|_| Vec::new(), |stock| summary::repairs(&stock));
    let retries = (control.retries)();
    let certificates = (control.certificates)();

    let mut verdicts = verdict::of_process(&readiness, draining, &policy);
    verdicts.extend(verdict::of_certificates(&certificates));
    verdicts.extend((control.verdicts)());
    // Stable: equals stay in the order of the policy file, and what is said of a dependency comes before the process.
    verdicts.sort_by_key(|verdict| (std::cmp::Reverse(verdict.condition), verdict.upstream.is_none()));
    let recent = changes.iter().take_while(|change| change.age_seconds <= CHANGES_SINCE.as_secs()).count();
    let summary = summary::lines(&Parts {
        verdicts: &verdicts,
        upstreams: &upstreams,
        changes: changes.get(..recent).unwrap_or_default(),
        retries: &retries,
        repairs: &repairs,
    });
    changes.truncate(RECENT_CHANGES);
    Status {
        name: (control.name)(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: (control.uptime)().as_secs(),
        condition: verdicts.iter().map(|verdict| verdict.condition).max().unwrap_or(Condition::Healthy),
        readiness,
        draining,
        summary,
        verdicts,
        policy,
        upstreams,
        certificates,
        changes,
        retries,
        repairs,
    }
}

pub(super) async fn certificates(State(control): State<Arc<Control>>) -> Json<Certificates> {
    Json(Certificates { certificates: (control.certificates)() })
}

pub(super) async fn upstreams(State(control): State<Arc<Control>>) -> Json<Upstreams> {
    Json(Upstreams { upstreams: (control.views)() })
}

pub(super) async fn curves(State(control): State<Arc<Control>>) -> Json<Curves> {
    Json((control.curves)())
}

pub(super) async fn upstream(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
) -> Result<Json<UpstreamView>, Problem> {
    let mut views = (control.views)();
    match views.iter().position(|view| view.name == name) {
        Some(index) => Ok(Json(views.swap_remove(index))),
        None => Err(Problem::unknown_upstream(&name, views.iter().map(|view| view.name.as_str()))),
    }
}

pub(super) async fn endpoints(State(control): State<Arc<Control>>) -> Json<Endpoints> {
    let part = |view: UpstreamView| UpstreamEndpoints {
        upstream: view.name,
        direction: view.direction,
        panic: view.panic,
        resolve_error: view.resolve_error,
        endpoints: view.endpoints,
    };
    Json(Endpoints { upstreams: (control.views)().into_iter().map(part).collect() })
}

pub(super) async fn circuits(State(control): State<Arc<Control>>) -> Json<Circuits> {
    let part = |view: UpstreamView| UpstreamCircuit { upstream: view.name, circuit: view.circuit };
    Json(Circuits { circuits: (control.views)().into_iter().map(part).collect() })
}

pub(super) async fn budgets(State(control): State<Arc<Control>>) -> Json<Budgets> {
    let part = |view: UpstreamView| UpstreamBudget { upstream: view.name, budget: view.budget, totals: view.totals };
    Json(Budgets { budgets: (control.views)().into_iter().map(part).collect() })
}
