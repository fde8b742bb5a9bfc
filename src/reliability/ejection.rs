//! Endpoint ejection: an endpoint that keeps failing sits out, longer each time.
//!
//! An endpoint **trips** by a run of hard failures, or by a failure rate that also stands out against its
//! peers: if all of them fail, the dependency is ill and taking endpoints out only concentrates the load.
//! Whether a trip is **enforced** is the set's decision ([`set_state`], [`enforced`]).
//!
//! There is no probing state: when the time is over, ordinary traffic finds out, and the next trip doubles
//! the time. `n` falls by one per clean minute.

use super::entropy::Entropy;
use super::window::{Counts, Window};
use std::time::{Duration, Instant};

/// Failure rate of an ill endpoint as a multiple of the median of its peers.
const PEER_FACTOR: f64 = 2.0;
/// Time without a trip after which the next one halves.
const CLEAN_PERIOD: Duration = Duration::from_secs(60);
/// Keeps `Instant` arithmetic from overflowing, whatever the policy says.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// `ejection` of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionPolicy {
    /// hard failures in a row that trip; default 5
    pub consecutive_failures: u32,
    /// failure rate that trips; default 50
    pub failure_percent: f64,
    /// samples below which no rate trips; default 20
    pub min_requests: u32,
    /// of the rate; default 10 s
    pub window: Duration,
    /// first trip, before jitter U(0.5, 1.5); doubles each time; default 1 s
    pub base: Duration,
    /// longest trip, before jitter; default 60 s
    pub max: Duration,
    /// at most this share of the set is ejected; default 50
    pub max_ejected_percent: u32,
    /// report only: trips are recorded here as ever, the shell does not enforce them
    pub observe: bool,
}

impl Default for EjectionPolicy {
    fn default() -> Self {
        EjectionPolicy {
            consecutive_failures: 5,
            failure_percent: 50.0,
            min_requests: 20,
            window: Duration::from_secs(10),
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
            max_ejected_percent: 50,
            observe: false,
        }
    }
}

/// What one attempt says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointSignal {
    /// answered; ends a run
    Success,
    /// connect, reset, per-attempt timeout, 502/503/504: run and rate
    Hard,
    /// other 5xx: windowed rate only
    Soft,
    /// 429: windowed rate only
    Overload,
    /// a proxy in front of it protects what is behind it: windowed rate only, and a sign of life of the set
    Refused,
    /// nothing learned
    Ignored,
}

/// One endpoint's health. One small lock per endpoint in the shell.
#[derive(Debug)]
pub struct Ejection {
    window: Window<Counts>,
    /// hard failures since the last success
    run: u32,
    /// exponent of the next trip
    trips: u32,
    /// end of the last trip, also when past
    until: Option<Instant>,
}

impl Ejection {
    /// Healthy, without history.
    pub fn new(now: Instant) -> Self {
        Ejection { window: Window::new(now, EjectionPolicy::default().window), run: 0, trips: 0, until: None }
    }

    /// Counts one attempt. `peer_median_failure_percent`: of the other endpoints, None below 3 endpoints.
    /// Returns Some(until) when this record trips it. While tripped nothing is counted: what still arrives
    /// was sent before, or in panic.
    pub fn record(
        &mut self,
        now: Instant,
        signal: EndpointSignal,
        policy: &EjectionPolicy,
        peer_median_failure_percent: Option<f64>,
        entropy: &mut impl Entropy,
    ) -> Option<Instant> {
        if self.window.length() != policy.window {
            self.window = Window::new(now, policy.window);
        }
        if self.tripped_until(now).is_some() {
            return None;
        }
        match signal {
            EndpointSignal::Success => self.run = 0,
            EndpointSignal::Hard => self.run = self.run.saturating_add(1),
            EndpointSignal::Soft | EndpointSignal::Overload | EndpointSignal::Refused => {}
            EndpointSignal::Ignored => return None,
        }
        self.window.record(now).add(signal != EndpointSignal::Success, false);
        let ill = self.run >= policy.consecutive_failures.max(1)
            || self.rate_is_ill(now, policy, peer_median_failure_percent);
        ill.then(|| self.trip(now, policy, entropy))
    }

    /// End of the trip in force; None = healthy.
    pub fn tripped_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// Ends the trip in force: what led to it is proven to be over. The next one is as long as if it had run out.
    pub fn end_trip(&mut self, now: Instant) {
        if self.tripped_until(now).is_some() {
            self.until = Some(now);
        }
    }

    /// Clears a trip by hand, and everything that led to it.
    pub fn reset(&mut self, now: Instant) {
        *self = Ejection { window: Window::new(now, self.window.length()), run: 0, trips: 0, until: None };
    }

    /// (samples, failure percent) in the window
    pub fn failure_percent(&self, now: Instant) -> (u32, f64) {
        let counts = self.window.read(now);
        (counts.total, counts.failure_percent())
    }

    fn rate_is_ill(&self, now: Instant, policy: &EjectionPolicy, peer_median: Option<f64>) -> bool {
        let (samples, percent) = self.failure_percent(now);
        samples >= policy.min_requests
            && percent > 0.0
            && percent >= policy.failure_percent
            && peer_median.is_none_or(|median| percent >= PEER_FACTOR * median)
    }

    fn trip(&mut self, now: Instant, policy: &EjectionPolicy, entropy: &mut impl Entropy) -> Instant {
        if let Some(last) = self.until {
            let clean = now.saturating_duration_since(last).as_secs() / CLEAN_PERIOD.as_secs();
            self.trips = self.trips.saturating_sub(u32::try_from(clean).unwrap_or(u32::MAX));
        }
        let bound = policy.base.saturating_mul(1 << self.trips.min(30)).min(policy.max).min(LONGEST);
        let until = now + bound.mul_f64(entropy.between(0.5, 1.5));
        self.until = Some(until);
        self.trips = self.trips.saturating_add(1);
        self.run = 0;
        // What tripped it must not trip it again on the first attempt after.
        self.window.clear();
        until
    }
}

/// Median failure percent of an endpoint's peers, each with its samples. One without samples knows nothing: it is idle,
/// or sits out. None = there is nobody to compare with.
pub fn peer_median(peers: impl Iterator<Item = (u32, f64)>) -> Option<f64> {
    let mut percents: Vec<f64> = peers.filter(|(samples, _)| *samples > 0).map(|(_, percent)| percent).collect();
    percents.sort_by(f64::total_cmp);
    let upper = percents.get(percents.len() / 2)?;
    let lower = percents.get(percents.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// Whether ejection is enforced for a set of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetState {
    /// trips are enforced
    Normal,
    /// fewer than half are healthy: ejection is ignored, since the rest could not carry the load
    Panic,
}

/// State of a set in which `tripped` of `total` endpoints are tripped.
pub fn set_state(tripped: usize, total: usize) -> SetState {
    let healthy = total.saturating_sub(tripped);
    if total > 0 && healthy < total.div_ceil(2) { SetState::Panic } else { SetState::Normal }
}

/// How many of the tripped endpoints may be ejected: none in panic, at most `max_ejected_percent` of the
/// set. Never the last one: outside panic at least half are healthy.
pub fn enforced(tripped: usize, total: usize, max_ejected_percent: u32) -> usize {
    match set_state(tripped, total) {
        SetState::Panic => 0,
        SetState::Normal => {
            let share = total.saturating_mul(max_ejected_percent.min(100) as usize) / 100;
            tripped.min(share)
        }
    }
}

#[cfg(test)]
mod tests;
