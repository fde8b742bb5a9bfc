//! The store that replicas share: Redis or Valkey, one hash per record and one script per operation.
//!
//! A script runs alone on the server and reads the server's clock, so that replicas agree about order and time
//! whatever their own clocks say. Each operation is one round trip.
//!
//! What the embedded store promises holds here across replicas, as long as the server loses no write that it has
//! acknowledged. A failover may lose the last ones, `appendfsync everysec` the last second, FLUSHALL everything.
//! Eviction would lose records silently, so that a server which evicts is refused.

mod connector;
mod dial;
mod handshake;
mod replies;
mod scripts;
mod trouble;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::sync::Semaphore;

use self::connector::Connector;
use self::scripts::{Call, Scripts};
use self::trouble::Trouble;
use super::store::{Answered, Command, Pending, Shown, Store, StoreError};
use crate::clock;
use crate::reliability::idempotency::RecordId;
use crate::tls;

/// Longest name of a service in keys.
const SERVICE_BYTES_MAX: usize = 128;

/// Where the server is, and what is expected of it. Not printable: the URL may hold a password.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user][:password@]host[:port][/database]`, `rediss://…` with `tls`, or `unix:///path`.
    pub url: String,
    /// Who is believed and what is presented; with `rediss://`, and only with it.
    pub tls: Option<Arc<tls::Connector>>,
    /// Part of every key; the same for all replicas.
    pub service: String,
    /// What record ids are hashed with, the same for all replicas. `None`: they agree on one through the server.
    pub secret: Option<[u8; 32]>,
    /// How long one command may take, connecting included.
    pub timeout: Duration,
    /// How long one attempt to connect may take; commands do not wait that long.
    pub connect_timeout: Duration,
    /// Commands at once; more are refused.
    pub in_flight_max: usize,
    /// Refuse a server that would evict records when its memory is full.
    pub require_noeviction: bool,
}

impl RedisSettings {
    /// The defaults for a server in the same network.
    pub fn new(url: &str, service: &str) -> RedisSettings {
        RedisSettings {
            url: url.to_owned(),
            tls: None,
            service: service.to_owned(),
            secret: None,
            timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
            in_flight_max: 512,
            require_noeviction: true,
        }
    }
}

/// What is known after the first attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Why the store does not work (yet), or promises less than it should.
    pub degraded: Option<String>,
}

/// Records on a server.
pub struct RedisStore {
    connector: Connector,
    scripts: Scripts,
    service: String,
    permits: Semaphore,
    timeout: Duration,
}

impl RedisStore {
    /// Checks the settings and tries to connect. A server that cannot be reached or used is no error: its commands
    /// are [`StoreError::Unavailable`] until it can, and connections are made anew as commands ask for them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for settings that can never work.
    pub async fn connect(settings: &RedisSettings) -> Result<(RedisStore, Connected), StoreError> {
        let service = settings.service.clone();
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        if service.is_empty() || service.len() > SERVICE_BYTES_MAX || !service.bytes().all(fits) {
            let why = "the name of the service must be 1 to 128 visible ASCII characters without braces";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        let store = RedisStore {
            connector: Connector::new(settings, format!("outrigger:{{{service}}}:secret"))?,
            scripts: Scripts::default(),
            service,
            permits: Semaphore::new(settings.in_flight_max.clamp(1, Semaphore::MAX_PERMITS)),
            timeout: settings.timeout,
        };
        let degraded = match store.connector.link(clock::now() + settings.connect_timeout).await {
            Ok(_) => store.degraded(),
            Err(error) => Some(error.to_string()),
        };
        Ok((store, Connected { degraded }))
    }

    /// Why the store does not work at the moment, or promises less than it should.
    pub fn degraded(&self) -> Option<String> {
        self.connector.degraded()
    }

    fn deadline(&self) -> Instant {
        clock::now() + self.timeout
    }

    /// The braces make that one node of a cluster has all of a record. One key for each script.
    fn key(&self, id: RecordId) -> String {
        let mut key = format!("outrigger:{{{}:", self.service);
        for byte in id.0 {
            // A String takes whatever is written.
            let _ = write!(key, "{byte:02x}");
        }
        key.push('}');
        key
    }

    async fn run(&self, id: RecordId, call: Call<'_>) -> Result<Value, StoreError> {
        let Ok(_permit) = self.permits.try_acquire() else { return Err(StoreError::Busy) };
        let (key, deadline) = (self.key(id), self.deadline());
        let outcome = match self.once(&key, &call, deadline).await {
            // It died under the command, or before and nobody knew. Every command may be repeated.
            Err(Trouble::Lost(_)) => self.once(&key, &call, deadline).await,
            outcome => outcome,
        };
        outcome.map_err(Trouble::into_error)
    }

    async fn once(&self, key: &str, call: &Call<'_>, deadline: Instant) -> Result<Value, Trouble> {
        let link = self.connector.link(deadline).await.map_err(Trouble::Final)?;
        match self.connector.ask(&link, &call.by_hash(key), deadline).await {
            Err(Trouble::NoScript) => self.connector.ask(&link, &call.by_text(key), deadline).await,
            outcome => outcome,
        }
    }
}

impl Store for RedisStore {
    fn secret(&self) -> Pending<'_, [u8; 32]> {
        // As configured, or what the replicas have agreed on through the server. It changes only if the server has
        // lost it, and all records with it.
        Box::pin(self.connector.secret(self.deadline()))
    }

    fn apply(&self, command: Command) -> Pending<'_, Answered> {
        Box::pin(async move {
            let id = command.id;
            replies::answered(self.run(id, self.scripts.apply(command)).await?)
        })
    }

    fn show(&self, id: RecordId) -> Pending<'_, Option<Shown>> {
        Box::pin(async move { replies::shown(self.run(id, self.scripts.show()).await?) })
    }
}

#[cfg(test)]
mod tests;
