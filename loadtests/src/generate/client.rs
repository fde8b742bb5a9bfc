//! A client of the open loop: one HTTP/1.1 connection, or one stream of an HTTP/2 connection.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::record::{Answered, Failure};
use super::request::Template;
use crate::credentials::{self, Dialer, Io};

type Request = http::Request<Full<Bytes>>;

/// Sends one request at a time.
#[derive(Debug)]
pub enum Client {
    Http1(Box<Http1>),
    Http2(Arc<Http2>),
}

impl Client {
    /// Whether a request need not wait for a handshake.
    pub fn is_open(&self) -> bool {
        match self {
            Client::Http1(client) => client.link.is_some(),
            // Streams cost nothing to keep.
            Client::Http2(_) => true,
        }
    }

    /// Connects ahead of the first request. A failure shows there again.
    pub async fn open(&mut self) {
        match self {
            Client::Http1(client) => client.link = Link::open(client.address, client.dialer.as_ref()).await.ok(),
            Client::Http2(client) => drop(client.sender().await),
        }
    }

    /// Sends the request with this number and reads the answer to its end. Cancelled, it closes the connection
    /// (HTTP/1.1) or resets the stream (HTTP/2), as a client that gives up does.
    pub async fn exchange(&mut self, template: &Template, number: u64) -> Result<Answered, Failure> {
        match self {
            Client::Http1(client) => client.exchange(template, number).await,
            Client::Http2(client) => client.exchange(template, number).await,
        }
    }

    /// Runs `until`, and watches the connection meanwhile: one that the peer closes is not used again.
    pub async fn rest(&mut self, until: impl Future<Output = ()>) {
        let Client::Http1(client) = self else { return until.await };
        let Some(link) = &mut client.link else { return until.await };
        let mut until = pin!(until);
        let closed = std::future::poll_fn(|cx| match until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => Pin::new(&mut link.connection).poll(cx).map(|_| true),
        });
        if closed.await {
            client.link = None;
            until.await;
        }
    }
}

/// HTTP/1.1 over one connection after another.
#[derive(Debug)]
pub struct Http1 {
    address: SocketAddr,
    dialer: Option<Dialer>,
    link: Option<Link>,
    /// Requests after which the connection is closed.
    per_connection: Option<u32>,
}

impl Http1 {
    pub const fn new(address: SocketAddr, dialer: Option<Dialer>, per_connection: Option<u32>) -> Http1 {
        Http1 { address, dialer, link: None, per_connection }
    }

    async fn exchange(&mut self, template: &Template, number: u64) -> Result<Answered, Failure> {
        let mut request = template.request(number);
        // A kept connection may have been closed in the very moment in which it is used. What was provably not
        // written is written to a new one, as every client does.
        while let Some(mut link) = self.link.take() {
            match link.send(request).await {
                Ok(response) => return self.read(link, response).await,
                Err(Unsent::Returned(unsent)) => request = *unsent,
                Err(Unsent::Lost) => return Err(Failure::Reset),
            }
        }
        let mut link = Link::open(self.address, self.dialer.as_ref()).await?;
        match link.send(request).await {
            Ok(response) => self.read(link, response).await,
            Err(_) => Err(Failure::Reset),
        }
    }

    async fn read(&mut self, mut link: Link, response: Response<Incoming>) -> Result<Answered, Failure> {
        let answered = link.read(response).await?;
        link.served += 1;
        if self.per_connection.is_none_or(|most| link.served < most) {
            self.link = Some(link);
        }
        Ok(answered)
    }
}

#[derive(Debug)]
struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: http1::Connection<TokioIo<Io>, Full<Bytes>>,
    served: u32,
}

/// A request without an answer's head.
enum Unsent {
    /// Nothing of it was written.
    Returned(Box<Request>),
    /// Some of it may have been.
    Lost,
}

impl Link {
    async fn open(address: SocketAddr, dialer: Option<&Dialer>) -> Result<Link, Failure> {
        let io = connect(address, dialer).await?;
        let (sender, connection) = http1::handshake(io).await.map_err(|_| Failure::Connect)?;
        Ok(Link { sender, connection, served: 0 })
    }

    async fn send(&mut self, request: Request) -> Result<Response<Incoming>, Unsent> {
        let Link { sender, connection, .. } = self;
        if drive(connection, sender.ready()).await.is_err() {
            return Err(Unsent::Returned(Box::new(request)));
        }
        drive(connection, sender.try_send_request(request)).await.map_err(|mut failed| match failed.take_message() {
            Some(request) => Unsent::Returned(Box::new(request)),
            None => Unsent::Lost,
        })
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<Answered, Failure> {
        drive(&mut self.connection, read(response, false)).await
    }
}

async fn connect(address: SocketAddr, dialer: Option<&Dialer>) -> Result<TokioIo<Io>, Failure> {
    credentials::connect(address, dialer).await.map(TokioIo::new).map_err(|_| Failure::Connect)
}

/// Polls the connection in the task of its only user: no second task to wake.
async fn drive<T>(connection: &mut http1::Connection<TokioIo<Io>, Full<Bytes>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut ended = false;
    std::future::poll_fn(|cx| {
        // The work first sees what the connection has read, and hears of its end through its own result.
        ended = ended || Pin::new(&mut *connection).poll(cx).is_ready();
        work.as_mut().poll(cx)
    })
    .await
}

/// Reads an answer to its end. `grpc`: it is a success only with a status of 0, in the trailers or in the head.
async fn read(response: Response<Incoming>, grpc: bool) -> Result<Answered, Failure> {
    const STATUS: &str = "grpc-status";
    let status = response.status().as_u16();
    let mut outcome = response.headers().get(STATUS).cloned();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::Truncated)?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        outcome = frame.trailers_ref().and_then(|trailers| trailers.get(STATUS).cloned()).or(outcome);
    }
    match outcome {
        Some(code) if grpc && code != "0" => Err(Failure::GrpcStatus),
        None if grpc && status == 200 => Err(Failure::Truncated),
        Some(_) | None => Ok(Answered { status, bytes }),
    }
}

/// HTTP/2 over a connection that many clients share.
#[derive(Debug)]
pub struct Http2 {
    address: SocketAddr,
    dialer: Option<Dialer>,
    sender: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

impl Http2 {
    pub fn new(address: SocketAddr, dialer: Option<Dialer>) -> Http2 {
        Http2 { address, dialer, sender: Mutex::default() }
    }

    async fn exchange(&self, template: &Template, number: u64) -> Result<Answered, Failure> {
        let mut sender = self.sender().await?;
        sender.ready().await.map_err(|_| Failure::Reset)?;
        let response = sender.send_request(template.request(number)).await.map_err(|_| Failure::Reset)?;
        read(response, template.is_grpc()).await
    }

    /// The shared connection, opened anew where it has ended.
    async fn sender(&self) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
        let mut shared = self.sender.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let io = connect(self.address, self.dialer.as_ref()).await?;
        let (sender, connection) = http2::handshake(Spawner, io).await.map_err(|_| Failure::Connect)?;
        tokio::spawn(connection);
        *shared = Some(sender.clone());
        Ok(sender)
    }
}

/// Where hyper's HTTP/2 runs its tasks: the generator's runtime, which ends with the play.
#[derive(Clone, Copy, Debug)]
struct Spawner;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}
