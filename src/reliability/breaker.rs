//! Dependency breaker: stops traffic to a dependency that is down, and finds out when it is back.
//!
//! CLOSED lets traffic flow and watches three things: the failure rate and the slow rate in a sliding window,
//! and the run of failures. OPEN refuses everything. HALF_OPEN lets a few probes through: all succeed and it
//! closes, any one fails and it opens again.
//!
//! * **Open time** is `min(max_open, open·2^n) · U(0.5, 1)`: equal jitter, as in Finagle. Jitter keeps the
//!   sidecars of a fleet, tripped at the same moment, from probing at the same moment. Full jitter `U(0, …)`
//!   is right for retries but not here: one opening in ten would last less than a tenth of what the policy
//!   says and throw the probes at a dependency that had no time to recover. This way `open` and `max_open`
//!   are upper bounds an operator can rely on. `n` grows with each trip and falls by one per clean minute.
//! * **A permit carries the generation** in which it was granted. A result from before the last change of
//!   state is ignored, so that a straggler can neither close nor reopen the breaker.
//! * **A hung probe fails** when `probe_timeout` is over, also when nobody calls `record`: every question
//!   asked of the breaker first takes into account what the clock alone has changed. The jitter of the next
//!   opening is drawn ahead for that, so that `precheck(&self)` and a later `acquire` name the same instant.
//! * **The ramp**: after the probes succeed, up to 90 % of requests are still refused, falling linearly to
//!   none, so that a fleet does not fall upon a dependency with cold caches. It is on for everyone, because
//!   the dependency cannot tell how many sidecars wait; but it lasts no longer than the outage did (10 s at
//!   most), it ends at once when `min_requests` in a row have succeeded, and two requests per second always
//!   pass, so that a sidecar at low rates never notices it.

mod policy;
mod probes;
mod ramp;

pub use self::policy::{BreakerPolicy, SlowCall};
use self::probes::{Probes, probes_wanted};
use self::ramp::Ramp;
use super::entropy::Entropy;
use super::window::{Counts, Window};
use std::time::{Duration, Instant};

/// Time without a trip after which the next open time halves.
const CLEAN_PERIOD: Duration = Duration::from_secs(60);
/// Transitions kept until the shell takes them; older ones are dropped.
const TRANSITIONS_MAX: usize = 8;
/// Bounds what a policy or an operator can ask for, and keeps `Instant` arithmetic from overflowing.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Closed = traffic flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// traffic flows
    Closed,
    /// everything is refused
    Open,
    /// probes may pass
    HalfOpen,
}

/// The right to send one attempt. Not Clone: given back exactly once.
#[derive(Debug)]
pub struct Permit {
    /// 0 = not counted
    pub(super) generation: u64,
    pub(super) probe: bool,
    /// tells the probes of one generation apart
    pub(super) serial: u32,
}

impl Permit {
    /// For dependencies without a breaker; its result is not counted.
    pub const fn free() -> Self {
        Permit { generation: 0, probe: false, serial: 0 }
    }
}

/// Why an attempt may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// OPEN, or HALF_OPEN with all probes out; `retry_after`: until it probes, or until the oldest probe is
    /// given up
    CircuitOpen {
        /// true time left, not rounded
        retry_after: Duration,
    },
    /// the throttle, or the ramp after closing
    Throttled,
}

/// What the breaker learns from one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// answered as it should
    Success,
    /// counts in the rate and in the run
    Failure,
    /// 429-like: degrades the rate, never the run; fails a probe
    Overload,
    /// permit returned, nothing learned
    Ignored,
}

/// Why the breaker changed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `failure_percent` reached
    FailureRate,
    /// `consecutive_failures` reached
    ConsecutiveFailures,
    /// `slow_call` reached, in the window or by the probes
    SlowCalls,
    /// no endpoint could be used, see [`Breaker::on_all_endpoints_down`]
    AllEndpointsDown,
    /// a probe failed
    ProbeFailed,
    /// a probe was not answered in time
    ProbeTimeout,
    /// all probes succeeded
    ProbesSucceeded,
    /// the open time is over
    OpenTimeOver,
    /// an operator's hold or reset
    Manual,
}

impl Cause {
    /// The word in events, journal and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::FailureRate => "failure-rate",
            Cause::ConsecutiveFailures => "consecutive-failures",
            Cause::SlowCalls => "slow-calls",
            Cause::AllEndpointsDown => "all-endpoints-down",
            Cause::ProbeFailed => "probe-failed",
            Cause::ProbeTimeout => "probe-timeout",
            Cause::ProbesSucceeded => "probes-succeeded",
            Cause::OpenTimeOver => "open-time-over",
            Cause::Manual => "manual",
        }
    }
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// before
    pub from: State,
    /// after
    pub to: State,
    /// why
    pub cause: Cause,
    /// failure rate in the window at that moment
    pub failure_percent: f64,
    /// samples in the window at that moment
    pub samples: u32,
}

/// Manual hold by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// refuse everything (also in observe mode); probes when it ends
    Open,
    /// never trip; goes on counting
    Closed,
}

#[derive(Debug)]
enum Phase {
    Closed { since: Instant, ramp: Option<Ramp> },
    Open { until: Instant },
    HalfOpen { probes: Probes },
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }
}

/// Three-state breaker of one dependency.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    /// Grows with every change of state; never 0, which marks free permits.
    generation: u64,
    window: Window<Counts>,
    /// failures since the last success
    run: u32,
    /// exponent of the next open time
    trips: u32,
    /// In `[0, 1)`, drawn ahead for the opening that may follow without any caller.
    jitter: f64,
    /// when it last left CLOSED: the length of the outage bounds the ramp
    left_closed: Instant,
    hold: Option<(Hold, Instant)>,
    transitions: Vec<Transition>,
    /// Attempts let through in observe mode that would have been refused.
    observed: u64,
}

impl Breaker {
    /// Closed, with an empty window.
    pub fn new(policy: BreakerPolicy, now: Instant) -> Self {
        Breaker {
            phase: Phase::Closed { since: now, ramp: None },
            generation: 1,
            window: Window::new(now, policy.window),
            run: 0,
            trips: 0,
            jitter: 0.5,
            left_closed: now,
            hold: None,
            transitions: Vec::new(),
            observed: 0,
            policy,
        }
    }

    /// Takes a new policy. State and generation survive; a new window length starts an empty window, and a
    /// shorter `max_open` also shortens an opening under way (not a manual one).
    pub fn reconfigure(&mut self, policy: BreakerPolicy, now: Instant) {
        if policy.window != self.policy.window {
            self.window = Window::new(now, policy.window);
        }
        self.policy = policy;
        let held = self.held(now).is_some();
        if let Phase::Open { until } = &mut self.phase
            && !held
        {
            *until = (*until).min(now + self.policy.max_open.min(LONGEST));
        }
    }

    /// Time left if open and not yet probing; takes no permit, changes no state. For admission.
    pub fn precheck(&self, now: Instant) -> Option<Duration> {
        if !self.enforced(now) {
            return None;
        }
        match self.glance(now) {
            Glance::Open { until } => Some(until.saturating_duration_since(now)),
            Glance::Closed | Glance::HalfOpen => None,
        }
    }

    /// The right to send one attempt, or why not.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; in observe mode never, except while held open.
    pub fn acquire(&mut self, now: Instant, entropy: &mut impl Entropy) -> Result<Permit, Refusal> {
        self.settle(now, entropy);
        let granted = match &mut self.phase {
            Phase::Closed { ramp, .. } => {
                if let Some(running) = ramp
                    && running.is_over(now)
                {
                    *ramp = None;
                }
                let admitted = ramp.as_mut().is_none_or(|ramp| ramp.admit(now, entropy));
                if admitted { Ok((false, 0)) } else { Err(Refusal::Throttled) }
            }
            Phase::Open { until } => Err(Refusal::CircuitOpen { retry_after: until.saturating_duration_since(now) }),
            Phase::HalfOpen { probes } => match probes.launch(now, &self.policy) {
                Some(serial) => Ok((true, serial)),
                None => Err(Refusal::CircuitOpen { retry_after: probes.patience(now) }),
            },
        };
        match granted {
            Ok((probe, serial)) => Ok(Permit { generation: self.generation, probe, serial }),
            Err(refusal) if self.enforced(now) => Err(refusal),
            Err(_) => {
                self.observed += 1;
                Ok(Permit::free())
            }
        }
    }

    /// Takes a permit back with what was learned; `elapsed`: how long the attempt took.
    pub fn record(
        &mut self,
        now: Instant,
        permit: Permit,
        signal: Signal,
        elapsed: Duration,
        entropy: &mut impl Entropy,
    ) {
        self.settle(now, entropy);
        if permit.generation != self.generation {
            return;
        }
        let slow = self.policy.slow_call.is_some_and(|slow| elapsed > slow.threshold);
        match signal {
            Signal::Success | Signal::Failure | Signal::Overload => {}
            Signal::Ignored => return self.cancel(now, permit),
        }
        let failed = signal != Signal::Success;
        if permit.probe {
            self.record_probe(now, permit.serial, failed, slow, entropy);
        } else {
            self.record_closed(now, signal, failed, slow, entropy);
        }
    }

    /// A call that was taken for good by its begin has failed after all. Its sample stays one, and counts as failed.
    /// Probes that have succeeded are not called back: ordinary traffic finds out.
    pub fn record_late(&mut self, now: Instant, signal: Signal, entropy: &mut impl Entropy) {
        self.settle(now, entropy);
        if !matches!(self.phase, Phase::Closed { .. }) {
            return;
        }
        match signal {
            Signal::Failure => self.run = self.run.saturating_add(1),
            Signal::Overload => {}
            Signal::Success | Signal::Ignored => return,
        }
        self.window.record(now).fail_late();
        self.trip_if_due(now, entropy);
    }

    /// Takes a permit back without having learned anything: [`Breaker::record`] with [`Signal::Ignored`], for
    /// callers that have no entropy at hand.
    pub fn cancel(&mut self, now: Instant, permit: Permit) {
        if permit.generation == self.generation
            && let Phase::HalfOpen { probes } = &mut self.phase
            // A probe that has hung already has failed; giving it up late does not undo that.
            && probes.first_expiry().is_some_and(|expiry| now < expiry)
        {
            probes.take_back(permit.serial);
        }
    }

    /// Every endpoint has been tripped, unresolvable or unconnectable for more than 1 s with no success
    /// meanwhile, which only the owner of the endpoints can know: opens if closed. The last clause matters: at
    /// 60 % failure a run of five is no rarity, so all endpoints may be tripped while 40 % succeed.
    pub fn on_all_endpoints_down(&mut self, now: Instant, entropy: &mut impl Entropy) {
        self.settle(now, entropy);
        if self.may_trip(now) {
            self.trip(now, Cause::AllEndpointsDown, entropy);
        }
    }

    /// Holds it open or closed until then, from where it goes on by itself: to probing, or closed as it is.
    /// Replaces an earlier hold; without effect if `until` has passed. At most a year.
    pub fn hold(&mut self, now: Instant, hold: Hold, until: Instant) {
        let until = until.min(now + LONGEST);
        if until <= now {
            return;
        }
        if self.phase.state() == State::Closed {
            self.left_closed = now;
        }
        self.hold = Some((hold, until));
        let phase = match hold {
            Hold::Open => Phase::Open { until },
            Hold::Closed => Phase::Closed { since: now, ramp: None },
        };
        self.change(now, phase, Cause::Manual);
    }

    /// The hold in force and when it ends.
    pub fn held(&self, now: Instant) -> Option<(Hold, Instant)> {
        self.hold.filter(|(_, until)| now < *until)
    }

    /// Ends a hold, closes, forgets the window and earlier trips.
    pub fn reset(&mut self, now: Instant) {
        self.hold = None;
        self.trips = 0;
        self.change(now, Phase::Closed { since: now, ramp: None }, Cause::Manual);
        self.forget_samples();
    }

    /// The state that an `acquire` at `now` would find: HALF_OPEN as soon as the open time is over.
    pub fn state(&self, now: Instant) -> State {
        match self.glance(now) {
            Glance::Closed => State::Closed,
            Glance::Open { .. } => State::Open,
            Glance::HalfOpen => State::HalfOpen,
        }
    }

    /// Transitions since the last call, oldest first, bounded (at most 8 kept); the shell publishes them
    /// after unlocking.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Whether [`Breaker::take_transitions`] would return any.
    pub fn has_transitions(&self) -> bool {
        !self.transitions.is_empty()
    }

    /// (samples, failure percent, slow percent) in the window
    pub fn rates(&self, now: Instant) -> (u32, f64, f64) {
        let counts = self.window.read(now);
        (counts.total, counts.failure_percent(), counts.slow_percent())
    }

    fn record_closed(&mut self, now: Instant, signal: Signal, failed: bool, slow: bool, entropy: &mut impl Entropy) {
        self.window.record(now).add(failed, slow);
        if let Phase::Closed { ramp: Some(ramp), .. } = &mut self.phase {
            ramp.learn(!failed && !slow);
        }
        match signal {
            Signal::Success => {
                self.run = 0;
            }
            Signal::Failure => self.run = self.run.saturating_add(1),
            Signal::Overload | Signal::Ignored => {}
        }
        self.trip_if_due(now, entropy);
    }

    fn trip_if_due(&mut self, now: Instant, entropy: &mut impl Entropy) {
        if let Some(cause) = self.tripped_by(now)
            && self.may_trip(now)
        {
            self.trip(now, cause, entropy);
        }
    }

    /// The run is looked at first: it says more than a rate that was crossed by the same attempt.
    fn tripped_by(&self, now: Instant) -> Option<Cause> {
        let BreakerPolicy { min_requests, failure_percent, consecutive_failures, slow_call, .. } = &self.policy;
        if consecutive_failures.is_some_and(|limit| self.run >= limit.max(1)) {
            return Some(Cause::ConsecutiveFailures);
        }
        let counts = self.window.read(now);
        if counts.total < *min_requests {
            return None;
        }
        if counts.fail > 0 && counts.failure_percent() >= *failure_percent {
            return Some(Cause::FailureRate);
        }
        let too_slow = slow_call.is_some_and(|slow| counts.slow > 0 && counts.slow_percent() >= slow.percent);
        too_slow.then_some(Cause::SlowCalls)
    }

    fn record_probe(&mut self, now: Instant, serial: u32, failed: bool, slow: bool, entropy: &mut impl Entropy) {
        let Phase::HalfOpen { probes } = &mut self.phase else { return };
        if !probes.take_back(serial) {
            return;
        }
        self.window.record(now).add(failed, slow);
        if failed {
            return self.trip(now, Cause::ProbeFailed, entropy);
        }
        probes.succeeded += 1;
        probes.slow += u32::from(slow);
        if probes.succeeded < probes_wanted(&self.policy) {
            return;
        }
        let slow_percent = f64::from(probes.slow) * 100.0 / f64::from(probes.succeeded);
        if probes.slow > 0 && self.policy.slow_call.is_some_and(|slow| slow_percent >= slow.percent) {
            return self.trip(now, Cause::SlowCalls, entropy);
        }
        let outage = now.saturating_duration_since(self.left_closed);
        let ramp = Some(Ramp::after(now, outage, self.policy.min_requests.max(1)));
        self.change(now, Phase::Closed { since: now, ramp }, Cause::ProbesSucceeded);
        // The failures of the outage must not open it again.
        self.forget_samples();
    }

    fn may_trip(&self, now: Instant) -> bool {
        self.phase.state() == State::Closed && !matches!(self.held(now), Some((Hold::Closed, _)))
    }

    fn trip(&mut self, now: Instant, cause: Cause, entropy: &mut impl Entropy) {
        if let Phase::Closed { since, .. } = self.phase {
            let clean = now.saturating_duration_since(since).as_secs() / CLEAN_PERIOD.as_secs();
            self.trips = self.trips.saturating_sub(u32::try_from(clean).unwrap_or(u32::MAX));
            self.left_closed = now;
            self.jitter = entropy.unit();
        }
        let until = now + self.open_time();
        self.change(now, Phase::Open { until }, cause);
        self.run = 0;
        self.trips = self.trips.saturating_add(1);
        self.jitter = entropy.unit();
    }

    /// Of the opening that would begin now.
    fn open_time(&self) -> Duration {
        let BreakerPolicy { open, max_open, .. } = &self.policy;
        let bound = open.saturating_mul(1 << self.trips.min(30)).min(*max_open).min(LONGEST);
        bound.mul_f64(0.5 + 0.5 * self.jitter)
    }

    /// Applies what the clock alone has changed: a hung probe reopens, an open time that is over half-opens.
    fn settle(&mut self, now: Instant, entropy: &mut impl Entropy) {
        if let Phase::HalfOpen { probes } = &self.phase
            && let Some(expired) = probes.first_expiry().filter(|expiry| *expiry <= now)
        {
            // Dated back to the expiry: the same instant that `glance` has been naming since.
            self.trip(expired, Cause::ProbeTimeout, entropy);
        }
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            self.change(now, Phase::HalfOpen { probes: Probes::default() }, Cause::OpenTimeOver);
        }
    }

    /// In observe mode: attempts so far that would have been refused.
    pub fn observed(&self) -> Option<u64> {
        self.policy.observe.then_some(self.observed)
    }

    /// What `settle` would find, without changing anything.
    fn glance(&self, now: Instant) -> Glance {
        let until = match &self.phase {
            Phase::Closed { .. } => return Glance::Closed,
            Phase::Open { until } => *until,
            Phase::HalfOpen { probes } => match probes.first_expiry() {
                Some(expiry) if expiry <= now => expiry + self.open_time(),
                Some(_) | None => return Glance::HalfOpen,
            },
        };
        if now < until { Glance::Open { until } } else { Glance::HalfOpen }
    }

    /// Observe mode refuses nothing; an operator's hold is meant as said.
    fn enforced(&self, now: Instant) -> bool {
        !self.policy.observe || matches!(self.held(now), Some((Hold::Open, _)))
    }

    fn change(&mut self, now: Instant, phase: Phase, cause: Cause) {
        let (from, to) = (self.phase.state(), phase.state());
        self.phase = phase;
        self.generation += 1;
        if from == to {
            return;
        }
        let counts = self.window.read(now);
        if self.transitions.len() == TRANSITIONS_MAX {
            self.transitions.remove(0);
        }
        let (failure_percent, samples) = (counts.failure_percent(), counts.total);
        self.transitions.push(Transition { from, to, cause, failure_percent, samples });
    }

    fn forget_samples(&mut self) {
        self.window.clear();
        self.run = 0;
    }
}

enum Glance {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

#[cfg(test)]
mod tests;
