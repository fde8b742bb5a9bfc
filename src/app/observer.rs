//! Looks at every upstream once a second and keeps what happened: what verdicts and the policy's guard are judged by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::time::MissedTickBehavior;

use super::Core;
use crate::clock;
use crate::policy::Direction;
use crate::reliability::verdict::history::{FINE, History, Tick};
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
        core.guard.look(&|d, name, from, to| core.observer.sum(d, name, from, to), snapshot.policy.guard, clock::now());
    }
}
