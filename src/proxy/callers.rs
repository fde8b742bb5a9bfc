//! How many requests each caller sends, in memory of a fixed size.
//!
//! Callers are counted in a count-min sketch (`pingora_limits::Estimator`): [`HASHES`] rows of [`COUNTERS`] counters,
//! two of them, for the running window and the one before. A caller that shares its counters with busier ones is taken
//! for busier than it is; none is ever taken for less busy, except for requests that are under way while the windows
//! change. The hashes are keyed at random, so that nobody can aim at the counters of another. However many callers
//! there are, and whatever they call themselves, a limit takes 256 KiB; a policy has at most 64 of them.
//!
//! `pingora_limits::Rate`, which has windows of its own, is not used: it panics if two threads race for the first
//! change of a window below a second, and it tells the rate of the last window while the running one is what counts.
//!
//! No list of callers is kept, here or elsewhere: who was refused is in the access log, request by request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use pingora_limits::estimator::Estimator;

use super::connection::Connection;
use super::route::Route;
use crate::policy::rate_limit::{CallerKey, RateLimitPolicy};
use crate::policy::{Direction, Policy};
use crate::reliability::rate::{Counts, Judged};
use crate::upstreams::reconcile::Snapshot;

/// Rows: a caller is over-counted only if it shares a counter in each of them.
const HASHES: usize = 4;
/// Counters of a row.
const COUNTERS: usize = 4_096;

/// What tells one caller from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller<'a> {
    Address(IpAddr),
    Named(&'a [u8]),
    /// The key is not there, or not once. All of them are one caller: leaving it out must not be a way around.
    Nameless,
}

impl<'a> Caller<'a> {
    fn of(by: &CallerKey, connection: &'a Connection, headers: &'a HeaderMap) -> Caller<'a> {
        match by {
            CallerKey::Address => Caller::Address(network(connection.peer.ip())),
            CallerKey::Header(name) => header(headers, name).map_or(Caller::Nameless, Caller::Named),
            CallerKey::Spiffe => {
                let id = connection.identity.as_deref().and_then(|peer| peer.spiffe.as_deref());
                id.map_or(Caller::Nameless, |id| Caller::Named(id.as_bytes()))
            }
        }
    }
}

/// The value of a header that is there once and says something.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next()?.as_bytes().trim_ascii();
    (lines.next().is_none() && !value.is_empty()).then_some(value)
}

/// Who has one address of IPv6 has the /64 around it, too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// The counters of one limit.
struct Rates {
    by: CallerKey,
    per: Duration,
    began: Instant,
    /// Of windows with even and with odd numbers.
    windows: [Estimator; 2],
    /// The number of the running window.
    running: AtomicU64,
    turning: Mutex<()>,
}

/// A moment, as a window and how far that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    window: u64,
    elapsed: Duration,
}

impl Rates {
    fn new(limit: &RateLimitPolicy, now: Instant) -> Rates {
        Rates {
            by: limit.by.clone(),
            per: limit.rate.per.max(Duration::from_secs(1)),
            began: now,
            windows: [Estimator::new(HASHES, COUNTERS), Estimator::new(HASHES, COUNTERS)],
            running: AtomicU64::new(0),
            turning: Mutex::new(()),
        }
    }

    /// Whether what was counted under `limit` before means the same now.
    fn serves(&self, limit: &RateLimitPolicy) -> bool {
        self.by == limit.by && self.per == limit.rate.per
    }

    fn of(&self, window: u64) -> &Estimator {
        let [even, odd] = &self.windows;
        if window.is_multiple_of(2) { even } else { odd }
    }

    /// The window of `now`. Empties the counters of one that begins.
    fn turn(&self, now: Instant) -> Moment {
        let nanos = now.saturating_duration_since(self.began).as_nanos();
        let per = self.per.as_nanos().max(1);
        let window = u64::try_from(nanos / per).unwrap_or(u64::MAX);
        let elapsed = Duration::from_nanos(u64::try_from(nanos % per).unwrap_or(0));
        let running = self.running.load(Ordering::Acquire);
        if window > running {
            self.begin(window);
        } else if window < running {
            // Another thread has read the clock later and was faster: it is counted as if it came just then.
            return Moment { window: running, elapsed: Duration::ZERO };
        }
        Moment { window, elapsed }
    }

    #[cold]
    fn begin(&self, window: u64) {
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let running = self.running.load(Ordering::Acquire);
        if window <= running {
            return;
        }
        self.of(window).reset();
        if window > running + 1 {
            // Nothing came in the window before, either.
            self.of(window.wrapping_add(1)).reset();
        }
        self.running.store(window, Ordering::Release);
    }

    /// Counts a request and judges it; one that is refused is taken back, also where nothing is enforced, so that what
    /// is reported is what would be.
    fn judge(&self, limit: &RateLimitPolicy, caller: Caller<'_>, now: Instant) -> Judged {
        let Moment { window, elapsed } = self.turn(now);
        let running = self.of(window);
        // A sketch can be below zero only by requests that were taken back while windows changed.
        let current = u64::try_from(running.incr(caller, 1)).unwrap_or(0).max(1);
        let before = if window == 0 { 0 } else { u64::try_from(self.of(window - 1).get(caller)).unwrap_or(0) };
        let judged = limit.rate.judge(Counts { current, before, elapsed });
        if matches!(judged, Judged::Refused { .. }) && self.running.load(Ordering::Acquire) <= window + 1 {
            running.decr(caller, 1);
        }
        judged
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.windows.len() * HASHES * COUNTERS * size_of::<isize>()
    }
}

/// Which requests are counted together: all of an upstream, or those of one route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scope {
    direction: Direction,
    upstream: Arc<str>,
    route: Option<Arc<str>>,
}

/// The counters that a policy needs, by upstream and route.
#[derive(Default)]
struct Table {
    revision: u64,
    rates: Vec<Vec<Option<Arc<Rates>>>>,
}

/// The counters of all limits. They outlive policies, as long as the limit counts the same.
#[derive(Default)]
pub struct Callers {
    table: ArcSwap<Table>,
    alive: Mutex<HashMap<Scope, Arc<Rates>>>,
}

impl Callers {
    /// Counts a request of `route`, and judges whether it may pass.
    pub(super) fn judge(
        &self,
        limit: &RateLimitPolicy,
        (snapshot, route): (&Snapshot, &Route<'_>),
        connection: &Connection,
        headers: &HeaderMap,
        now: Instant,
    ) -> Judged {
        let caller = Caller::of(&limit.by, connection, headers);
        let mut table = self.table.load();
        if table.revision != snapshot.revision {
            self.follow(&snapshot.policy, snapshot.revision, now);
            table = self.table.load();
        }
        let of_upstream = table.rates.get(route.id.upstream as usize).filter(|_| table.revision == snapshot.revision);
        let rates = of_upstream.and_then(|routes| routes.get(route.id.route as usize)?.as_ref());
        match rates.filter(|rates| rates.serves(limit)) {
            Some(rates) => rates.judge(limit, caller, now),
            // It began under a policy that is no longer in force.
            None => Judged::Passes { left: limit.rate.requests, resets: limit.rate.per },
        }
    }

    /// Makes the counters those of this policy, unless those of a later one are there.
    #[cold]
    fn follow(&self, policy: &Policy, revision: u64, now: Instant) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if self.table.load().revision >= revision {
            return;
        }
        let mut wanted: HashMap<Scope, Arc<Rates>> = HashMap::new();
        let of_upstream = |upstream: &crate::policy::UpstreamPolicy| {
            let of_route = |route: &crate::policy::RoutePolicy| {
                let limit = route.rate_limit.as_ref()?;
                let route = limit.own.then(|| Arc::clone(&route.name));
                let scope = Scope { direction: upstream.direction, upstream: Arc::clone(&upstream.name), route };
                let known = wanted.get(&scope).or_else(|| alive.get(&scope)).filter(|rates| rates.serves(limit));
                let rates = known.map_or_else(|| Arc::new(Rates::new(limit, now)), Arc::clone);
                wanted.insert(scope, Arc::clone(&rates));
                Some(rates)
            };
            upstream.routes.iter().map(of_route).collect()
        };
        let rates = policy.upstreams.iter().map(of_upstream).collect();
        *alive = wanted;
        self.table.store(Arc::new(Table { revision, rates }));
    }
}

#[cfg(test)]
mod tests;
