//! Which endpoint the next attempt goes to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Upstream;
use super::endpoint::{Endpoint, InFlight};
use super::set::EndpointSet;
use super::zones::Zones;
use crate::policy::UpstreamPolicy;
use crate::random::Random;
use crate::reliability::balance::{self, Balance, View};
use crate::reliability::entropy::Entropy;
use crate::reliability::{Failure, zone};

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
        set.refresh(now, policy);
        let company = set.company(policy);
        let view = |i: usize| {
            let endpoint = &set.endpoints[i];
            endpoint.balance_view(now, used.iter().any(|u| Arc::ptr_eq(u, endpoint)), company)
        };
        let hashed = match (&set.ring, hash_key) {
            (Some(ring), Some(key)) => self.pick_hashed(&set, ring.order(key), view),
            _ => None,
        };
        let chosen = hashed.or_else(|| {
            // Without a key there is nothing to hash.
            let by = if policy.balance == Balance::Hash { Balance::PeakEwma } else { policy.balance };
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
            let near = set.zones.as_ref().and_then(|zones| self.pick_near(zones, by, turn, view, !used.is_empty()));
            near.or_else(|| balance::pick(by, set.endpoints.len(), turn, view, &mut Random))
        });
        match chosen.and_then(|i| set.endpoints.get(i)) {
            Some(endpoint) => Ok(InFlight::begin(Arc::clone(endpoint))),
            None => Err(self.resolution_failure().unwrap_or(Failure::NoEndpoint)),
        }
    }

    /// By zones. `None`: whoever is left is to be found among all. A retry leaves the zone: what failed there may be
    /// the zone.
    fn pick_near(
        &self,
        zones: &Zones,
        by: Balance,
        turn: usize,
        view: impl Fn(usize) -> View,
        retry: bool,
    ) -> Option<usize> {
        let pick = |places: &[usize]| {
            let among = |i: usize| view(places[i]);
            let chosen = balance::pick(by, places.len(), turn, among, &mut Random)?;
            let (at, seen) = (places[chosen], view(places[chosen]));
            (seen.available && !seen.used).then_some((at, seen))
        };
        let leaving = zones.leaving();
        let leaves = retry && !zones.elsewhere.is_empty() || leaving > 0.0 && Random.unit() < leaving;
        let here = if leaves { None } else { pick(&zones.local) };
        let there = |busy: Option<u32>| {
            // One of them, looked at by lot, says whether it is quieter there.
            let one = zones.elsewhere.get(Random.below(zones.elsewhere.len()))?;
            let quieter = busy.is_none_or(|here| zone::is_busier(here, view(*one).pending));
            quieter.then(|| pick(&zones.elsewhere)).flatten()
        };
        let (chosen, local) = match (here, there(here.map(|(_, seen)| seen.pending))) {
            (_, Some((at, _))) => (at, false),
            (Some((at, _)), None) => (at, true),
            (None, None) => (pick(&zones.local)?.0, true),
        };
        self.meters.zone(local);
        Some(chosen)
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
        let view = |i| {
            let mut view = view(i);
            view.available &= view.pending < bound;
            // A key stays with its endpoint from the first request on.
            view.weight = 1.0;
            view
        };
        balance::first_available(order, view, &mut Random)
    }
}
