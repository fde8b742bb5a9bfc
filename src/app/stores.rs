//! Opens the stores that a policy names, and keeps them open across policies.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::admin::control::Refused;
use crate::dead_letters::letter::Bounds;
use crate::dead_letters::seal::Keys;
use crate::idempotency::embedded::{EmbeddedSettings, EmbeddedStore};
use crate::idempotency::redis::{RedisSettings, RedisStore};
use crate::idempotency::store::StoreError;
use crate::idempotency::stores::{Letters, Stores};
use crate::policy::Policy;
use crate::policy::dead_letter::DeadLetterBounds;
use crate::policy::idempotency::{EmbeddedPolicy, RedisPolicy};
use crate::reliability::dead_letters::Cause;
use crate::telemetry::events::Event;
use crate::tls::Registry;

/// A server that does not answer at start is asked again with each request; the start does not wait for it longer.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// An operator waits no longer for one answer of a store. The command line gives up after 5 s and asks for three.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// …and no longer for several.
const ANSWERS_MAX: Duration = Duration::from_secs(4);

/// Kubernetes kills 2 s after SIGTERM once the grace period is used up. The disk gets most of that.
const SECURE_MAX: Duration = Duration::from_millis(1_500);

/// What is open, and by which words of the policy.
pub struct Open {
    state: Mutex<State>,
    data: Handle,
    tls: Arc<Registry>,
}

#[derive(Default)]
struct State {
    embedded: Option<(EmbeddedPolicy, Arc<EmbeddedStore>)>,
    redis: Option<(RedisPolicy, Arc<RedisStore>)>,
}

impl Open {
    /// Nothing is. `data`: the runtime of traffic, which talks to the stores; `tls`: what it trusts and presents.
    pub fn new(data: Handle, tls: Arc<Registry>) -> Open {
        Open { state: Mutex::default(), data, tls }
    }

    /// Opens what is wanted and not open yet. A store that is not wanted any more closes with its last request.
    ///
    /// # Errors
    /// A sentence. What was open stays so.
    pub fn follow(&self, policy: &Policy) -> Result<Stores, String> {
        let wanted = &policy.stores;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let embedded = match (&wanted.embedded, &state.embedded) {
            (None, _) => None,
            (Some(policy), Some((open, store))) if open == policy => Some((policy.clone(), Arc::clone(store))),
            (Some(policy), Some((open, _))) if open.path == policy.path => {
                return Err(format!(
                    "stores.embedded: {} is open with other bounds; they are read at start: restart to change them",
                    policy.path.display()
                ));
            }
            (Some(wanted), _) => Some((wanted.clone(), Arc::new(open_embedded(wanted, policy, &self.data)?))),
        };
        let letters = match (&embedded, &policy.dead_letters) {
            (Some((wanted, store)), Some(bounds)) => Some(letters(wanted, store, bounds)?),
            _ => None,
        };
        let redis = match (&wanted.redis, &state.redis) {
            (None, _) => None,
            (Some(policy), Some((open, store))) if open == policy => Some((policy.clone(), Arc::clone(store))),
            (Some(policy), _) => Some((policy.clone(), Arc::new(self.connect(policy)?))),
        };
        let stores = Stores {
            embedded: embedded.as_ref().map(|(_, store)| Arc::clone(store) as _),
            redis: redis.as_ref().map(|(_, store)| Arc::clone(store) as _),
            letters,
        };
        *state = State { embedded, redis };
        Ok(stores)
    }

    /// Waits for a store, where blocking is allowed. It works as part of the runtime of traffic: a connection that is
    /// made meanwhile belongs there.
    ///
    /// # Errors
    /// The store's own; [`StoreError::TimedOut`] if it says nothing.
    pub fn wait<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let bounded = async { tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or(Err(StoreError::TimedOut)) };
        self.data.block_on(bounded)
    }

    /// As `wait`, for what asks several times.
    ///
    /// # Errors
    /// A store says nothing for too long.
    pub fn wait_for<T>(&self, asked: impl Future<Output = T>) -> Result<T, Refused> {
        let bounded = async { tokio::time::timeout(ANSWERS_MAX, asked).await };
        let late = |_| Refused::Store("a store does not answer; whether the order took effect is not known".to_owned());
        self.data.block_on(bounded).map_err(late)
    }

    /// Brings what was acknowledged to the disk. False: not within its time. A store of replicas keeps its own.
    pub async fn secure(&self) -> bool {
        let embedded = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.embedded.as_ref().map(|(_, store)| Arc::clone(store))
        };
        let Some(store) = embedded else { return true };
        tokio::time::timeout(SECURE_MAX, store.secure()).await.unwrap_or(false)
    }

    /// The runtime of traffic.
    pub fn data(&self) -> &Handle {
        &self.data
    }

    fn connect(&self, policy: &RedisPolicy) -> Result<RedisStore, String> {
        let mut settings = RedisSettings::new(policy.url.expose(), &policy.service);
        settings.timeout = policy.timeout;
        let connector = |spec| self.tls.connector(&Arc::from("stores.redis"), spec);
        let tls = policy.tls.as_ref().map(connector).transpose();
        settings.tls = tls.map_err(|error| format!("stores.redis.tls: {error}"))?;
        // The connection belongs to the runtime that uses it, and this thread may belong to another one.
        let (tell, told) = mpsc::channel();
        self.data.spawn(async move {
            let _ = tell.send(RedisStore::connect(&settings).await);
        });
        let connected = told.recv_timeout(CONNECT_MAX).map_err(|_| "stores.redis: no answer in time".to_owned())?;
        let (store, connected) = connected.map_err(|error| format!("stores.redis: {error}"))?;
        if let Some(reason) = connected.degraded {
            Event::StoreDegraded { store: "redis", reason: &reason }.emit();
        }
        Ok(store)
    }
}

/// The letters in that file, with the bounds and the keys of this policy.
fn letters(wanted: &EmbeddedPolicy, store: &Arc<EmbeddedStore>, bounds: &DeadLetterBounds) -> Result<Letters, String> {
    let keys = match &bounds.key_file {
        Some(path) => Keys::read(path),
        None => Keys::beside(&wanted.path),
    };
    let keys = keys.map_err(|error| format!("deadLetter.keyFile: {error}"))?;
    store.set_letter_bounds(bounds_of(bounds));
    Ok(Letters { store: Arc::clone(store), keys: Arc::new(keys) })
}

fn bounds_of(bounds: &DeadLetterBounds) -> Bounds {
    Bounds {
        retention: bounds.retention,
        letters_max: bounds.max_letters.into(),
        bytes_max: bounds.max_bytes,
        share_max: bounds.max_share,
    }
}

/// Routes that keep letters, as records name them, with their queues.
fn letter_routes(policy: &Policy) -> HashMap<String, String> {
    let routes = policy.upstreams.iter().flat_map(|upstream| {
        upstream.routes.iter().filter_map(|route| {
            let keeps = route.dead_letter.as_ref().filter(|keeps| keeps.when.contains(&Cause::ProcessEnded))?;
            Some((format!("{}/{}", upstream.name, route.name), keeps.queue.to_string()))
        })
    });
    routes.collect()
}

fn open_embedded(policy: &EmbeddedPolicy, whole: &Policy, data: &Handle) -> Result<EmbeddedStore, String> {
    let mut settings = EmbeddedSettings::new(&policy.path);
    if let Some(bounds) = &whole.dead_letters {
        settings.letters = bounds_of(bounds);
        settings.letter_routes = letter_routes(whole);
    }
    settings.bytes_max = policy.max_bytes;
    settings.runtime = Some(data.clone());
    settings.records_max = policy.max_records as usize;
    settings.durability = policy.durability;
    let (store, opened) = EmbeddedStore::open(&settings).map_err(|error| format!("stores.embedded: {error}"))?;
    let quarantined = opened.quarantined.map(|path| path.display().to_string()).unwrap_or_default();
    if opened.letters_lost > 0 {
        let lost = opened.letters_lost;
        tracing::error!(
            lost,
            "dead letters of requests that were under way found no room: deadLetter.maxLetters, maxBytes"
        );
    }
    let (records, unknown) = (opened.live as u64, (opened.unknown + opened.retryable) as u64);
    Event::StoreOpened { store: "embedded", records, unknown, quarantined: &quarantined }.emit();
    Ok(store)
}
