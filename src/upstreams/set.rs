//! The endpoints an upstream has right now, and whether ejection may be enforced among them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::endpoint::Endpoint;
use super::ring::Ring;
use crate::reliability::ejection::{self, EjectionPolicy, SetState};

/// One endpoint set. Replaced as a whole when addresses come or go; endpoints that stay are shared.
#[derive(Debug)]
pub struct EndpointSet {
    /// In address order.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Present where the policy hashes.
    pub ring: Option<Ring>,
    /// When this set came into force.
    pub since: Instant,
    trips: Trips,
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
    /// A set of `addresses`; endpoints that `old` had are kept.
    pub fn new(
        addresses: &[(SocketAddr, HeaderValue)],
        hash: bool,
        old: Option<&EndpointSet>,
        now: Instant,
    ) -> EndpointSet {
        let mut sorted: Vec<&(SocketAddr, HeaderValue)> = addresses.iter().collect();
        sorted.sort_by_key(|(addr, _)| *addr);
        sorted.dedup_by_key(|(addr, _)| *addr);
        let endpoints: Box<[Arc<Endpoint>]> = sorted
            .into_iter()
            .map(|(addr, authority)| {
                let known = old.and_then(|o| {
                    let at = o.endpoints.binary_search_by_key(addr, |e| e.addr).ok()?;
                    o.endpoints.get(at).filter(|e| e.authority == *authority)
                });
                known.map_or_else(|| Arc::new(Endpoint::new(*addr, authority.clone(), now)), Arc::clone)
            })
            .collect();
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|e| e.addr).collect();
        EndpointSet {
            ring: hash.then(|| Ring::new(&addresses)).flatten(),
            endpoints,
            since: now,
            trips: Trips {
                origin: now,
                counting: Mutex::new(()),
                // Endpoints that stay may be tripped: the first request counts.
                recount_at: AtomicU64::new(1),
                all_down_since: AtomicU64::new(0),
            },
        }
    }

    /// Whether so many endpoints are tripped that ejection is ignored.
    pub fn in_panic(&self, now: Instant) -> bool {
        let tripped = self.endpoints.iter().filter(|e| e.tripped_until(now).is_some()).count();
        ejection::set_state(tripped, self.endpoints.len()) == SetState::Panic
    }

    /// Lets endpoints back in whose trip has ended. One load when nothing is tripped.
    pub fn refresh(&self, now: Instant, policy: &EjectionPolicy) {
        let recount_at = self.trips.recount_at.load(Ordering::Acquire);
        if recount_at != 0 && self.nanos(now) >= recount_at {
            self.recount(now, policy);
        }
    }

    /// Decides anew which of the tripped endpoints sit out; called when one trips.
    pub fn recount(&self, now: Instant, policy: &EjectionPolicy) {
        // One count at a time: an older view stored last would let an endpoint sit out for good.
        let _one = self.trips.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let until: Vec<Option<Instant>> = self.endpoints.iter().map(|e| e.tripped_until(now)).collect();
        let (tripped, total) = (until.iter().flatten().count(), until.len());
        let mut places =
            if policy.observe { 0 } else { ejection::enforced(tripped, total, policy.max_ejected_percent) };
        for (endpoint, until) in self.endpoints.iter().zip(&until) {
            let ejected = until.is_some() && places > 0;
            places -= usize::from(ejected);
            endpoint.set_ejected(ejected);
        }
        let next = until.iter().flatten().min().map_or(0, |t| self.nanos(*t).max(1));
        self.trips.recount_at.store(next, Ordering::Release);
        if tripped < total || total == 0 {
            self.trips.all_down_since.store(0, Ordering::Release);
        } else if self.trips.all_down_since.load(Ordering::Acquire) == 0 {
            self.trips.all_down_since.store(self.nanos(now).max(1), Ordering::Release);
        }
    }

    /// Whether `endpoint` would sit out now, were ejection enforced.
    pub fn would_eject(&self, endpoint: &Endpoint, now: Instant, policy: &EjectionPolicy) -> bool {
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

    /// Median failure percent of the endpoints other than `except`; `None` below three endpoints.
    pub fn peer_failure_percent(&self, except: &Endpoint, now: Instant) -> Option<f64> {
        if self.endpoints.len() < 3 {
            return None;
        }
        let mut percents: Vec<f64> = self
            .endpoints
            .iter()
            .filter(|e| !std::ptr::eq(Arc::as_ptr(e), except))
            .map(|e| e.failure_percent(now).1)
            .collect();
        percents.sort_by(f64::total_cmp);
        percents.get(percents.len() / 2).copied()
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.trips.origin).as_nanos() as u64
    }
}
