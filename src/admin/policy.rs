//! The policy in force, its history, and the two ways to change it from here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::{
    Applied, Changes, ChangesQuery, History, PolicyDocument, ReloadRequest, RollbackRequest, change_kind,
};
use super::control::{ChangesFilter, Control, Refused, ReloadOrder, RollbackOrder};
use super::extract::{Asked, Posted, author, blocking, reason};
use super::problem::Problem;
use super::words;
use crate::policy::duration;

/// Changes listed at most, and unless stated.
const CHANGES_MAX: usize = 1_000;
const CHANGES_DEFAULT: usize = 100;

pub(super) async fn current(State(control): State<Arc<Control>>) -> Json<PolicyDocument> {
    Json((control.policy)())
}

pub(super) async fn history(State(control): State<Arc<Control>>) -> Result<Json<History>, Problem> {
    let revisions = blocking(control, |control| (control.history)()).await??;
    Ok(Json(History { revisions }))
}

pub(super) async fn changes(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<ChangesQuery>,
) -> Result<Json<Changes>, Problem> {
    let filter = filter(query)?;
    let changes = blocking(control, move |control| (control.changes)(filter)).await??;
    Ok(Json(Changes { changes }))
}

fn filter(query: ChangesQuery) -> Result<ChangesFilter, Problem> {
    let since = match query.since.as_deref() {
        None => None,
        Some(text) => Some(duration::parse(text).map_err(|why| {
            Problem::invalid(format!("`since`: {}", words::plain(&why, 200)), "write for example 90s, 30m or 24h")
        })?),
    };
    let limit = query.limit.unwrap_or(CHANGES_DEFAULT);
    if !(1..=CHANGES_MAX).contains(&limit) {
        return Err(Problem::invalid(
            format!("`limit` {limit} is out of range"),
            format!("ask for 1 to {CHANGES_MAX} changes"),
        ));
    }
    let kind = query.kind;
    if let Some(kind) = kind.as_deref().filter(|kind| !change_kind::is_known(kind)) {
        let words: Vec<&str> = change_kind::GROUPS.into_iter().chain(change_kind::ALL).collect();
        let detail = format!("`kind`: there is no kind `{}`", words::plain(kind, 50));
        return Err(Problem::invalid(detail, format!("ask for one of {}", words.join(", "))));
    }
    Ok(ChangesFilter { since, limit, upstream: query.upstream, kind })
}

pub(super) async fn reload(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<ReloadRequest>,
) -> Result<Json<Applied>, Problem> {
    let order = ReloadOrder { author: author(request.author)? };
    Ok(Json(blocking(control, move |control| (control.reload)(order)).await??))
}

pub(super) async fn rollback(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<RollbackRequest>,
) -> Result<Json<Applied>, Problem> {
    let order =
        RollbackOrder { revision: request.revision, reason: reason(&request.reason)?, author: author(request.author)? };
    match blocking(control, move |control| (control.rollback)(order)).await? {
        Err(Refused::Unknown(detail)) => Err(Problem::unknown_revision(detail)),
        answer => Ok(Json(answer?)),
    }
}
