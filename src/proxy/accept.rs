//! One client connection from accept to close: its handshake, which HTTP it speaks, and its end.

mod http1;
mod http2;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Proxy;
use super::connection::Connection;
use crate::clock;
use crate::drain::Stop;
use crate::tls::{Accepted, Acceptor, Transport};
use crate::upstreams::reconcile::Snapshot;
use crate::wire::alarm::alarmed;

/// A TLS handshake that takes longer is given up.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// After the signal to finish, a kept connection waits this long for a request that is on its way, so that
/// closing it does not lose one. The answer to it says `Connection: close`.
const LINGER: Duration = Duration::from_millis(100);

/// How a client with prior knowledge begins HTTP/2 (RFC 9113 §3.4). No request of HTTP/1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read first holds a whole request, usually: looking at it costs no read of its own.
const FIRST_BYTES: usize = 4 * 1024;

/// A connection, and the signals that end it.
struct Client {
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    stop: Stop,
    force: CancellationToken,
}

/// Serves one connection until it ends, `stop` asks it to finish, or everything is forced to end.
pub async fn serve(proxy: Arc<Proxy>, stream: TcpStream, mut connection: Connection, stop: Stop) {
    let _ = stream.set_nodelay(true);
    let force = proxy.tasks.force().clone();
    // Taken out of the policy, a listener is about to close; whether it was encrypted is not known any more.
    let Some(acceptor) = acceptor(&proxy.snapshot.load(), connection.listener) else { return };
    let (stream, agreed) = match acceptor {
        None => (Transport::Plain(stream), None),
        // Boxed: a connection must not hold the room of a handshake that is over.
        Some(acceptor) => match Box::pin(shake_hands(&acceptor, stream, &stop, &force)).await {
            Some(Accepted { stream, peer, http2 }) => {
                connection.identity = peer;
                (stream, Some(http2))
            }
            // The acceptor has told why, and nothing is answered in clear.
            None => return,
        },
    };
    let client = Client { proxy, connection: Arc::new(connection), stop, force };
    let (read, http2) = match agreed {
        Some(http2) => (Bytes::new(), http2),
        None => match client.begin(&stream).await {
            Some(begun) => begun,
            None => return,
        },
    };
    if http2 {
        Box::pin(client.serve_http2(stream, read)).await;
    } else {
        client.serve_http1(stream, read).await;
    }
}

/// How the listener of `addr` is encrypted; `None` inside: it is not. `None`: there is no such listener any more.
fn acceptor(snapshot: &Snapshot, addr: SocketAddr) -> Option<Option<Arc<Acceptor>>> {
    let at = snapshot.policy.listeners.iter().position(|listener| listener.addr == addr)?;
    snapshot.acceptors.get(at).cloned()
}

/// `None`: it failed, or this process ends. A client that has sent no request yet loses nothing.
async fn shake_hands(
    acceptor: &Acceptor,
    stream: TcpStream,
    stop: &Stop,
    force: &CancellationToken,
) -> Option<Accepted> {
    let finished = async {
        stop.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        accepted = acceptor.accept(stream, clock::now() + HANDSHAKE_TIME) => accepted.ok(),
        () = finished => None,
        () = force.cancelled() => None,
    }
}

impl Client {
    /// The first bytes in clear, and whether they begin HTTP/2. The first byte that differs decides: a short request
    /// of HTTP/1 is not kept waiting for the length of a preface.
    async fn begin(&self, stream: &Transport) -> Option<(Bytes, bool)> {
        let mut read = BytesMut::new();
        loop {
            if self.stop.is_cancelled() {
                tokio::time::timeout(LINGER, stream.tcp().readable()).await.ok()?.ok()?;
            } else if !self.next_byte(stream).await {
                return None;
            }
            read.reserve(FIRST_BYTES);
            match stream.tcp().try_read_buf(&mut read) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return None,
            }
            let common = read.len().min(PREFACE.len());
            if read[..common] != PREFACE[..common] {
                return Some((read.freeze(), false));
            }
            if common == PREFACE.len() {
                return Some((read.freeze(), true));
            }
        }
    }

    /// Waits for the next byte, or for the signal to finish (what is served then is the last). False: it is over.
    async fn next_byte(&self, stream: &Transport) -> bool {
        let alarm = self.connection.alarm();
        alarm.ask(self.connection.idle_until());
        let (mut arrives, mut stopping) = (pin!(stream.tcp().readable()), pin!(self.stop.clone().cancelled_owned()));
        let mut forced = pin!(self.force.cancelled());
        let waits = std::future::poll_fn(|cx| {
            if let Poll::Ready(readable) = arrives.as_mut().poll(cx) {
                return Poll::Ready(readable.is_ok());
            }
            if forced.as_mut().poll(cx).is_ready() || alarm.passed(self.connection.idle_until()) {
                return Poll::Ready(false);
            }
            stopping.as_mut().poll(cx).map(|()| true)
        });
        alarmed(alarm, waits).await
    }
}
