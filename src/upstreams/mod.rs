//! Living state of dependencies: budget, breaker, limits, endpoints. It outlives policy revisions.

pub mod checks;
pub mod endpoint;
pub mod line;
pub mod pick;
pub mod reconcile;
pub mod resolve;
pub mod retries;
pub mod ring;
pub mod set;
pub mod slots;
pub mod view;
mod warming;
mod zones;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use self::endpoint::{AttemptRecord, Endpoint};
use self::set::{EndpointSet, Shape};
use self::slots::Slots;
use self::view::{
    BREAKER, BUDGET, BudgetView, CircuitView, EJECTION, ObservedView, THROTTLE, TotalsView, UpstreamView,
};
use crate::policy::{Direction, UpstreamPolicy};
use crate::random::Random;
use crate::reliability::attempts::Denied;
use crate::reliability::breaker::{Breaker, Hold, State, Transition};
use crate::reliability::dependency::Dependency;
use crate::reliability::efficacy;
use crate::reliability::ejection::EndpointSignal;
use crate::reliability::ending::Ending;
use crate::reliability::health;
use crate::reliability::throttle::Throttle;
use crate::telemetry::metrics::UpstreamMeters;
use crate::telemetry::tally::Tally;
use crate::wire::pool::PoolLimits;

/// Below this nothing is slow: twice a p99 of a millisecond is noise.
const SLOW_MIN: Duration = Duration::from_millis(10);
/// Successes from which on the p99 says what is slow.
const SLOW_SAMPLES: u64 = 100;

/// Every endpoint must have been tripped for this long before that alone opens the breaker.
const ALL_DOWN_OPENS_AFTER: Duration = Duration::from_secs(1);

/// One dependency, found by direction and name; survives a reload that keeps the name.
pub struct Upstream {
    /// As in the policy.
    pub name: Arc<str>,
    /// Outbound, or the app behind `inbound`.
    pub direction: Direction,
    /// Slots and the queue for them.
    pub slots: Arc<Slots>,
    /// Counters that no route owns.
    pub meters: Arc<UpstreamMeters>,
    /// What happened, for verdicts.
    pub tally: Tally,
    /// Totals for operators that verdicts do not need.
    pub totals: Totals,
    dependency: Mutex<Dependency>,
    numbers: Mutex<retries::Numbers>,
    set: ArcSwap<EndpointSet>,
    turn: AtomicU64,
    /// Answers that take longer are slow, in microseconds; 0 = nobody can say yet.
    slow_above: AtomicU64,
    /// An endpoint agreed on HTTP/2 when it was asked last.
    shares: AtomicBool,
    resolution: Resolution,
    /// Whoever checks endpoints is told that there are others.
    set_changed: Arc<Notify>,
    events: Events,
}

/// Where breaker transitions and ejections are told.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Something operators want to know of.
#[derive(Clone, Debug)]
pub enum Event {
    /// The breaker changed state.
    Circuit { upstream: Arc<str>, transition: Transition },
    /// An endpoint was ejected.
    Ejected { upstream: Arc<str>, endpoint: String, for_ms: u64, failure: &'static str },
    /// The endpoint set changed. `before` and `now`: how many there were, and are.
    Endpoints { upstream: Arc<str>, added: Vec<String>, removed: Vec<String>, before: usize, now: usize },
    /// The name could not be resolved; the last good set is kept.
    ResolveFailed { upstream: Arc<str>, error: String },
    /// Whether retries of a route help after one class of failure is judged differently now.
    Retries { upstream: Arc<str>, route: Arc<str>, change: efficacy::Change },
    /// An endpoint fails its health checks, and why; or passes them again.
    Health { upstream: Arc<str>, endpoint: String, miss: Option<health::Miss>, enforced: bool },
    /// The name, which could not be resolved, can be again.
    Resolved { upstream: Arc<str>, endpoints: usize },
}

/// State of name resolution.
#[derive(Debug, Default)]
struct Resolution {
    error: Mutex<Option<(crate::reliability::Failure, String)>>,
    /// At least one look-up has ended, or none is needed.
    settled: AtomicBool,
    settled_now: Notify,
    /// Asks for a look-up before the TTL is over.
    nudge: Notify,
    connect_failures: AtomicU64,
}

/// Totals since the process first saw the upstream.
#[derive(Debug, Default)]
pub struct Totals {
    pub first_attempts_failed: AtomicU64,
    pub refused: AtomicU64,
    /// Endpoints that ejection would have taken out, had it not been in mode observe.
    would_eject: AtomicU64,
    denied: [AtomicU64; Denied::ALL.len()],
}

impl Totals {
    /// Counts a retry that was not made.
    pub fn deny(&self, reason: Denied) {
        self.denied[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn view(&self, tally: &Tally) -> TotalsView {
        let read = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let failed = |e: Ending| e.is_upstreams_failure() || matches!(e, Ending::OwnLimit | Ending::OwnFault);
        TotalsView {
            requests: tally.requests.sum(|_| true),
            requests_failed: tally.requests.sum(failed),
            attempts: tally.attempts.sum(|_| true),
            first_attempts_failed: read(&self.first_attempts_failed),
            retries: tally.retries(),
            rescued: tally.rescued(),
            denied: Denied::ALL
                .iter()
                .zip(&self.denied)
                .map(|(reason, count)| (reason.token().to_owned(), read(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            refused: read(&self.refused),
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({} {})", self.direction.as_str(), self.name)
    }
}

/// Bounds of an endpoint's connections under `policy`.
pub fn pool_limits(policy: &UpstreamPolicy) -> PoolLimits {
    PoolLimits {
        connections_max: policy.limits.connections,
        idle_max: policy.idle_connections_max,
        idle_timeout: policy.idle_connection_timeout,
        age_max: policy.connection_age_max,
    }
}

impl Upstream {
    fn new(policy: &UpstreamPolicy, meters: Arc<UpstreamMeters>, events: Events, now: Instant) -> Upstream {
        Upstream {
            name: Arc::clone(&policy.name),
            direction: policy.direction,
            slots: Arc::default(),
            meters,
            tally: Tally::default(),
            totals: Totals::default(),
            dependency: Mutex::new(Dependency::new(&policy.dependency, now)),
            numbers: Mutex::default(),
            set: ArcSwap::from_pointee(EndpointSet::new(&[], &Shape::default(), None, None, now)),
            turn: AtomicU64::new(0),
            slow_above: AtomicU64::new(0),
            shares: AtomicBool::new(false),
            resolution: Resolution::default(),
            set_changed: Arc::default(),
            events,
        }
    }

    /// Whether requests share connections, as far as that was left to its endpoints.
    pub fn shares_connections(&self) -> bool {
        self.shares.load(Ordering::Relaxed)
    }

    /// An endpoint was asked for HTTP/2, and agreed or not.
    pub fn learn(&self, http2: bool) {
        self.shares.store(http2, Ordering::Relaxed);
    }

    /// Runs `decide` on what all requests share, then publishes the breaker's transitions and changed verdicts about
    /// retries after unlocking.
    pub fn decide<T>(&self, decide: impl FnOnce(&mut Dependency) -> T) -> T {
        let mut dependency = self.lock();
        let answer = decide(&mut dependency);
        let transitions = match &mut dependency.breaker {
            Some(breaker) if breaker.has_transitions() => breaker.take_transitions(),
            _ => Vec::new(),
        };
        let verdicts = dependency.efficacy.take_changes();
        drop(dependency);
        verdicts.into_iter().for_each(|change| self.tell_verdict(change));
        for transition in transitions {
            self.meters.circuit_transition(state_word(transition.from), state_word(transition.to));
            (self.events)(Event::Circuit { upstream: Arc::clone(&self.name), transition });
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Dependency> {
        self.dependency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoints of this moment.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.set.load_full()
    }

    /// How many endpoints there are.
    pub fn endpoint_count(&self) -> usize {
        self.set.load().endpoints.len()
    }

    /// Takes in how an attempt to `endpoint` ended.
    pub fn record_attempt(
        &self,
        policy: &UpstreamPolicy,
        endpoint: &Endpoint,
        signal: EndpointSignal,
        failure: Option<&'static str>,
        elapsed: Duration,
        now: Instant,
    ) {
        let set = self.set.load();
        if signal == EndpointSignal::Success {
            set.on_success();
            let record =
                AttemptRecord { signal, elapsed, penalty: Duration::ZERO, failure, peer_failure_percent: None };
            endpoint.record(now, &record, &policy.ejection);
            return;
        }
        if signal == EndpointSignal::Ignored {
            return;
        }
        if signal == EndpointSignal::Refused {
            // It answers; what is behind it does not.
            set.on_success();
        }
        let penalty = self.lock().latency.p99(now).map_or(Duration::ZERO, |p99| p99 * 2);
        let record = AttemptRecord {
            signal,
            elapsed,
            penalty,
            failure,
            peer_failure_percent: set.peer_failure_percent(endpoint, now),
        };
        if let Some(until) = endpoint.record(now, &record, &policy.ejection) {
            set.recount(now, policy);
            if policy.ejection.observe && set.would_eject(endpoint, now, &policy.ejection) {
                self.totals.would_eject.fetch_add(1, Ordering::Relaxed);
            }
            // Tripped is not yet ejected: the last endpoint stays, and so do all in a panic.
            if endpoint.is_ejected() {
                self.meters.ejected();
                (self.events)(Event::Ejected {
                    upstream: Arc::clone(&self.name),
                    endpoint: endpoint.addr.to_string(),
                    for_ms: until.saturating_duration_since(now).as_millis() as u64,
                    failure: failure.unwrap_or("failure"),
                });
            }
        }
        if set.all_down_for(now).is_some_and(|d| d > ALL_DOWN_OPENS_AFTER) {
            self.decide(|dependency| {
                if let Some(breaker) = &mut dependency.breaker {
                    breaker.on_all_endpoints_down(now, &mut Random);
                }
            });
        }
    }

    /// Whether an answer that took so long is remarkable: more than twice the p99 of late.
    pub fn is_slow(&self, answered: Duration) -> bool {
        let bound = self.slow_above.load(Ordering::Relaxed);
        bound > 0 && answered.as_micros() > u128::from(bound)
    }

    /// Says anew what is slow, so that no request has to ask for a quantile.
    fn measure(&self, now: Instant) {
        let mut dependency = self.lock();
        let p99 = if dependency.latency.count(now) < SLOW_SAMPLES { None } else { dependency.latency.p99(now) };
        drop(dependency);
        let bound = p99.map_or(Duration::ZERO, |p99| p99.saturating_mul(2).max(SLOW_MIN));
        self.slow_above.store(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Measures what is slow, and closes idle connections that aged or that the peer closed.
    pub fn sweep(&self, policy: &UpstreamPolicy, now: Instant) {
        self.measure(now);
        let limits = pool_limits(policy);
        for endpoint in &self.set.load().endpoints {
            endpoint.sweep(now, &limits);
        }
    }

    fn retire(&self) {
        for endpoint in &self.set.load().endpoints {
            endpoint.retire();
        }
        self.resolution.nudge.notify_waiters();
    }

    /// The breaker's state, and by whom it is held; `None` without a breaker.
    pub fn circuit(&self, now: Instant) -> Option<(State, Option<Hold>)> {
        let dependency = self.lock();
        let breaker = dependency.breaker.as_ref()?;
        Some((breaker.state(now), breaker.held(now).map(|(hold, _until)| hold)))
    }

    /// What mechanisms in mode observe would have done.
    fn observed(&self, dependency: &Dependency, policy: &UpstreamPolicy) -> Vec<ObservedView> {
        let ejections = self.totals.would_eject.load(Ordering::Relaxed);
        let counts = [
            (BREAKER, dependency.breaker.as_ref().and_then(Breaker::observed)),
            (THROTTLE, dependency.throttle.as_ref().and_then(Throttle::observed)),
            (EJECTION, policy.ejection.observe.then_some(ejections)),
            (BUDGET, dependency.budget.observed()),
        ];
        let view = |(mechanism, count): (&str, Option<u64>)| {
            Some(ObservedView { mechanism: mechanism.to_owned(), count: count? })
        };
        counts.into_iter().filter_map(view).collect()
    }

    /// What operators see.
    pub fn view(&self, policy: &UpstreamPolicy, now: Instant) -> UpstreamView {
        let set = self.endpoints();
        let limits = self.slots.view(&policy.limits, now);
        let resolve_error = self.resolve_error();
        let mut dependency = self.lock();
        let circuit = circuit_view(&mut dependency, now);
        let budget =
            BudgetView { remaining_ratio: dependency.budget.remaining_ratio(now), gated: dependency.budget.gated() };
        let millis = |d: Option<Duration>| d.map(|d| d.as_secs_f64() * 1e3);
        let (p50_ms, p99_ms) = (millis(dependency.latency.p50(now)), millis(dependency.latency.p99(now)));
        let observed = self.observed(&dependency, policy);
        drop(dependency);
        UpstreamView {
            name: self.name.to_string(),
            direction: self.direction.as_str().to_owned(),
            endpoints: set.endpoints.iter().map(|e| view_of(e, policy, now)).collect(),
            endpoint_set_age_seconds: now.saturating_duration_since(set.since).as_secs(),
            resolve_error,
            panic: set.in_panic(now),
            checks_ignored: set.ignores_checks(policy),
            circuit,
            budget,
            limits,
            p50_ms,
            p99_ms,
            totals: self.totals.view(&self.tally),
            hedges: self.hedge_views(&policy.routes, now),
            rate_limits: Vec::new(),
            observed,
        }
    }
}

fn view_of(endpoint: &Endpoint, policy: &UpstreamPolicy, now: Instant) -> view::EndpointView {
    let zone = policy.zones.as_ref().map(|zones| zones.word(endpoint.addr.ip()));
    view::EndpointView { zone, ..endpoint.view(now) }
}

fn circuit_view(dependency: &mut Dependency, now: Instant) -> Option<CircuitView> {
    let throttle_rejection = dependency.throttle.as_ref().map_or(0.0, |t| t.rejection(now));
    let breaker = dependency.breaker.as_ref()?;
    let (samples, failure_percent, slow_percent) = breaker.rates(now);
    Some(CircuitView {
        state: state_word(breaker.state(now)).to_owned(),
        held: breaker.held(now).map(|(hold, _until)| match hold {
            Hold::Open => "open".to_owned(),
            Hold::Closed => "closed".to_owned(),
        }),
        retry_after_ms: breaker.precheck(now).map(|d| d.as_millis() as u64),
        failure_percent,
        slow_percent,
        samples,
        throttle_rejection,
    })
}

/// The literature's words: closed = traffic flows.
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half-open",
    }
}
