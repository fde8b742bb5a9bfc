//! The model itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fixture, contract_suite};
use crate::idempotency::memory::MemoryStore;
use crate::idempotency::store::Store;
use crate::reliability::idempotency::Millis;

const RECORDS_MAX: usize = 100;

struct InMemory {
    store: Arc<MemoryStore>,
    now: Arc<AtomicU64>,
}

impl Fixture for InMemory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn advance(&self, ms: Millis) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    fn now(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
    }

    fn records_max(&self) -> Option<usize> {
        Some(RECORDS_MAX)
    }
}

async fn in_memory() -> Option<InMemory> {
    let now = Arc::new(AtomicU64::new(1_800_000_000_000));
    let clock = Arc::clone(&now);
    let store = MemoryStore::new(Arc::new(move || clock.load(Ordering::SeqCst)), RECORDS_MAX);
    Some(InMemory { store: Arc::new(store), now })
}

contract_suite!(in_memory);
