//! Which requests are with the app, by their trace: what an outbound call inherits that carries nothing but
//! `traceparent`.
//!
//! An entry is made when a request comes in and ends with it, so that there are no more of them than requests in
//! flight, and never more than [`TRACES_MAX`]: beyond it requests leave no entry, and calls inherit nothing. An entry
//! whose deadline has passed says nothing any more (a tunnel may live on for hours). Shards of the map are locked for
//! the time of one look.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::reliability::inheritance::Inherited;

/// Traces that are known at once.
const TRACES_MAX: usize = 8_192;

/// Requests that are with the app.
#[derive(Debug, Default)]
pub struct Traced {
    traces: DashMap<u128, Trace>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Trace {
    inherited: Inherited,
    requests: u32,
}

/// A request that is with the app. Its trace is forgotten when this, and all others of the trace, are dropped.
#[derive(Debug)]
pub struct Held {
    traced: Arc<Traced>,
    trace: u128,
}

impl Traced {
    /// A request of this trace comes in. `None`: too many are there, and its calls inherit nothing.
    pub fn enter(self: &Arc<Self>, trace: u128, inherited: Inherited) -> Option<Held> {
        match self.traces.entry(trace) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.inherited = known.inherited.and(inherited);
                known.requests = known.requests.checked_add(1)?;
            }
            Entry::Vacant(free) => {
                let one_more = |count: usize| (count < TRACES_MAX).then_some(count + 1);
                self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
                free.insert(Trace { inherited, requests: 1 });
            }
        }
        Some(Held { traced: Arc::clone(self), trace })
    }

    /// What a call of this trace inherits.
    pub fn of(&self, trace: u128, now: Instant) -> Option<Inherited> {
        let inherited = self.traces.get(&trace)?.inherited;
        (now < inherited.deadline).then_some(inherited)
    }

    /// How many traces are known.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.traces.len()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Entry::Occupied(mut known) = self.traced.traces.entry(self.trace) else { return };
        let trace = known.get_mut();
        trace.requests = trace.requests.saturating_sub(1);
        if trace.requests == 0 {
            known.remove();
            self.traced.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn inherited(seconds: u64, attempt: u32, now: Instant) -> Inherited {
        Inherited { deadline: now + Duration::from_secs(seconds), attempt }
    }

    #[test]
    fn a_trace_is_known_as_long_as_one_of_its_requests_is_with_the_app() {
        let (traced, now) = (Arc::<Traced>::default(), crate::clock::now());
        assert_eq!(traced.of(7, now), None);
        let first = traced.enter(7, inherited(1, 2, now));
        assert_eq!(traced.of(7, now), Some(inherited(1, 2, now)));
        let second = traced.enter(7, inherited(5, 1, now));
        assert_eq!(traced.of(7, now), Some(inherited(5, 1, now)));
        assert_eq!(traced.of(8, now), None, "another trace");
        drop(first);
        // Which of the two a call is made for is not known, also when one of them is over.
        assert_eq!(traced.of(7, now), Some(inherited(5, 1, now)));
        drop(second);
        assert_eq!((traced.of(7, now), traced.len()), (None, 0));
    }

    #[test]
    fn a_deadline_that_has_passed_is_not_inherited() {
        let (traced, now) = (Arc::<Traced>::default(), crate::clock::now());
        let _tunnel = traced.enter(7, inherited(1, 2, now));
        assert_eq!(traced.of(7, now + Duration::from_secs(1)), None);
    }

    #[test]
    fn beyond_the_bound_requests_leave_no_trace_and_make_room_when_they_end() {
        let (traced, now) = (Arc::<Traced>::default(), crate::clock::now());
        let mut held: Vec<Held> =
            (0..TRACES_MAX as u128).filter_map(|t| traced.enter(t, inherited(1, 1, now))).collect();
        assert_eq!((held.len(), traced.len()), (TRACES_MAX, TRACES_MAX));
        assert!(traced.enter(u128::MAX, inherited(1, 1, now)).is_none());
        assert!(traced.enter(0, inherited(1, 1, now)).is_some(), "one more of a trace that is known");
        held.pop();
        assert!(traced.enter(u128::MAX, inherited(1, 1, now)).is_some());
        drop(held);
        assert_eq!((traced.len(), traced.count.load(Ordering::Relaxed)), (0, 0));
    }
}
