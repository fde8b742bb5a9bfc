//! The one connection that all commands share: made when a command needs it, given up when it is dead.
//!
//! There is no task: an attempt to connect is driven by the commands that wait for it, and outlives each of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::time::{Instant as TokioInstant, timeout_at};

use super::super::store::StoreError;
use super::RedisSettings;
use super::dial::Dial;
use super::handshake::{Opened, Terms, open};
use super::trouble::Trouble;
use crate::clock;
use crate::random::Random;
use crate::reliability::backoff::{Backoff, Jitter};

/// A connection on which commands time out for so long, and not one is answered, leads nowhere: a host that is gone
/// says nothing. A server that is only slow gets the time to come back.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A connection that lasted so long was a good one: its end is no reason to wait before the next.
const STABLE: Duration = Duration::from_secs(1);

/// Between attempts to connect.
const BACKOFF_BASE: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(1);

/// A connection in use.
pub(super) struct Link {
    connection: MultiplexedConnection,
    degraded: Option<String>,
    since: Instant,
    /// When the first command timed out after which none was answered.
    silent_since: Mutex<Option<Instant>>,
}

/// Makes links.
pub(super) struct Connector {
    dial: Dial,
    terms: Arc<Terms>,
    configured_secret: Option<[u8; 32]>,
    connect_timeout: Duration,
    backoff: Backoff,
    state: Mutex<State>,
    attempt: tokio::sync::Mutex<Option<Attempt>>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    secret: Option<[u8; 32]>,
    /// In a row, of attempts and of links that did not last.
    failures: u32,
    not_before: Option<Instant>,
    why: String,
    /// The log says so.
    told: bool,
}

struct Attempt {
    since: Instant,
    opening: Pin<Box<dyn Future<Output = Result<Opened, String>> + Send>>,
}

impl Connector {
    /// Does not connect yet.
    pub(super) fn new(settings: &RedisSettings, secret_key: String) -> Result<Connector, StoreError> {
        let dial = Dial::new(&settings.url, settings.tls.as_ref(), settings.connect_timeout);
        Ok(Connector {
            dial: dial.map_err(StoreError::Unavailable)?,
            terms: Arc::new(Terms {
                require_noeviction: settings.require_noeviction,
                secret_key: settings.secret.is_none().then_some(secret_key),
                in_flight_max: settings.in_flight_max.max(1),
            }),
            configured_secret: settings.secret,
            connect_timeout: settings.connect_timeout,
            backoff: Backoff { base: BACKOFF_BASE, cap: BACKOFF_CAP, jitter: Jitter::Equal, ..Backoff::default() },
            state: Mutex::default(),
            attempt: tokio::sync::Mutex::default(),
        })
    }

    /// The connection, after the checks that every new one has to pass.
    pub(super) async fn link(&self, deadline: Instant) -> Result<Arc<Link>, StoreError> {
        let current = self.state().link.clone();
        if let Some(link) = current {
            return Ok(link);
        }
        match timeout_at(TokioInstant::from_std(deadline), self.join_attempt()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.give_up_old_attempt();
                // Nothing was sent, which is more than a time-out says.
                Err(StoreError::Unavailable("no connection to the server yet".to_owned()))
            }
        }
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn ask(&self, link: &Arc<Link>, command: &Cmd, deadline: Instant) -> Result<Value, Trouble> {
        let mut connection = link.connection.clone();
        let asked = timeout_at(TokioInstant::from_std(deadline), connection.send_packed_command(command)).await;
        let Ok(answer) = asked else {
            let now = clock::now();
            let since = *locked(&link.silent_since).get_or_insert(now);
            if now.saturating_duration_since(since) >= SILENCE_MAX {
                self.discard(link, "the server does not answer");
            }
            return Err(Trouble::Final(StoreError::TimedOut));
        };
        let trouble = match answer.and_then(Value::extract_error) {
            Ok(value) => {
                *locked(&link.silent_since) = None;
                return Ok(value);
            }
            Err(error) => Trouble::of(&error),
        };
        match &trouble {
            Trouble::Lost(why) | Trouble::Misplaced(why) => self.discard(link, why),
            Trouble::NoScript | Trouble::Final(_) => *locked(&link.silent_since) = None,
        }
        Err(trouble)
    }

    /// As configured, or as the replicas agreed.
    pub(super) async fn secret(&self, deadline: Instant) -> Result<[u8; 32], StoreError> {
        let known = || self.configured_secret.or(self.state().secret);
        if let Some(secret) = known() {
            return Ok(secret);
        }
        self.link(deadline).await?;
        known().ok_or_else(|| StoreError::Unavailable("the replicas have not agreed on a secret".to_owned()))
    }

    /// What is wrong.
    pub(super) fn degraded(&self) -> Option<String> {
        let state = self.state();
        match &state.link {
            Some(link) => link.degraded.clone(),
            None => (!state.why.is_empty()).then(|| state.why.clone()),
        }
    }

    /// Waits for the attempt to connect, and begins one if there is none and it is time.
    async fn join_attempt(&self) -> Result<Arc<Link>, StoreError> {
        let mut attempt = self.attempt.lock().await;
        let known = {
            let state = self.state();
            if let Some(link) = &state.link {
                // Made while this one waited.
                return Ok(Arc::clone(link));
            }
            let early = state.not_before.is_some_and(|moment| clock::now() < moment);
            if attempt.is_none() && early {
                return Err(StoreError::Unavailable(state.why.clone()));
            }
            state.secret
        };
        let running = attempt.get_or_insert_with(|| {
            let (dial, terms) = (self.dial.clone(), Arc::clone(&self.terms));
            Attempt { since: clock::now(), opening: Box::pin(async move { open(&dial, &terms, known).await }) }
        });
        let outcome = running.opening.as_mut().await;
        *attempt = None;
        match outcome {
            Ok(opened) => Ok(self.established(opened)),
            Err(why) => Err(self.failed(why)),
        }
    }

    /// An attempt that makes no way must not be waited for by everybody who comes.
    fn give_up_old_attempt(&self) {
        // Whoever else waits for it has it locked, and will come here.
        let Ok(mut attempt) = self.attempt.try_lock() else { return };
        let age = attempt.as_ref().map(|attempt| clock::now().saturating_duration_since(attempt.since));
        if age.is_some_and(|age| age >= self.connect_timeout) {
            *attempt = None;
            self.failed("the server cannot be reached in time".to_owned());
        }
    }

    fn established(&self, opened: Opened) -> Arc<Link> {
        let link = Arc::new(Link {
            connection: opened.connection,
            degraded: opened.degraded,
            since: clock::now(),
            silent_since: Mutex::default(),
        });
        let mut state = self.state();
        let lost = state.secret.is_some() && state.secret != opened.secret;
        state.secret = opened.secret;
        state.link = Some(Arc::clone(&link));
        state.not_before = None;
        state.why.clear();
        let told = std::mem::take(&mut state.told);
        drop(state);
        if told {
            tracing::info!(event = "store-available", "the store of idempotency records is available");
        }
        if lost {
            tracing::warn!(event = "store-lost", "the server has lost the store's secret, and the records with it");
        }
        if let Some(reason) = &link.degraded {
            tracing::warn!(event = "store-degraded", reason, "the store of idempotency records promises less");
        }
        link
    }

    fn failed(&self, why: String) -> StoreError {
        let mut state = self.state();
        let told = std::mem::replace(&mut state.told, true);
        state.not_before = Some(clock::now() + self.backoff.delay(state.failures, false, None, &mut Random));
        state.failures = state.failures.saturating_add(1);
        state.why.clone_from(&why);
        drop(state);
        if !told {
            tracing::warn!(event = "store-unavailable", why, "the store of idempotency records is not available");
        }
        StoreError::Unavailable(why)
    }

    fn discard(&self, link: &Arc<Link>, why: &str) {
        let mut state = self.state();
        if !state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            // Another command was first, and there may be a new link already.
            return;
        }
        let now = clock::now();
        state.link = None;
        why.clone_into(&mut state.why);
        if now.saturating_duration_since(link.since) >= STABLE {
            state.failures = 0;
        }
        // Once is an accident. A server that accepts connections and ends them at once is not asked all the time.
        if let Some(earlier) = state.failures.checked_sub(1) {
            state.not_before = Some(now + self.backoff.delay(earlier, false, None, &mut Random));
        }
        state.failures = state.failures.saturating_add(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
