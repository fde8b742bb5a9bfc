//! `GET /tap`: requests as they end, as server-sent events. Each `data` is a story; `event: lost` says what is missing.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use tokio::time::Sleep;

use super::story;
use crate::admin::api::{TapLost, TapQuery};
use crate::admin::control::Control;
use crate::admin::extract::Asked;
use crate::admin::problem::Problem;
use crate::admin::serve::{LIVE_LIFETIME, Stay};
use crate::clock;
use crate::telemetry::stories::taps::{Filter, Listening, TAPS_MAX};

/// Lines of one tap at most.
const LIMIT_MAX: u64 = 100_000;
/// How often what was lost is told, and whether the time is over is asked.
const LOOK: Duration = Duration::from_secs(1);
/// After so many looks without a line, one that says nothing: the reader sees that we are there.
const SILENT_LOOKS_MAX: u32 = 10;

pub(super) async fn tap(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<TapQuery>,
    parts: Parts,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` must be 1 to {LIMIT_MAX}"), "ask for fewer"));
    }
    let filter = Filter { upstream: query.upstream, route: query.route, errors: query.errors.unwrap_or(false) };
    let Some(listening) = control.stories.taps.listen(filter) else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "taps-taken",
            "Too many taps",
            format!("{TAPS_MAX} taps are open, and there may be no more at once"),
            "close one of them, or list what is kept with GET /requests",
        ));
    };
    if let Some(stay) = parts.extensions.get::<Stay>() {
        stay.ask();
    }
    let now = clock::now();
    let stream = Stream {
        listening,
        left: limit,
        until: now + LIVE_LIFETIME,
        look: Box::pin(tokio::time::sleep_until((now + LOOK).into())),
        silent: SILENT_LOOKS_MAX,
    };
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(([kind], Body::new(stream)).into_response())
}

/// The body: nothing is put together before somebody reads it.
struct Stream {
    listening: Listening,
    left: u64,
    until: Instant,
    look: Pin<Box<Sleep>>,
    /// Looks without a line. Begins at the bound: the first look, made at once, says that the tap is open.
    silent: u32,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = loop {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            if self.silent >= SILENT_LOOKS_MAX {
                self.silent = 0;
                break Bytes::from_static(b": listening\n\n");
            }
            if let Poll::Ready(told) = self.listening.poll_next(cx) {
                let Some(told) = told else { return Poll::Ready(None) };
                (self.left, self.silent) = (self.left - 1, 0);
                let story = story::of(&told, clock::wall());
                break event("", &story);
            }
            if self.look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = clock::now();
            if now >= self.until {
                return Poll::Ready(None);
            }
            self.look.as_mut().reset((now + LOOK).into());
            self.silent += 1;
            let (slow, rate) = self.listening.lost.take();
            if slow + rate > 0 {
                self.silent = 0;
                break event("event: lost\n", &TapLost { slow, rate });
            }
        };
        Poll::Ready(Some(Ok(Frame::data(text))))
    }
}

fn event(head: &str, data: &impl serde::Serialize) -> Bytes {
    // Compact JSON has no line feed. Strings and numbers always serialise.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("{head}data: {data}\n\n"))
}
