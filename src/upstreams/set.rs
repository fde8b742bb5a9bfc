//! The endpoints an upstream has right now: who of them sits out, who starts slowly, and which are of our zone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::endpoint::{Endpoint, Place};
use super::ring::Ring;
use super::warming::Warming;
use super::zones::Zones;
use crate::policy::UpstreamPolicy;
use crate::policy::endpoints::ZonePolicy;
use crate::reliability::balance::Company;
use crate::reliability::ejection::{self, SetState};
use crate::reliability::health;

/// What a policy says of how a set is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Requests are hashed.
    pub hash: bool,
    /// Whose zone is whose.
    pub zones: Option<Arc<ZonePolicy>>,
}

/// One endpoint set. Replaced as a whole when addresses come or go; endpoints that stay are shared.
#[derive(Debug)]
pub struct EndpointSet {
    /// In address order.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Present where the policy hashes.
    pub ring: Option<Ring>,
    /// Present where the policy knows zones.
    pub zones: Option<Zones>,
    /// How it is laid out.
    pub shape: Shape,
    /// When this set came into force.
    pub since: Instant,
    trips: Trips,
    warming: Warming,
}

/// Which endpoints sit out, counted anew only when one trips or a trip may have ended.
#[derive(Debug)]
struct Trips {
    origin: Instant,
    counting: Mutex<()>,
    /// Nanoseconds since `origin` at which a trip ends; 0 = nothing is tripped.
    recount_at: AtomicU64,
    /// Nanoseconds since `origin` since when every endpoint has been tripped; 0 = not so.
    all_down_since: AtomicU64,
}

impl EndpointSet {
    /// A set of `addresses`; endpoints that `old` had are kept, and where it had any, those that come start slowly.
    /// `seed`: what they are assumed to need for an answer.
    pub fn new(
        addresses: &[(SocketAddr, HeaderValue)],
        shape: &Shape,
        old: Option<&EndpointSet>,
        seed: Option<Duration>,
        now: Instant,
    ) -> EndpointSet {
        let mut sorted: Vec<&(SocketAddr, HeaderValue)> = addresses.iter().collect();
        sorted.sort_by_key(|(addr, _)| *addr);
        sorted.dedup_by_key(|(addr, _)| *addr);
        let serves = old.is_some_and(|old| !old.endpoints.is_empty());
        let come = |addr: &SocketAddr, authority: &HeaderValue| {
            let endpoint = Endpoint::new(*addr, authority.clone(), seed, now);
            if serves {
                endpoint.start_slowly(now);
            }
            Arc::new(endpoint)
        };
        let endpoints: Box<[Arc<Endpoint>]> = sorted
            .into_iter()
            .map(|(addr, authority)| {
                let known = old.and_then(|o| {
                    let at = o.endpoints.binary_search_by_key(addr, |e| e.addr).ok()?;
                    o.endpoints.get(at).filter(|e| e.authority == *authority)
                });
                known.map_or_else(|| come(addr, authority), Arc::clone)
            })
            .collect();
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|e| e.addr).collect();
        EndpointSet {
            ring: shape.hash.then(|| Ring::new(&addresses)).flatten(),
            zones: shape.zones.as_ref().map(|zones| Zones::new(zones, &addresses)),
            shape: shape.clone(),
            endpoints,
            since: now,
            trips: Trips {
                origin: now,
                counting: Mutex::new(()),
                // Endpoints that stay may be tripped: the first request counts.
                recount_at: AtomicU64::new(1),
                all_down_since: AtomicU64::new(0),
            },
            warming: Warming::default(),
        }
    }

    /// Whether so many endpoints are tripped that ejection is ignored.
    pub fn in_panic(&self, now: Instant) -> bool {
        let ill = |e: &&Arc<Endpoint>| e.tripped_until(now).is_some() || e.place() == Place::Failing;
        let tripped = self.endpoints.iter().any(|e| e.tripped_until(now).is_some());
        let ill = self.endpoints.iter().filter(ill).count();
        tripped && ejection::set_state(ill, self.endpoints.len()) == SetState::Panic
    }

    /// Whether so many endpoints fail their health checks that these are ignored.
    pub fn ignores_checks(&self, policy: &UpstreamPolicy) -> bool {
        if policy.health_check.as_ref().is_none_or(|check| check.observe) {
            return false;
        }
        let failing = self.endpoints.iter().filter(|e| e.fails_checks()).count();
        failing > 0 && ejection::set_state(failing, self.endpoints.len()) == SetState::Panic
    }

    /// Lets endpoints back in whose trip has ended. Two loads when nothing is tripped and nobody starts slowly.
    pub fn refresh(&self, now: Instant, policy: &UpstreamPolicy) {
        let recount_at = self.trips.recount_at.load(Ordering::Acquire);
        if recount_at != 0 && self.nanos(now) >= recount_at {
            self.recount(now, policy);
        }
        if self.warming.is_due(self.nanos(now)) {
            self.warm(now, policy);
        }
    }

    /// Who starts slowly, in the company of the others; `None`: nobody does.
    pub fn company(&self, policy: &UpstreamPolicy) -> Option<(Company, Duration)> {
        Some((self.warming.company()?, policy.slow_start?))
    }

    fn warm(&self, now: Instant, policy: &UpstreamPolicy) {
        let Some(window) = policy.slow_start else { return self.warming.end() };
        // Whoever counts at this moment has a reason to come back.
        let Ok(_one) = self.trips.counting.try_lock() else { return };
        let ramps = self.endpoints.iter().filter(|e| e.place() == Place::In).map(|e| e.ramp(now, window));
        self.warming.look(ramps, self.nanos(now), window);
    }

    /// Has the next request decide anew who sits out.
    pub fn recount_soon(&self) {
        let _one = self.trips.counting.lock().unwrap_or_else(PoisonError::into_inner);
        self.trips.recount_at.store(1, Ordering::Release);
    }

    /// Decides anew which endpoints sit out; called when one trips.
    pub fn recount(&self, now: Instant, policy: &UpstreamPolicy) {
        // One count at a time: an older view stored last would let an endpoint sit out for good.
        let _one = self.trips.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let until: Vec<Option<Instant>> = self.endpoints.iter().map(|e| e.tripped_until(now)).collect();
        let checked = policy.health_check.as_ref().is_some_and(|check| !check.observe);
        let failing: Vec<bool> = self.endpoints.iter().map(|e| checked && e.fails_checks()).collect();
        let (tripped, total) = (until.iter().flatten().count(), until.len());
        let (heeded, mut places) = self.bench(&until, &failing, policy);
        for ((endpoint, until), fails) in self.endpoints.iter().zip(&until).zip(&failing) {
            let place = match (heeded && *fails, until.is_some() && places > 0) {
                (true, _) => Place::Failing,
                (false, true) => Place::Ejected,
                (false, false) => Place::In,
            };
            places -= usize::from(place == Place::Ejected);
            // Who is let in because too many are out is needed as it is.
            if endpoint.set_place(place) && until.is_none() && !fails {
                endpoint.start_slowly(now);
                self.warming.begin();
            }
        }
        let next = until.iter().flatten().min().map_or(0, |t| self.nanos(*t).max(1));
        self.trips.recount_at.store(next, Ordering::Release);
        if tripped < total || total == 0 {
            self.trips.all_down_since.store(0, Ordering::Release);
        } else if self.trips.all_down_since.load(Ordering::Acquire) == 0 {
            self.trips.all_down_since.store(self.nanos(now).max(1), Ordering::Release);
        }
        if let Some(zones) = &self.zones {
            zones.weigh(&self.endpoints);
        }
    }

    /// Whether checks are heeded, and how many of those that pass them are ejected.
    fn bench(&self, until: &[Option<Instant>], failing: &[bool], policy: &UpstreamPolicy) -> (bool, usize) {
        let most = policy.ejection.max_ejected_percent;
        let count = |tripped: usize| if policy.ejection.observe { 0 } else { tripped };
        let fail = failing.iter().filter(|fails| **fails).count();
        let passing = until.iter().zip(failing).filter(|(until, fails)| until.is_some() && !**fails).count();
        let heeding = health::bench(fail, count(passing), until.len(), most);
        if heeding.failing || fail == 0 {
            return (heeding.failing, heeding.ejected);
        }
        // Ignored, checks speak neither for nor against anybody.
        let tripped = until.iter().flatten().count();
        (false, health::bench(0, count(tripped), until.len(), most).ejected)
    }

    /// Whether `endpoint` would sit out now, were ejection enforced.
    pub fn would_eject(&self, endpoint: &Endpoint, now: Instant, policy: &ejection::EjectionPolicy) -> bool {
        let tripped: Vec<&Arc<Endpoint>> =
            self.endpoints.iter().filter(|other| other.tripped_until(now).is_some()).collect();
        let places = ejection::enforced(tripped.len(), self.endpoints.len(), policy.max_ejected_percent);
        tripped.iter().take(places).any(|other| other.addr == endpoint.addr)
    }

    /// An endpoint answered well: not all of them are down.
    pub fn on_success(&self) {
        if self.trips.all_down_since.load(Ordering::Relaxed) != 0 {
            self.trips.all_down_since.store(0, Ordering::Release);
        }
    }

    /// How long every endpoint has been tripped without a success meanwhile.
    pub fn all_down_for(&self, now: Instant) -> Option<Duration> {
        match self.trips.all_down_since.load(Ordering::Acquire) {
            0 => None,
            since => Some(Duration::from_nanos(self.nanos(now).saturating_sub(since))),
        }
    }

    /// Median failure percent of the endpoints other than `except`; `None` below three endpoints, and where the others
    /// have no samples.
    pub fn peer_failure_percent(&self, except: &Endpoint, now: Instant) -> Option<f64> {
        if self.endpoints.len() < 3 {
            return None;
        }
        let peers = self.endpoints.iter().filter(|e| !std::ptr::eq(Arc::as_ptr(e), except));
        ejection::peer_median(peers.map(|e| e.failure_percent(now)))
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.trips.origin).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests;
