//! Which endpoints of a set are of our zone, and how many requests leave it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::endpoint::{Endpoint, Place};
use crate::policy::endpoints::ZonePolicy;
use crate::reliability::zone;

/// A set, by zone.
#[derive(Debug)]
pub struct Zones {
    /// Places of our own zone's endpoints.
    pub local: Box<[usize]>,
    /// Places of the others, those of no zone included.
    pub elsewhere: Box<[usize]>,
    min_healthy_percent: f64,
    /// Share of requests that leave, as bits.
    leaving: AtomicU64,
}

impl Zones {
    /// `addresses` in the order of the set.
    pub fn new(policy: &ZonePolicy, addresses: &[SocketAddr]) -> Zones {
        let numbered = || addresses.iter().enumerate();
        let local: Box<[usize]> = numbered().filter(|(_, a)| policy.is_local(a.ip())).map(|(at, _)| at).collect();
        let elsewhere: Box<[usize]> = numbered().filter(|(_, a)| !policy.is_local(a.ip())).map(|(at, _)| at).collect();
        let min_healthy_percent = policy.min_healthy_percent();
        let leaving = zone::leaving(local.len(), local.len(), elsewhere.len(), min_healthy_percent);
        Zones { local, elsewhere, min_healthy_percent, leaving: AtomicU64::new(leaving.to_bits()) }
    }

    /// Takes in who takes traffic.
    pub fn weigh(&self, endpoints: &[Arc<Endpoint>]) {
        let well = |places: &[usize]| {
            let takes = |at: &&usize| endpoints.get(**at).is_some_and(|endpoint| endpoint.place() == Place::In);
            places.iter().filter(takes).count()
        };
        let (here, there) = (well(&self.local), well(&self.elsewhere));
        let leaving = zone::leaving(here, self.local.len(), there, self.min_healthy_percent);
        self.leaving.store(leaving.to_bits(), Ordering::Relaxed);
    }

    /// Share of requests that leave.
    pub fn leaving(&self) -> f64 {
        f64::from_bits(self.leaving.load(Ordering::Relaxed))
    }
}
