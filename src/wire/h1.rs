//! HTTP/1.1 upstream connections.
//!
//! A replayable request's connection is driven *in place*: the attempt's own future polls it, so there is
//! no task, no channel hop, and dropping the attempt closes the socket. A streaming request's connection
//! runs in a task of its own, so that upload and download progress independently.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use super::RequestBody;
use super::pool::{Opening, Pool};
use super::traffic::{Counted, Traffic};
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::{Failure, Sent};

/// The head of an answer larger than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BUFFER_BYTES_MAX: usize = 128 * 1024;

type Connection = http1::Connection<TokioIo<Counted>, RequestBody>;

/// One connection, owned by whoever uses it: an attempt, an answer's body, or the idle list.
#[derive(Debug)]
pub struct Link {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once it has finished: a finished connection that is still held never answers a queued request.
    /// Boxed, once for each connection: a link is moved several times for each request.
    connection: Option<Box<Connection>>,
    traffic: Arc<Traffic>,
    opening: Opening,
    idle_since: Instant,
}

/// An exchange that ended without an answer.
#[derive(Debug)]
pub struct SendError {
    /// What happened.
    pub failure: Failure,
    /// How much of the request left.
    pub sent: Sent,
    /// The request itself, if the connection provably never began to write it.
    pub unsent: Option<Box<Request<RequestBody>>>,
}

/// An answer and the connection it arrives on.
pub type Answer = Response<AnswerBody>;

/// A finished connection is dropped at once: a request still queued inside it is answered only by that drop.
fn drive(connection: &mut Option<Box<Connection>>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|c| Pin::new(c).poll(cx).is_ready()) {
        *connection = None;
    }
}

impl Link {
    /// Speaks HTTP/1.1 on a fresh stream.
    ///
    /// # Errors
    /// The stream broke before anything was sent.
    pub async fn new(stream: TcpStream, opening: Opening) -> Result<Link, Failure> {
        let traffic = Arc::new(Traffic::default());
        let counted = Counted { inner: stream, traffic: Arc::clone(&traffic) };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(counted))
            .await
            .map_err(|_broken| Failure::ConnectFailed)?;
        Ok(Link { sender, connection: Some(Box::new(connection)), traffic, opening, idle_since: clock::now() })
    }

    /// When this connection was last given back.
    pub fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// One poll that waits for nothing: a close or stray bytes that the reactor has already seen show now.
    /// A passed probe is no proof; it narrows the keep-alive race.
    pub fn usable(&mut self) -> bool {
        // Unconstrained: with tokio's cooperative budget used up, the poll would say "pending" without looking.
        let probe = pin!(tokio::task::unconstrained(std::future::poll_fn(|cx| {
            drive(&mut self.connection, cx);
            Poll::Ready(())
        })));
        let _ = probe.poll(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer, driving the connection itself.
    /// Dropping the future closes the connection: that is how an attempt is cancelled.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send(
        mut self,
        request: Request<RequestBody>,
        cutoff: Instant,
        idle_max: u32,
    ) -> Result<Answer, SendError> {
        self.traffic.reset();
        let result = {
            let mut answer = pin!(self.sender.try_send_request(request));
            let connection = &mut self.connection;
            let exchange = std::future::poll_fn(|cx| {
                drive(connection, cx);
                answer.as_mut().poll(cx)
            });
            timeout_at(cutoff.into(), exchange).await
        };
        match result {
            Ok(Ok(response)) => {
                let driver = Driver::InPlace { link: self, idle_max };
                Ok(response.map(|body| AnswerBody { body, driver: Some(driver), ended: false }))
            }
            Ok(Err(error)) => Err(self.traffic.explain(error)),
            Err(_elapsed) => Err(self.traffic.timed_out()),
        }
    }

    /// As [`Link::send`], with the connection in a task of its own: for bodies that arrive while they are sent.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send_spawned(
        self,
        request: Request<RequestBody>,
        cutoff: Instant,
        idle_max: u32,
        tasks: &Tasks,
    ) -> Result<Answer, SendError> {
        let Link { mut sender, connection, traffic, opening, .. } = self;
        traffic.reset();
        let Some(connection) = connection else {
            return Err(SendError {
                failure: Failure::ConnectionTerminated,
                sent: Sent::No,
                unsent: Some(Box::new(request)),
            });
        };
        let (give_back, returned) = oneshot::channel();
        let running = run_connection(connection, returned, Arc::clone(&traffic), opening, idle_max);
        let task = AbortOnDrop(Some(tasks.spawn(running).abort_handle()));
        match timeout_at(cutoff.into(), sender.try_send_request(request)).await {
            Ok(Ok(response)) => {
                let driver = Driver::Spawned { sender, give_back, task };
                Ok(response.map(|body| AnswerBody { body, driver: Some(driver), ended: false }))
            }
            Ok(Err(error)) => Err(traffic.explain(error)),
            Err(_elapsed) => Err(traffic.timed_out_elsewhere()),
        }
    }

    /// As [`Link::send_spawned`] for a request that asks to switch protocols. The connection is never reused.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send_upgrade(
        self,
        request: Request<RequestBody>,
        cutoff: Instant,
        tasks: &Tasks,
    ) -> Result<Answer, SendError> {
        let Link { mut sender, connection, traffic, opening, .. } = self;
        traffic.reset();
        if let Some(connection) = connection {
            tasks.spawn(async move {
                // How it ends is seen by whoever waits for the answer or copies the tunnel.
                let _ = connection.with_upgrades().await;
            });
        }
        match timeout_at(cutoff.into(), sender.try_send_request(request)).await {
            Ok(Ok(response)) => {
                // The place among the open connections is held by the answer, and after a switch by the tunnel.
                let driver = Some(Driver::Upgrade { _opening: opening });
                Ok(response.map(|body| AnswerBody { body, driver, ended: false }))
            }
            Ok(Err(error)) => Err(traffic.explain(error)),
            Err(_elapsed) => Err(traffic.timed_out_elsewhere()),
        }
    }

    fn into_idle(mut self, idle_max: u32) {
        if self.connection.is_none() || !self.sender.is_ready() {
            return;
        }
        self.idle_since = clock::now();
        let pool: Arc<Pool> = Arc::clone(self.opening.pool());
        pool.give_back(self, idle_max);
    }
}

/// Drives a spawned connection to its end, or until its exchange is over and it can be used again.
async fn run_connection(
    connection: Box<Connection>,
    returned: oneshot::Receiver<http1::SendRequest<RequestBody>>,
    traffic: Arc<Traffic>,
    opening: Opening,
    idle_max: u32,
) {
    let mut connection = Some(connection);
    let mut returned = pin!(returned);
    let sender = std::future::poll_fn(|cx| {
        drive(&mut connection, cx);
        if connection.is_none() {
            return Poll::Ready(None);
        }
        returned.as_mut().poll(cx).map(Result::ok)
    })
    .await;
    let Some(sender) = sender else { return };
    let mut link = Link { sender, connection, traffic, opening, idle_since: clock::now() };
    if link.usable() {
        link.into_idle(idle_max);
    }
}

/// Ends the task that drives a connection when the exchange is given up.
#[derive(Debug)]
struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Who makes the answer's body move.
#[derive(Debug)]
enum Driver {
    InPlace {
        link: Link,
        idle_max: u32,
    },
    Spawned {
        sender: http1::SendRequest<RequestBody>,
        give_back: oneshot::Sender<http1::SendRequest<RequestBody>>,
        task: AbortOnDrop,
    },
    Upgrade {
        _opening: Opening,
    },
}

/// The body of an answer. When it is dropped at its end the connection becomes idle; before its end, the
/// connection is closed.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    driver: Option<Driver>,
    ended: bool,
}

impl AnswerBody {
    /// Reads and discards the rest, so that the connection can be used again. At most `bytes_max`.
    pub async fn drain(mut self, bytes_max: usize) {
        let mut seen = 0;
        while seen <= bytes_max {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await;
            match frame {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(Driver::InPlace { link, .. }) = &mut this.driver {
            drive(&mut link.connection, cx);
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        this.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // hyper does not poll some bodies to `None` (empty ones, sized ones after the last frame).
        if !self.ended && !self.body.is_end_stream() {
            return;
        }
        match self.driver.take() {
            Some(Driver::InPlace { mut link, idle_max }) => {
                // The last bytes may have been read without the connection having noticed that it is idle.
                let ready = link.sender.is_ready() || link.usable();
                if ready {
                    link.into_idle(idle_max);
                }
            }
            Some(Driver::Spawned { sender, give_back, mut task }) => {
                let given = give_back.send(sender).is_ok();
                if given {
                    // The task ends by itself: it puts the connection back or closes it.
                    task.0 = None;
                }
            }
            Some(Driver::Upgrade { .. }) | None => {}
        }
    }
}
