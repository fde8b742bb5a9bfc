//! The command line's HTTP client: one request, one connection, bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::admin::CHANGE_HEADER;
use crate::admin::api::ProblemBody;

/// Where the admin API listens unless stated.
pub(super) const ADDR_DEFAULT: &str = "127.0.0.1:4490";

/// Time for the whole exchange, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer read, in bytes: far above the status of a thousand upstreams.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) struct Client {
    host: String,
    port: u16,
    runtime: Runtime,
}

/// Why there is no usable answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// `--addr` is not an address.
    Address(String),
    /// Nothing answers there, or not in time.
    Unreachable { addr: String, why: String },
    /// Something answers that is not the admin API of this version.
    Foreign { addr: String, why: String },
    /// The metrics port answers, which has no admin API.
    Metrics { addr: String },
    /// The proxy says no.
    Refused(Box<ProblemBody>),
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Client {
    /// `addr` is `HOST:PORT`, with or without `http://` before it.
    pub fn new(addr: &str) -> Result<Self, ClientError> {
        let bare = addr.strip_prefix("http://").unwrap_or(addr).trim_end_matches('/');
        let (host, port) = bare.rsplit_once(':').ok_or_else(|| ClientError::Address(addr.to_owned()))?;
        let port = port.parse().map_err(|_| ClientError::Address(addr.to_owned()))?;
        let fits = |host: &str| {
            let body = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match body {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    !host.is_empty()
                        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
                }
            }
        };
        if !fits(host) {
            return Err(ClientError::Address(addr.to_owned()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::Unreachable { addr: addr.to_owned(), why: format!("no runtime: {error}") })?;
        Ok(Client { host: host.to_owned(), port, runtime })
    }

    pub fn addr(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Reads one of the API's types.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.ask(Method::GET, path, None)?;
        self.read(&answer)
    }

    /// Reads what is none of the API's types.
    pub fn get_bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        let answer = self.ask(Method::GET, path, None)?;
        self.accepted(answer)
    }

    /// Asks for a change.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.post_within(TIMEOUT, path, body)
    }

    /// As [`Client::post`], for what takes its time.
    pub fn post_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = self.ask_within(timeout, Method::POST, path, Some(self.written(body)?))?;
        self.read(&answer)
    }

    /// As [`Client::post`], answered by what is none of the API's types.
    pub fn post_bytes(&self, path: &str, body: &impl Serialize) -> Result<Bytes, ClientError> {
        let answer = self.ask(Method::POST, path, Some(self.written(body)?))?;
        self.accepted(answer)
    }

    fn written(&self, body: &impl Serialize) -> Result<Bytes, ClientError> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|error| self.foreign(error.to_string()))
    }

    /// The bare answer, whatever its status.
    pub fn ask(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, ClientError> {
        self.ask_within(TIMEOUT, method, path, body)
    }

    fn ask_within(
        &self,
        timeout: Duration,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, ClientError> {
        let exchange = async {
            match tokio::time::timeout(timeout, self.exchange(method, path, body)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.unreachable(format!("no answer within {} s", timeout.as_secs()))),
            }
        };
        self.runtime.block_on(exchange)
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.addr())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json").header(CHANGE_HEADER, "1");
        }
        let request =
            request.body(Full::new(body.unwrap_or_default())).map_err(|error| self.foreign(error.to_string()))?;

        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((host, self.port)).await.map_err(|error| self.unreachable(error.to_string()))?;
        let broken = |error: hyper::Error| self.foreign(format!("not an HTTP answer: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async move {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.foreign(format!("the answer broke off: {error}")))?;
            Ok(Answer { status: head.status, body: body.to_bytes() })
        };
        // The connection has no news of its own: what goes wrong with it, the answer reports.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        if answer.status.is_success() {
            return serde_json::from_slice(&answer.body)
                .map_err(|error| self.foreign(format!("its answer is not what this version reads: {error}")));
        }
        Err(self.refusal(answer))
    }

    fn accepted(&self, answer: Answer) -> Result<Bytes, ClientError> {
        if answer.status.is_success() { Ok(answer.body) } else { Err(self.refusal(&answer)) }
    }

    fn refusal(&self, answer: &Answer) -> ClientError {
        match serde_json::from_slice::<ProblemBody>(&answer.body) {
            // An unknown path is answered with the known ones; the admin API would list what was asked for.
            Ok(problem) if !problem.paths.is_empty() && problem.paths.iter().all(|path| path != "/status") => {
                ClientError::Metrics { addr: self.addr() }
            }
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.foreign(format!("it answers {}", answer.status)),
        }
    }

    fn unreachable(&self, why: String) -> ClientError {
        ClientError::Unreachable { addr: self.addr(), why }
    }

    fn foreign(&self, why: String) -> ClientError {
        ClientError::Foreign { addr: self.addr(), why }
    }
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
