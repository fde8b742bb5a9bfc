//! Steady arrivals, and a client that asks once.
//!
//! Open loop: requests leave when the clock says so, whether or not earlier ones are answered. A client that
//! waits for its answers would send least when the upstream is worst, and so hide the trouble.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::script::{Dependency, PATIENCE, SEED};
use crate::clock;
use crate::reliability::entropy::{Entropy, SplitMix};

/// Time between two arrivals: 200 a second over both dependencies. Each is sent both ways.
pub const EVERY: Duration = Duration::from_millis(5);
/// Requests in flight, both ways together. A multiple of what the rate and [`PATIENCE`] can need.
pub const IN_FLIGHT_MAX: usize = 1_024;
/// Idle connections kept per address.
const IDLE_MAX: usize = 128;

/// Which way a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To an upstream, by a client without any protection but a timeout.
    Direct,
    /// Through Outrigger.
    Outrigger,
}

/// A request that both ways have to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number among those that ask the same, from 0.
    pub turn: u64,
    /// Whom it asks.
    pub dependency: Dependency,
}

/// Every arrival, sent both ways at the same moment.
pub struct Traffic {
    client: Arc<Client>,
    arrivals: Arrivals,
    /// Endpoints by [`Dependency::index`]; asked in turn.
    direct: [Vec<SocketAddr>; 2],
    /// Outrigger's listeners by [`Dependency::index`].
    outrigger: [SocketAddr; 2],
    in_flight: JoinSet<Sample>,
    skipped: u64,
}

impl Traffic {
    /// Nothing is sent yet.
    pub fn new(direct: [Vec<SocketAddr>; 2], outrigger: [SocketAddr; 2]) -> Traffic {
        let (client, arrivals) = (Arc::default(), Arrivals::new());
        Traffic { client, arrivals, direct, outrigger, in_flight: JoinSet::new(), skipped: 0 }
    }

    /// Sends the next arrival. If too much is in flight it is skipped on both ways.
    pub fn send(&mut self) {
        let arrival = self.arrivals.draw();
        if self.in_flight.len() + 2 > IN_FLIGHT_MAX {
            self.skipped += 1;
            return;
        }
        let place = arrival.dependency.index();
        let endpoints = &self.direct[place];
        let endpoint = endpoints.get((arrival.turn % endpoints.len().max(1) as u64) as usize);
        let ways = [(Way::Direct, endpoint.copied()), (Way::Outrigger, Some(self.outrigger[place]))];
        for (way, to) in ways {
            if let Some(to) = to {
                let client = Arc::clone(&self.client);
                self.in_flight.spawn(async move { client.ask(way, to, arrival).await });
            }
        }
    }

    /// The next request that ended; None if none is in flight.
    pub async fn ended(&mut self) -> Option<Sample> {
        loop {
            match self.in_flight.join_next().await? {
                Ok(sample) => return Some(sample),
                // Requests are never cancelled and do not panic; if one did, its count would be missing on one
                // side only.
                Err(_) => self.skipped += 1,
            }
        }
    }

    /// Requests whose answer is still awaited.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Arrivals that could not be sent.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// The same arrivals in every run.
pub struct Arrivals {
    entropy: SplitMix,
    turns: [u64; 2],
}

impl Arrivals {
    /// From the first one.
    pub const fn new() -> Arrivals {
        Arrivals { entropy: SplitMix::new(SEED), turns: [0; 2] }
    }

    /// The next one.
    pub fn draw(&mut self) -> Arrival {
        let [one, other] = Dependency::ALL;
        let dependency = if self.entropy.unit() < 0.5 { one } else { other };
        let turns = &mut self.turns[dependency.index()];
        let turn = *turns;
        *turns += 1;
        Arrival { turn, dependency }
    }
}

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which way.
    pub way: Way,
    /// Whom it asked.
    pub dependency: Dependency,
    /// A complete 200 within [`PATIENCE`].
    pub succeeded: bool,
    /// How long the client waited.
    pub took: Duration,
}

/// A client with kept connections and a timeout, without retries.
#[derive(Default)]
pub struct Client {
    idle: Mutex<HashMap<SocketAddr, Vec<Link>>>,
}

impl Client {
    /// Asks once.
    pub async fn ask(&self, way: Way, to: SocketAddr, arrival: Arrival) -> Sample {
        let began = clock::now();
        let answered = tokio::time::timeout(PATIENCE, self.exchange(to, arrival)).await;
        let succeeded = matches!(answered, Ok(Some(StatusCode::OK)));
        let took = clock::now().saturating_duration_since(began);
        Sample { way, dependency: arrival.dependency, succeeded, took }
    }

    /// Asks once for `path`, as a request of this class. None = no complete answer in time.
    pub async fn ask_as(&self, class: &'static str, to: SocketAddr, path: &str) -> Option<StatusCode> {
        let request = Request::get(path).header(HOST, to.to_string()).header("X-Criticality", class);
        let asked = self.send(to, request.body(Body::default()).ok()?);
        tokio::time::timeout(PATIENCE, asked).await.ok()?
    }

    /// None = no complete answer.
    async fn exchange(&self, to: SocketAddr, arrival: Arrival) -> Option<StatusCode> {
        let request = Request::get(format!("{}/{}", arrival.dependency.path(), arrival.turn))
            .header(HOST, to.to_string())
            .body(Body::default())
            .ok()?;
        self.send(to, request).await
    }

    async fn send(&self, to: SocketAddr, request: Request<Body>) -> Option<StatusCode> {
        let mut link = match self.kept(to).await {
            Some(link) => link,
            None => Link::open(to).await?,
        };
        let status = link.exchange(request).await?;
        if link.connection.is_some() {
            self.keep(to, link);
        }
        Some(status)
    }

    async fn kept(&self, to: SocketAddr) -> Option<Link> {
        loop {
            let mut link = self.idle().get_mut(&to)?.pop()?;
            if link.is_usable().await {
                return Some(link);
            }
        }
    }

    fn keep(&self, to: SocketAddr, link: Link) {
        let mut idle = self.idle();
        let kept = idle.entry(to).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(link);
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Link>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Body = Full<Bytes>;

/// What a customer hears of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Of the answer.
    pub status: u16,
    /// `Idempotency-Status`, if there is one.
    pub key: Option<String>,
    /// Of the answer.
    pub body: String,
}

/// Pays once, over a connection of its own. None = no answer within `patience`.
pub async fn pay(to: SocketAddr, path: &str, key: &str, body: &str, patience: Duration) -> Option<Heard> {
    let request = Request::post(path)
        .header(HOST, to.to_string())
        .header("Idempotency-Key", format!("\"{key}\""))
        .body(Body::from(body.to_owned()))
        .ok()?;
    let asked = async {
        let Link { mut sender, connection } = Link::open(to).await?;
        let answer = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            let key = response.headers().get("idempotency-status").and_then(|word| word.to_str().ok());
            let key = key.map(str::to_owned);
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some(Heard { status, key, body: String::from_utf8_lossy(&body).into_owned() })
        };
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            heard = &mut answer => return heard,
            _ = connection? => {}
        }
        answer.await
    };
    tokio::time::timeout(patience, asked).await.ok().flatten()
}

/// A connection, driven by whoever uses it: no task of its own.
struct Link {
    sender: SendRequest<Body>,
    /// None once it has ended: held longer, it would swallow requests.
    connection: Option<Connection<TokioIo<TcpStream>, Body>>,
}

impl Link {
    async fn open(to: SocketAddr) -> Option<Link> {
        let stream = TcpStream::connect(to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        Some(Link { sender, connection: Some(connection) })
    }

    /// Whether the peer has left it open: one look, without waiting.
    async fn is_usable(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let ended = poll_fn(|context| Poll::Ready(Pin::new(&mut *connection).poll(context).is_ready())).await;
        !ended && self.sender.is_ready()
    }

    /// The status, if the answer came to its end.
    async fn exchange(&mut self, request: Request<Body>) -> Option<StatusCode> {
        let Link { sender, connection } = self;
        let answer = async {
            sender.ready().await.ok()?;
            let response = sender.send_request(request).await.ok()?;
            let status = response.status();
            response.into_body().collect().await.ok()?;
            Some(status)
        };
        let mut answer = pin!(answer);
        if let Some(driven) = connection.as_mut() {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                _ = driven => {}
            }
        }
        // The peer has closed. What it sent before still counts, and the rest becomes an error.
        *connection = None;
        answer.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Answer, Behaviour, FaultServer};

    #[test]
    fn arrivals_are_the_same_in_every_run_and_go_to_both_dependencies() {
        let draw = || {
            let mut arrivals = Arrivals::new();
            (0..1_000).map(|_| arrivals.draw()).collect::<Vec<_>>()
        };
        let drawn = draw();
        assert_eq!(drawn, draw());
        let catalog = drawn.iter().filter(|arrival| arrival.dependency == Dependency::Catalog).count();
        assert!((400..600).contains(&catalog), "{catalog}");
    }

    #[tokio::test]
    async fn only_a_complete_200_is_a_success_and_its_connection_is_kept() {
        let server = FaultServer::start(Answer::ok("yes")).await.unwrap();
        let (client, arrival) = (Client::default(), Arrival { turn: 7, dependency: Dependency::Catalog });
        for _ in 0..3 {
            assert!(client.ask(Way::Direct, server.address(), arrival).await.succeeded);
        }
        assert_eq!(server.observed().counts().accepted, 1);
        server.set(Answer::status(503));
        assert!(!client.ask(Way::Direct, server.address(), arrival).await.succeeded);
        server.set(Behaviour::stall());
        let sample = client.ask(Way::Direct, server.address(), arrival).await;
        assert!(!sample.succeeded && sample.took >= PATIENCE);
    }
}
