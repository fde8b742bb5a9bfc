//! A client of HTTP/2 that shows what a usual one hides: trailers, reset codes, GOAWAY, windows.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::tls::ClientTls;
use super::within;
use crate::faults::grpc;
use crate::faults::line::{Line, Rewound};

/// Windows of the client, unless the test asks for others.
const WINDOW: u32 = 1 << 20;

/// One connection of HTTP/2; it closes when this value and all its streams are gone.
#[derive(Debug)]
pub struct Http2 {
    requests: SendRequest<Bytes>,
    end: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    /// Connects in the clear, with prior knowledge; panics if it cannot.
    pub async fn connect(address: SocketAddr) -> Http2 {
        Http2::connect_with(address, &builder()).await
    }

    /// As [`Http2::connect`], with windows and limits of the test's choice.
    pub async fn connect_with(address: SocketAddr, builder: &h2::client::Builder) -> Http2 {
        let stream = match within("connecting", TcpStream::connect(address)).await {
            Ok(stream) => stream,
            Err(e) => panic!("cannot connect to {address}: {e}"),
        };
        // Without it a small frame may wait for an acknowledgement; on failure it is only slower.
        let _ = stream.set_nodelay(true);
        Http2::over(stream.into(), builder).await.unwrap_or_else(|e| panic!("no HTTP/2 with {address}: {e}"))
    }

    /// Connects inside TLS; ALPN is as `tls` says, and h2 is spoken whatever it came to.
    pub async fn connect_tls(address: SocketAddr, tls: &ClientTls) -> io::Result<Http2> {
        let (line, _) = tls.connect(address).await?;
        Http2::over(line, &builder()).await.map_err(|e| e.into_io().unwrap_or_else(|| io::Error::other("not HTTP/2")))
    }

    /// Speaks HTTP/2 on a connection that is open.
    pub async fn over(line: Line, builder: &h2::client::Builder) -> Result<Http2, h2::Error> {
        let io = Rewound::new(BytesMut::new(), Arc::new(line));
        let (requests, connection) = within("the preface of HTTP/2", builder.handshake(io)).await?;
        Ok(Http2 { requests, end: tokio::spawn(connection) })
    }

    /// A request without a body, and its answer.
    pub async fn get(&mut self, path: &str) -> Http2Answer {
        self.send(request("GET", path), Bytes::new()).await
    }

    /// A request with a body, and its answer.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Http2Answer {
        self.send(request("POST", path), body.into()).await
    }

    /// A gRPC call with one message.
    pub async fn unary(&mut self, path: &str, message: &[u8]) -> Http2Answer {
        self.send(grpc_request(path), grpc::framed(message)).await
    }

    /// A request and its answer; panics if there is none.
    pub async fn send(&mut self, request: Request<()>, body: Bytes) -> Http2Answer {
        match self.try_send(request, body).await {
            Ok(answer) => answer,
            Err(e) => panic!("no answer: {e}"),
        }
    }

    /// A request and its whole answer.
    pub async fn try_send(&mut self, request: Request<()>, body: Bytes) -> Result<Http2Answer, h2::Error> {
        let mut exchange = self.try_open(request, body.is_empty()).await?;
        if !body.is_empty() {
            exchange.upload.send_data(body, true)?;
        }
        exchange.answer().await
    }

    /// Opens a stream; panics if it cannot. `ended`: the request has no body.
    pub async fn open(&mut self, request: Request<()>, ended: bool) -> Exchange {
        self.try_open(request, ended).await.unwrap_or_else(|e| panic!("no stream: {e}"))
    }

    /// Opens a stream.
    pub async fn try_open(&mut self, request: Request<()>, ended: bool) -> Result<Exchange, h2::Error> {
        within("room for a stream", poll_fn(|cx| self.requests.poll_ready(cx))).await?;
        let (response, upload) = self.requests.send_request(request, ended)?;
        Ok(Exchange { upload, response: Some(response), head: None, body: None })
    }

    /// Another handle of the same connection.
    pub fn requests(&self) -> SendRequest<Bytes> {
        self.requests.clone()
    }

    /// Waits for the end of the connection: the code of a GOAWAY, if that ended it.
    pub async fn ended(self) -> Option<Reason> {
        let Http2 { requests, end } = self;
        // Held until the end: without it the client would close.
        let end = within("the end of the connection", end).await;
        drop(requests);
        end.ok().and_then(Result::err).and_then(|e| e.reason())
    }
}

/// Windows that do not matter.
pub fn builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    builder
}

/// A request for `app.test`; panics if the words do not make one.
pub fn request(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://app.test{path}"));
    request.body(()).unwrap_or_else(|e| panic!("no request {method} {path}: {e}"))
}

/// The head of a gRPC call.
pub fn grpc_request(path: &str) -> Request<()> {
    let mut request = request("POST", path);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    request
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Http2Answer {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers; empty if there were none.
    pub trailers: HeaderMap,
}

impl Http2Answer {
    /// First value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// First value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        text(&self.trailers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `grpc-status`, wherever it stands.
    pub fn grpc_status(&self) -> Option<u32> {
        self.trailer("grpc-status").or_else(|| self.field("grpc-status"))?.parse().ok()
    }

    /// `grpc-message`, wherever it stands.
    pub fn grpc_message(&self) -> Option<&str> {
        self.trailer("grpc-message").or_else(|| self.field("grpc-message"))
    }

    /// The messages of a gRPC answer; panics if the body is not made of whole ones.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        grpc::messages(&self.body).unwrap_or_else(|| panic!("no gRPC messages: {:?}", self.body))
    }
}

fn text<'a>(map: &'a HeaderMap, name: &str) -> Option<&'a str> {
    map.get(name)?.to_str().ok()
}

/// One stream, both ways.
#[derive(Debug)]
pub struct Exchange {
    /// The sending half: data, trailers, resets.
    pub upload: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    head: Option<(StatusCode, HeaderMap)>,
    body: Option<RecvStream>,
}

impl Exchange {
    /// Waits for the head of the answer.
    pub async fn head(&mut self) -> Result<(u16, HeaderMap), h2::Error> {
        if let Some(response) = self.response.take() {
            let (head, body) = within("the head of an answer", response).await?.into_parts();
            self.head = Some((head.status, head.headers));
            self.body = Some(body);
        }
        let Some((status, headers)) = &self.head else { panic!("this stream has failed before") };
        Ok((status.as_u16(), headers.clone()))
    }

    /// The next bytes of the body, with room made for as many; None at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        self.head().await?;
        let Some(body) = &mut self.body else { return Ok(None) };
        let Some(piece) = within("a piece of the body", body.data()).await.transpose()? else { return Ok(None) };
        body.flow_control().release_capacity(piece.len())?;
        Ok(Some(piece))
    }

    /// Sends one gRPC message; `end`: and says that it was the last one.
    pub fn message(&mut self, message: &[u8], end: bool) {
        if let Err(e) = self.upload.send_data(grpc::framed(message), end) {
            panic!("cannot send a message: {e}");
        }
    }

    /// The trailers, after the body.
    pub async fn trailers(&mut self) -> Result<HeaderMap, h2::Error> {
        let Some(body) = &mut self.body else { return Ok(HeaderMap::new()) };
        Ok(within("the trailers", body.trailers()).await?.unwrap_or_default())
    }

    /// The whole answer.
    pub async fn answer(mut self) -> Result<Http2Answer, h2::Error> {
        let (status, headers) = self.head().await?;
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        let trailers = self.trailers().await?;
        Ok(Http2Answer { status, headers, body: body.freeze(), trailers })
    }

    /// Gives the stream up with this code.
    pub fn reset(&mut self, reason: Reason) {
        self.upload.send_reset(reason);
    }
}
