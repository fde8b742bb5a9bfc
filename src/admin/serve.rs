//! The accept loop: HTTP/1.1 with every wait bounded.
//!
//! `axum::serve` knows neither a header timeout nor a limit on connections, so a handful of silent clients could hold
//! memory for good. Here a head must arrive in [`HEAD_TIMEOUT`], a connection lives at most [`LIFETIME`] plus
//! [`GRACE`] however slowly its peer reads ([`LIVE_LIFETIME`] with a live view), and there are at most [`CONNECTIONS_MAX`] of them. At that limit the oldest
//! one is dropped rather than the newest kept waiting: answers take milliseconds, so the oldest is idle or slow, and a
//! kubelet's probe must get through a crowd of silent connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::access::Stranger;
use super::control::Control;
use crate::clock;
use crate::tls::{Acceptor, Transport};

/// Open connections at most, per listener.
pub(super) const CONNECTIONS_MAX: usize = 128;
/// A request head must be complete this long after the connection began to wait for it; idle keep-alive ends too.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is asked to end after this time; scrapers and pages simply connect again.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);
/// The same for a connection that carries a live view.
pub(super) const LIVE_LIFETIME: Duration = Duration::from_secs(600);
/// What a connection may take to finish its answer after it was asked to end.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Pause after a failed accept (out of file descriptors), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes buffered per connection while reading a head, which is also the largest head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// With every request: the door to a longer life for its connection.
#[derive(Clone, Default)]
pub(super) struct Stay(Arc<AtomicBool>);

impl Stay {
    /// This connection carries a live view.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    async fn over(&self) {
        tokio::time::sleep(LIFETIME).await;
        if self.0.load(Ordering::Relaxed) {
            tokio::time::sleep(LIVE_LIFETIME.saturating_sub(LIFETIME)).await;
        }
    }
}

/// With every request: where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub SocketAddr);

/// What stands between a listener and its router.
#[derive(Clone)]
pub struct Door {
    /// Encrypted.
    pub tls: Option<Arc<Acceptor>>,
    /// Who is told of strangers.
    pub control: Arc<Control>,
}

impl Door {
    /// The connection's bytes. `None`: there was no agreement, and whoever minds has been told.
    async fn open(&self, stream: TcpStream, from: SocketAddr) -> Option<Transport> {
        let Some(acceptor) = &self.tls else { return Some(Transport::Plain(stream)) };
        match acceptor.accept(stream, clock::now() + HEAD_TIMEOUT).await {
            Ok(accepted) => Some(accepted.stream),
            Err(_) => {
                self.control.turn_away(Stranger::Handshake, Some(from));
                None
            }
        }
    }
}

/// Serves `router` until `shutdown` is cancelled; returns when the last connection has ended, [`GRACE`] later at most.
pub async fn serve(listener: TcpListener, router: Router, door: Door, shutdown: CancellationToken) {
    let mut connections = Connections { tasks: JoinSet::new(), ages: VecDeque::new() };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                connections.start(connection((stream, from), router.clone(), door.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.tasks.join_next().await.is_some() {}
}

struct Connections {
    /// Dropping the set ends all of them.
    tasks: JoinSet<()>,
    /// Oldest first. Bounded by [`CONNECTIONS_MAX`]: finished ones are swept before the bound is checked.
    ages: VecDeque<AbortHandle>,
}

impl Connections {
    fn start(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.ages.retain(|task| !task.is_finished());
        if self.ages.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            oldest.abort();
        }
        self.ages.push_back(self.tasks.spawn(connection));
    }
}

async fn connection((stream, from): (TcpStream, SocketAddr), router: Router, door: Door, shutdown: CancellationToken) {
    let opened = tokio::select! {
        opened = door.open(stream, from) => opened,
        () = shutdown.cancelled() => return,
    };
    let Some(stream) = opened else { return };
    let (stay, router) = (Stay::default(), TowerToHyperService::new(router));
    let asked = stay.clone();
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(asked.clone());
        request.extensions_mut().insert(Caller(from));
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // A broken connection concerns its peer only: nothing to report.
    tokio::select! {
        _ = served.as_mut() => return,
        () = shutdown.cancelled() => {}
        () = stay.over() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, served).await;
}
