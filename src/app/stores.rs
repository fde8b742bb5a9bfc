//! Opens the stores that a policy names, and keeps them open across policies.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::idempotency::embedded::{self, EmbeddedSettings, EmbeddedStore};
use crate::idempotency::redis::{RedisSettings, RedisStore};
use crate::idempotency::store::{Pending, StoreError};
use crate::idempotency::stores::Stores;
use crate::policy::idempotency::{Durability, EmbeddedPolicy, RedisPolicy, Stores as Wanted};
use crate::telemetry::events::Event;

/// A server that does not answer at start is asked again with each request; the start does not wait for it longer.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// An operator waits no longer for one answer of a store. The command line gives up after 5 s and asks for three.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// What is open, and by which words of the policy.
pub struct Open {
    state: Mutex<State>,
    data: Handle,
}

#[derive(Default)]
struct State {
    embedded: Option<(EmbeddedPolicy, Arc<EmbeddedStore>)>,
    redis: Option<(RedisPolicy, Arc<RedisStore>)>,
}

impl Open {
    /// Nothing is. `data`: the runtime of traffic, which talks to the stores.
    pub fn new(data: Handle) -> Open {
        Open { state: Mutex::default(), data }
    }

    /// Opens what is wanted and not open yet. A store that is not wanted any more closes with its last request.
    ///
    /// # Errors
    /// A sentence. What was open stays so.
    pub fn follow(&self, wanted: &Wanted) -> Result<Stores, String> {
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
            (Some(policy), _) => Some((policy.clone(), Arc::new(open_embedded(policy, &self.data)?))),
        };
        let redis = match (&wanted.redis, &state.redis) {
            (None, _) => None,
            (Some(policy), Some((open, store))) if open == policy => Some((policy.clone(), Arc::clone(store))),
            (Some(policy), _) => Some((policy.clone(), Arc::new(self.connect(policy)?))),
        };
        let stores = Stores {
            embedded: embedded.as_ref().map(|(_, store)| Arc::clone(store) as _),
            redis: redis.as_ref().map(|(_, store)| Arc::clone(store) as _),
        };
        *state = State { embedded, redis };
        Ok(stores)
    }

    /// Waits for a store, where blocking is allowed. It works as part of the runtime of traffic: a connection that is
    /// made meanwhile belongs there.
    ///
    /// # Errors
    /// The store's own; [`StoreError::TimedOut`] if it says nothing.
    pub fn wait<T>(&self, asked: Pending<'_, T>) -> Result<T, StoreError> {
        let bounded = async { tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or(Err(StoreError::TimedOut)) };
        self.data.block_on(bounded)
    }

    fn connect(&self, policy: &RedisPolicy) -> Result<RedisStore, String> {
        let mut settings = RedisSettings::new(policy.url.expose(), &policy.service);
        settings.timeout = policy.timeout;
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

fn open_embedded(policy: &EmbeddedPolicy, data: &Handle) -> Result<EmbeddedStore, String> {
    let mut settings = EmbeddedSettings::new(&policy.path);
    settings.bytes_max = policy.max_bytes;
    settings.runtime = Some(data.clone());
    settings.records_max = policy.max_records as usize;
    settings.durability = match policy.durability {
        Durability::Process => embedded::Durability::Process,
        Durability::Power => embedded::Durability::Power,
    };
    let (store, opened) = EmbeddedStore::open(&settings).map_err(|error| format!("stores.embedded: {error}"))?;
    let quarantined = opened.quarantined.map(|path| path.display().to_string()).unwrap_or_default();
    let (records, unknown) = (opened.live as u64, (opened.unknown + opened.retryable) as u64);
    Event::StoreOpened { store: "embedded", records, unknown, quarantined: &quarantined }.emit();
    Ok(store)
}
