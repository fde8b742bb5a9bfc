//! Listeners come and go with the policy: the new ones are bound first, then started, then the old ones stop.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;

use super::connection::Connection;
use super::{Proxy, accept};
use crate::drain::Stop;
use crate::policy::{Direction, Listener};
use crate::random::Random;
use crate::reliability::entropy::Entropy;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Refused connections that are closed in order at the same time; further ones are just closed.
const FAREWELLS_MAX: u32 = 64;
/// After a failed accept (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client reads when the listener has as many connections as it may.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nproxy-status: outrigger; error=connection_limit_reached\r\nretry-after: 1\r\ncontent-length: 156\r\nconnection: close\r\n\r\n{\"type\":\"https://outrigger.dev/problems/client-connections\",\"title\":\"This listener has as many connections as it may\",\"status\":503,\"sent\":\"no\",\"attempts\":0}";

/// Asks for a socket that somebody has opened for us at this address, such as systemd; `None`: nobody has.
pub type Inherited = Box<dyn Fn(SocketAddr) -> Option<io::Result<std::net::TcpListener>> + Send + Sync>;

/// Every listener that runs.
pub struct Listeners {
    running: Mutex<HashMap<SocketAddr, Running>>,
    data_plane: Handle,
    inherited: Inherited,
}

struct Running {
    direction: Direction,
    /// Whoever opened the socket keeps it open: our successor accepts what we do not.
    inherited: bool,
    stop: Stop,
    bounds: Arc<Bounds>,
}

/// One refused connection that is closed in order; given back when dropped.
struct Farewell(Arc<Bounds>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.farewells.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a reload may change while the listener runs.
#[derive(Debug)]
struct Bounds {
    open: AtomicU32,
    /// Connections since the start.
    accepted: AtomicU64,
    farewells: AtomicU32,
    connections_max: AtomicU32,
    idle_ms: AtomicU32,
    /// How old connections become; 0 = any age.
    age_ms: AtomicU64,
}

/// Listeners that are bound and not yet started.
pub struct Prepared {
    fresh: Vec<(SocketAddr, TcpListener, bool)>,
}

/// A place among the open connections of a listener; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Bounds>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Listeners {
    /// None yet. `data_plane`: the runtime that serves traffic.
    pub fn new(data_plane: Handle, inherited: Inherited) -> Listeners {
        Listeners { running: Mutex::default(), data_plane, inherited }
    }

    /// Binds what is wanted and not running. Nothing changes if one of them cannot be bound.
    ///
    /// # Errors
    /// A sentence that names the address and the cause.
    pub fn prepare(&self, wanted: &[Listener]) -> Result<Prepared, String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let _inside = self.data_plane.enter();
        let mut fresh = Vec::new();
        for listener in wanted.iter().filter(|l| !running.contains_key(&l.addr)) {
            let inherited = (self.inherited)(listener.addr);
            let is_inherited = inherited.is_some();
            let bound = inherited.map_or_else(|| bind(listener.addr), |socket| socket.and_then(TcpListener::from_std));
            let bound = bound.map_err(|e| format!("cannot listen on {}: {e}", listener.addr))?;
            fresh.push((listener.addr, bound, is_inherited));
        }
        Ok(Prepared { fresh })
    }

    /// Starts what was bound, adjusts what runs, stops what is not wanted any more.
    pub fn commit(&self, wanted: &[Listener], prepared: Prepared, proxy: &Arc<Proxy>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: HashMap<SocketAddr, (TcpListener, bool)> =
            prepared.fresh.into_iter().map(|(addr, socket, inherited)| (addr, (socket, inherited))).collect();
        for listener in wanted {
            let idle_ms = AtomicU32::new(u32::try_from(listener.idle.as_millis()).unwrap_or(u32::MAX));
            let age = listener.age_max.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            if let Some(known) = running.get(&listener.addr) {
                known.bounds.age_ms.store(age, Ordering::Relaxed);
                known.bounds.connections_max.store(listener.connections_max, Ordering::Relaxed);
                known.bounds.idle_ms.store(idle_ms.into_inner(), Ordering::Relaxed);
                continue;
            }
            let Some((socket, inherited)) = fresh.remove(&listener.addr) else { continue };
            let stop = proxy.tasks.stop().child();
            let connections_max = AtomicU32::new(listener.connections_max);
            let bounds = Arc::new(Bounds {
                open: AtomicU32::new(0),
                accepted: AtomicU64::new(0),
                farewells: AtomicU32::new(0),
                connections_max,
                idle_ms,
                age_ms: AtomicU64::new(age),
            });
            let loop_ = accept_loop(Arc::clone(proxy), socket, listener.addr, stop.clone(), Arc::clone(&bounds));
            let _inside = self.data_plane.enter();
            proxy.tasks.spawn(loop_);
            running.insert(listener.addr, Running { direction: listener.direction, inherited, stop, bounds });
        }
        running.retain(|addr, known| {
            let keep = wanted.iter().any(|l| l.addr == *addr);
            if !keep {
                known.stop.cancel();
            }
            keep
        });
    }

    /// Ends accepting in one direction; connections finish what they have.
    pub fn stop(&self, direction: Direction) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().filter(|r| r.direction == direction).for_each(|r| r.stop.cancel());
    }

    /// Ends accepting where nobody would be refused, or nobody beside us depends on it: on sockets that our successor
    /// gets, and on outbound listeners that are not the Pod's own.
    pub fn stop_early(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let early = running.iter().filter(|(addr, r)| r.inherited || r.is_of_others(**addr));
        early.for_each(|(_, r)| r.stop.cancel());
    }

    /// Whether connections are accepted in this direction.
    pub fn accepts(&self, direction: Direction) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().any(|r| r.direction == direction && !r.stop.is_cancelled())
    }

    /// Connections that are open in this direction.
    pub fn open(&self, direction: Direction) -> u32 {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().filter(|r| r.direction == direction).map(|r| r.bounds.open.load(Ordering::Acquire)).sum()
    }

    /// Connections of the app beside us to the outbound listeners that still accept: how many are open, and how many
    /// there have ever been.
    pub fn of_the_app(&self) -> (u32, u64) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = (0, 0);
        for (_, known) in running.iter().filter(|(_, r)| r.direction == Direction::Outbound && !r.stop.is_cancelled()) {
            sum.0 += known.bounds.open.load(Ordering::Acquire);
            sum.1 += known.bounds.accepted.load(Ordering::Acquire);
        }
        sum
    }
}

impl Running {
    /// Only on loopback the app of this Pod is known to be the caller.
    fn is_of_others(&self, addr: SocketAddr) -> bool {
        self.direction == Direction::Outbound && !addr.ip().is_loopback()
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of its predecessor in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept_loop(proxy: Arc<Proxy>, socket: TcpListener, addr: SocketAddr, stop: Stop, bounds: Arc<Bounds>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        bounds.accepted.fetch_add(1, Ordering::AcqRel);
        match accepted {
            Ok((stream, peer)) => match open(&bounds) {
                Some(place) => {
                    let idle = Duration::from_millis(u64::from(bounds.idle_ms.load(Ordering::Relaxed)));
                    // A socket for both families names callers of IPv4 in the words of IPv6.
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    let connection = Connection::new(peer, addr, idle, Some(place)).with_age(age(&bounds));
                    proxy.tasks.spawn_plain(accept::serve(Arc::clone(&proxy), stream, connection, stop.clone()));
                }
                None => refuse(&proxy, stream, &bounds),
            },
            Err(error) => {
                tracing::warn!(event = "accept-failed", listener = %addr, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How old a connection becomes: as the policy says, give or take a tenth, so that those that came together do not all
/// come again together.
fn age(bounds: &Bounds) -> Option<Duration> {
    match bounds.age_ms.load(Ordering::Relaxed) {
        0 => None,
        age => Some(Duration::from_millis(age).mul_f64(Random.between(0.9, 1.1))),
    }
}

fn open(bounds: &Arc<Bounds>) -> Option<Place> {
    let max = bounds.connections_max.load(Ordering::Relaxed);
    bounds
        .open
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < max).then_some(n + 1))
        .ok()
        .map(|_| Place(Arc::clone(bounds)))
}

/// Says so instead of closing without a word. One write into an empty socket buffer.
fn refuse(proxy: &Proxy, mut stream: TcpStream, bounds: &Arc<Bounds>) {
    if stream.try_write(TOO_MANY).is_err() {
        return;
    }
    let farewell = Farewell(Arc::clone(bounds));
    if bounds.farewells.fetch_add(1, Ordering::Relaxed) >= FAREWELLS_MAX {
        return;
    }
    proxy.tasks.spawn(async move {
        let _counted = farewell;
        // Closed with unread bytes, the socket would be reset and the answer lost.
        let _ = stream.shutdown().await;
        let mut rest = [0; 512];
        let unread = async { while matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), unread).await;
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_announces_its_own_length() {
        let text = std::str::from_utf8(super::TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
