//! Keeps an upstream's endpoints true to its name: asks when the TTL is over or connections fail, keeps the
//! last good set on error.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::set::{EndpointSet, Shape};
use super::{Event, Upstream};
use crate::clock;
use crate::reliability::Failure;
use crate::wire::discover::{Resolver, TTL_FLOOR};

/// After a failed look-up the next one comes no sooner.
const RETRY_AFTER_ERROR: Duration = Duration::from_secs(2);
/// So many failed connections since the last look-up ask for one before the TTL is over.
const CONNECT_FAILURES_NUDGE: u64 = 2;

impl Upstream {
    /// Replaces the endpoints. The same addresses change nothing.
    pub(super) fn set_endpoints(&self, addresses: &[(SocketAddr, HeaderValue)], shape: &Shape, now: Instant) {
        let old = self.endpoints();
        // Whoever comes is thought to be as slow as the slower ones, until it has been measured.
        let seed = self.lock().latency.quantile(now, 0.9);
        let new = EndpointSet::new(addresses, shape, Some(&old), seed, now);
        let same = old.endpoints.len() == new.endpoints.len()
            && old.endpoints.iter().zip(&new.endpoints).all(|(a, b)| Arc::ptr_eq(a, b))
            && old.shape == new.shape;
        if self.settle() {
            let endpoints = new.endpoints.len();
            (self.events)(Event::Resolved { upstream: Arc::clone(&self.name), endpoints });
        }
        if same {
            return;
        }
        let gone: Vec<_> =
            old.endpoints.iter().filter(|e| !new.endpoints.iter().any(|n| Arc::ptr_eq(n, e))).cloned().collect();
        let added: Vec<String> = new
            .endpoints
            .iter()
            .filter(|e| !old.endpoints.iter().any(|o| Arc::ptr_eq(o, e)))
            .map(|e| e.addr.to_string())
            .collect();
        let (before, now) = (old.endpoints.len(), new.endpoints.len());
        self.set.store(Arc::new(new));
        self.set_changed.notify_one();
        // Requests in flight to a removed address finish; its idle connections close now.
        for endpoint in &gone {
            endpoint.retire();
        }
        if before > 0 {
            self.meters.endpoint_set_changed();
        }
        let removed = gone.iter().map(|e| e.addr.to_string()).collect();
        (self.events)(Event::Endpoints { upstream: Arc::clone(&self.name), added, removed, before, now });
    }

    /// True = the last look-up had failed.
    fn settle(&self) -> bool {
        let failed = self.resolution.error.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        self.mark_settled();
        failed
    }

    fn mark_settled(&self) {
        self.resolution.settled.store(true, Ordering::Release);
        self.resolution.settled_now.notify_waiters();
    }

    /// Waits until the first look-up has ended, at most until `by`. At once afterwards.
    pub async fn resolved(&self, by: Instant) {
        let notified = self.resolution.settled_now.notified();
        tokio::pin!(notified);
        // Registered before the flag is read, or a settlement in between would be missed.
        notified.as_mut().enable();
        if !self.resolution.settled.load(Ordering::Acquire) {
            let _ = tokio::time::timeout_at(by.into(), notified).await;
        }
    }

    /// Whether a look-up is still awaited.
    #[inline]
    pub fn is_resolving(&self) -> bool {
        !self.resolution.settled.load(Ordering::Acquire)
    }

    pub(super) fn resolution_failure(&self) -> Option<Failure> {
        if self.is_resolving() {
            return Some(Failure::DnsTimeout);
        }
        self.resolution.error.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(failure, _)| *failure)
    }

    /// Why the last look-up of the name failed, if it did.
    pub fn resolve_error(&self) -> Option<String> {
        self.resolution.error.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, text)| text.clone())
    }

    /// A connection to one of the endpoints failed: the address may be stale.
    pub fn on_connect_failure(&self) {
        if self.resolution.connect_failures.fetch_add(1, Ordering::Relaxed) + 1 >= CONNECT_FAILURES_NUDGE {
            self.resolution.nudge.notify_one();
        }
    }
}

/// Looks `host` up again and again until the upstream is gone or its target has changed.
pub(super) async fn keep_resolved(
    upstream: Weak<Upstream>,
    resolver: Arc<Resolver>,
    host: String,
    port: u16,
    authority: HeaderValue,
    shape: Shape,
) {
    loop {
        let answer = resolver.resolve(&host, port).await;
        let Some(alive) = upstream.upgrade() else { return };
        let now = clock::now();
        alive.resolution.connect_failures.store(0, Ordering::Relaxed);
        let next = match answer {
            Ok(resolved) => {
                let addresses: Vec<_> = resolved.addresses.iter().map(|a| (*a, authority.clone())).collect();
                alive.set_endpoints(&addresses, &shape, now);
                resolved.valid_until
            }
            Err((failure, text)) => {
                let known = {
                    let mut error = alive.resolution.error.lock().unwrap_or_else(PoisonError::into_inner);
                    error.replace((failure, text.clone())).is_some()
                };
                alive.mark_settled();
                if !known {
                    (alive.events)(Event::ResolveFailed { upstream: Arc::clone(&alive.name), error: text });
                }
                now + RETRY_AFTER_ERROR
            }
        };
        drop(alive);
        // At most one look-up a second, whatever asks for it.
        tokio::time::sleep(TTL_FLOOR).await;
        let Some(alive) = upstream.upgrade() else { return };
        let nudged = alive.resolution.nudge.notified();
        let _ = tokio::time::timeout_at(next.into(), nudged).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::policy::{Direction, compile};
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn a_name_that_resolves_again_is_told_once_and_its_addresses_only_if_they_changed() {
        let text = "version: 1\nupstreams:\n  payments:\n    url: http://payments.test\n";
        let policy = compile::load("policy.yaml", text).unwrap_or_else(|findings| panic!("{findings}")).policy;
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let telling = Arc::clone(&told);
        let events = Arc::new(move |event: Event| {
            telling.lock().unwrap().push(match event {
                Event::Resolved { endpoints, .. } => format!("resolved {endpoints}"),
                Event::Endpoints { added, removed, before, now, .. } => {
                    format!("{before} -> {now}, {} new, {} gone", added.len(), removed.len())
                }
                other => format!("{other:?}"),
            });
        });
        let now = Instant::now();
        let meters = Metrics::new().upstream(Direction::Outbound, "payments");
        let upstream = Upstream::new(&policy.upstreams[0], meters, events, now);
        let addresses = |last: &[u8]| -> Vec<(SocketAddr, HeaderValue)> {
            let address =
                |last: &u8| (SocketAddr::from(([10, 0, 0, *last], 80)), HeaderValue::from_static("payments.test"));
            last.iter().map(address).collect()
        };
        let fail = || {
            let mut error = upstream.resolution.error.lock().unwrap();
            *error = Some((Failure::DnsError, "no such name".to_owned()));
        };
        upstream.set_endpoints(&addresses(&[1, 2]), &Shape::default(), now);
        fail();
        upstream.set_endpoints(&addresses(&[1, 2]), &Shape::default(), now);
        upstream.set_endpoints(&addresses(&[1, 2]), &Shape::default(), now);
        fail();
        upstream.set_endpoints(&addresses(&[2, 3, 4]), &Shape::default(), now);
        let expected = ["0 -> 2, 2 new, 0 gone", "resolved 2", "resolved 3", "2 -> 3, 2 new, 1 gone"];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[test]
    fn an_endpoint_that_joins_others_is_thought_to_be_as_slow_as_the_slower_ones_and_starts_slowly() {
        let text = "version: 1\nupstreams:\n  payments:\n    url: http://payments.test\n";
        let policy = compile::load("policy.yaml", text).unwrap_or_else(|findings| panic!("{findings}")).policy;
        let now = Instant::now();
        let meters = Metrics::new().upstream(Direction::Outbound, "payments");
        let upstream = Upstream::new(&policy.upstreams[0], meters, Arc::new(|_| {}), now);
        let addresses = |last: &[u8]| -> Vec<(SocketAddr, HeaderValue)> {
            let address = |last: &u8| (SocketAddr::from(([10, 0, 0, *last], 80)), HeaderValue::from_static("p"));
            last.iter().map(address).collect()
        };
        upstream.set_endpoints(&addresses(&[1, 2]), &Shape::default(), now);
        upstream.decide(|dependency| {
            (1..=100).for_each(|ms| dependency.latency.record(now, Duration::from_millis(ms)));
        });
        upstream.set_endpoints(&addresses(&[1, 2, 3]), &Shape::default(), now);
        let set = upstream.endpoints();
        let window = Duration::from_secs(10);
        let seen: Vec<(u64, f64)> = set
            .endpoints
            .iter()
            .map(|e| ((e.balance_view(now, false, None).ewma * 1e3).round() as u64, e.ramp(now, window)))
            .collect();
        assert_eq!((seen[0], seen[1]), ((30, 1.0), (30, 1.0)), "the first ones came to nobody");
        assert!((88..=92).contains(&seen[2].0) && seen[2].1 == 0.1, "{seen:?}");
        set.refresh(now + Duration::from_secs(1), &policy.upstreams[0]);
        let (company, _) = set.company(&policy.upstreams[0]).expect("one starts slowly");
        assert!((company.top, company.lift) == (1.0, 0.0), "{company:?}");
        set.refresh(now + Duration::from_secs(11), &policy.upstreams[0]);
        assert_eq!(set.company(&policy.upstreams[0]), None, "it is over");
    }
}
