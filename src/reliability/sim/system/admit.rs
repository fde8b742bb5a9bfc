//! How a request comes in, waits for a slot, and is turned away.

use super::plan::nanos;
use super::queue::Event;
use super::request::{NONE, Request, told};
use super::sidecar::ledger;
use super::world::World;
use crate::reliability::adaptive::Sample;
use crate::reliability::attempts::Plan;
use crate::reliability::deadline;
use crate::reliability::failure::Failure;
use crate::reliability::limit::{Admission, Ask, Next, Refused};
use crate::reliability::priority;
use std::time::Duration;

/// Stands for "no deadline" in arithmetic.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where a request comes from, and how much of its caller's patience it inherits.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub sidecar: u8,
    pub stream: u16,
    pub parent: u32,
    /// Time that the caller says is left.
    pub asked: Option<Duration>,
    /// The caller's count of attempts.
    pub attempt: u32,
}

impl<'s> World<'s> {
    pub fn arrive(&mut self, now: u64, stream: usize) {
        self.admit(now, Origin { sidecar: 0, stream: stream as u16, parent: NONE, asked: None, attempt: 1 });
    }

    /// Deadline, a glance at the breaker, a slot.
    pub fn admit(&mut self, now: u64, origin: Origin) {
        let (setup, at) = (self.setup, self.instant(now));
        let Some(stream) = setup.streams.get(usize::from(origin.stream)) else { return };
        let sidecar = &mut self.sidecars[usize::from(origin.sidecar)];
        let Some(route) = setup.sidecars[usize::from(origin.sidecar)].routes.get(stream.route) else { return };
        let total = if route.timeouts.request.is_zero() { NO_DEADLINE } else { route.timeouts.request };
        let open = sidecar.dependency.breaker.as_ref().and_then(|breaker| breaker.precheck(at));
        let plan = Plan {
            policy: route.retry,
            deadline: deadline::inherit(at, total, origin.asked).unwrap_or(at),
            backend_request: route.timeouts.backend_request,
            idempotent: stream.idempotent,
            replayable: stream.replayable,
            chain_stop: origin.attempt > 1,
            endpoints: sidecar.size(),
            ledger: (route.hedge.is_some() || (setup.ledgers && route.retry.retries > 0)).then(|| ledger(stream.route)),
            hedge: route.hedge,
        };
        let counted = origin.sidecar == 0 && (self.begin..self.end).contains(&now);
        let ends = self.since_start(plan.deadline);
        let request = Request::new(plan, (origin.sidecar, origin.stream, origin.parent), (now, ends), counted);
        let request = self.keep_request(request);
        if origin.parent != NONE {
            self.works[origin.parent as usize].child = request;
        }
        if plan.deadline <= at {
            return self.refuse(now, request, Failure::DeadlineOnArrival, None);
        }
        if let Some(left) = open {
            return self.refuse(now, request, Failure::CircuitOpen, Some(left));
        }
        let sidecar = &mut self.sidecars[usize::from(origin.sidecar)];
        let limits = sidecar.limits;
        let said = stream.says.filter(|_| route.heeds).map(|class| class.as_str().as_bytes());
        let class = route.class.map(|class| priority::class_of(class, said, origin.attempt)).unwrap_or_default();
        let ask = Ask { class, now: at, deadline: plan.deadline };
        match sidecar.limit.admit(&limits, &ask, || request) {
            Admission::Granted(taken) => {
                self.requests[request as usize].taken = Some(taken);
                self.advance(now, request);
            }
            Admission::Refused(refused) => self.turn_away(now, request, refused),
            Admission::Queued { ticket, max_wait, displaced } => {
                let waits = &mut self.requests[request as usize];
                (waits.queued, waits.wakes) = (Some(ticket), now + nanos(max_wait));
                let (generation, wakes) = (waits.generation, waits.wakes);
                self.queue.at(wakes, Event::Wake(request, generation));
                if let Some((other, refused)) = displaced {
                    self.turn_away(now, other, refused);
                }
            }
        }
    }

    /// It got no slot, or has lost its place in the queue.
    pub fn turn_away(&mut self, now: u64, number: u32, refused: Refused) {
        self.requests[number as usize].queued = None;
        let after = refused.come_back(&mut self.dice);
        self.refuse(now, number, refused.failure(), Some(after));
    }

    /// Nothing was sent, and no slot is held.
    pub fn refuse(&mut self, now: u64, number: u32, failure: Failure, retry_after: Option<Duration>) {
        if self.requests[number as usize].counted {
            match failure {
                Failure::CircuitOpen => self.tally.refused_open += 1,
                Failure::Throttled => self.tally.refused_throttle += 1,
                Failure::QueueFull | Failure::QueueTimeout | Failure::Shed => self.tally.refused_limit += 1,
                _ => self.tally.deadlines += 1,
            }
        }
        self.tell(now, number, told(failure, retry_after, None));
    }

    pub fn on_wake(&mut self, now: u64, number: u32) {
        let request = &mut self.requests[number as usize];
        request.wakes = u64::MAX;
        let Some(ticket) = request.queued else { return self.advance(now, number) };
        let (sidecar, at) = (usize::from(request.sidecar), self.instant(now));
        let side = &mut self.sidecars[sidecar];
        let limits = side.limits;
        if let Some(refused) = side.limit.give_up(&limits, ticket, at) {
            self.turn_away(now, number, refused);
        }
    }

    /// A slot comes free, and goes to whose turn it is.
    pub fn release(&mut self, now: u64, sidecar: u8, sample: Option<Sample>) {
        let at = self.instant(now);
        self.sidecars[usize::from(sidecar)].limit.release(|| at, sample);
        loop {
            let side = &mut self.sidecars[usize::from(sidecar)];
            let limits = side.limits;
            if side.limit.waiting() == 0 {
                return;
            }
            match side.limit.next(&limits, at) {
                None => return,
                Some(Next::Refused(number, refused)) => self.turn_away(now, number, refused),
                Some(Next::Granted(number, taken)) => {
                    let request = &mut self.requests[number as usize];
                    (request.queued, request.taken, request.wakes) = (None, Some(taken), now);
                    // Not here: whoever releases is still at work on another request.
                    let generation = request.generation;
                    self.queue.at(now, Event::Wake(number, generation));
                }
            }
        }
    }

    /// What a request that is over says of its upstream, where somebody asks.
    pub fn sample(&self, number: u32) -> Option<Sample> {
        let request = &self.requests[number as usize];
        self.sidecars[usize::from(request.sidecar)].limits.adaptive?;
        let ((took, dropped), taken) = (request.load?, request.taken?);
        Some(Sample { rtt: Duration::from_nanos(took), in_flight: taken.in_flight, dropped })
    }

    /// A request whose caller has gone.
    pub fn give_up(&mut self, now: u64, number: u32) {
        let request = &mut self.requests[number as usize];
        if !request.live {
            return;
        }
        request.parent = NONE;
        let (sidecar, queued) = (request.sidecar, request.queued);
        if let Some(ticket) = queued {
            self.sidecars[usize::from(sidecar)].limit.abandon(ticket);
        } else {
            self.cancel_flights(now, number);
            self.release(now, sidecar, None);
        }
        let at = self.instant(now);
        let request = &mut self.requests[number as usize];
        if request.machine.is_unsettled() {
            request.machine.abandon(at, &mut self.sidecars[usize::from(sidecar)].dependency);
        }
        self.free_request(number);
    }
}
