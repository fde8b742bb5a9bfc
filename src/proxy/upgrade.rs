//! Tunnels: what follows a 101, or the 200 to a CONNECT. Bytes pass both ways until one side ends, or nothing moves for too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::body::{Body, End};
use super::connection::Connection;
use super::websocket;
use crate::clock;
use crate::drain::Tasks;
use crate::wire::{Answer, switched};

/// A tunnel in which nothing moves for this long is closed, if the route's idle limit is not longer.
const TUNNEL_IDLE: Duration = Duration::from_secs(300);
/// At shutdown a tunnel is closed after this time.
const TUNNEL_DRAIN: Duration = Duration::from_secs(2);
/// The two sides must agree to switch within this time.
const SWITCH_TIME: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 16 * 1024;

/// Whether this 101 switches to what was asked for. A client of HTTP/2 has no key of its own to check.
pub fn is_wanted(asked: &HeaderMap, answer: &Answer, connection: &Connection) -> bool {
    let same = match (asked.get(UPGRADE), answer.headers().get(UPGRADE)) {
        (Some(asked), Some(given)) => asked.as_bytes().eq_ignore_ascii_case(given.as_bytes()),
        _ => false,
    };
    // Between two sides of HTTP/2 there is no key: the stream itself tells to which request an answer belongs.
    let proven = !connection.is_stream() || answer.version() == Version::HTTP_2;
    same && (proven || websocket::is_accepted(asked, answer.headers()))
}

/// Passes the 101 on, or what says the same in HTTP/2 (RFC 8441 §5), and joins the two connections. The request's
/// deadline ends with the switch.
pub fn join(client: OnUpgrade, asked: &HeaderMap, mut answer: Answer, mut end: End, tasks: &Tasks) -> Response<Body> {
    let upstream = switched::on_switch(&mut answer);
    // 200, to a CONNECT.
    let mut response = Response::new(Body::switched());
    let protocol = answer.headers().get(UPGRADE).cloned();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let headers = response.headers_mut();
    super::hygiene::clean_response(headers);
    if end.record.connection().is_stream() {
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
        headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
        if answer.version() == Version::HTTP_2
            && let Some(accept) = websocket::accept_for(asked)
        {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    end.record.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    end.record.connection().become_tunnel();
    let place = answer.into_body();
    let stop = tasks.stop().clone();
    let idle = end.idle.max(TUNNEL_IDLE);
    tasks.spawn(async move {
        let client = async { client.await.map_err(std::io::Error::other) };
        let switched = async { tokio::try_join!(client, upstream.bytes()) };
        if let Ok(Ok((client, upstream))) = tokio::time::timeout(SWITCH_TIME, switched).await {
            // At shutdown a tunnel gets a little time of its own: nothing else would end it.
            let over = async {
                stop.cancelled().await;
                tokio::time::sleep(TUNNEL_DRAIN).await;
            };
            tokio::select! {
                sent = pump_both(TokioIo::new(client), upstream, idle) => end.record.response_bytes += sent,
                () = over => {}
            }
            end.record.complete();
        }
        // Slot, record and the upstream connection's place end with the tunnel, not with the 101.
        drop((end, place));
    });
    response
}

/// Copies both ways until both sides ended. Returns the bytes that went to the client.
async fn pump_both<A, B>(client: A, upstream: B, idle: Duration) -> u64
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let activity = Activity { origin: clock::now(), last: AtomicU64::new(0) };
    let (client_read, client_write) = tokio::io::split(client);
    let (upstream_read, upstream_write) = tokio::io::split(upstream);
    let (_, down) = tokio::join!(
        pump(client_read, upstream_write, &activity, idle),
        pump(upstream_read, client_write, &activity, idle)
    );
    down
}

/// When something last moved, in either direction.
struct Activity {
    origin: Instant,
    last: AtomicU64,
}

impl Activity {
    fn touch(&self) {
        let nanos = clock::now().saturating_duration_since(self.origin).as_nanos() as u64;
        self.last.store(nanos, Ordering::Relaxed);
    }

    fn silent_until(&self, idle: Duration) -> Instant {
        self.origin + Duration::from_nanos(self.last.load(Ordering::Relaxed)) + idle
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
    idle: Duration,
) -> u64 {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let until = activity.silent_until(idle);
        let read = match tokio::time::timeout_at(until.into(), from.read(&mut buffer)).await {
            // The other direction may have moved meanwhile.
            Err(_elapsed) if clock::now() < activity.silent_until(idle) => continue,
            Err(_) | Ok(Err(_)) | Ok(Ok(0)) => break,
            Ok(Ok(read)) => read,
        };
        activity.touch();
        match tokio::time::timeout(idle, to.write_all(&buffer[..read])).await {
            Ok(Ok(())) => total += read as u64,
            Ok(Err(_)) | Err(_) => break,
        }
        activity.touch();
    }
    let _ = to.shutdown().await;
    total
}
