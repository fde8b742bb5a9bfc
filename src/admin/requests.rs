//! Single requests: those that are kept, and the live view of all.

mod sentences;
mod story;
mod tap;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::api::{Requests, RequestsQuery, Story};
use super::control::Control;
use super::extract::Asked;
use super::problem::Problem;
use super::words;
use crate::clock;
use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::stories::told::{Kept, Told};
use crate::telemetry::stories::{Found, Holdings, OTHERS_MAX, PART_MIN, TROUBLED_MAX, Wanted};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
/// Stories that are told besides the one asked for.
const ALSO_MAX: usize = 9;
/// Ids that a part of one is answered with.
const CANDIDATES_MAX: usize = 10;
/// What `outcome` may say besides an outcome.
const TROUBLED: &str = "troubled";

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new().route("/requests", get(list)).route("/requests/{id}", get(one)).route("/tap", get(tap::tap))
}

async fn one(State(control): State<Arc<Control>>, Path(id): Path<String>) -> Result<Json<Story>, Problem> {
    match control.stories.find(&id) {
        Found::Nothing => Err(unknown(&id, &control.stories.holdings())),
        Found::Several(traces) => Err(ambiguous(&id, &traces)),
        Found::Stories(found) => tell(found).map(Json).ok_or_else(|| unknown(&id, &control.stories.holdings())),
    }
}

/// The newest troubled one, else the newest; the others with it.
fn tell(mut found: Vec<Arc<Told>>) -> Option<Story> {
    let troubled = found.iter().rposition(|told| told.kept == Some(Kept::Troubled));
    let chosen = troubled.or_else(|| found.len().checked_sub(1))?;
    let now = clock::wall();
    let mut story = story::of(&found.remove(chosen), now);
    let newest = found.len().saturating_sub(ALSO_MAX);
    story.also = found.iter().skip(newest).map(|told| story::of(told, now)).collect();
    Some(story)
}

async fn list(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<RequestsQuery>,
) -> Result<Json<Requests>, Problem> {
    let wanted = wanted(query)?;
    let now = clock::wall();
    let requests = control.stories.list(&wanted).iter().map(|told| story::line(told, now)).collect();
    Ok(Json(Requests { requests, kept: story::kept(&control.stories.holdings()) }))
}

fn wanted(query: RequestsQuery) -> Result<Wanted, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` must be 1 to {LIMIT_MAX}"), "ask for fewer"));
    }
    let troubled = query.outcome.as_deref() == Some(TROUBLED);
    let outcome = query.outcome.filter(|_| !troubled);
    if let Some(word) = &outcome
        && !RequestOutcome::ALL.iter().any(|outcome| outcome.as_str() == word)
    {
        let known: Vec<&str> = RequestOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        return Err(Problem::invalid(
            format!("{} is no outcome", words::quoted(word, 30)),
            format!("use {TROUBLED}, {}", known.join(", ")),
        ));
    }
    Ok(Wanted { upstream: query.upstream, outcome, troubled, limit })
}

fn unknown(id: &str, holdings: &Holdings) -> Problem {
    let Holdings { troubled, others, forgotten, .. } = *holdings;
    let mut detail = format!(
        "no request {} is kept. Kept in memory are the last {TROUBLED_MAX} troubled requests and {OTHERS_MAX} slow or \
         sampled ones; now there are {troubled} and {others}",
        words::quoted(id, 100)
    );
    match (holdings.oldest, forgotten) {
        (Some(oldest), 1..) => {
            detail.push_str(&format!(", the oldest of {oldest:.0}; {forgotten} older ones had to go"))
        }
        (_, _) => detail.push_str(&format!(", all since the start at {:.0}", holdings.since)),
    }
    let next = if id.trim().len() < PART_MIN {
        format!("write the whole id, or at least {PART_MIN} digits of it")
    } else {
        "a request that was served at once is kept only if `accessLog` drew it; list what there is with \
         `outrigger why --last` or GET /requests, or look for the trace id in the access log"
            .to_owned()
    };
    Problem::new(StatusCode::NOT_FOUND, "unknown-request", "Unknown request", detail, next)
}

fn ambiguous(id: &str, traces: &[String]) -> Problem {
    let shown = traces.iter().take(CANDIDATES_MAX).cloned().collect::<Vec<_>>().join(", ");
    let detail = format!("{} fits {} traces: {shown}", words::quoted(id, 100), traces.len());
    Problem::new(StatusCode::CONFLICT, "ambiguous-request", "Ambiguous id", detail, "write more digits of the trace id")
}
