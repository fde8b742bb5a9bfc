//! One address of an upstream: its connections, its health, what is in flight to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::line::{Line, Speech};
use super::view::{EndpointView, HealthView};
use crate::random::Random;
use crate::reliability::Failure;
use crate::reliability::balance::{self, Company, View};
use crate::reliability::ejection::{Ejection, EjectionPolicy, EndpointSignal};
use crate::reliability::failure::Phase;
use crate::reliability::health::{Change, Health as Checks, HealthPolicy, Miss, Standing};
use crate::reliability::latency::PeakEwma;
use crate::telemetry::tally::EndingTally;
use crate::wire::pool::PoolLimits;

/// An endpoint nobody has measured is assumed to answer in this time.
const EWMA_START: Duration = Duration::from_millis(30);
/// A latency peak is forgotten over this time.
const EWMA_DECAY: Duration = Duration::from_secs(10);

/// One address. Lives as long as the address is part of the upstream; a request that holds it may outlive that.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub addr: SocketAddr,
    /// Value of `Host` towards this endpoint.
    pub authority: HeaderValue,
    /// Its connections.
    line: ArcSwap<Line>,
    /// How attempts to it ended.
    pub tally: EndingTally,
    pending: AtomicU32,
    /// Why it sits out: one of [`IN`], [`EJECTED`], [`FAILING`].
    out: AtomicU8,
    born: Instant,
    /// Nanoseconds since `born`, and one, since when it starts slowly; 0 = it is established.
    warms_since: AtomicU64,
    health: Mutex<Health>,
}

/// It takes traffic.
const IN: u8 = 0;
/// Tripped, and the set may do without it.
const EJECTED: u8 = 1;
/// It fails its checks, and the set may do without it.
const FAILING: u8 = 2;

/// Whether an endpoint takes traffic, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It does.
    In,
    /// It sits out because requests to it failed.
    Ejected,
    /// It sits out because its health checks do.
    Failing,
}

#[derive(Debug)]
struct Health {
    ejection: Ejection,
    ewma: PeakEwma,
    last_failure: Option<&'static str>,
    /// Successful attempts so far, and how long they took together.
    answered: (u64, Duration),
    /// Where it is checked.
    checks: Option<Checks>,
    /// Why the last check did not pass, while it fails or may fail.
    miss: Option<Miss>,
}

/// What a check is for an endpoint that may be due for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is due, and has begun.
    Now,
    /// Not before this moment.
    At(Instant),
}

/// An attempt in flight to an endpoint; counted until dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// Counts one attempt.
    pub fn begin(endpoint: Arc<Endpoint>) -> InFlight {
        endpoint.pending.fetch_add(1, Ordering::Relaxed);
        InFlight(endpoint)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Endpoint {
    /// A healthy endpoint without connections. `seed`: what it is assumed to need for an answer, where others are known.
    pub fn new(addr: SocketAddr, authority: HeaderValue, seed: Option<Duration>, now: Instant) -> Endpoint {
        Endpoint {
            addr,
            authority,
            line: ArcSwap::default(),
            tally: EndingTally::default(),
            pending: AtomicU32::new(0),
            out: AtomicU8::new(IN),
            born: now,
            warms_since: AtomicU64::new(0),
            health: Mutex::new(Health {
                ejection: Ejection::new(now),
                ewma: PeakEwma::new(now, seed.unwrap_or(EWMA_START), EWMA_DECAY),
                last_failure: None,
                answered: (0, Duration::ZERO),
                checks: None,
                miss: None,
            }),
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its connections under `speech`, or under what has come into force since.
    pub fn line(&self, speech: &Arc<Speech>) -> Arc<Line> {
        let line = self.line.load_full();
        if line.serves(speech) { line } else { self.renew(speech) }
    }

    #[cold]
    fn renew(&self, speech: &Arc<Speech>) -> Arc<Line> {
        let fresh = Arc::new(Line::new(Arc::clone(speech)));
        let before = self.line.rcu(|line| if line.serves(speech) { Arc::clone(line) } else { Arc::clone(&fresh) });
        if before.serves(speech) {
            return before;
        }
        // What is under way finishes on the old connections.
        before.retire();
        fresh
    }

    /// Closes what is idle for too long, or dead.
    pub fn sweep(&self, now: Instant, limits: &PoolLimits) {
        self.line.load().sweep(now, limits);
    }

    /// Offers no connection from now on.
    pub fn retire(&self) {
        self.line.load().retire();
    }

    /// Attempts in flight.
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// What a balancer may know. `company`: where some of the set start slowly, and over which time.
    pub fn balance_view(&self, now: Instant, used: bool, company: Option<(Company, Duration)>) -> View {
        View {
            available: self.out.load(Ordering::Relaxed) == IN,
            used,
            pending: self.pending(),
            ewma: self.health().ewma.value(now),
            weight: company.map_or(1.0, |(company, window)| company.weight(self.ramp(now, window))),
        }
    }

    /// Whether it is out of rotation, and why.
    pub fn place(&self) -> Place {
        match self.out.load(Ordering::Relaxed) {
            EJECTED => Place::Ejected,
            FAILING => Place::Failing,
            _ => Place::In,
        }
    }

    /// Whether it is out of rotation because requests to it failed.
    pub fn is_ejected(&self) -> bool {
        self.place() == Place::Ejected
    }

    /// Takes it out of rotation, or back in. Returns whether it was out.
    pub fn set_place(&self, place: Place) -> bool {
        let word = match place {
            Place::In => IN,
            Place::Ejected => EJECTED,
            Place::Failing => FAILING,
        };
        self.out.swap(word, Ordering::Relaxed) != IN
    }

    /// From now on it starts slowly.
    pub fn start_slowly(&self, now: Instant) {
        let since = now.saturating_duration_since(self.born).as_nanos();
        self.warms_since.store(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// How far its slow start over `window` has come, 1 = it is over.
    pub fn ramp(&self, now: Instant, window: Duration) -> f64 {
        match self.warms_since.load(Ordering::Relaxed) {
            0 => 1.0,
            since => {
                let from = self.born + Duration::from_nanos(since - 1);
                balance::ramp(now.saturating_duration_since(from), window)
            }
        }
    }

    /// Whether a check is due; one that is, has begun.
    pub fn check_due(&self, now: Instant, policy: &HealthPolicy) -> Due {
        let mut health = self.health();
        let checks = health.checks.get_or_insert_with(|| Checks::new(now, policy, &mut Random));
        if checks.due() > now {
            return Due::At(checks.due());
        }
        checks.begin(now, policy);
        Due::Now
    }

    /// Takes in how a check ended. A check that passes tries what a trip for want of a connection stands for: after
    /// as many of them as let an endpoint in, such a trip ends. It says nothing of requests that are answered with
    /// errors, so other trips run out.
    pub fn record_check(&self, now: Instant, result: Result<(), Miss>, policy: &HealthPolicy) -> Option<Change> {
        let mut health = self.health();
        let Health { checks, miss, ejection, last_failure, .. } = &mut *health;
        let checks = checks.as_mut()?;
        let change = checks.record(now, result.is_ok(), policy, &mut Random);
        match result {
            Err(why) => *miss = Some(why),
            Ok(()) if checks.standing() != Standing::Unhealthy => *miss = None,
            Ok(()) => {}
        }
        let connects = |token: &str| {
            Failure::ALL.iter().any(|failure| failure.token() == token && failure.phase() == Phase::Connect)
        };
        if checks.passed() >= policy.healthy && last_failure.is_some_and(connects) {
            ejection.end_trip(now);
        }
        change
    }

    /// Another block than before: its first check comes soon, what was said stays until then.
    pub fn ask_anew(&self, now: Instant, policy: &HealthPolicy) {
        if let Some(checks) = &mut self.health().checks {
            checks.ask_anew(now, policy, &mut Random);
        }
    }

    /// It is not checked any more.
    pub fn forget_checks(&self) {
        let mut health = self.health();
        (health.checks, health.miss) = (None, None);
    }

    /// Whether it fails its checks.
    pub fn fails_checks(&self) -> bool {
        self.health().checks.as_ref().is_some_and(|checks| checks.standing() == Standing::Unhealthy)
    }

    /// Why it fails its checks, if it does.
    pub fn miss(&self) -> Option<Miss> {
        let health = self.health();
        health.miss.filter(|_| health.checks.as_ref().is_some_and(|checks| checks.standing() == Standing::Unhealthy))
    }

    /// Takes in how an attempt ended. A failure is charged at least `penalty`: an endpoint that fails fast
    /// must not attract traffic. Returns until when the endpoint is tripped if this tripped it.
    pub fn record(&self, now: Instant, end: &AttemptRecord, policy: &EjectionPolicy) -> Option<Instant> {
        let mut health = self.health();
        match end.signal {
            EndpointSignal::Success => {
                health.ewma.record(now, end.elapsed);
                let (count, time) = health.answered;
                health.answered = (count + 1, time.saturating_add(end.elapsed));
            }
            EndpointSignal::Hard | EndpointSignal::Soft | EndpointSignal::Overload | EndpointSignal::Refused => {
                let known = Duration::try_from_secs_f64(health.ewma.value(now)).unwrap_or(end.elapsed);
                health.ewma.record(now, end.elapsed.max(known).max(end.penalty));
                health.last_failure = end.failure;
            }
            EndpointSignal::Ignored => {}
        }
        health.ejection.record(now, end.signal, policy, end.peer_failure_percent, &mut Random)
    }

    /// An attempt was cancelled after this time because another one had answered. How long it would have taken nobody
    /// knows: at least so long, which can only be news if it is longer than what is expected.
    pub fn outlasted(&self, now: Instant, elapsed: Duration) {
        let mut health = self.health();
        if elapsed.as_secs_f64() > health.ewma.value(now) {
            health.ewma.record(now, elapsed);
        }
    }

    /// Until when it is tripped.
    pub fn tripped_until(&self, now: Instant) -> Option<Instant> {
        self.health().ejection.tripped_until(now)
    }

    /// (samples, failure percent) of its window.
    pub fn failure_percent(&self, now: Instant) -> (u32, f64) {
        self.health().ejection.failure_percent(now)
    }

    /// Successful attempts so far, and how long they took together.
    pub fn answered(&self) -> (u64, Duration) {
        self.health().answered
    }

    /// Why it was tripped last, or how the last failed attempt ended: a failure's token, or a status.
    pub fn last_failure(&self) -> Option<&'static str> {
        self.health().last_failure
    }

    /// What operators see.
    pub fn view(&self, now: Instant) -> EndpointView {
        let line = self.line.load();
        let (open_connections, idle_connections) = (line.open_count(), line.idle_count());
        let health = self.health();
        let (samples, failure_percent) = health.ejection.failure_percent(now);
        EndpointView {
            address: self.addr.to_string(),
            pending: self.pending(),
            open_connections,
            idle_connections,
            ewma_ms: health.ewma.value(now) * 1e3,
            failure_percent,
            samples,
            ejected_for_ms: health
                .ejection
                .tripped_until(now)
                .filter(|_| self.is_ejected())
                .map(|t| t.saturating_duration_since(now).as_millis() as u64),
            last_failure: health.last_failure.map(str::to_owned),
            health: health.checks.as_ref().map(|checks| HealthView {
                state: checks.standing().as_str().to_owned(),
                cause: health.miss.map(|miss| miss.to_string()),
                sits_out: self.place() == Place::Failing,
            }),
            zone: None,
        }
    }
}

/// How an attempt ended, as far as its endpoint is concerned.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRecord {
    /// What ejection learns.
    pub signal: EndpointSignal,
    /// Until the head of the answer, or the failure.
    pub elapsed: Duration,
    /// Least latency charged for a failure.
    pub penalty: Duration,
    /// Token of the failure, or `5xx`.
    pub failure: Option<&'static str>,
    /// Median failure percent of the other endpoints; `None` below three endpoints.
    pub peer_failure_percent: Option<f64>,
}
