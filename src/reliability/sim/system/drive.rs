//! The life of a request: admission, attempts, end. It does what `crate::proxy` does, in virtual time.

use super::plan::{Arrivals, Fate, nanos};
use super::queue::Event;
use super::request::{Landed, NONE, Place, Request, Work, explained, passed_on, told};
use super::server::Door;
use super::sidecar::ledger;
use super::tally::Second;
use super::world::World;
use crate::reliability::adaptive::Sample;
use crate::reliability::attempts::{AttemptId, Kind, Plan, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{Outcome, Reply};
use crate::reliability::deadline;
use crate::reliability::failure::{Failure, Sent};
use crate::reliability::limit::{Admission, Ask, Next, Refused};
use crate::reliability::priority::Criticality;
use std::time::{Duration, Instant};

/// Stands for "no deadline" in arithmetic.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where a request comes from, and how much of its caller's patience it inherits.
#[derive(Clone, Copy)]
struct Origin {
    sidecar: u8,
    stream: u16,
    parent: u32,
    /// Time that the caller says is left.
    asked: Option<Duration>,
    /// The caller's count of attempts.
    attempt: u32,
}

impl<'s> World<'s> {
    pub fn arrive(&mut self, now: u64, stream: usize) {
        self.admit(now, Origin { sidecar: 0, stream: stream as u16, parent: NONE, asked: None, attempt: 1 });
    }

    /// Deadline, a glance at the breaker, a slot.
    fn admit(&mut self, now: u64, origin: Origin) {
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
            ledger: (setup.ledgers && (route.retry.retries > 0 || route.hedge.is_some())).then(|| ledger(stream.route)),
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
        let generation = self.requests[request as usize].generation;
        let ask = Ask { class: Criticality::default(), now: at, deadline: plan.deadline };
        match sidecar.limit.admit(&limits, &ask, || (request, generation)) {
            Admission::Granted(taken) => {
                self.requests[request as usize].in_flight = taken.in_flight;
                self.advance(now, request);
            }
            Admission::Refused(refused) => self.turn_away(now, request, &refused),
            Admission::Queued { ticket, max_wait, displaced } => {
                let waits = &mut self.requests[request as usize];
                (waits.queued, waits.wakes) = (Some(ticket), now + nanos(max_wait));
                self.queue.at(waits.wakes, Event::Wake(request, generation));
                if let Some(((other, _), refused)) = displaced {
                    self.turn_away(now, other, &refused);
                }
            }
        }
    }

    /// It gets no slot.
    fn turn_away(&mut self, now: u64, number: u32, refused: &Refused) {
        self.requests[number as usize].queued = None;
        let retry_after = refused.come_back(&mut self.dice);
        self.refuse(now, number, refused.failure(), Some(retry_after));
    }

    /// Nothing was sent, and no slot is held.
    fn refuse(&mut self, now: u64, number: u32, failure: Failure, retry_after: Option<Duration>) {
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
        let at = self.instant(now);
        let request = &mut self.requests[number as usize];
        request.wakes = u64::MAX;
        let Some(ticket) = request.queued else { return self.advance(now, number) };
        let side = &mut self.sidecars[usize::from(request.sidecar)];
        let limits = side.limits;
        if let Some(refused) = side.limit.give_up(&limits, ticket, at) {
            self.turn_away(now, number, &refused);
        }
    }

    /// A slot comes free, and goes to who is next.
    fn release(&mut self, now: u64, sidecar: u8, sample: Option<Sample>) {
        let at = self.instant(now);
        let side = &mut self.sidecars[usize::from(sidecar)];
        let limits = side.limits;
        side.limit.release(|| at, sample);
        loop {
            let side = &mut self.sidecars[usize::from(sidecar)];
            if side.limit.waiting() == 0 {
                return;
            }
            match side.limit.next(&limits, at) {
                None => return,
                Some(Next::Refused((other, _), refused)) => self.turn_away(now, other, &refused),
                Some(Next::Granted((next, generation), taken)) => {
                    let request = &mut self.requests[next as usize];
                    (request.queued, request.wakes, request.in_flight) = (None, now, taken.in_flight);
                    // Not here: whoever releases is still at work on another request.
                    self.queue.at(now, Event::Wake(next, generation));
                }
            }
        }
    }

    fn sample(&self, number: u32) -> Option<Sample> {
        let Request { load, in_flight, .. } = &self.requests[number as usize];
        load.map(|(rtt, dropped)| Sample { rtt, in_flight: *in_flight, dropped })
    }

    /// Asks the machine what to do, and does it, until it waits or is done.
    pub fn advance(&mut self, now: u64, number: u32) {
        let at = self.instant(now);
        self.look_aside(now, number);
        loop {
            let request = &mut self.requests[number as usize];
            let side = &mut self.sidecars[usize::from(request.sidecar)];
            let step = request.machine.next(at, &mut side.dependency, &mut self.dice);
            self.watch(number, at);
            match step {
                Step::Launch { id, kind, cutoff, permit } => {
                    self.launch(now, number, (id, kind), self.since_start(cutoff), permit);
                }
                Step::Wait { until } => return self.wait(now, number, self.since_start(until)),
                Step::Finish { stop, answer } => return self.finish(now, number, stop, answer),
            }
        }
    }

    /// Before it is decided about a hedge: where it could go.
    fn look_aside(&mut self, now: u64, number: u32) {
        let request = &self.requests[number as usize];
        if request.machine.hedge_due().is_none_or(|due| self.since_start(due) > now) {
            return;
        }
        let Some(first) = request.works.iter().find(|work| **work != NONE) else { return };
        let endpoint = self.works[*first as usize].endpoint as usize;
        let standby = self.sidecars[usize::from(request.sidecar)].standby(endpoint);
        self.requests[number as usize].machine.set_standby(standby);
    }

    fn watch(&mut self, number: u32, at: Instant) {
        let sidecar = usize::from(self.requests[number as usize].sidecar);
        let (begin, last) = (self.instant(self.begin), sidecar + 1 == self.sidecars.len());
        self.sidecars[sidecar].watch(at, begin, last, &mut self.tally);
    }

    /// What flies reports its own end; all else must be woken.
    fn wait(&mut self, now: u64, number: u32, until: u64) {
        let request = &self.requests[number as usize];
        let flying = request.works.iter().filter(|work| **work != NONE);
        let reports = flying.map(|work| self.works[*work as usize].cutoff).max();
        if reports.is_some_and(|cutoff| until >= cutoff) || (request.wakes > now && request.wakes <= until) {
            return;
        }
        let request = &mut self.requests[number as usize];
        request.wakes = until;
        self.queue.at(until, Event::Wake(number, request.generation));
    }

    fn launch(&mut self, now: u64, number: u32, (id, kind): (AttemptId, Kind), cutoff: u64, permit: Permit) {
        let at = self.instant(now);
        let request = &mut self.requests[number as usize];
        let (sidecar, stream) = (usize::from(request.sidecar), request.stream);
        let mut used = request.used;
        for work in request.works.iter().filter(|work| kind == Kind::Hedge && **work != NONE) {
            used.push(self.works[*work as usize].endpoint as u16);
        }
        let side = &mut self.sidecars[sidecar];
        let endpoint = side.pick(used.as_slice(), at, &mut self.dice);
        let full = endpoint.is_some_and(|e| !side.plan.shared && side.members[e].pending >= side.limits.connections);
        if let Some(member) = endpoint.and_then(|endpoint| side.members.get_mut(endpoint)) {
            member.pending += 1;
        }
        let plan = &self.setup.sidecars[sidecar];
        let Some(route) = self.setup.streams.get(usize::from(stream)).and_then(|s| plan.routes.get(s.route)) else {
            return;
        };
        let deadline = self.requests[number as usize].deadline;
        let work = self.keep_work(Work {
            generation: 0,
            live: true,
            request: number,
            id,
            kind,
            permit: Some(permit),
            endpoint: endpoint.map_or(NONE, |endpoint| endpoint as u32),
            launched: now,
            cutoff,
            whole: cutoff >= deadline,
            done: u64::MAX,
            end: None,
            work: 0,
            place: Place::Outside,
            reused: false,
            resent: false,
            child: NONE,
        });
        self.note_launch(now, number, kind);
        let request = &mut self.requests[number as usize];
        if let Some(free) = request.works.iter_mut().find(|place| **place == NONE) {
            *free = work;
        }
        if endpoint.is_none() {
            self.ends(now, work, Outcome::failed(Failure::NoEndpoint, Sent::No), now);
        } else if full {
            self.ends(now, work, Outcome::failed(Failure::ConnectionLimit, Sent::No), now);
        } else if sidecar + 1 == self.sidecars.len() {
            self.dispatch(now, work, false);
        } else {
            self.ends_by(work, cutoff);
            let left = Duration::from_nanos(cutoff.saturating_sub(now));
            let asked = route.margin.map(|margin| left.saturating_sub(margin));
            let origin = Origin { sidecar: sidecar as u8 + 1, stream, parent: work, asked, attempt: id.0 + 1 };
            self.admit(now, origin);
        }
    }

    fn note_launch(&mut self, now: u64, number: u32, kind: Kind) {
        if !self.requests[number as usize].counted {
            return;
        }
        self.tally.attempts[kind as usize] += 1;
        if kind != Kind::First
            && let Some(second) = self.second_of(now)
        {
            second.again += 1;
        }
    }

    fn second_of(&mut self, now: u64) -> Option<&mut Second> {
        let second = now.checked_sub(self.begin)? / 1_000_000_000;
        self.tally.seconds.get_mut(usize::try_from(second).ok()?)
    }

    /// The attempt is known to end so.
    fn ends(&mut self, now: u64, number: u32, outcome: Outcome, done: u64) {
        let work = &mut self.works[number as usize];
        (work.end, work.done) = (Some(outcome), done);
        let at = done.min(work.cutoff).max(now);
        self.ends_by(number, at);
    }

    fn ends_by(&mut self, number: u32, at: u64) {
        let generation = self.works[number as usize].generation;
        self.queue.at(at, Event::Ended(number, generation));
    }

    /// To an endpoint, over a connection that waits or a new one. `fresh`: not over one that has waited.
    fn dispatch(&mut self, now: u64, number: u32, fresh: bool) {
        let work = &self.works[number as usize];
        let (endpoint, cutoff) = (work.endpoint as usize, work.cutoff);
        let request = &self.requests[work.request as usize];
        let (sidecar, stream) = (usize::from(request.sidecar), usize::from(request.stream));
        let side = &mut self.sidecars[sidecar];
        let member = &mut side.members[endpoint];
        let reused = member.idle > 0 && !fresh;
        if reused && !side.plan.shared {
            member.idle -= 1;
        }
        let server = &mut self.servers[endpoint];
        if !reused {
            let route = &self.setup.sidecars[sidecar].routes[self.setup.streams[stream].route];
            let (failure, done) = match server.door() {
                Door::Open => (None, now),
                Door::Refuses => (Some(Failure::ConnectionRefused), now + self.hop / 2),
                Door::Silent => (Some(Failure::ConnectTimeout), now + nanos(route.timeouts.connect)),
            };
            if let Some(failure) = failure {
                return self.ends(now, number, Outcome::failed(failure, Sent::No), done.min(cutoff));
            }
        }
        let since = Duration::from_nanos(now.saturating_sub(self.begin));
        let lot = server.draw(stream, since);
        let (begins, limited) = (server.begins(now), server.capacity().is_some());
        if lot.fate == Fate::Refused {
            let refused = Outcome::failed(Failure::ConnectionRefused, Sent::No);
            return self.ends(now, number, refused, (now + self.hop / 2).min(cutoff));
        }
        self.works[number as usize].reused = reused;
        self.receive(now);
        let broken = Outcome::failed(Failure::ConnectionTerminated, Sent::Maybe);
        let outcome = match lot.fate {
            Fate::Answer(status) => Outcome::answered(status),
            Fate::Reset { after: false } => return self.ends(now, number, broken, now + self.hop),
            Fate::Reset { after: true } => broken,
            Fate::Hang | Fate::Refused => return self.ends_by(number, cutoff),
        };
        if !limited {
            return self.ends(now, number, outcome, begins + lot.work + self.hop);
        }
        let work = &mut self.works[number as usize];
        (work.end, work.work, work.place) = (Some(outcome), lot.work, Place::Queued);
        self.ends_by(number, cutoff);
        self.servers[endpoint].queue.push_back(number);
        self.serve(now, endpoint);
    }

    fn receive(&mut self, now: u64) {
        if now < self.begin {
            return;
        }
        self.tally.received += 1;
        if let Some(second) = self.second_of(now) {
            second.received += 1;
        }
    }

    /// Begins what waits, as far as there are slots.
    fn serve(&mut self, now: u64, endpoint: usize) {
        let Some(capacity) = self.servers[endpoint].capacity() else { return };
        while self.servers[endpoint].busy < capacity.slots {
            let server = &mut self.servers[endpoint];
            let Some(number) = server.queue.pop_front() else { return };
            let work = &mut self.works[number as usize];
            if work.permit.is_none() && capacity.cancels {
                self.free_work(number);
                continue;
            }
            server.busy += 1;
            work.place = Place::Serving;
            let at = server.begins(now) + work.work;
            self.queue.at(at, Event::Served(number, work.generation));
        }
    }

    pub fn on_served(&mut self, now: u64, number: u32) {
        let work = &mut self.works[number as usize];
        let endpoint = work.endpoint as usize;
        (work.place, work.done) = (Place::Outside, now);
        let awaited = work.permit.is_some();
        let server = &mut self.servers[endpoint];
        server.busy = server.busy.saturating_sub(1);
        if awaited {
            self.on_ended(now, number);
        } else {
            self.free_work(number);
        }
        self.serve(now, endpoint);
    }

    /// Its answer is there, or its time is over.
    pub fn on_ended(&mut self, now: u64, number: u32) {
        let work = &self.works[number as usize];
        let outcome = match work.end {
            Some(outcome) if work.done <= now => outcome,
            _ if work.permit.is_none() => return,
            _ if work.whole => Outcome::failed(Failure::DeadlineExceeded, Sent::Maybe),
            _ => Outcome::failed(Failure::TryTimeout, Sent::Maybe),
        };
        if self.is_sent_again(now, number, &outcome) {
            self.works[number as usize].resent = true;
            self.works[number as usize].end = None;
            return self.dispatch(now, number, true);
        }
        self.end_attempt(now, number, outcome);
    }

    /// A kept connection that breaks may have been closed while the request was on its way: what may be repeated goes
    /// out again within the same attempt, over a connection that cannot have been idle.
    fn is_sent_again(&self, now: u64, number: u32, outcome: &Outcome) -> bool {
        let work = &self.works[number as usize];
        let request = &self.requests[work.request as usize];
        let stream = &self.setup.streams[usize::from(request.stream)];
        let routes = &self.setup.sidecars[usize::from(request.sidecar)].routes;
        outcome.reply == Reply::Failed(Failure::ConnectionTerminated)
            && work.reused
            && !work.resent
            && now < work.cutoff
            && routes[stream.route].retry.may_repeat(stream.idempotent)
    }

    /// An attempt has ended for its request.
    pub fn end_attempt(&mut self, now: u64, number: u32, outcome: Outcome) {
        let work = &mut self.works[number as usize];
        let Some(permit) = work.permit.take() else { return };
        let (owner, id, kind, endpoint) = (work.request, work.id, work.kind, work.endpoint);
        let took = now - work.launched;
        let (elapsed, at) = (Duration::from_nanos(took), self.instant(now));
        self.leave(now, number, matches!(outcome.reply, Reply::Status(_)));
        let request = &mut self.requests[owner as usize];
        let side = &mut self.sidecars[usize::from(request.sidecar)];
        if endpoint != NONE {
            side.settle(endpoint as usize, &outcome, elapsed, at, &mut self.dice, &mut self.tally);
            if kind != Kind::First {
                request.machine.set_elsewhere(!request.used.as_slice().contains(&(endpoint as u16)));
            }
        }
        match outcome.reply {
            Reply::Status(429 | 503) | Reply::Failed(Failure::TryTimeout | Failure::DeadlineExceeded) => {
                request.load = Some((elapsed, true));
            }
            Reply::Status(_) if request.load.is_none_or(|(_, dropped)| !dropped) => {
                request.load = Some((elapsed, false));
            }
            _ => {}
        }
        let dependency = &mut side.dependency;
        let superseded = request.machine.on_outcome(at, id, permit, outcome, elapsed, dependency, &mut self.dice);
        match outcome.reply {
            Reply::Failed(failure) => request.last = failure,
            Reply::Status(_) | Reply::Call(_) if superseded => request.last = Failure::CircuitOpen,
            Reply::Status(status) => {
                let (retry_after, mark) = (outcome.retry_after, outcome.mark);
                request.landed = Some(Landed { id, status, retry_after, mark });
                if status < 400 && request.counted {
                    self.tally.attempt_times.add(took);
                }
            }
            Reply::Call(_) => {}
        }
        let failed = !matches!(outcome.reply, Reply::Status(status) if status < 500);
        request.failed_once |= failed && kind == Kind::First;
        if superseded && endpoint != NONE {
            request.used.push(endpoint as u16);
        }
        self.watch(owner, at);
        self.advance(now, owner);
    }

    /// Nobody waits for an attempt any more: it has ended, or it was given up.
    fn leave(&mut self, now: u64, number: u32, answered: bool) {
        let work = &self.works[number as usize];
        let (owner, endpoint, place, child) = (work.request, work.endpoint, work.place, work.child);
        let request = &mut self.requests[owner as usize];
        for flying in &mut request.works {
            if *flying == number {
                *flying = NONE;
            }
        }
        let side = &mut self.sidecars[usize::from(request.sidecar)];
        if let Some(member) = side.members.get_mut(endpoint as usize) {
            member.pending = member.pending.saturating_sub(1);
            if answered {
                member.idle = if side.plan.shared { 1 } else { member.idle + 1 };
            }
        }
        if child != NONE {
            self.give_up(now, child);
        }
        let cancels =
            self.servers.get(endpoint as usize).and_then(|server| server.capacity()).is_some_and(|c| c.cancels);
        match place {
            Place::Outside => self.free_work(number),
            // It is looked at when its turn comes.
            Place::Queued => {}
            Place::Serving if cancels => {
                self.free_work(number);
                let server = &mut self.servers[endpoint as usize];
                server.busy = server.busy.saturating_sub(1);
                self.serve(now, endpoint as usize);
            }
            Place::Serving => {}
        }
    }

    /// A request whose caller has gone.
    fn give_up(&mut self, now: u64, number: u32) {
        let request = &mut self.requests[number as usize];
        if !request.live {
            return;
        }
        request.parent = NONE;
        let (sidecar, queued) = (request.sidecar, request.queued);
        let side = &mut self.sidecars[usize::from(sidecar)];
        if let Some(ticket) = queued {
            side.limit.abandon(ticket);
        } else {
            self.cancel_flights(now, number, false);
            self.release(now, sidecar, None);
        }
        let at = self.instant(now);
        let request = &mut self.requests[number as usize];
        if request.machine.is_unsettled() {
            request.machine.abandon(at, &mut self.sidecars[usize::from(sidecar)].dependency);
        }
        self.free_request(number);
    }

    /// `superseded`: another attempt has answered.
    fn cancel_flights(&mut self, now: u64, number: u32, superseded: bool) {
        let at = self.instant(now);
        let works = self.requests[number as usize].works;
        for work in works.into_iter().filter(|work| *work != NONE) {
            let Some(permit) = self.works[work as usize].permit.take() else { continue };
            let sidecar = usize::from(self.requests[number as usize].sidecar);
            let side = &mut self.sidecars[sidecar];
            side.dependency.on_cancelled(at, permit);
            let Work { endpoint, launched, .. } = self.works[work as usize];
            if superseded {
                side.superseded(endpoint as usize, Duration::from_nanos(now - launched), at);
            }
            self.leave(now, work, false);
        }
    }

    fn finish(&mut self, now: u64, number: u32, stop: Stop, answer: Option<AttemptId>) {
        if self.requests[number as usize].is_flying() {
            self.cancel_flights(now, number, answer.is_some());
        }
        let request = &self.requests[number as usize];
        let landed = request.landed.filter(|landed| Some(landed.id) == answer);
        let sidecar = request.sidecar;
        if request.counted {
            self.note_stop(number, stop);
        }
        let request = &self.requests[number as usize];
        let outcome = match landed {
            Some(landed) => passed_on(&landed, stop),
            None => {
                let (failure, retry_after) = explained(stop, request.last);
                told(failure, retry_after, Some(stop))
            }
        };
        let sample = self.sample(number);
        self.release(now, sidecar, sample);
        self.tell(now, number, outcome);
    }

    fn note_stop(&mut self, number: u32, stop: Stop) {
        match stop {
            Stop::Refused(Refusal::CircuitOpen { .. }) => self.tally.refused_open += 1,
            Stop::Refused(Refusal::Throttled) => self.tally.refused_throttle += 1,
            Stop::DeadlinePassed => self.tally.deadlines += 1,
            _ => {}
        }
        if let Some(reason) = self.requests[number as usize].machine.denied() {
            self.tally.denied[reason as usize] += 1;
        }
    }

    /// The caller has its answer.
    fn tell(&mut self, now: u64, number: u32, outcome: Outcome) {
        let request = &self.requests[number as usize];
        let (parent, stream, arrived) = (request.parent, request.stream, request.arrived);
        let good = matches!(outcome.reply, Reply::Status(status) if status < 400);
        if request.counted {
            let (failed_once, took) = (request.failed_once, now - arrived);
            self.tally.requests += 1;
            self.tally.succeeded += u64::from(good);
            self.tally.rescued += u64::from(good && failed_once);
            self.tally.times.add(took);
            if good {
                self.tally.good_times.add(took);
            }
            if let Some(second) = self.second_of(arrived) {
                second.requests += 1;
                second.succeeded += u32::from(good);
                second.times.add(took);
            }
        }
        self.free_request(number);
        if parent != NONE {
            let work = &mut self.works[parent as usize];
            work.child = NONE;
            if work.permit.is_some() {
                self.ends(now, parent, outcome, now);
            }
        } else if matches!(self.setup.streams[usize::from(stream)].arrivals, Arrivals::Closed(_)) {
            // Who is refused at once does not ask again at once: time would stand still.
            self.queue.at(now.max(arrived + self.hop), Event::Again(stream.into()));
        }
    }
}
