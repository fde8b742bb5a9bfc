//! An attempt on its way: its connection, the endpoint that works on it, and what comes back.

use super::plan::{Fate, nanos};
use super::queue::Event;
use super::request::{NONE, Place};
use super::server::Door;
use super::world::World;
use crate::reliability::classify::{Outcome, Reply};
use crate::reliability::failure::{Failure, Sent};
use std::time::Duration;

impl<'s> World<'s> {
    /// The attempt is known to end so.
    pub fn ends(&mut self, now: u64, number: u32, outcome: Outcome, done: u64) {
        let work = &mut self.works[number as usize];
        (work.end, work.done) = (Some(outcome), done);
        let at = done.min(work.cutoff).max(now);
        self.ends_by(number, at);
    }

    pub fn ends_by(&mut self, number: u32, at: u64) {
        let generation = self.works[number as usize].generation;
        self.queue.at(at, Event::Ended(number, generation));
    }

    /// To an endpoint, over a connection that waits or a new one. `fresh`: not over one that has waited.
    pub fn dispatch(&mut self, now: u64, number: u32, fresh: bool) {
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

    pub fn receive(&mut self, now: u64) {
        if now < self.begin {
            return;
        }
        self.tally.received += 1;
        if let Some(second) = self.second_of(now) {
            second.received += 1;
        }
    }

    /// Begins what waits, as far as there are slots.
    pub fn serve(&mut self, now: u64, endpoint: usize) {
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
    pub fn is_sent_again(&self, now: u64, number: u32, outcome: &Outcome) -> bool {
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

    /// Nobody waits for an attempt any more: it has ended, or it was given up.
    pub fn leave(&mut self, now: u64, number: u32, answered: bool) {
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
}
