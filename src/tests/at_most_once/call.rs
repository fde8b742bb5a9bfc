//! Clients as Jepsen has them: every call is noted when it begins and when it ends, and an end that is not known is
//! `Info`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger::testing::{Answer, Client};

use super::counter;

/// One POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Caller and key.
    pub name: String,
    pub contract: Contract,
    /// Its number.
    pub ask: u64,
    pub invoked_us: u64,
    /// `u64::MAX`: it never did.
    pub returned_us: u64,
    pub outcome: Outcome,
    /// The dead letter of which it was told.
    pub letter: Option<String>,
}

/// What the upstream promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    Opaque,
    Atomic5xx,
    Dedupes,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Executed, and kept.
    Stored(Reply),
    /// The answer of a call before it.
    Replayed(Reply),
    /// Executed, and not known to be kept.
    StoreFailed(Reply),
    /// The outcome of this very call is unknown.
    BecameUnknown,
    /// That of a call before it is.
    SeenUnknown,
    /// Somebody else is at it.
    InFlight,
    /// Another request has the key.
    Mismatch,
    /// Not executed, and not kept.
    NotExecuted,
    /// Nothing is known.
    Info,
}

/// What of an answer must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub location: String,
    pub body: String,
}

impl Reply {
    /// What the upstream has answered with.
    pub fn value(&self) -> &str {
        self.location.trim_start_matches("/effects/")
    }
}

/// How a client leaves before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    MidHead,
    MidBody,
    AtOnce,
    Later,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: &'static str,
    pub contract: Contract,
    pub tenant: &'static str,
    pub key: String,
    pub acts: String,
    pub body: Arc<Vec<u8>>,
}

impl Request {
    pub fn name(&self) -> String {
        counter::name(self.tenant, &self.key)
    }

    /// Another one with the same key.
    pub fn rival(&self) -> Request {
        Request { body: Arc::new(b"another".to_vec()), ..self.clone() }
    }
}

/// Everything that was called.
pub struct History {
    pub begin: Instant,
    calls: Mutex<Vec<Call>>,
    asks: AtomicU64,
}

impl History {
    pub fn new() -> Arc<History> {
        Arc::new(History { begin: Instant::now(), calls: Mutex::default(), asks: AtomicU64::new(1) })
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic").clone()
    }

    /// POSTs sent so far.
    pub fn posts(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }

    /// Since the run began.
    pub fn now_us(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    /// One POST on a connection that is kept between calls. `None`: it could not even connect, so that nothing was
    /// asked.
    pub async fn call(&self, link: &mut Link, request: &Request, leave: Option<Leave>) -> Option<Outcome> {
        let client = link.client().await?;
        let ask = self.asks.fetch_add(1, Ordering::Relaxed);
        let invoked_us = self.now_us();
        let answer = exchange(client, request, ask, leave).await;
        let outcome = answer.as_ref().map_or(Outcome::Info, judge);
        let returned_us = if outcome == Outcome::Info { u64::MAX } else { self.now_us() };
        if answer.is_none() {
            link.drop_it(leave.is_some());
        }
        let (name, contract) = (request.name(), request.contract);
        let letter = answer.as_ref().and_then(|answer| answer.field("outrigger-dead-letter")).map(str::to_owned);
        let call = Call { name, contract, ask, invoked_us, returned_us, outcome: outcome.clone(), letter };
        self.calls.lock().expect("no panic").push(call);
        Some(outcome)
    }
}

/// A connection to one proxy.
pub struct Link {
    to: SocketAddr,
    client: Option<Client>,
}

impl Link {
    pub fn new(to: SocketAddr) -> Link {
        Link { to, client: None }
    }

    async fn client(&mut self) -> Option<&mut Client> {
        if self.client.is_none() {
            self.client = Client::try_connect(self.to).await.ok();
        }
        self.client.as_mut()
    }

    fn drop_it(&mut self, reset: bool) {
        if let Some(client) = self.client.take().filter(|_| reset) {
            client.reset_on_drop();
        }
    }
}

async fn exchange(client: &mut Client, request: &Request, ask: u64, leave: Option<Leave>) -> Option<Answer> {
    let Request { path, tenant, key, acts, body, .. } = request;
    let head = format!(
        "POST {path}?acts={acts} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"{key}\"\r\nX-Tenant: {tenant}\r\nX-Ask: {ask}\r\n\
         X-Name: {}\r\nContent-Length: {}\r\n\r\n",
        request.name(),
        body.len()
    );
    let whole = [head.as_bytes(), body].concat();
    let part = match leave {
        None | Some(Leave::AtOnce | Leave::Later) => whole.len(),
        Some(Leave::MidHead) => head.len() / 2,
        Some(Leave::MidBody) => head.len() + body.len() / 2,
    };
    client.try_send(&whole[..part]).await.ok()?;
    match leave {
        None => client.try_answer("POST").await.ok().flatten(),
        Some(Leave::Later) => {
            tokio::time::sleep(Duration::from_millis(ask % 20)).await;
            None
        }
        Some(_) => None,
    }
}

fn judge(answer: &Answer) -> Outcome {
    let reply = || Reply {
        status: answer.status,
        location: answer.field("location").unwrap_or_default().to_owned(),
        body: answer.text(),
    };
    let own = answer.field("content-type").is_some_and(|kind| kind.starts_with("application/problem"));
    match (answer.field("idempotency-status"), own) {
        (Some("stored"), false) => Outcome::Stored(reply()),
        (Some("replayed"), false) => Outcome::Replayed(reply()),
        (Some("store-failed"), false) => Outcome::StoreFailed(reply()),
        (Some("unknown"), true) if answer.status == 409 => Outcome::SeenUnknown,
        (Some("unknown"), _) => Outcome::BecameUnknown,
        (Some("in-flight"), true) => Outcome::InFlight,
        (Some("mismatch"), true) => Outcome::Mismatch,
        (Some("not-stored" | "store-failed"), _) => Outcome::NotExecuted,
        (None, true) if answer.status == 400 => Outcome::NotExecuted,
        // A process that ends says so; what became of the request it does not know.
        (None, _) if answer.status == 503 => Outcome::Info,
        (status, _) => panic!("an answer that nobody promised: {} {status:?}\n{}", answer.status, answer.text()),
    }
}
