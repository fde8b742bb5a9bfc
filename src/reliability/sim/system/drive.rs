//! The life of a request: attempts and end. It does what `crate::proxy` does, in virtual time.

use super::admit::Origin;
use super::plan::Arrivals;
use super::queue::Event;
use super::request::{Landed, NONE, Place, Work, explained, passed_on, told};
use super::tally::Second;
use super::world::World;
use crate::reliability::attempts::{AttemptId, Kind, Step, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{Outcome, Reply};
use crate::reliability::failure::{Failure, Sent};
use std::time::{Duration, Instant};

impl<'s> World<'s> {
    /// Asks the machine what to do, and does it, until it waits or is done.
    pub fn advance(&mut self, now: u64, number: u32) {
        let at = self.instant(now);
        loop {
            let request = &mut self.requests[number as usize];
            let side = &mut self.sidecars[usize::from(request.sidecar)];
            if request.machine.hedge_due().is_some_and(|due| due <= at) {
                let first = request.works.iter().find(|work| **work != NONE).map(|work| &self.works[*work as usize]);
                let standby = first.map(|first| side.standby(first.endpoint as usize, at));
                standby.into_iter().for_each(|standby| request.machine.set_standby(standby));
            }
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

    pub fn watch(&mut self, number: u32, at: Instant) {
        let sidecar = usize::from(self.requests[number as usize].sidecar);
        let (begin, last) = (self.instant(self.begin), sidecar + 1 == self.sidecars.len());
        self.sidecars[sidecar].watch(at, begin, last, &mut self.tally);
    }

    /// What flies reports its own end; all else must be woken.
    pub fn wait(&mut self, now: u64, number: u32, until: u64) {
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

    pub fn launch(&mut self, now: u64, number: u32, (id, kind): (AttemptId, Kind), cutoff: u64, permit: Permit) {
        let at = self.instant(now);
        let request = &mut self.requests[number as usize];
        let (sidecar, stream) = (usize::from(request.sidecar), request.stream);
        let side = &mut self.sidecars[sidecar];
        let mut used = request.used;
        for flying in request.works.iter().filter(|work| **work != NONE) {
            // A hedge goes elsewhere.
            used.push(self.works[*flying as usize].endpoint as u16);
        }
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

    pub fn note_launch(&mut self, now: u64, number: u32, kind: Kind) {
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

    pub fn second_of(&mut self, now: u64) -> Option<&mut Second> {
        let second = now.checked_sub(self.begin)? / 1_000_000_000;
        self.tally.seconds.get_mut(usize::try_from(second).ok()?)
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
            if matches!(kind, Kind::Retry | Kind::Transparent) {
                request.machine.set_elsewhere(!request.used.as_slice().contains(&(endpoint as u16)));
            }
        }
        let dependency = &mut side.dependency;
        let superseded = request.machine.on_outcome(at, id, permit, outcome, elapsed, dependency, &mut self.dice);
        // Another one flies that may bring a better answer.
        let set_aside = request.machine.is_flying();
        request.load = match (request.load, dropped(&outcome)) {
            (Some((took, true)), _) => Some((took, true)),
            (_, Some(dropped)) => Some((took, dropped)),
            (before, None) => before,
        };
        match outcome.reply {
            Reply::Failed(failure) => request.last = failure,
            Reply::Status(_) | Reply::Call(_) if superseded => {
                (request.last, request.landed) = (Failure::CircuitOpen, None);
            }
            Reply::Status(status) => {
                let (retry_after, mark) = (outcome.retry_after, outcome.mark);
                request.landed = Some(Landed { id, status, retry_after, mark });
                if status < 400 && request.counted {
                    self.tally.attempt_times.record(elapsed);
                }
            }
            Reply::Call(_) => {}
        }
        let failed = !matches!(outcome.reply, Reply::Status(status) if status < 500);
        request.failed_once |= failed && kind == Kind::First;
        if (superseded || set_aside) && endpoint != NONE {
            request.used.push(endpoint as u16);
        }
        self.watch(owner, at);
        self.advance(now, owner);
    }

    pub fn cancel_flights(&mut self, now: u64, number: u32) {
        let at = self.instant(now);
        let works = self.requests[number as usize].works;
        for work in works.into_iter().filter(|work| *work != NONE) {
            let Some(permit) = self.works[work as usize].permit.take() else { continue };
            let sidecar = usize::from(self.requests[number as usize].sidecar);
            let (endpoint, launched) = (self.works[work as usize].endpoint, self.works[work as usize].launched);
            let side = &mut self.sidecars[sidecar];
            side.dependency.on_cancelled(at, permit);
            side.outlasted(endpoint as usize, Duration::from_nanos(now - launched), at);
            self.leave(now, work, false);
        }
    }

    pub fn finish(&mut self, now: u64, number: u32, stop: Stop, answer: Option<AttemptId>) {
        if self.requests[number as usize].is_flying() {
            self.cancel_flights(now, number);
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

    pub fn note_stop(&mut self, number: u32, stop: Stop) {
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
    pub fn tell(&mut self, now: u64, number: u32, outcome: Outcome) {
        let request = &self.requests[number as usize];
        let (parent, stream, arrived) = (request.parent, request.stream, request.arrived);
        let good = matches!(outcome.reply, Reply::Status(status) if status < 400);
        if request.counted {
            let (failed_once, took) = (request.failed_once, Duration::from_nanos(now - arrived));
            self.tally.requests += 1;
            self.tally.succeeded += u64::from(good);
            self.tally.rescued += u64::from(good && failed_once);
            self.tally.times.record(took);
            if good {
                self.tally.good_times.record(took);
            }
            if let Some(second) = self.second_of(arrived) {
                second.requests += 1;
                second.succeeded += u32::from(good);
                second.times.record(took);
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

/// Whether an attempt was refused for overload or not answered in time; None = it says nothing of capacity.
const fn dropped(outcome: &Outcome) -> Option<bool> {
    match outcome.reply {
        Reply::Status(429 | 503) | Reply::Failed(Failure::TryTimeout | Failure::DeadlineExceeded) => Some(true),
        Reply::Status(_) => Some(false),
        Reply::Call(_) | Reply::Failed(_) => None,
    }
}
