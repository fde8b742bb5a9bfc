//! What every store must do.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::{BEGIN, on_a_clock, set_clock};
use super::*;
use crate::idempotency::contract::{Fixture, contract_suite};

struct OnRedis {
    store: Arc<RedisStore>,
    now: AtomicU64,
    /// Ends with the case.
    _server: RedisServer,
}

impl Fixture for OnRedis {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn advance(&self, ms: Millis) {
        let now = self.now.fetch_add(ms, Ordering::Relaxed) + ms;
        set_clock(&self.store, now).await;
    }

    fn now(&self) -> Millis {
        self.now.load(Ordering::Relaxed)
    }
}

async fn on_redis() -> Option<OnRedis> {
    let server = RedisServer::start().await;
    Some(OnRedis { store: Arc::new(on_a_clock(&server).await), now: AtomicU64::new(BEGIN), _server: server })
}

contract_suite!(on_redis);
