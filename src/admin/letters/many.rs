//! What is done to many letters at once, and what was done.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::filter::{self, States};
use super::view;
use crate::admin::api::{
    Audit, AuditQuery, CancelReplayRequest, DropLettersRequest, Dropped, LetterFilter, ReplayJob, ReplayRequest,
    Replays,
};
use crate::admin::control::Control;
use crate::admin::control::letters::{AuditList, CancelOrder, DropOrder, PlanOrder, StartOrder};
use crate::admin::extract::{Asked, Posted, author, blocking, reason};
use crate::admin::problem::Problem;
use crate::admin::words;
use crate::clock::wall_millis;

/// Requests per second of a replay.
pub(crate) const RATE_DEFAULT: u32 = 1;
pub(crate) const RATE_MAX: u32 = 100;
/// Failures after which a replay ends.
pub(crate) const STOP_AFTER_DEFAULT: u32 = 5;
pub(crate) const STOP_AFTER_MAX: u32 = 1_000;

/// Rows of the audit listed at most, and unless stated.
const AUDIT_MAX: usize = 1_000;
const AUDIT_DEFAULT: usize = 100;

pub(super) async fn drop(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<DropLettersRequest>,
) -> Result<Json<Dropped>, Problem> {
    let DropLettersRequest { filter, expect_count, reason: why, author: who } = request;
    let (reason, author) = (reason(&why)?, author(who)?);
    if filter == LetterFilter::default() {
        let next = "name letters or state a filter; `\"state\":\"open\"` means all that are open";
        return Err(Problem::invalid("an empty `filter` would drop everything", next));
    }
    let dropped = blocking(control, move |control| -> Result<_, Problem> {
        let filter = filter::read(control, &filter, States::Open, wall_millis())?;
        Ok((control.letters.drop)(DropOrder { filter, expect_count, version: None, reason, author })?)
    })
    .await??;
    Ok(Json(Dropped { dropped }))
}

/// 200 with the plan for a dry run, else 202 with the replay that has begun.
pub(super) async fn replay(
    State(control): State<Arc<Control>>,
    Posted(request): Posted<ReplayRequest>,
) -> Result<Response, Problem> {
    let ReplayRequest { filter, rate, max, stop_after, accept_duplicate_risk, dry_run, reason: why, author: who } =
        request;
    let rate = within("rate", rate, RATE_DEFAULT, RATE_MAX)?;
    let stop_after = within("stopAfter", stop_after, STOP_AFTER_DEFAULT, STOP_AFTER_MAX)?;
    if max == Some(0) {
        return Err(Problem::invalid("`max` 0 would send nothing", "leave `max` out, or state how many"));
    }
    let read = move |control: &Control| -> Result<PlanOrder, Problem> {
        let states = if filter.id.is_some() { States::All } else { States::Open };
        let filter = filter::read(control, &filter, states, wall_millis())?;
        Ok(PlanOrder { filter, max, accept_duplicate_risk })
    };
    if dry_run {
        let plan = blocking(control, move |control| -> Result<_, Problem> {
            let order = read(control)?;
            Ok((control.letters.plan)(order)?)
        });
        return Ok(Json(plan.await??).into_response());
    }
    let (reason, author) = (reason(why.as_deref().unwrap_or_default())?, author(who)?);
    let job = blocking(control, move |control| -> Result<_, Problem> {
        let plan = read(control)?;
        Ok((control.letters.start)(StartOrder { plan, rate, stop_after, reason, author })?)
    });
    Ok((StatusCode::ACCEPTED, Json(job.await??)).into_response())
}

fn within(field: &str, stated: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    let value = stated.unwrap_or(default);
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(Problem::invalid(format!("`{field}` {value} is out of range"), format!("state 1 to {max}")))
}

pub(super) async fn replays(State(control): State<Arc<Control>>) -> Result<Json<Replays>, Problem> {
    let replays = blocking(control, |control| (control.letters.replays)()).await??;
    Ok(Json(Replays { replays }))
}

pub(super) async fn replay_status(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
) -> Result<Json<ReplayJob>, Problem> {
    Ok(Json(blocking(control, move |control| job(control, &id)).await??))
}

pub(super) async fn cancel(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Posted(request): Posted<CancelReplayRequest>,
) -> Result<Json<ReplayJob>, Problem> {
    let (reason, author) = (reason(&request.reason)?, author(request.author)?);
    let job = blocking(control, move |control| -> Result<_, Problem> {
        let id = job(control, &id)?.id;
        Ok((control.letters.cancel)(CancelOrder { id, reason, author })?)
    });
    Ok(Json(job.await??))
}

fn job(control: &Control, id: &str) -> Result<ReplayJob, Problem> {
    let replays = (control.letters.replays)()?;
    replays.into_iter().find(|job| job.id == id).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-replay",
            "Unknown replay",
            format!("there is no replay {}: only the last ones are remembered", words::quoted(id, 100)),
            "list them with `outrigger replay ls`",
        )
    })
}

pub(super) async fn audit(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<Audit>, Problem> {
    let limit = query.limit.unwrap_or(AUDIT_DEFAULT);
    if !(1..=AUDIT_MAX).contains(&limit) {
        let next = format!("ask for 1 to {AUDIT_MAX} rows");
        return Err(Problem::invalid(format!("`limit` {limit} is out of range"), next));
    }
    let now = wall_millis();
    let since = query.since.as_deref().map(|text| filter::ago("since", text, now)).transpose()?;
    let rows = blocking(control, move |control| (control.letters.audit)(AuditList { since, limit })).await??;
    let rows: Vec<_> = rows.into_iter().map(|row| view::audited(row, now)).collect();
    Ok(Json(Audit { intact: rows.iter().all(|row| row.intact), rows }))
}
