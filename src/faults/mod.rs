//! A scripted upstream: a real server on loopback that fails in the way it is told to.
//!
//! Tests, `outrigger demo` and the load tests put it behind the proxy. It knows nothing of policies. A
//! [`Script`] says what happens to connections and requests, and can be swapped while the server runs;
//! [`Observed`] says what arrived, and can be awaited, so that no test has to sleep.
//!
//! The server reads and writes HTTP/1.1 itself (see [`message`]): what the proxy sends must be judged by
//! something that does not share its library, and byte-exact faults are only possible below a library.
//!
//! For tests (feature `testing`) it also speaks HTTP/2 and TLS, on the same port: by prior knowledge if the first bytes
//! are those of HTTP/2, or as ALPN says. The same script means the same there, as far as HTTP/2 can say it; its frames
//! are a library's. A peer that writes frames by hand is `testing::Frames`.
//!
//! It listens in one of three ways ([`Mode`]): it accepts, it refuses (the port stays ours, connections are
//! answered with RST), or it is a black hole (SYNs are not answered).

#![expect(clippy::disallowed_methods, reason = "peers live outside of the proxy: their own clock and tasks")]

mod answer;
mod capacity;
mod connection;
#[cfg(feature = "testing")]
pub mod grpc;
#[cfg(feature = "testing")]
mod http2;
pub mod line;
pub mod message;
mod observe;
mod script;
#[cfg(all(test, feature = "testing"))]
mod tests;
#[cfg(feature = "testing")]
pub(crate) mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

pub use answer::Answer;
pub use message::pattern;
pub use observe::{Counts, KEY, Observed, Seen, SeenBody, SeenTls};
pub use script::{Abandoned, Behaviour, Greeting, Hangup, KeepAlive, Latency, Point, Script, Then};
#[cfg(feature = "testing")]
pub use tls::{ServerTls, ServerTlsBuilder};

/// Connections that may wait to be accepted; the system's usual bound.
const BACKLOG: u32 = 4_096;
/// How long a connection to a full backlog is given to show that it hangs.
const FULL_AFTER: Duration = Duration::from_millis(100);
/// How often, and how long apart, a port of ours is tried again. A process forked by somebody else holds a
/// copy of the old socket until it calls exec.
const BIND_TRIES: u32 = 200;
const BIND_PAUSE: Duration = Duration::from_millis(5);
/// Connections tried to fill the backlog of a black hole.
const FILL_MAX: usize = 8;

/// How the server treats new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are accepted.
    Accept,
    /// They are refused, as if nothing listened.
    Refuse,
    /// They are not answered at all, as behind a dead link.
    BlackHole,
}

/// What a server speaks on its port, besides HTTP/1.1 and HTTP/2 in the clear.
#[cfg(feature = "testing")]
#[derive(Clone, Debug, Default)]
pub struct Listening {
    /// Only inside TLS.
    pub tls: Option<ServerTls>,
    /// Only this version of HTTP. What the other one sends counts as malformed.
    pub only: Option<Version>,
    /// HTTP/2: streams of one connection at once (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub max_streams: Option<u32>,
    /// HTTP/2: bytes of a stream that may arrive before they are read (SETTINGS_INITIAL_WINDOW_SIZE).
    pub window: Option<u32>,
}

/// A version of HTTP.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A running server. It ends, with its connections, when this value is dropped.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    task: AbortHandle,
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    script: ArcSwap<Current>,
    observed: Arc<Observed>,
    close_idle: watch::Sender<u64>,
    reset: watch::Sender<u64>,
    stalled_until: Mutex<Option<Instant>>,
    #[cfg(feature = "testing")]
    listening: Listening,
    /// Changes when the certificate does.
    #[cfg(feature = "testing")]
    tls: arc_swap::ArcSwapOption<ServerTls>,
}

impl Shared {
    fn new(script: Script) -> Shared {
        Shared {
            script: ArcSwap::from_pointee(Current { script, requests: AtomicU64::new(0) }),
            observed: Arc::default(),
            close_idle: watch::Sender::new(0),
            reset: watch::Sender::new(0),
            stalled_until: Mutex::default(),
            #[cfg(feature = "testing")]
            listening: Listening::default(),
            #[cfg(feature = "testing")]
            tls: arc_swap::ArcSwapOption::empty(),
        }
    }

    #[cfg(feature = "testing")]
    fn encrypted(&self) -> bool {
        self.listening.tls.is_some()
    }

    #[cfg(not(feature = "testing"))]
    fn encrypted(&self) -> bool {
        false
    }

    /// When work that could begin at `begin` does.
    fn not_stalled(&self, begin: tokio::time::Instant) -> tokio::time::Instant {
        let until = *self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(begin, |until| begin.max(until.into()))
    }
}

/// A script and the number of requests it has met.
#[derive(Debug)]
struct Current {
    script: Script,
    requests: AtomicU64,
}

impl Current {
    fn next_number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Debug)]
enum Order {
    Mode(Mode, oneshot::Sender<io::Result<()>>),
    ResetAll(oneshot::Sender<()>),
}

impl FaultServer {
    /// Starts on a free port of 127.0.0.1. Needs a tokio runtime with I/O and time.
    pub async fn start(script: impl Into<Script>) -> io::Result<FaultServer> {
        FaultServer::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// Starts on this address.
    pub async fn start_on(address: SocketAddr, script: impl Into<Script>) -> io::Result<FaultServer> {
        let shared = Shared::new(script.into());
        FaultServer::launch(address, shared)
    }

    /// Starts on a free port of 127.0.0.1 behind TLS.
    #[cfg(feature = "testing")]
    pub async fn start_tls(tls: ServerTls, script: impl Into<Script>) -> io::Result<FaultServer> {
        FaultServer::start_as(Listening { tls: Some(tls), ..Listening::default() }, script).await
    }

    /// Starts on a free port of 127.0.0.1, and speaks what is asked for.
    #[cfg(feature = "testing")]
    pub async fn start_as(listening: Listening, script: impl Into<Script>) -> io::Result<FaultServer> {
        FaultServer::start_as_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), listening, script).await
    }

    /// Starts on this address, and speaks what is asked for.
    #[cfg(feature = "testing")]
    pub async fn start_as_on(
        address: SocketAddr,
        listening: Listening,
        script: impl Into<Script>,
    ) -> io::Result<FaultServer> {
        let mut shared = Shared::new(script.into());
        shared.tls.store(listening.tls.clone().map(Arc::new));
        shared.listening = listening;
        FaultServer::launch(address, shared)
    }

    fn launch(address: SocketAddr, shared: Shared) -> io::Result<FaultServer> {
        let listener = bind(address)?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(shared);
        let (orders, inbox) = mpsc::channel(1);
        let server = Server { address, shared: Arc::clone(&shared), connections: JoinSet::new(), accepted: 0 };
        let task = tokio::spawn(server.run(listener, inbox)).abort_handle();
        Ok(FaultServer { address, shared, orders, task })
    }

    /// Shows another certificate, or lets in others, from the next handshake on.
    #[cfg(feature = "testing")]
    pub fn renew(&self, tls: ServerTls) {
        self.shared.tls.store(Some(Arc::new(tls)));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, for a policy; `https://ADDRESS` behind TLS.
    pub fn url(&self) -> String {
        let scheme = if self.shared.encrypted() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What it saw.
    pub fn observed(&self) -> &Arc<Observed> {
        &self.shared.observed
    }

    /// Replaces the script, for requests whose head is not yet read. The count of its requests starts at 0.
    pub fn set(&self, script: impl Into<Script>) {
        self.shared.script.store(Arc::new(Current { script: script.into(), requests: AtomicU64::new(0) }));
    }

    /// Hangs: requests are read, and no work begins before this moment. What waits for a slot goes on waiting, and
    /// holds one when its turn comes. Work that has begun ends as it would have.
    pub fn stall_until(&self, end: Instant) {
        *self.shared.stalled_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Changes how new connections are treated. Connections that are open stay.
    pub async fn mode(&self, mode: Mode) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.order(Order::Mode(mode, done)).await?;
        result.await.map_err(|_| ended())?
    }

    /// Refuses new connections and resets the open ones: the process died.
    pub async fn die(&self) -> io::Result<()> {
        self.mode(Mode::Refuse).await?;
        self.reset_all().await
    }

    /// Resets all open connections, whatever they do.
    pub async fn reset_all(&self) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.order(Order::ResetAll(done)).await?;
        result.await.map_err(|_| ended())
    }

    /// Closes all open connections without notice: at once if idle, else after the answer.
    pub fn close_idle(&self) {
        self.shared.close_idle.send_modify(|times| *times += 1);
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).await.map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("the scripted upstream has ended")
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The port is bound again after `Mode::Refuse`, while old connections still linger on it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What holds the port.
enum Port {
    Accepting(TcpListener),
    /// Bound, not listening: the system refuses connections, and nobody else gets the port.
    Refusing(#[expect(dead_code, reason = "held, so that the port stays ours")] TcpSocket),
    /// Listening with a full backlog: the system drops SYNs.
    BlackHole(
        #[expect(dead_code, reason = "held, so that the backlog stays full")] TcpListener,
        #[expect(dead_code, reason = "the connections that fill it")] Vec<TcpStream>,
    ),
}

struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    connections: JoinSet<()>,
    accepted: u64,
}

impl Server {
    async fn run(mut self, listener: TcpListener, mut orders: mpsc::Receiver<Order>) {
        let mut port = Some(Port::Accepting(listener));
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Mode(mode, done)) => {
                        // The old socket goes first: two cannot hold one port.
                        port = None;
                        let result = self.reopen(mode).await.map(|opened| port = Some(opened));
                        // Nobody waits any more: nothing to tell.
                        let _ = done.send(result);
                    }
                    Some(Order::ResetAll(done)) => {
                        self.reset_all().await;
                        let _ = done.send(());
                    }
                    None => return,
                },
                accepted = accept(port.as_ref()) => self.on_accepted(accepted).await,
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn reopen(&self, mode: Mode) -> io::Result<Port> {
        for _ in 1..BIND_TRIES {
            match self.open(mode).await {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(BIND_PAUSE).await,
                other => return other,
            }
        }
        self.open(mode).await
    }

    async fn open(&self, mode: Mode) -> io::Result<Port> {
        match mode {
            Mode::Accept => Ok(Port::Accepting(bind(self.address)?.listen(BACKLOG)?)),
            Mode::Refuse => Ok(Port::Refusing(bind(self.address)?)),
            Mode::BlackHole => {
                let listener = bind(self.address)?.listen(0)?;
                let mut fillers = Vec::new();
                for _ in 0..FILL_MAX {
                    match tokio::time::timeout(FULL_AFTER, TcpStream::connect(self.address)).await {
                        Ok(connected) => fillers.push(connected?),
                        Err(_) => return Ok(Port::BlackHole(listener, fillers)),
                    }
                }
                Err(io::Error::other("the backlog does not fill"))
            }
        }
    }

    async fn on_accepted(&mut self, accepted: io::Result<TcpStream>) {
        match accepted {
            Ok(stream) => {
                self.accepted += 1;
                self.shared.observed.count(|c| (c.accepted, c.open) = (c.accepted + 1, c.open + 1));
                self.connections.spawn(connection::serve(stream, Arc::clone(&self.shared), self.accepted));
            }
            // Out of descriptors, most likely: try again when some may have come free.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }

    async fn reset_all(&mut self) {
        self.shared.reset.send_modify(|times| *times += 1);
        while self.connections.join_next().await.is_some() {}
    }
}

async fn accept(port: Option<&Port>) -> io::Result<TcpStream> {
    match port {
        Some(Port::Accepting(listener)) => listener.accept().await.map(|(stream, _)| stream),
        Some(Port::Refusing(_) | Port::BlackHole(..)) | None => std::future::pending().await,
    }
}
