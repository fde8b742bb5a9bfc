//! One client connection from accept to close.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Proxy;
use super::body::Body;
use super::connection::{ClientStream, Connection};
use crate::drain::Stop;

/// A larger head is answered with 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Read and write buffer of one connection, at most.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// hyper's door to [`Proxy::handle`].
struct Handler {
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (proxy, connection) = (Arc::clone(&self.proxy), Arc::clone(&self.connection));
        Box::pin(async move { Ok(proxy.handle(&connection, request).await) })
    }
}

/// Serves one connection until it ends, `stop` asks it to finish, or everything is forced to end.
pub async fn serve(
    proxy: Arc<Proxy>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: SocketAddr,
    idle: Duration,
    stop: Stop,
) {
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::new(peer, listener, idle));
    let io = TokioIo::new(ClientStream::new(stream, Arc::clone(&connection)));
    let force = proxy.tasks.force().clone();
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // The whole head, and the wait for it: this is the idle limit of a kept connection too.
        .header_read_timeout(idle)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, Handler { proxy, connection })
        .with_upgrades();
    let mut serving = pin!(serving);
    let mut stopping = pin!(stop.cancelled_owned());
    let mut forced = pin!(force.cancelled());
    let (mut registered, mut finishing) = (false, false);
    std::future::poll_fn(|cx| {
        loop {
            // Errors are the client's: it broke off, or hyper has answered it with 400, 408 or 431.
            if serving.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if registered && !stop.is_cancelled() {
                return Poll::Pending;
            }
            // Both signals are registered once, not at every poll of a busy connection.
            registered = true;
            if forced.as_mut().poll(cx).is_ready() {
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
