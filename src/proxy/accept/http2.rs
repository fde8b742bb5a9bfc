//! HTTP/2 towards a client: one task for the connection, and one for each stream.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;

use super::Client;
use crate::clock;
use crate::drain::Tasks;
use crate::proxy::connection::{ClientStream, Connection};
use crate::tls::Transport;
use crate::wire::alarm::Bell;

/// Exchanges at once on one connection. The limits of upstreams bound them further.
const STREAMS_MAX: u32 = 256;
/// What a client may send before somebody takes it: of one stream, and of all together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Of the answer of one stream, so much is buffered besides what the socket takes.
const SEND_BUFFER_MAX: usize = 64 * 1024;
/// A larger head (RFC 9113 §6.5.2 counts 32 bytes more for each field) is answered with 431.
const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// A client that we had to answer with so many resets, or that resets streams faster than we take them, is cut off.
const RESETS_BY_US_MAX: usize = 256;
const RESETS_BY_CLIENT_MAX: usize = 20;
/// Is anybody there? Ends connections whose peer has gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(10);
/// A connection without streams that was told to end is closed when nothing has been written for this time.
const FAREWELL: Duration = Duration::from_secs(2);

impl Client {
    /// Serves streams until the connection ends.
    pub(super) async fn serve_http2(&self, stream: Transport, read: Bytes) {
        let connection = &self.connection;
        connection.carry_streams();
        let (proxy, carrier) = (Arc::clone(&self.proxy), Arc::clone(connection));
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, stream) = (Arc::clone(&proxy), Arc::new(carrier.stream()));
            CALLED.set(Some(Arc::clone(&stream)));
            async move { Ok::<_, Infallible>(proxy.handle(&stream, request).await) }
        });
        let io = ClientStream::new(stream, read, Arc::clone(connection));
        let mut serving = pin!(
            http2::Builder::new(Streams(self.proxy.tasks.clone()))
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER_MAX)
                .max_header_list_size(HEAD_BYTES_MAX)
                .max_local_error_reset_streams(RESETS_BY_US_MAX)
                .max_pending_accept_reset_streams(RESETS_BY_CLIENT_MAX)
                .enable_connect_protocol()
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIME)
                .serve_connection(TokioIo::new(io), service)
        );
        let mut stopping = pin!(self.stop.clone().cancelled_owned());
        let mut forced = pin!(self.force.cancelled());
        let (mut bell, mut registered, mut leaving) = (Bell::default(), false, false);
        let aged = |now| connection.is_aged(now);
        // The nearer of the two moments at which there is something to do.
        let next = |idle: Instant| connection.ages_at().map_or(idle, |at| at.min(idle));
        connection.alarm().ask(next(connection.idle_until()));
        std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                    if let Some(reason) = ended.err().and_then(|error| fault(&error)) {
                        self.proxy.unserved(connection.listener, reason);
                    }
                    return Poll::Ready(());
                }
                if !registered || self.stop.is_cancelled() {
                    // Both signals are registered once, not at every poll of a busy connection.
                    let _ = if registered { Poll::Pending } else { stopping.as_mut().poll(cx) };
                    registered = true;
                    if forced.as_mut().poll(cx).is_ready() {
                        connection.cut();
                        return Poll::Ready(());
                    }
                }
                if leaving || !(self.stop.is_cancelled() || connection.is_abused()) {
                    std::task::ready!(bell.poll(connection.alarm(), cx));
                    let (now, open) = (clock::now(), connection.streams_open() > 0);
                    if leaving && !open && !connection.has_written() {
                        return Poll::Ready(());
                    }
                    if leaving || (open || now < connection.idle_until()) && !aged(now) {
                        let idle = if open { now + connection.idle_max() } else { connection.idle_until() };
                        connection.alarm().ask(if leaving { now + FAREWELL } else { next(idle) });
                        continue;
                    }
                }
                // No stream is lost: those that are on their way are served before the last word (GOAWAY).
                leaving = true;
                serving.as_mut().graceful_shutdown();
                connection.alarm().ask(clock::now() + FAREWELL);
            }
        })
        .await;
    }
}

/// Whether the client is at fault for the end of its connection, in a word of the metrics.
fn fault(error: &hyper::Error) -> Option<&'static str> {
    let cause = error.source()?.downcast_ref::<h2::Error>()?;
    match cause.reason()? {
        // The peer has gone, or says itself what was wrong.
        _ if !cause.is_library() => None,
        h2::Reason::NO_ERROR => None,
        h2::Reason::ENHANCE_YOUR_CALM => Some("abuse"),
        _ => Some("malformed"),
    }
}

thread_local! {
    /// The exchange of the stream that is spawned next on this thread: hyper calls the service and hands over what it
    /// returned in one go.
    static CALLED: Cell<Option<Arc<Connection>>> = const { Cell::new(None) };
}

/// Spawns the streams of a connection.
#[derive(Clone)]
struct Streams(Tasks);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        match CALLED.take() {
            Some(exchange) => {
                self.0.spawn_plain(Stream { inner: Some(future), exchange, bell: Bell::default(), move_by: None })
            }
            // The bytes of a tunnel, which ends by itself.
            None => self.0.spawn(future),
        };
    }
}

pin_project! {
    /// A stream, and the timer of its exchange.
    ///
    /// hyper asks an answer's body for more only while the client takes what is there, so a deadline inside the body
    /// never fires for a client that stops reading. Here the whole stream is dropped: that resets it, and gives back
    /// the upstream's connection, the slot and the permits. When the connection ends, hyper ends its streams.
    struct Stream<F> {
        #[pin]
        inner: Option<F>,
        exchange: Arc<Connection>,
        bell: Bell,
        // The client must have taken by then what it was handed.
        move_by: Option<Instant>,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(()) };
            if inner.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            *this.move_by = this.exchange.must_move_by();
            if let Some(by) = *this.move_by {
                this.exchange.alarm().ask(by);
            }
            std::task::ready!(this.bell.poll(this.exchange.alarm(), cx));
            if this.move_by.is_some_and(|by| this.exchange.alarm().passed(by)) {
                this.exchange.stall();
                this.inner.set(None);
            }
        }
    }
}
