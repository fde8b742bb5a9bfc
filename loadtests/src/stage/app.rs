//! The service in the middle of two tiers: it calls the next tier once for every request, as most services do, and
//! answers with that answer, or with 502. It has no timeouts and no retries of its own: the proxies beside it do.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;

/// Largest body passed on.
const BODY_MAX: usize = 16 << 20;
const BACKLOG: u32 = 4_096;

/// Starts it on a free port of 127.0.0.1. It ends with the runtime.
pub(super) fn start(next: SocketAddr) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, next))),
                // Out of descriptors, most likely: try again when some may have come free.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    });
    Ok(address)
}

/// One connection, and one connection of its own to the next tier.
async fn serve(stream: TcpStream, next: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let link = Arc::new(Link { next, sender: Mutex::default() });
    let service = service_fn(move |request| {
        let link = Arc::clone(&link);
        async move { Ok::<_, Infallible>(link.call(request).await) }
    });
    // A caller that leaves cancels the call, as in a service that passes cancellation on.
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

struct Link {
    next: SocketAddr,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Link {
    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.try_call(request).await.unwrap_or_else(|_| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }

    async fn try_call(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failed> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await?.to_bytes();
        let mut shared = self.sender.lock().await;
        // Taken out: a call that is cancelled closes its connection.
        let mut sender = match shared.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await?;
        let response = sender.send_request(passed_on(head, body, self.next)?).await?;
        let (mut head, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await?.to_bytes();
        *shared = Some(sender);
        strip(&mut head.headers);
        Ok(Response::from_parts(head, Full::new(body)))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failed> {
        let stream = TcpStream::connect(self.next).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Whatever went wrong: the answer is 502.
type Failed = Box<dyn std::error::Error + Send + Sync>;

fn passed_on(mut head: request::Parts, body: Bytes, next: SocketAddr) -> Result<Request<Full<Bytes>>, Failed> {
    strip(&mut head.headers);
    head.headers.insert(HOST, HeaderValue::try_from(next.to_string())?);
    Ok(Request::from_parts(head, Full::new(body)))
}

/// Fields of one connection, and those that the message is framed with anew.
fn strip(fields: &mut HeaderMap) {
    for name in [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        fields.remove(name);
    }
}
