//! One client connection from accept to close.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Proxy;
use super::connection::{ClientStream, Connection};
use crate::drain::Stop;

/// A larger head is answered with 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Read and write buffer of one connection, at most.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// After the signal to finish, a kept connection waits this long for a request that is on its way, so that
/// closing it does not lose one. The answer to it says `Connection: close`.
const LINGER: Duration = Duration::from_millis(100);

/// Serves one connection until it ends, `stop` asks it to finish, or everything is forced to end.
pub async fn serve(proxy: Arc<Proxy>, stream: TcpStream, connection: Connection, idle: Duration, stop: Stop) {
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(connection);
    let io = TokioIo::new(ClientStream::new(stream, Arc::clone(&connection)));
    let force = proxy.tasks.force().clone();
    let (closing, watched) = (Arc::clone(&connection), Arc::clone(&connection));
    let counted = Arc::clone(&proxy);
    let service = service_fn(move |request: Request<Incoming>| {
        let (proxy, connection) = (Arc::clone(&proxy), Arc::clone(&connection));
        async move {
            let mut response = proxy.handle(&connection, request).await;
            if connection.is_closing() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // The whole head, and the wait for it: this is the idle limit of a kept connection too.
        .header_read_timeout(idle)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let mut stopping = pin!(async {
        stop.cancelled_owned().await;
        closing.close_soon();
        tokio::time::sleep(LINGER).await;
    });
    let mut forced = pin!(force.cancelled());
    let (mut registered, mut finishing) = (false, false);
    std::future::poll_fn(|cx| {
        loop {
            // Errors are the client's: it broke off, or hyper has answered it with 400, 408 or 431.
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                if ended.is_err_and(|error| error.is_parse()) {
                    counted.malformed(watched.listener);
                }
                return Poll::Ready(());
            }
            if registered && !stop.is_cancelled() {
                return Poll::Pending;
            }
            // Both signals are registered once, not at every poll of a busy connection.
            registered = true;
            if forced.as_mut().poll(cx).is_ready() {
                watched.cut();
                return Poll::Ready(());
            }
            if finishing || stopping.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            finishing = true;
            serving.as_mut().graceful_shutdown();
        }
    })
    .await;
}
