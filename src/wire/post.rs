//! One POST over a connection of its own, for what the process itself has to say to others. Requests of clients never
//! come this way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;

use super::dial;
use crate::clock;

/// Of an answer, so much is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is sent, and where.
#[derive(Clone, Debug)]
pub struct Post {
    /// A name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// For `Host`.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Of the body.
    pub content_type: HeaderValue,
    /// Further fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Status.
    pub status: u16,
    /// `Retry-After`, if it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The body, empty if it was too large.
    pub body: Bytes,
}

impl Post {
    /// Sends it and reads the answer, all before `by`.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub async fn send(self, by: Instant) -> Result<Posted, String> {
        match timeout_at(by.into(), self.exchange(by)).await {
            Ok(result) => result,
            Err(_elapsed) => Err("it did not answer in time".to_owned()),
        }
    }

    async fn exchange(self, by: Instant) -> Result<Posted, String> {
        let stream = self.connect(by).await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| format!("no connection: {error}"))?;
        let request = self.request()?;
        let asked = async {
            let answer = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
            let (head, body) = answer.into_parts();
            // What is too large to be read says nothing that is waited for.
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map(|body| body.to_bytes());
            let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            Ok(Posted { status: head.status.as_u16(), retry_after, body: body.unwrap_or_default() })
        };
        // The connection is driven here: it needs no task that shutdown would have to know.
        let (mut asked, mut connection) = (std::pin::pin!(asked), std::pin::pin!(connection));
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            _ended = &mut connection => asked.await,
        }
    }

    async fn connect(&self, by: Instant) -> Result<TcpStream, String> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let addresses = found.map_err(|error| format!("{} cannot be resolved: {error}", self.host))?;
        let mut why = format!("{} has no address", self.host);
        for address in addresses {
            // Each may take a part of what is left, so that one that is silent leaves time for the next.
            let left = by.saturating_duration_since(clock::now());
            match dial::tcp(address, clock::now() + left / 2).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => why = format!("{address}: {}", failure.title()),
            }
        }
        Err(why)
    }

    fn request(self) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse().map_err(|_| format!("`{}` is no path", self.path))?;
        let host = HeaderValue::try_from(&self.authority).map_err(|_| "its name cannot be sent".to_owned())?;
        let headers = request.headers_mut();
        headers.extend(self.headers);
        headers.insert(HOST, host);
        headers.insert(CONTENT_TYPE, self.content_type);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("outrigger/", env!("CARGO_PKG_VERSION"))));
        Ok(request)
    }
}
