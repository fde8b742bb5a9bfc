//! HTTP/1.1 towards a client.
//!
//! hyper's buffers and state belong to a connection only while it is in use. One that has been idle for a
//! moment is *parked*: a socket and a task that waits for its next byte, and nothing else. Ten thousand idle
//! clients must not cost what ten thousand busy ones do.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{Client, LINGER};
use crate::clock;
use crate::proxy::connection::{ClientStream, Idle};
use crate::tls::Transport;
use crate::wire::alarm::Bell;

/// A larger head is answered with 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Read and write buffer of one connection, at most.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Why a connection is not in use any more.
enum Pause {
    /// It ended.
    Closed,
    /// Nothing has come for a while: its stream, and what was read of a request that has not come whole.
    Parked(Transport, Bytes),
}

impl Client {
    /// The same connection, again and again: in use, parked, in use. It begins in use: what was encrypted together with
    /// the handshake's end has left the socket already.
    pub(super) async fn serve_http1(&self, mut stream: Transport, mut read: Bytes) {
        loop {
            // Boxed: a parked connection must not hold the room of one in use.
            match Box::pin(self.in_use(stream, read)).await {
                Pause::Closed => return,
                Pause::Parked(idle, begun) => (stream, read) = (idle, begun),
            }
            if !self.next_byte(&stream).await {
                if matches!(stream, Transport::Tls(_)) {
                    // A session that ends without a word looks cut.
                    let _ = tokio::time::timeout(LINGER, stream.shutdown()).await;
                }
                return;
            }
        }
    }

    /// Serves requests until the connection ends or has been idle for a moment.
    async fn in_use(&self, stream: Transport, read: Bytes) -> Pause {
        let (proxy, connection) = (Arc::clone(&self.proxy), Arc::clone(&self.connection));
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, connection) = (Arc::clone(&proxy), Arc::clone(&connection));
            async move {
                let mut response = proxy.handle(&connection, request).await;
                // An idle one is left alone: closed by us, it could lose the request that is on its way.
                if (connection.is_closing() || connection.ages_at().is_some_and(|at| clock::now() >= at))
                    && response.status() != StatusCode::SWITCHING_PROTOCOLS
                {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let io = ClientStream::new(stream, read, Arc::clone(&self.connection));
        let mut serving = http1::Builder::new()
            // The alarm watches the wait for a head, without a timer for each.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut stopping = pin!(async {
            self.stop.clone().cancelled_owned().await;
            self.connection.close_soon();
            tokio::time::sleep(LINGER).await;
        });
        let mut forced = pin!(self.force.cancelled());
        let (mut bell, mut registered, mut finishing) = (Bell::default(), false, false);
        self.connection.use_again();
        let ended = std::future::poll_fn(|cx| {
            loop {
                // Errors are the client's: it broke off, or hyper has answered it with 400 or 431.
                if let Poll::Ready(ended) = Pin::new(&mut serving).poll(cx) {
                    if ended.is_err_and(|error| error.is_parse()) {
                        self.proxy.unserved(self.connection.listener, "malformed");
                    }
                    return Poll::Ready(true);
                }
                if !registered || self.stop.is_cancelled() {
                    // Both signals are registered once, not at every poll of a busy connection.
                    registered = true;
                    if forced.as_mut().poll(cx).is_ready() {
                        self.connection.cut();
                        return Poll::Ready(true);
                    }
                    if !finishing && stopping.as_mut().poll(cx).is_ready() {
                        finishing = true;
                        Pin::new(&mut serving).graceful_shutdown();
                        continue;
                    }
                }
                match std::task::ready!(self.idle(&mut bell, cx)) {
                    Idle::Not => {}
                    Idle::Park if !self.stop.is_cancelled() => return Poll::Ready(false),
                    Idle::Park => self.connection.alarm().ask(self.connection.idle_until()),
                    Idle::Over => return Poll::Ready(true),
                }
            }
        })
        .await;
        if ended {
            return Pause::Closed;
        }
        let idle = serving.into_parts().and_then(|parts| parts.io.into_inner().into_stream(parts.read_buf));
        idle.map_or(Pause::Closed, |(stream, read)| Pause::Parked(stream, read))
    }

    /// Once the alarm has rung: what the connection is to do. `Pending`: it has not.
    fn idle(&self, bell: &mut Bell, cx: &mut Context<'_>) -> Poll<Idle> {
        std::task::ready!(bell.poll(self.connection.alarm(), cx));
        Poll::Ready(self.connection.idle(clock::now()))
    }
}
