//! The command line's HTTP client: one request, one connection, bounded in time and size.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::login::{Login, Shown};
use crate::admin::CHANGE_HEADER;
use crate::admin::api::ProblemBody;
use crate::clock;
use crate::tls::{Connector, Offer, Transport};

/// Where the admin API listens unless stated.
pub(super) const ADDR_DEFAULT: &str = "127.0.0.1:4490";

/// Time for the whole exchange, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer read, in bytes: far above the status of a thousand upstreams.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A live view says something at least this often.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longest line of a live view.
const LINE_BYTES_MAX: usize = 256 * 1024;

type Sender = http1::SendRequest<Full<Bytes>>;

pub(super) struct Client {
    host: String,
    port: u16,
    runtime: Runtime,
    /// `https`.
    tls: Option<Arc<Connector>>,
    /// Why the last handshake came to nothing, as the connector tells it.
    no_session: Arc<Mutex<Option<String>>>,
    token: Option<HeaderValue>,
    /// Where the token comes from.
    token_file: Option<PathBuf>,
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
    /// What is to be shown to the proxy cannot be used: the text says why.
    Login(String),
    /// The proxy does not let us in. `file`: where the token came from that it does not accept; none was sent otherwise.
    Stranger { addr: String, file: Option<PathBuf> },
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
    /// `addr` is `HOST:PORT`, with or without `http://` before it, or with `https://`.
    pub fn new(addr: &str, login: &Login) -> Result<Self, ClientError> {
        let encrypted = addr.strip_prefix("https://");
        let bare = encrypted.or(addr.strip_prefix("http://")).unwrap_or(addr).trim_end_matches('/');
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
        let Shown { token, tls, why } = login.read(encrypted.is_some()).map_err(ClientError::Login)?;
        let token_file = token.is_some().then(|| login.token_file.clone()).flatten();
        Ok(Client { host: host.to_owned(), port, runtime, tls, no_session: why, token, token_file })
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

    /// As [`Client::ask`], with a time of its own.
    pub fn ask_within(
        &self,
        timeout: Duration,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, ClientError> {
        let exchange = async {
            match tokio::time::timeout(timeout, self.exchange(method, path, body)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.late(timeout)),
            }
        };
        self.runtime.block_on(exchange)
    }

    /// Lines of an answer as they come, until its end or until `line` has enough.
    pub fn stream(&self, path: &str, mut line: impl FnMut(&str) -> ControlFlow<()>) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let opened = async {
                let request = self.request(Method::GET, path, None)?;
                let (mut sender, connection) = self.connect().await?;
                let mut connection = Box::pin(connection);
                let answer = tokio::select! {
                    answer = sender.send_request(request) => answer.map_err(|error| self.not_http(&error))?,
                    _ = &mut connection => return Err(self.foreign("the connection ended without an answer".to_owned())),
                };
                Ok((answer, sender, connection))
            };
            let opened = tokio::time::timeout(TIMEOUT, opened).await;
            let (answer, sender, connection) = opened.map_err(|_| self.late(TIMEOUT))??;
            let lines = async {
                let read = self.lines(answer, &mut line).await;
                drop(sender);
                read
            };
            // The connection moves the bytes; when it ends, the answer has all of them.
            let ((), lines) = tokio::join!(async { drop(connection.await) }, lines);
            lines
        })
    }

    async fn lines(
        &self,
        answer: hyper::Response<hyper::body::Incoming>,
        line: &mut impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            let body = Limited::new(body, LINE_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.foreign(format!("the answer broke off: {error}")))?.to_bytes();
            return Err(self.refusal(&Answer { status: head.status, body }));
        }
        let mut text = Vec::new();
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.map_err(|_| self.late(SILENCE_MAX))?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|error| self.unreachable(format!("the answer broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            text.extend_from_slice(&data);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let rest = text.split_off(end + 1);
                let whole = std::mem::replace(&mut text, rest);
                if line(String::from_utf8_lossy(&whole).trim_end()).is_break() {
                    return Ok(());
                }
            }
            if text.len() > LINE_BYTES_MAX {
                return Err(self.foreign(format!("a line of its answer is longer than {LINE_BYTES_MAX} bytes")));
            }
        }
    }

    /// Runs what waits for something else than an answer.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, ClientError> {
        let request = self.request(method, path, body)?;
        let (mut sender, connection) = self.connect().await?;
        let answer = async move {
            let answer = sender.send_request(request).await.map_err(|error| self.not_http(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.foreign(format!("the answer broke off: {error}")))?;
            Ok(Answer { status: head.status, body: body.to_bytes() })
        };
        // The connection has no news of its own: what goes wrong with it, the answer reports.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.addr())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json").header(CHANGE_HEADER, "1");
        }
        request.body(Full::new(body.unwrap_or_default())).map_err(|error| self.foreign(error.to_string()))
    }

    async fn connect(&self) -> Result<(Sender, impl Future<Output = Result<(), hyper::Error>>), ClientError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((host, self.port)).await.map_err(|error| self.unreachable(error.to_string()))?;
        let stream = match &self.tls {
            None => Transport::Plain(stream),
            Some(connector) => {
                let connected = connector.connect(stream, host, Offer::Http1, clock::now() + TIMEOUT).await;
                connected.map_err(|failure| self.unreachable(self.no_session(failure.token())))?.stream
            }
        };
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.not_http(&error))
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
        if answer.status == StatusCode::UNAUTHORIZED {
            return ClientError::Stranger { addr: self.addr(), file: self.token_file.clone() };
        }
        match serde_json::from_slice::<ProblemBody>(&answer.body) {
            // An unknown path is answered with the known ones; the admin API would list what was asked for.
            Ok(problem) if !problem.paths.is_empty() && problem.paths.iter().all(|path| path != "/status") => {
                ClientError::Metrics { addr: self.addr() }
            }
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.foreign(format!("it answers {}", answer.status)),
        }
    }

    fn not_http(&self, error: &hyper::Error) -> ClientError {
        // With TLS 1.3 a server that does not believe a client says so after the handshake.
        let hint = match self.tls {
            None => "; if it speaks TLS, write https:// before the address",
            Some(_) => "; it may want a certificate of yours (--cert, --key), or another one than that",
        };
        self.foreign(format!("not an HTTP answer: {error}{hint}"))
    }

    /// Why there is no encrypted session, and what could be done about it.
    fn no_session(&self, token: &str) -> String {
        let why = self.no_session.lock().unwrap_or_else(PoisonError::into_inner).take();
        let advice = match token {
            "tls-certificate" => "; --ca names who vouches for it, --server-name the name that it is for",
            "tls-failed" => {
                "; it may want a certificate of yours (--cert, --key), or speak no TLS: then write http:// before the address"
            }
            _ => "",
        };
        format!("no encrypted session: {}{advice}", why.as_deref().unwrap_or(token))
    }

    fn late(&self, timeout: Duration) -> ClientError {
        self.unreachable(format!("no answer within {}", crate::admin::words::span(timeout)))
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
