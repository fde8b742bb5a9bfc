//! All letters as lines of JSON, page by page as the reader takes them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

use super::filter::{self, Parts, States};
use super::view;
use crate::admin::api::LettersQuery;
use crate::admin::control::Control;
use crate::admin::control::letters::LetterList;
use crate::admin::extract::Asked;
use crate::admin::problem::Problem;
use crate::clock::wall_millis;

/// Letters read at once.
const PAGE: usize = 100;
/// Pages that wait for the reader.
const PAGES_AHEAD: usize = 2;

type Page = Result<Bytes, Problem>;

pub(super) async fn export(
    State(control): State<Arc<Control>>,
    Asked(query): Asked<LettersQuery>,
) -> Result<Response, Problem> {
    let parts = filter::parts(query)?;
    let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        if let Err(problem) = read(&control, parts, &sender) {
            // A reader who has left needs no reason.
            let _ = sender.blocking_send(Err(problem));
        }
    });
    // What is wrong from the start is told by the status; what goes wrong later can only break the answer off.
    let first = match pages.recv().await {
        Some(first) => first?,
        None if reader.await.is_ok() => Bytes::new(),
        None => return Err(Problem::interrupted()),
    };
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(([kind], Body::new(Lines { first: Some(first), pages })).into_response())
}

fn read(control: &Control, (filter, mut after, limit): Parts, pages: &mpsc::Sender<Page>) -> Result<(), Problem> {
    let now = wall_millis();
    let filter = filter::read(control, &filter, States::Undecided, now)?;
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let order = LetterList { filter: filter.clone(), after, limit: left.min(PAGE) };
        let page = (control.letters.list)(order)?;
        let Some(last) = page.letters.last() else { break };
        (after, left) = (Some(last.id), left.saturating_sub(page.letters.len()));
        let mut lines = Vec::new();
        for letter in &page.letters {
            serde_json::to_writer(&mut lines, &view::detail(letter, None, now)).map_err(|_| Problem::interrupted())?;
            lines.push(b'\n');
        }
        if pages.blocking_send(Ok(lines.into())).is_err() || !page.more {
            break;
        }
    }
    Ok(())
}

/// The pages as a body.
struct Lines {
    first: Option<Bytes>,
    pages: mpsc::Receiver<Page>,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let lines = self.get_mut();
        if let Some(first) = lines.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        lines.pages.poll_recv(context).map(|page| {
            page.map(|page| page.map(Frame::data).map_err(|_| io::Error::other("the letters could not be read on")))
        })
    }
}
