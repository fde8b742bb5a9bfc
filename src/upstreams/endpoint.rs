//! One address of an upstream: its connections, its health, what is in flight to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::line::{Line, Speech};
use super::view::EndpointView;
use crate::random::Random;
use crate::reliability::balance::View;
use crate::reliability::ejection::{Ejection, EjectionPolicy, EndpointSignal};
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
    /// Tripped, and the set may do without it.
    ejected: AtomicBool,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Health {
    ejection: Ejection,
    ewma: PeakEwma,
    last_failure: Option<&'static str>,
    /// Successful attempts so far, and how long they took together.
    answered: (u64, Duration),
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
    /// A healthy endpoint without connections.
    pub fn new(addr: SocketAddr, authority: HeaderValue, now: Instant) -> Endpoint {
        Endpoint {
            addr,
            authority,
            line: ArcSwap::default(),
            tally: EndingTally::default(),
            pending: AtomicU32::new(0),
            ejected: AtomicBool::new(false),
            health: Mutex::new(Health {
                ejection: Ejection::new(now),
                ewma: PeakEwma::new(now, EWMA_START, EWMA_DECAY),
                last_failure: None,
                answered: (0, Duration::ZERO),
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

    /// What a balancer may know.
    pub fn balance_view(&self, now: Instant, used: bool) -> View {
        View {
            available: !self.ejected.load(Ordering::Relaxed),
            used,
            pending: self.pending(),
            ewma: self.health().ewma.value(now),
        }
    }

    /// Whether it is out of rotation.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Takes it out of rotation, or back in.
    pub fn set_ejected(&self, ejected: bool) {
        self.ejected.store(ejected, Ordering::Relaxed);
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
