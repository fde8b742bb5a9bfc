//! One question to one endpoint over a connection of its own, for health checks. What it answers is judged elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::h2::{HEALTH_PATH, call_health, get_status};
use super::traffic::Counted;
use super::{RequestBody, dial};
use crate::reliability::Failure;
use crate::reliability::grpc::Code;
use crate::tls::{Connector, Offer, Transport};

/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("outrigger/", env!("CARGO_PKG_VERSION"), " (health check)"));

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// `GET path`.
    Http {
        /// Path and query.
        path: &'a str,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Empty: the server as a whole.
        service: &'a str,
    },
}

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A status.
    Status(u16),
    /// How the call ended, and whether its answer says SERVING.
    Call {
        /// `grpc-status`.
        code: Code,
        /// The answer says so.
        serving: bool,
    },
}

/// A question, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Where to connect.
    pub addr: SocketAddr,
    /// Value of `Host`, and the name that its certificate is to be for.
    pub authority: &'a HeaderValue,
    /// With TLS.
    pub connector: Option<&'a Connector>,
    /// What is spoken; in clear [`Offer::Http2`] begins without an upgrade.
    pub offer: Offer,
    /// The question.
    pub asked: Asked<'a>,
}

impl Probe<'_> {
    /// Asks. Dropping the future closes the connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, by: Instant) -> Result<Heard, Failure> {
        let tcp = dial::tcp(self.addr, by).await?;
        let (stream, http2) = match self.connector {
            None => (Transport::Plain(tcp), self.offer == Offer::Http2),
            Some(connector) => {
                let authority = self.authority.to_str().unwrap_or_default();
                let connected = connector.connect(tcp, dial::host_of(authority), self.offer, by).await?;
                (connected.stream, connected.http2)
            }
        };
        match self.asked {
            // Without HTTP/2 there is no call.
            Asked::Grpc { .. } if !http2 => Err(Failure::TlsFailed),
            Asked::Grpc { service } => call_health(stream, self.uri(HEALTH_PATH)?, AGENT, service).await,
            Asked::Http { path } if http2 => get_status(stream, self.uri(path)?, AGENT).await,
            Asked::Http { path } => self.get(stream, path).await,
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, Failure> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.connector.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Authority::try_from(self.authority.as_bytes()).ok();
        parts.path_and_query = PathAndQuery::try_from(path).ok();
        Uri::from_parts(parts).map_err(|_| Failure::ConnectFailed)
    }

    async fn get(&self, stream: Transport, path: &str) -> Result<Heard, Failure> {
        let broken = |_| Failure::ConnectionTerminated;
        // As requests that stream are sent: a program has no room for a second way.
        let stream = Counted { inner: stream, traffic: Arc::default() };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::GET;
        *request.uri_mut() = path.parse().map_err(|_| Failure::ConnectFailed)?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let asked = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            Ok(Heard::Status(answer.status().as_u16()))
        };
        // Driven here: it needs no task of its own.
        let (mut asked, mut connection) = (std::pin::pin!(asked), std::pin::pin!(connection));
        tokio::select! {
            biased;
            heard = &mut asked => heard,
            _ended = &mut connection => asked.await,
        }
    }
}
