//! A sketch of the traffic: ordered, and fetched when it is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::api::{RecordingBegun, RecordingOrder};
use super::control::Control;
use super::extract::Posted;
use super::problem::Problem;
use crate::clock;
use crate::simulate::recording::{CellDocument, EndpointDocument, FORMAT, Recording, StreamDocument, VERSION};
use crate::telemetry::sketch::{Busy, End, LONGEST, STEP, Sketch, Standing, edges};

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new().route("/recording", get(fetch).post(begin))
}

async fn begin(
    State(control): State<Arc<Control>>,
    Posted(order): Posted<RecordingOrder>,
) -> Result<Json<RecordingBegun>, Problem> {
    let most = LONGEST.as_secs();
    if !(1..=most).contains(&order.seconds) {
        return Err(Problem::invalid(format!("`seconds` must be 1 to {most}"), "ask for less"));
    }
    if let Some(name) = &order.upstream {
        let views = (control.views)();
        if !views.iter().any(|view| view.name == *name) {
            return Err(Problem::unknown_upstream(name, views.iter().map(|view| view.name.as_str())));
        }
    }
    let (length, addresses) = (Duration::from_secs(order.seconds), order.addresses.unwrap_or(false));
    match control.stories.recorder.start(clock::now(), length, order.upstream, addresses) {
        Ok(()) => Ok(Json(RecordingBegun { seconds: order.seconds })),
        Err(Busy(left)) => Err(running(left)),
    }
}

async fn fetch(State(control): State<Arc<Control>>) -> Result<Json<Recording>, Problem> {
    let now = clock::now();
    match control.stories.recorder.standing(now) {
        Standing::Done(sketch) => Ok(Json(document(&sketch, now))),
        Standing::Running(left) => Err(running(left)),
        Standing::Nothing => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-recording",
            "No recording",
            "nothing was recorded since the start",
            "begin with `outrigger record`, or POST /recording {\"seconds\":60}",
        )),
    }
}

fn running(left: Duration) -> Problem {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Problem::new(
        StatusCode::CONFLICT,
        "recording-running",
        "A recording is being made",
        format!("a recording is being made, for {seconds} s more; there is one at a time"),
        "come back when it is over, and fetch it with GET /recording",
    )
}

fn document(sketch: &Sketch, now: Instant) -> Recording {
    let began = clock::wall().checked_sub(now.saturating_duration_since(sketch.began));
    let began = began.and_then(|at| jiff::Timestamp::try_from(at).ok()).unwrap_or_default();
    let length = sketch.until.saturating_duration_since(sketch.began);
    let stream = |stream: &crate::telemetry::sketch::Stream| StreamDocument {
        upstream: stream.key.upstream.to_string(),
        route: stream.key.route.to_string(),
        idempotent: stream.key.idempotent,
        arrivals: stream.arrivals.clone(),
        succeeded: stream.succeeded,
    };
    let endpoint = |(upstream, address): &(Arc<str>, std::net::SocketAddr)| EndpointDocument {
        upstream: upstream.to_string(),
        address: sketch.addresses.then(|| address.to_string()),
    };
    let mut cells: Vec<CellDocument> = sketch.cells.iter().map(|(place, of)| cell(*place, of)).collect();
    cells.sort_by_key(|cell| (cell.step, cell.stream, cell.endpoint));
    Recording {
        format: FORMAT.to_owned(),
        version: VERSION,
        recorded_at: format!("{began:.0}"),
        step_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
        steps: usize::try_from(length.as_nanos().div_ceil(STEP.as_nanos())).unwrap_or(usize::MAX),
        dropped: sketch.dropped,
        streams: sketch.streams.iter().map(stream).collect(),
        endpoints: sketch.endpoints.iter().map(endpoint).collect(),
        cells,
    }
}

fn cell((stream, endpoint, step): (u16, u16, u16), of: &crate::telemetry::sketch::Cell) -> CellDocument {
    let word = |end: End| match end {
        End::Status(status) => status.to_string(),
        End::Refused => "refused".to_owned(),
        End::Reset => "reset".to_owned(),
        End::Timeout => "timeout".to_owned(),
    };
    let latency = |(bucket, count): &(u8, u32)| {
        let (from, to) = edges(*bucket);
        (from, to, *count)
    };
    CellDocument {
        stream: stream.into(),
        endpoint: usize::from(endpoint) + 1,
        step: step.into(),
        ends: of.ends.iter().map(|(end, count)| (word(*end), *count)).collect(),
        latencies: of.latencies.iter().map(latency).collect(),
    }
}
