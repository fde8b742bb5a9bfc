//! In-flight limit with a bounded queue.
//!
//! How many may be in flight is written in the policy, or found out ([`super::adaptive`]) below what is written. Who finds
//! no slot waits in a queue that serves the higher class first ([`queue`]), or is refused with an honest word on when to
//! come back ([`drain`]).

mod drain;
mod queue;

pub use queue::Ticket;

use super::adaptive::{Adaptive, AdaptivePolicy, Sample};
use super::entropy::Entropy;
use super::failure::Failure;
use super::priority::Criticality;
use super::window::Window;
use drain::Drain;
use queue::Queue;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Longest wait in the queue: beyond it a refusal is of more use than a place.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Part of the slots that is kept for what is critical, and for how long after a critical request had to wait.
const RESERVED: u32 = 8;
const RESERVED_FOR: Duration = Duration::from_secs(1);

/// `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// connections per endpoint; default 128
    pub connections: u32,
    /// requests in flight per upstream; 0 counts as 1; default 256
    pub requests: u32,
    /// queued requests per upstream; default 64
    pub pending: u32,
    /// `limits.adaptive`: how many of `requests` the upstream can bear. None = all of them.
    pub adaptive: Option<AdaptivePolicy>,
    /// `limits.queue`: what is done about a queue that stands. None = nothing.
    pub queue: Option<QueuePolicy>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 128, requests: 256, pending: 64, adaptive: None, queue: None }
    }
}

/// `limits.queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    /// How long one waits in a queue that stands; default 5 ms.
    pub target: Duration,
    /// For how long a queue must not have been empty to be called standing; default 100 ms.
    pub interval: Duration,
    /// Report only.
    pub observe: bool,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        QueuePolicy { target: Duration::from_millis(5), interval: Duration::from_millis(100), observe: false }
    }
}

/// Why a request got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The queue is full.
    QueueFull,
    /// It waited as long as it may.
    QueueTimeout,
    /// It waited in a queue that stands.
    QueueDelay,
    /// Its place went to a more important request.
    Displaced,
    /// Observed only: it was let in above the limit that would hold.
    OverLimit,
}

impl Reason {
    /// Every reason, in declaration order.
    pub const ALL: [Reason; 5] =
        [Reason::QueueFull, Reason::QueueTimeout, Reason::QueueDelay, Reason::Displaced, Reason::OverLimit];

    /// The word used in metrics and problem details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::QueueFull => "queue-full",
            Reason::QueueTimeout => "queue-timeout",
            Reason::QueueDelay => "queue-delay",
            Reason::Displaced => "displaced",
            Reason::OverLimit => "over-limit",
        }
    }
}

/// A request that got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Of which class it is.
    pub class: Criticality,
    /// How many may be in flight now.
    pub limit: u32,
    /// Whether that is less than the policy allows.
    pub adapted: bool,
    /// When it is worth coming back, before any jitter.
    pub retry_after: Duration,
}

impl Refused {
    /// The same in the words of all failures. Where nothing but the written limit was at work it is told as before.
    pub const fn failure(&self) -> Failure {
        match self.reason {
            Reason::QueueFull if !self.adapted => Failure::QueueFull,
            Reason::QueueTimeout if !self.adapted => Failure::QueueTimeout,
            _ => Failure::Shed,
        }
    }

    /// When to come back, spread upwards by a quarter, so that all who are turned away at once do not come back at once.
    pub fn come_back(&self, entropy: &mut impl Entropy) -> Duration {
        self.retry_after.mul_f64(entropy.between(1.0, 1.25)).min(Duration::from_secs(30))
    }
}

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Requests in flight when it was taken, its own included.
    pub in_flight: u32,
}

/// Who asks for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Of which class.
    pub class: Criticality,
    /// When.
    pub now: Instant,
    /// When it must be over.
    pub deadline: Instant,
}

/// Answer to a request that asks for a slot. `W`: what the shell wakes a waiter by.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<W> {
    /// a slot is taken: give it back with `release`
    Granted(Taken),
    /// a place in the queue is taken: wait at most this long, then `give_up`
    Queued {
        /// the place
        ticket: Ticket,
        /// more than zero
        max_wait: Duration,
        /// who lost a place for it, to be told
        displaced: Option<(W, Refused)>,
    },
    /// neither; nothing to give back
    Refused(Refused),
}

/// What becomes of somebody who waits.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<W> {
    /// They are in flight now.
    Granted(W, Taken),
    /// They need not wait any longer.
    Refused(W, Refused),
}

/// How many of each class were turned away, or would have been, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sheds {
    enforced: [[u64; Reason::ALL.len()]; Criticality::ALL.len()],
    observed: [[u64; Reason::ALL.len()]; Criticality::ALL.len()],
}

impl Sheds {
    const fn count(&mut self, class: Criticality, reason: Reason, observed: bool) {
        let counts = if observed { &mut self.observed } else { &mut self.enforced };
        counts[class as usize][reason as usize] += 1;
    }

    /// How many of one class for one reason; `observed`: would have been.
    pub const fn get(&self, class: Criticality, reason: Reason, observed: bool) -> u64 {
        let counts = if observed { &self.observed } else { &self.enforced };
        counts[class as usize][reason as usize]
    }

    /// How many of one class.
    pub fn of(&self, class: Criticality, observed: bool) -> u64 {
        Reason::ALL.iter().map(|reason| self.get(class, *reason, observed)).sum()
    }
}

/// Refusals of so long are told as a rate.
const RECENTLY: Duration = Duration::from_secs(5);

/// Refusals of each class.
#[derive(Clone, Copy, Debug, Default)]
struct ByClass([u32; Criticality::ALL.len()]);

impl AddAssign for ByClass {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// Counts slots and keeps the queue; how a waiter is woken is the shell's.
///
/// Invariant: while anybody waits, at least one slot is taken, so that a release will come and wake them.
#[derive(Debug)]
pub struct Limit<W> {
    in_flight: u32,
    queue: Queue<W>,
    adaptive: Option<Adaptive>,
    drain: Drain,
    sheds: Sheds,
    /// Until when some slots are kept for what is critical.
    reserved: Option<Instant>,
    /// Those of the last seconds. None = there never was one.
    recent: Option<Box<Window<ByClass>>>,
}

impl<W> Default for Limit<W> {
    fn default() -> Self {
        Limit {
            in_flight: 0,
            queue: Queue::default(),
            adaptive: None,
            drain: Drain::default(),
            sheds: Sheds::default(),
            reserved: None,
            recent: None,
        }
    }
}

impl<W> Limit<W> {
    /// Nothing in flight.
    pub fn new() -> Self {
        Limit::default()
    }

    /// To be called with new limits, before they are used. What was learned is kept.
    pub fn reconfigure(&mut self, limits: &Limits, now: Instant) {
        match (&mut self.adaptive, limits.adaptive) {
            (Some(adaptive), Some(policy)) if *adaptive.policy() != policy => adaptive.reconfigure(policy, now),
            (Some(_), Some(_)) => {}
            (adaptive, policy) => *adaptive = policy.map(|policy| Adaptive::new(policy, now)),
        }
    }

    /// How many may be in flight, and whether that is less than the policy allows.
    pub fn bound(&self, limits: &Limits) -> (u32, bool) {
        let written = limits.requests.max(1);
        let found = self.adaptive.as_ref().and_then(Adaptive::in_force).map_or(written, |found| found.max(1));
        (found.min(written), found < written)
    }

    /// The limit that was found, also where it is only observed.
    pub fn found(&self) -> Option<u32> {
        self.adaptive.as_ref().map(Adaptive::limit)
    }

    /// A slot, a place in the queue, or neither. Longest wait = min(25 % of the remaining deadline, 100 ms), in a queue
    /// that stands its target.
    pub fn admit(&mut self, limits: &Limits, ask: &Ask, waiter: impl FnOnce() -> W) -> Admission<W> {
        let (bound, _) = self.bound(limits);
        if self.in_flight < bound - self.kept_from(ask.class, bound, ask.now) {
            self.in_flight += 1;
            self.queue.found_free(ask.class);
            if self.adaptive.as_ref().is_some_and(|a| a.policy().observe && self.in_flight > a.limit()) {
                self.sheds.count(ask.class, Reason::OverLimit, true);
            }
            return Admission::Granted(Taken { in_flight: self.in_flight });
        }
        if ask.class >= Criticality::Critical && limits.queue.is_some_and(|queue| !queue.observe) {
            self.reserved = Some(ask.now + RESERVED_FOR);
        }
        let patience = self.queue.patience(ask.class, limits.queue.as_ref(), ask.now);
        let max_wait = (ask.deadline.saturating_duration_since(ask.now) / 4).min(patience);
        if limits.pending == 0 || max_wait.is_zero() {
            return Admission::Refused(self.refuse(limits, ask.class, Reason::QueueFull, ask.now));
        }
        let mut displaced = None;
        if self.queue.waiting() >= limits.pending {
            let Some((class, waiter)) = self.queue.displace(ask.class) else {
                return Admission::Refused(self.refuse(limits, ask.class, Reason::QueueFull, ask.now));
            };
            displaced = Some((waiter, self.refuse(limits, class, Reason::Displaced, ask.now)));
        }
        let ticket = self.queue.push(ask.class, ask.now, max_wait, waiter);
        Admission::Queued { ticket, max_wait, displaced }
    }

    /// A slot came back, with what its request says of the upstream. Then ask [`Limit::next`] until it has nothing to say,
    /// unless nobody waits.
    pub fn release(&mut self, now: impl FnOnce() -> Instant, sample: Option<Sample>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.drain.finish();
        if let (Some(adaptive), Some(sample)) = (&mut self.adaptive, sample) {
            adaptive.record(now(), &sample);
        }
    }

    /// The next one who need not wait any more: expired ones first, then as slots are free. After the limit was lowered
    /// slots above it stay free although somebody waits.
    pub fn next(&mut self, limits: &Limits, now: Instant) -> Option<Next<W>> {
        if let Some((class, expired, entry)) = self.queue.overdue(limits.queue.as_ref(), now) {
            let reason = if expired { Reason::QueueTimeout } else { Reason::QueueDelay };
            return Some(Next::Refused(entry.waiter, self.refuse(limits, class, reason, now)));
        }
        let (bound, _) = self.bound(limits);
        if self.in_flight >= bound {
            return None;
        }
        let all = self.in_flight < bound - self.kept_from(Criticality::Sheddable, bound, now);
        let least = if all { Criticality::Sheddable } else { Criticality::Critical };
        let (class, late, waiter) = self.queue.pop(limits.queue.as_ref(), now, least)?;
        if late {
            self.sheds.count(class, Reason::QueueDelay, true);
        }
        self.in_flight += 1;
        Some(Next::Granted(waiter, Taken { in_flight: self.in_flight }))
    }

    /// How many slots are kept from a class: some from what is not critical, while critical requests have to wait. At
    /// least one slot is left.
    fn kept_from(&self, class: Criticality, bound: u32, now: Instant) -> u32 {
        let reserved = class < Criticality::Critical && self.reserved.is_some_and(|until| now < until);
        if reserved { bound / RESERVED } else { 0 }
    }

    /// A waiter's time is over. None: they were woken in this instant, and what they were told counts.
    pub fn give_up(&mut self, limits: &Limits, ticket: Ticket, now: Instant) -> Option<Refused> {
        let class = ticket.class();
        let cut = self.queue.line_is_cut(class) && limits.queue.is_some_and(|queue| !queue.observe);
        if !self.queue.remove(ticket) {
            return None;
        }
        self.queue.gave_up(class, limits.queue.as_ref(), now);
        let reason = if cut { Reason::QueueDelay } else { Reason::QueueTimeout };
        Some(self.refuse(limits, class, reason, now))
    }

    /// A waiter has gone, and nobody reads an answer. False: they were woken in this instant.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        self.queue.remove(ticket)
    }

    /// Turns somebody away who waits and cannot be woken. A way out for shells, never needed while they keep their word.
    pub fn withdraw(&mut self, limits: &Limits, ticket: Ticket, now: Instant) -> Refused {
        self.queue.remove(ticket);
        self.refuse(limits, ticket.class(), Reason::QueueTimeout, now)
    }

    fn refuse(&mut self, limits: &Limits, class: Criticality, reason: Reason, now: Instant) -> Refused {
        self.sheds.count(class, reason, false);
        let recent = self.recent.get_or_insert_with(|| Box::new(Window::new(now, RECENTLY)));
        recent.record(now).0[class as usize] += 1;
        self.queue.refused(class);
        let (limit, adapted) = self.bound(limits);
        let retry_after = self.drain.refuse(now, self.queue.waiting());
        Refused { reason, class, limit, adapted, retry_after }
    }

    /// Slots taken.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> u32 {
        self.queue.waiting()
    }

    /// Of how many requests a second, by class, that was lately.
    pub fn shed_per_second(&self, now: Instant) -> [f64; Criticality::ALL.len()] {
        let counts = self.recent.as_ref().map_or(ByClass::default(), |recent| recent.read(now));
        counts.0.map(|count| f64::from(count) / RECENTLY.as_secs_f64())
    }

    /// Who was turned away.
    pub const fn sheds(&self) -> &Sheds {
        &self.sheds
    }
}

#[cfg(test)]
mod tests;
