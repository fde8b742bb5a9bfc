//! Dead letters by hand: look at them, send them again, give them up, say what became of them.

pub(crate) mod advice;
mod export;
pub(crate) mod filter;
mod many;
pub mod plan;
pub(crate) mod view;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::api::{
    DropLetterRequest, Dropped, LetterBodyRequest, LetterDetail, LetterStats, Letters, LettersQuery,
    ReplayLetterRequest, ReplayedLetter, ResolveLetterRequest,
};
use super::control::letters::{BodyOrder, DropOrder, LetterList, ReplayOrder, ResolveLetterOrder};
use super::control::{Control, Refused};
use super::extract::{Asked, Posted, author, blocking, reason};
use super::keys::stated;
use super::problem::Problem;
use crate::clock::wall_millis;
use crate::dead_letters::letter::{Filter, LetterId};
use filter::States;

/// Letters listed at most, and unless stated.
pub(crate) const LIST_MAX: usize = 500;
pub(crate) const LIST_DEFAULT: usize = 50;

/// All paths of dead letters, their replays and the audit.
pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/stats", get(stats))
        .route("/dead-letters/export", get(export::export))
        .route("/dead-letters/drop", post(many::drop))
        .route("/dead-letters/{id}", get(show))
        .route("/dead-letters/{id}/body", post(body))
        .route("/dead-letters/{id}/replay", post(replay))
        .route("/dead-letters/{id}/drop", post(drop))
        .route("/dead-letters/{id}/resolve", post(resolve))
        .route("/replays", get(many::replays).post(many::replay))
        .route("/replays/{id}", get(many::replay_status))
        .route("/replays/{id}/cancel", post(many::cancel))
        .route("/audit", get(many::audit))
}

async fn list(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<LettersQuery>,
) -> Result<Json<Letters>, Problem> {
    let (filter, after, limit) = filter::parts(query)?;
    let limit = limit.unwrap_or(LIST_DEFAULT);
    let (page, now) = blocking(control, move |control| -> Result<_, Problem> {
        let now = wall_millis();
        let filter = filter::read(control, &filter, States::Undecided, now)?;
        Ok(((control.letters.list)(LetterList { filter, after, limit })?, now))
    })
    .await??;
    let next = page.letters.last().filter(|_| page.more).map(|letter| letter.id.to_string());
    let letters = page.letters.iter().map(|letter| view::view(letter, now)).collect();
    Ok(Json(Letters { letters, total: page.total, next }))
}

async fn stats(State(control): State<Arc<Control>>) -> Result<Json<LetterStats>, Problem> {
    let stock = blocking(control, |control| (control.letters.stats)()).await??;
    Ok(Json(view::stats(&stock, wall_millis())))
}

async fn show(State(control): State<Arc<Control>>, Path(id): Path<String>) -> Result<Json<LetterDetail>, Problem> {
    let shown = on_one(control, id, |control, id| (control.letters.show)(id)).await?;
    Ok(Json(view::detail(&shown.letter, shown.key, wall_millis())))
}

async fn body(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Posted(request): Posted<LetterBodyRequest>,
) -> Result<Response, Problem> {
    let (reason, author) = (reason(&request.reason)?, author(request.author)?);
    let bytes =
        on_one(control, id, move |control, id| (control.letters.body)(BodyOrder { id, reason, author })).await?;
    // Whatever it is, a browser must not take it for a page.
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(([kind], bytes).into_response())
}

async fn replay(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Posted(request): Posted<ReplayLetterRequest>,
) -> Result<Json<ReplayedLetter>, Problem> {
    let ReplayLetterRequest { accept_duplicate_risk, reason: why, version, author: who } = request;
    let (reason, author) = (reason(&why)?, author(who)?);
    let done = on_one(control, id, move |control, id| {
        (control.letters.replay)(ReplayOrder { id, version, accept_duplicate_risk, reason, author })
    })
    .await?;
    let letter = view::view(&done.letter, wall_millis());
    let mut told =
        ReplayedLetter { end: done.end, status: done.status, failure: done.failure, letter, text: String::new() };
    told.text = advice::replayed(&told);
    Ok(Json(told))
}

async fn drop(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Posted(request): Posted<DropLetterRequest>,
) -> Result<Json<Dropped>, Problem> {
    let (reason, author, version) = (reason(&request.reason)?, author(request.author)?, request.version);
    let dropped = on_one(control, id, move |control, id| {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        (control.letters.drop)(DropOrder { filter, expect_count: 1, version, reason, author })
    })
    .await?;
    Ok(Json(Dropped { dropped }))
}

async fn resolve(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Posted(request): Posted<ResolveLetterRequest>,
) -> Result<Json<LetterDetail>, Problem> {
    let ResolveLetterRequest { outcome, reason: why, response, version, author: who } = request;
    let outcome = stated(outcome, response)?;
    let (reason, author) = (reason(&why)?, author(who)?);
    let shown = on_one(control, id, move |control, id| {
        (control.letters.resolve)(ResolveLetterOrder { id, version, outcome, reason, author })
    })
    .await?;
    Ok(Json(view::detail(&shown.letter, shown.key, wall_millis())))
}

/// Does `work` with the letter that `named` names.
async fn on_one<T: Send + 'static>(
    control: Arc<Control>,
    named: String,
    work: impl FnOnce(&Control, LetterId) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Problem> {
    blocking(control, move |control| {
        let id = filter::identify(control, &named)?;
        Ok(work(control, id)?)
    })
    .await?
}
