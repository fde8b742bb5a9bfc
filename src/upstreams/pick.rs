//! Which endpoint the next attempt goes to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Upstream;
use super::endpoint::{Endpoint, InFlight};
use super::set::EndpointSet;
use crate::policy::UpstreamPolicy;
use crate::random::Random;
use crate::reliability::Failure;
use crate::reliability::balance::{self, Balance, View};

/// A hashed key may load its endpoint this much above the average before it passes to the next one.
const BOUNDED_LOAD: f64 = 1.25;
/// Below this many attempts in flight an endpoint is never over-loaded.
const BOUNDED_LOAD_FLOOR: u32 = 8;

impl Upstream {
    /// Chooses an endpoint and counts an attempt to it. `used`: endpoints this request has tried.
    ///
    /// # Errors
    /// [`Failure::NoEndpoint`], or why the name does not resolve.
    pub fn pick(
        &self,
        policy: &UpstreamPolicy,
        hash_key: Option<&[u8]>,
        used: &[Arc<Endpoint>],
        now: Instant,
    ) -> Result<InFlight, Failure> {
        let set = self.set.load();
        set.refresh(now, &policy.ejection);
        let view = |i: usize| {
            let endpoint = &set.endpoints[i];
            endpoint.balance_view(now, used.iter().any(|u| Arc::ptr_eq(u, endpoint)))
        };
        let hashed = match (&set.ring, hash_key) {
            (Some(ring), Some(key)) => self.pick_hashed(&set, ring.order(key), view),
            _ => None,
        };
        let chosen = hashed.or_else(|| {
            // Without a key there is nothing to hash.
            let by = if policy.balance == Balance::Hash { Balance::PeakEwma } else { policy.balance };
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
            balance::pick(by, set.endpoints.len(), turn, view, &mut Random)
        });
        match chosen.and_then(|i| set.endpoints.get(i)) {
            Some(endpoint) => Ok(InFlight::begin(Arc::clone(endpoint))),
            None => Err(self.resolution_failure().unwrap_or(Failure::NoEndpoint)),
        }
    }

    fn pick_hashed(
        &self,
        set: &EndpointSet,
        order: impl Iterator<Item = usize>,
        view: impl Fn(usize) -> View,
    ) -> Option<usize> {
        let in_flight = f64::from(self.slots.counts().0);
        let bound = (BOUNDED_LOAD * in_flight / set.endpoints.len().max(1) as f64).ceil() as u32;
        let bound = bound.max(BOUNDED_LOAD_FLOOR);
        balance::first_available(order, |i| {
            let mut view = view(i);
            view.available &= view.pending < bound;
            view
        })
    }
}
