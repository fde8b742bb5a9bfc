//! Exchanges that hyper drives in a task of its own: request bodies that stream, and upgrades.
//!
//! Upload and download progress independently there, whoever waits for whom.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use super::RequestBody;
use super::h1::{Answer, AnswerBody, Link, SendError};
use super::pool::Opening;
use super::traffic::{Counted, Traffic};
use crate::drain::Tasks;
use crate::reliability::{Failure, Sent};

/// The head of an answer larger than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BUFFER_BYTES_MAX: usize = 128 * 1024;

type Connection = http1::Connection<TokioIo<Counted>, RequestBody>;

struct Opened {
    sender: http1::SendRequest<RequestBody>,
    connection: Connection,
    traffic: Arc<Traffic>,
    opening: Opening,
}

async fn open(link: Link) -> Option<Opened> {
    let (stream, opening) = link.into_stream()?;
    let traffic = Arc::new(Traffic::default());
    let counted = Counted { inner: stream, traffic: Arc::clone(&traffic) };
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(counted))
        .await
        .ok()?;
    Some(Opened { sender, connection, traffic, opening })
}

/// The connection was not usable; nothing of the request left.
fn unsent(request: Request<RequestBody>) -> SendError {
    SendError { failure: Failure::ConnectionTerminated, sent: Sent::No, unsent: Some(request.into_body()), late: None }
}

impl Link {
    /// Sends a request whose body arrives while it is sent. `idle_max`: idle connections kept.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send_streaming(
        self,
        request: Request<RequestBody>,
        cutoff: Instant,
        idle_max: u32,
        tasks: &Tasks,
    ) -> Result<Answer, SendError> {
        let Some(Opened { mut sender, connection, traffic, opening }) = open(self).await else {
            return Err(unsent(request));
        };
        let (give_back, returned) = oneshot::channel();
        let running = run_connection(connection, returned, opening, idle_max);
        let task = AbortOnDrop(Some(tasks.spawn(running).abort_handle()));
        match timeout_at(cutoff.into(), sender.try_send_request(request)).await {
            Ok(Ok(response)) => {
                let driver = Some(Driver::Task { sender, give_back, task });
                Ok(response.map(|body| AnswerBody::streamed(Streamed { body, driver, ended: false })))
            }
            Ok(Err(error)) => Err(traffic.explain(error)),
            Err(_elapsed) => Err(traffic.timed_out()),
        }
    }

    /// Sends a request that asks to switch protocols. The connection is never used for another one.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send_upgrade(
        self,
        request: Request<RequestBody>,
        cutoff: Instant,
        tasks: &Tasks,
    ) -> Result<Answer, SendError> {
        let Some(Opened { mut sender, connection, traffic, opening }) = open(self).await else {
            return Err(unsent(request));
        };
        tasks.spawn(async move {
            // How it ends is seen by whoever waits for the answer or copies the tunnel.
            let _ = connection.with_upgrades().await;
        });
        match timeout_at(cutoff.into(), sender.try_send_request(request)).await {
            Ok(Ok(response)) => {
                // The place among the open connections is held by the answer, and after a switch by the tunnel.
                let driver = Some(Driver::Upgrade { _opening: opening });
                Ok(response.map(|body| AnswerBody::streamed(Streamed { body, driver, ended: false })))
            }
            Ok(Err(error)) => Err(traffic.explain(error)),
            Err(_elapsed) => Err(traffic.timed_out()),
        }
    }
}

/// Drives a connection to its end, or until its exchange is over and the socket can be used again.
async fn run_connection(
    mut connection: Connection,
    returned: oneshot::Receiver<http1::SendRequest<RequestBody>>,
    opening: Opening,
    idle_max: u32,
) {
    let mut returned = pin!(returned);
    let returned = std::future::poll_fn(|cx| {
        // A finished connection that is still held would never answer a request queued in it: it goes at once.
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        returned.as_mut().poll(cx).map(Result::ok)
    })
    .await;
    let Some(sender) = returned else { return };
    // The last bytes may have been read without the connection having noticed that it is idle.
    let over = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx).is_ready())).await;
    if over || !sender.is_ready() {
        return;
    }
    let parts = connection.into_parts();
    if parts.read_buf.is_empty() {
        let mut link = Link::new(parts.io.into_inner().inner, opening);
        if link.usable() {
            link.into_idle(idle_max);
        }
    }
}

/// Ends the task that drives a connection when the exchange is given up.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// What keeps the connection alive.
#[derive(Debug)]
enum Driver {
    Task {
        sender: http1::SendRequest<RequestBody>,
        give_back: oneshot::Sender<http1::SendRequest<RequestBody>>,
        task: AbortOnDrop,
    },
    Upgrade {
        _opening: Opening,
    },
}

/// The body of an answer that hyper reads.
#[derive(Debug)]
pub(super) struct Streamed {
    body: Incoming,
    driver: Option<Driver>,
    ended: bool,
}

impl Streamed {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // hyper does not poll some bodies to `None` (empty ones, sized ones after the last frame).
        if !self.ended && !self.body.is_end_stream() {
            return;
        }
        if let Some(Driver::Task { sender, give_back, mut task }) = self.driver.take()
            && give_back.send(sender).is_ok()
        {
            // The task ends by itself: it puts the socket back or closes it.
            task.0 = None;
        }
    }
}
