//! Hedged requests: a second attempt beside a first one that takes unusually long; the answer that comes first counts.
//!
//! Why it is bounded so tightly: a hedge is load that nobody asked for, and slowness is often overload. It is sent only
//! where it is likely to win (later than nearly all first attempts are answered, to another endpoint), only while nothing
//! is wrong with the dependency as a whole, and at most for a small share of the first attempts.

use super::efficacy::RouteNumber;
use super::latency::Quantiles;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Routes that can hedge; the rest does without.
const ROUTES_MAX: usize = 256;
/// First attempts that must be known before a percentile is believed, however low it is.
const SAMPLES_MIN: f64 = 100.0;
/// First attempts that must lie above a percentile before it is believed.
const SAMPLES_ABOVE: f64 = 5.0;
/// How long a percentile is good for: finding it walks a whole histogram.
const REFRESH: Duration = Duration::from_secs(1);
/// A pause that an upstream asks for is believed up to this length.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When a hedge is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// After this time.
    After(Duration),
    /// When a first attempt has taken longer than this share of them does, 0.5 to 0.999.
    Percentile(f64),
}

/// `hedge` of a route, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgePolicy {
    /// When a hedge is sent. Default: the p95.
    pub delay: Delay,
    /// A percentile below it counts as it. Default 20 ms.
    pub min_delay: Duration,
    /// Hedges per first attempt, at most. `hedge.percent` / 100. Default 0.05.
    pub ratio: f64,
    /// Also what must not be repeated by its method, where the upstream recognises a repeated request.
    pub unsafe_methods: bool,
    /// Nothing is sent; what would have been is counted.
    pub observe: bool,
}

impl Default for HedgePolicy {
    fn default() -> Self {
        HedgePolicy {
            delay: Delay::Percentile(0.95),
            min_delay: Duration::from_millis(20),
            ratio: 0.05,
            unsafe_methods: false,
            observe: false,
        }
    }
}

/// Why a hedge that was due was not sent. One word each in metric and admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suppressed {
    /// The share of first attempts that may be hedged is used up.
    Budget,
    /// So few retry tokens are left that retries need them.
    RetriesFirst,
    /// It could not be answered before the deadline.
    Deadline,
    /// There is no other endpoint that is well.
    NoOtherEndpoint,
    /// Most endpoints are tripped: what is slow is the dependency.
    Panic,
    /// The breaker is not closed.
    Breaker,
    /// The throttle refuses requests.
    Throttle,
    /// The upstream has asked for a pause (Retry-After), and it is not over.
    Pushback,
    /// The request is itself a retry or hedge of a caller.
    ChainStop,
    /// The body was not kept for a second attempt.
    BodyTooLarge,
    /// The method must not be repeated, and nothing says that this request may.
    NotIdempotent,
}

impl Suppressed {
    /// Every reason, in declaration order.
    pub const ALL: [Suppressed; 11] = [
        Suppressed::Budget,
        Suppressed::RetriesFirst,
        Suppressed::Deadline,
        Suppressed::NoOtherEndpoint,
        Suppressed::Panic,
        Suppressed::Breaker,
        Suppressed::Throttle,
        Suppressed::Pushback,
        Suppressed::ChainStop,
        Suppressed::BodyTooLarge,
        Suppressed::NotIdempotent,
    ];

    /// The word in metric and admin API; where a retry is denied for the same reason, the same word.
    pub const fn token(self) -> &'static str {
        match self {
            Suppressed::Budget => "budget",
            Suppressed::RetriesFirst => "retries-first",
            Suppressed::Deadline => "deadline",
            Suppressed::NoOtherEndpoint => "no-other-endpoint",
            Suppressed::Panic => "panic",
            Suppressed::Breaker => "breaker",
            Suppressed::Throttle => "throttle",
            Suppressed::Pushback => "pushback",
            Suppressed::ChainStop => "chain-stop",
            Suppressed::BodyTooLarge => "body-too-large",
            Suppressed::NotIdempotent => "not-idempotent",
        }
    }
}

/// What there is besides the endpoint of the first attempt, at the moment at which a hedge is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// Another endpoint that is well.
    Other,
    /// None.
    Alone,
    /// Most endpoints are tripped.
    Panic,
}

/// What hedges of one route came to. Never reset while the route stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HedgeCounts {
    /// First attempts.
    pub first_attempts: u64,
    /// Hedges that brought the answer.
    pub won: u64,
    /// The others: load that was of no use.
    pub lost: u64,
    /// Hedges that would have been sent (`mode: observe`).
    pub observed: u64,
    /// Hedges that were due and not sent, by reason.
    pub suppressed: [u64; Suppressed::ALL.len()],
    /// How long attempts had run that were cancelled because the other one had answered.
    pub cancelled: Duration,
}

impl HedgeCounts {
    /// Hedges that were sent and are over.
    pub fn sent(&self) -> u64 {
        self.won + self.lost
    }
}

/// What is known of one route's hedges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeReport {
    /// What they came to.
    pub counts: HedgeCounts,
    /// After which time a hedge is sent now. None = too few first attempts are known.
    pub delay: Option<Duration>,
    /// How many of late are known.
    pub samples: u64,
}

/// One route.
#[derive(Clone, Debug)]
struct Route {
    /// How long first attempts take, those that were superseded included: without them the percentile would fall with
    /// every hedge that wins.
    latency: Quantiles,
    /// The percentile that was found last, and when.
    found: Option<(Instant, Option<Duration>)>,
    counts: HedgeCounts,
}

/// The hedges of all routes of one dependency.
#[derive(Clone, Debug, Default)]
pub struct Hedges {
    routes: BTreeMap<RouteNumber, Route>,
    /// An upstream has asked not to be sent more before this.
    paused: Option<Instant>,
}

impl Hedges {
    /// Keeps what is known of these routes, begins those that are new, and forgets all others.
    pub fn keep(&mut self, now: Instant, routes: impl IntoIterator<Item = RouteNumber>) {
        let mut before = std::mem::take(&mut self.routes);
        let fresh = || Route { latency: Quantiles::new(now), found: None, counts: HedgeCounts::default() };
        for number in routes.into_iter().take(ROUTES_MAX) {
            let mut route = before.remove(&number).unwrap_or_else(fresh);
            // Another percentile may be asked for from now on.
            route.found = None;
            self.routes.insert(number, route);
        }
    }

    /// A first attempt is sent: after which time a hedge of it is due. None = not known yet.
    pub fn begin(&mut self, now: Instant, route: RouteNumber, policy: &HedgePolicy) -> Option<Duration> {
        let route = self.routes.get_mut(&route)?;
        route.counts.first_attempts += 1;
        route.delay(now, policy)
    }

    /// A first attempt was answered, has timed out, or was superseded after this time.
    pub fn on_first(&mut self, now: Instant, route: RouteNumber, took: Duration) {
        if let Some(route) = self.routes.get_mut(&route) {
            route.latency.record(now, took);
        }
    }

    /// Changes what is counted of a route.
    pub fn count(&mut self, route: RouteNumber, count: impl FnOnce(&mut HedgeCounts)) {
        if let Some(route) = self.routes.get_mut(&route) {
            count(&mut route.counts);
        }
    }

    /// A hedge was due and not sent.
    pub fn suppress(&mut self, route: RouteNumber, why: Suppressed) {
        self.count(route, |counts| counts.suppressed[why as usize] += 1);
    }

    /// An answer has asked for a pause.
    pub fn on_pushback(&mut self, now: Instant, pause: Duration) {
        if !self.routes.is_empty() {
            let until = now + pause.min(PAUSE_MAX);
            self.paused = Some(self.paused.map_or(until, |before| before.max(until)));
        }
    }

    /// Whether a pause that was asked for is not over.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.paused.is_some_and(|until| now < until)
    }

    /// What is known of a route.
    pub fn report(&mut self, now: Instant, route: RouteNumber, policy: &HedgePolicy) -> Option<HedgeReport> {
        let route = self.routes.get_mut(&route)?;
        Some(HedgeReport { counts: route.counts, delay: route.delay(now, policy), samples: route.latency.count(now) })
    }
}

impl Route {
    fn delay(&mut self, now: Instant, policy: &HedgePolicy) -> Option<Duration> {
        let share = match policy.delay {
            Delay::After(delay) => return Some(delay),
            Delay::Percentile(share) => share,
        };
        let fresh = self.found.filter(|(at, _)| now.saturating_duration_since(*at) < REFRESH);
        let (_, found) = fresh.unwrap_or_else(|| {
            let needed = SAMPLES_MIN.max(SAMPLES_ABOVE / (1.0 - share).max(f64::EPSILON));
            let trusted = self.latency.count(now) as f64 >= needed;
            let found = (now, if trusted { self.latency.quantile(now, share) } else { None });
            self.found = Some(found);
            found
        });
        Some(found?.max(policy.min_delay))
    }
}

#[cfg(test)]
mod tests;
