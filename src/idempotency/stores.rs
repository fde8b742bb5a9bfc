//! The stores that are open.

use std::sync::Arc;

use super::embedded::EmbeddedStore;
use super::store::Store;
use crate::dead_letters::seal::Keys;
use crate::policy::idempotency::StoreKind;

/// By the word in the policy. A store stays open for as long as a policy names it, or a request uses it.
#[derive(Clone, Default)]
pub struct Stores {
    /// Beside this process.
    pub embedded: Option<Arc<dyn Store>>,
    /// Shared by replicas.
    pub redis: Option<Arc<dyn Store>>,
    /// Where dead letters are kept. They are always beside this process: a letter must not depend on the network.
    pub letters: Option<Letters>,
}

/// Where dead letters are kept, and what seals them.
#[derive(Clone)]
pub struct Letters {
    /// The file of records holds them, too.
    pub store: Arc<EmbeddedStore>,
    /// Not in that file.
    pub keys: Arc<Keys>,
}

impl Stores {
    /// The store of this kind, if it is open.
    pub fn of(&self, kind: StoreKind) -> Option<&Arc<dyn Store>> {
        match kind {
            StoreKind::Embedded => self.embedded.as_ref(),
            StoreKind::Redis => self.redis.as_ref(),
        }
    }
}
