//! Looks at every upstream once a second and keeps what happened: what verdicts and the policy's guard are judged by.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Core, verdicts};
use crate::clock;
use crate::policy::store::PolicyStore;
use crate::policy::{Direction, UpstreamPolicy};
use crate::reliability::efficacy::Harm;
use crate::reliability::ending::Ending;
use crate::reliability::failure::Failure;
use crate::reliability::health::Miss;
use crate::reliability::verdict::app::Blame;
use crate::reliability::verdict::finding::{Change, EndpointSeen, Finding, RouteSeen, Seen};
use crate::reliability::verdict::history::{COARSE, FINE, STEPS, Tick};
use crate::reliability::verdict::watch::Watch;
use crate::telemetry::metrics::RouteMeters;
use crate::upstreams::Upstream;
use crate::upstreams::endpoint::Place;
use crate::upstreams::reconcile::Snapshot;

/// Routes of one upstream that are looked at, at most.
const ROUTES_MAX: usize = 1_000;

/// What was seen of every upstream of the policy in force: about 40 KiB each, and what [`Watch`] says of endpoints and
/// routes.
#[derive(Default)]
pub struct Observer {
    board: Mutex<Board>,
}

type Key = (Direction, Arc<str>);

#[derive(Default)]
struct Board {
    watched: HashMap<Key, Watched>,
    blame: Blame,
    /// As of the last look, in the order of the policy.
    findings: Vec<(Key, Option<Finding>)>,
}

struct Watched {
    /// The counters at the last look.
    last: Tick,
    watch: Watch,
}

impl Observer {
    /// Takes in what happened since the last look. Returns the upstreams of which something else is to be said now.
    pub fn look(&self, snapshot: &Snapshot, now: Instant, changes: &[Change]) -> Vec<(Direction, Arc<str>)> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: HashSet<Key> = snapshot.upstreams.iter().map(key_of).collect();
        board.watched.retain(|key, _| wanted.contains(key));
        let mut findings: Vec<(Key, Option<Finding>)> = Vec::with_capacity(snapshot.upstreams.len());
        let parts = snapshot.upstreams.iter().zip(&snapshot.policy.upstreams).zip(&snapshot.meters);
        for ((upstream, policy), meters) in parts {
            let key = key_of(upstream);
            let watched = board.watched.entry(key.clone()).or_insert_with(|| Watched::new(now));
            findings.push((key, watched.take_in(upstream, policy, meters, now, changes)));
        }
        settle_app(&mut board.blame, &mut findings, now);
        let news = news(&board.findings, &findings);
        board.findings = findings;
        news
    }

    /// What is wrong, of every upstream in the order of the policy.
    pub fn findings(&self) -> Vec<(Direction, Arc<str>, Option<Finding>)> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.findings.iter().map(|((direction, name), found)| (*direction, Arc::clone(name), found.clone())).collect()
    }

    /// What happened to one upstream in each of the last spans of [`COARSE`], oldest first; the last one is not over.
    /// `None` if it is not known.
    pub fn curve(&self, direction: Direction, name: &str, now: Instant) -> Option<Vec<Tick>> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let history = board.watched.get(&(direction, Arc::from(name)))?.watch.history();
        let back = |spans: usize| {
            let spans = u32::try_from(spans).unwrap_or(u32::MAX);
            // No moment is so early: nothing happened then.
            now.checked_sub(COARSE.saturating_mul(spans)).unwrap_or(now)
        };
        Some((0..STEPS).rev().map(|ago| history.sum(back(ago + 1), back(ago))).collect())
    }

    /// What happened to one upstream from `from` until `to`; `None` if it is not known.
    pub fn sum(&self, direction: Direction, name: &str, from: Instant, to: Instant) -> Option<Tick> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.watched.get(&(direction, Arc::from(name))).map(|watched| watched.watch.history().sum(from, to))
    }
}

fn key_of(upstream: &Arc<Upstream>) -> Key {
    (upstream.direction, Arc::clone(&upstream.name))
}

/// Whether the app fails because of what it depends on.
fn settle_app(blame: &mut Blame, findings: &mut [(Key, Option<Finding>)], now: Instant) {
    let (apps, others): (Vec<_>, Vec<_>) =
        findings.iter_mut().partition(|((direction, _), _)| *direction == Direction::Inbound);
    for (_, app) in apps {
        if let Some(app) = app {
            let dependencies = others.iter().filter_map(|((_, name), found)| Some((&**name, found.as_ref()?)));
            blame.settle(now, app, dependencies);
        }
    }
}

/// Where condition or cause differ. An upstream that is new and well is no news.
fn news(before: &[(Key, Option<Finding>)], after: &[(Key, Option<Finding>)]) -> Vec<Key> {
    let said = |found: &Option<Finding>| found.as_ref().map(|found| (found.condition, found.cause));
    let before: HashMap<&Key, &Option<Finding>> = before.iter().map(|(key, found)| (key, found)).collect();
    let known = |key: &Key| before.get(key).and_then(|found| said(found));
    after.iter().filter(|(key, found)| said(found) != known(key)).map(|(key, _)| key.clone()).collect()
}

impl Watched {
    fn new(now: Instant) -> Watched {
        Watched { last: Tick::default(), watch: Watch::new(now) }
    }

    fn take_in(
        &mut self,
        upstream: &Upstream,
        policy: &UpstreamPolicy,
        meters: &[Arc<RouteMeters>],
        now: Instant,
        changes: &[Change],
    ) -> Option<Finding> {
        let read = upstream.tally.read();
        let tick = read.since(&self.last);
        self.last = read;
        let routes: Vec<RouteSeen<'_>> = policy
            .routes
            .iter()
            .zip(meters)
            .take(ROUTES_MAX)
            .map(|(route, meters)| RouteSeen { name: &route.name, endings: meters.tally.read() })
            .collect();
        let endpoints = endpoints(upstream);
        let circuit = upstream.circuit(now);
        let (in_flight, waiting) = upstream.slots.counts();
        let breaker = policy.dependency.breaker.as_ref();
        let seen = Seen {
            inbound: upstream.direction == Direction::Inbound,
            tick: &tick,
            endpoints: &endpoints,
            routes: &routes,
            circuit: circuit.map(|(state, _)| state),
            held: circuit.and_then(|(_, hold)| hold),
            unresolved: upstream.resolve_error().is_some(),
            in_flight,
            waiting,
            slow_call: breaker.and_then(|breaker| breaker.slow_call).map(|slow| slow.threshold),
        };
        let found = self.watch.look(now, &upstream.name, &seen, changes).cloned();
        upstream.review_retries(now, || Harm::of(self.watch.history(), now));
        found
    }
}

fn endpoints(upstream: &Upstream) -> Vec<EndpointSeen> {
    let set = upstream.endpoints();
    let seen = set.endpoints.iter().map(|endpoint| {
        let (answered, answered_in) = endpoint.answered();
        EndpointSeen {
            name: endpoint.addr.to_string(),
            endings: endpoint.tally.read(),
            answered,
            answered_in,
            ejected: endpoint.place() != Place::In,
            last_failure: endpoint.miss().map(Miss::ending).or_else(|| endpoint.last_failure().map(ending)),
        }
    });
    seen.collect()
}

/// Of an endpoint's last failure: a failure's token, or a status.
fn ending(token: &str) -> Ending {
    let failure = Failure::ALL.iter().find(|failure| failure.token() == token);
    match (failure, token) {
        (Some(failure), _) => Ending::of_failure(*failure),
        (None, "429") => Ending::Overload,
        (None, _) => Ending::Error,
    }
}

/// Looks once a second until `stop`.
pub(super) async fn observe(core: Arc<Core>, store: Arc<PolicyStore>) {
    let mut looks = tokio::time::interval(FINE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let stop = core.tasks.stop().clone();
    let mut untold: Vec<Key> = Vec::new();
    let mut telling: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        // The journal may be waiting for its disk.
        let (looking, journal) = (Arc::clone(&core), Arc::clone(&store));
        let news = tokio::task::spawn_blocking(move || look(&looking, &journal)).await.unwrap_or_default();
        untold.extend(news);
        // Whoever reads the log may stand still: what is to be told then waits, and looks go on.
        if !untold.is_empty() && telling.as_ref().is_none_or(JoinHandle::is_finished) {
            let (core, news) = (Arc::clone(&core), std::mem::take(&mut untold));
            telling = Some(tokio::task::spawn_blocking(move || verdicts::tell(&core, &news)));
        }
        untold.sort_unstable_by(|a, b| (a.0.as_str(), &a.1).cmp(&(b.0.as_str(), &b.1)));
        untold.dedup();
    }
}

fn look(core: &Core, store: &PolicyStore) -> Vec<Key> {
    let Some(proxy) = core.proxy.get() else { return Vec::new() };
    let snapshot = proxy.snapshot.load_full();
    let changes = verdicts::changes(core, store, &snapshot.policy);
    let now = clock::now();
    let news = core.observer.look(&snapshot, now, &changes);
    verdicts::measure(core);
    core.guard.look(&|d, name, from, to| core.observer.sum(d, name, from, to), snapshot.policy.guard, now);
    news
}
