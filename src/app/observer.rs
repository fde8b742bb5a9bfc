//! Looks at every upstream once a second and keeps what happened: what verdicts and the policy's guard are judged by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::time::MissedTickBehavior;

use super::Core;
use crate::clock;
use crate::policy::Direction;
use crate::reliability::verdict::history::{COARSE, FINE, History, STEPS, Tick};
use crate::upstreams::Upstream;
use crate::upstreams::reconcile::Snapshot;

/// What was seen of every upstream of the policy in force.
#[derive(Default)]
pub struct Observer {
    watched: Mutex<HashMap<(Direction, Arc<str>), Watched>>,
}

struct Watched {
    /// The counters at the last look.
    last: Tick,
    history: History,
}

impl Observer {
    /// Takes in what happened since the last look.
    pub fn look(&self, snapshot: &Snapshot, now: Instant) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(direction, name), _| {
            snapshot.upstreams.iter().any(|upstream| upstream.direction == *direction && upstream.name == *name)
        });
        for upstream in &snapshot.upstreams {
            let key = (upstream.direction, Arc::clone(&upstream.name));
            watched.entry(key).or_insert_with(|| Watched::new(now)).take_in(upstream, now);
        }
    }

    /// What happened to one upstream in each of the last spans of [`COARSE`], oldest first; the last one is not over.
    /// `None` if it is not known.
    pub fn curve(&self, direction: Direction, name: &str, now: Instant) -> Option<Vec<Tick>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let history = &watched.get(&(direction, Arc::from(name)))?.history;
        let back = |spans: usize| {
            let spans = u32::try_from(spans).unwrap_or(u32::MAX);
            // No moment is so early: nothing happened then.
            now.checked_sub(COARSE.saturating_mul(spans)).unwrap_or(now)
        };
        Some((0..STEPS).rev().map(|ago| history.sum(back(ago + 1), back(ago))).collect())
    }

    /// What happened to one upstream from `from` until `to`; `None` if it is not known.
    pub fn sum(&self, direction: Direction, name: &str, from: Instant, to: Instant) -> Option<Tick> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(&(direction, Arc::from(name))).map(|watched| watched.history.sum(from, to))
    }
}

impl Watched {
    fn new(now: Instant) -> Watched {
        Watched { last: Tick::default(), history: History::new(now) }
    }

    fn take_in(&mut self, upstream: &Upstream, now: Instant) {
        let read = upstream.tally.read();
        self.history.record(now, &read.since(&self.last));
        self.last = read;
    }
}

/// Looks once a second until `stop`.
pub(super) async fn observe(core: Arc<Core>) {
    let mut looks = tokio::time::interval(FINE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let stop = core.tasks.stop().clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let Some(proxy) = core.proxy.get() else { continue };
        let snapshot = proxy.snapshot.load_full();
        core.observer.look(&snapshot, clock::now());
    }
}
