//! The world: what is in flight, and the loop that moves its clock.

use super::plan::{Arrivals, FaultKind, Setup, nanos};
use super::queue::{Event, Queue};
use super::request::{NONE, Place, Request, Work};
use super::server::Server;
use super::sidecar::Sidecar;
use super::source::Source;
use super::tally::Outcome;
use crate::reliability::classify::Outcome as Ending;
use crate::reliability::efficacy::Harm;
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::failure::{Failure, Sent};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;
/// Sidecars have been running for up to this long when the load begins.
const HEAD_START: Duration = Duration::from_secs(10);
/// What has not ended so long after the last arrival is not waited for.
const SETTLE_MAX: u64 = 600 * SECOND;

/// A step of the fault script.
#[derive(Clone, Copy, Debug)]
struct Change<'s> {
    endpoint: usize,
    /// None = a fault is over.
    fault: Option<(&'s FaultKind, u64)>,
    /// The fault that is over had taken the endpoint out of the set.
    returns: bool,
}

/// Everything.
pub(super) struct World<'s> {
    pub setup: &'s Setup<'s>,
    start: Instant,
    /// The counted part.
    pub begin: u64,
    pub end: u64,
    pub hop: u64,
    pub queue: Queue,
    pub sidecars: Vec<Sidecar<'s>>,
    pub servers: Vec<Server<'s>>,
    sources: Vec<Source<'s>>,
    pub requests: Vec<Request<'s>>,
    free_requests: Vec<u32>,
    pub works: Vec<Work>,
    free_works: Vec<u32>,
    changes: Vec<Change<'s>>,
    pub dice: SplitMix,
    pub tally: Outcome,
}

/// Plays `setup` once. The same seed gives the same outcome; `start` only gives virtual time an origin.
pub fn run(setup: &Setup<'_>, seed: u64, start: Instant) -> Outcome {
    let mut world = World::new(setup, seed, start);
    world.script();
    world.open();
    world.run();
    world.tally
}

impl<'s> World<'s> {
    fn new(setup: &'s Setup<'s>, seed: u64, start: Instant) -> Self {
        let (begin, last) = (nanos(setup.warm_up), setup.sidecars.len().saturating_sub(1));
        // Streams of dice of their own: what a policy decides does not change when requests come.
        let mix = |part: u64, number: usize| seed ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((number as u64) << 40);
        let members = |number: usize| if number == last { setup.endpoints.len() } else { 1 };
        let numbered = setup.sidecars.iter().enumerate();
        let sources = setup.streams.iter().enumerate();
        let servers = setup.endpoints.iter().enumerate();
        // Windows are counted in slots from the start of the process, which knows nothing of the script: a fault must
        // not begin with a slot in every play.
        let zero = start + HEAD_START.mul_f64(SplitMix::new(mix(4, 0)).unit());
        World {
            setup,
            start: zero,
            begin,
            end: begin.saturating_add(nanos(setup.duration)),
            hop: nanos(setup.hop),
            queue: Queue::default(),
            sidecars: numbered.map(|(number, plan)| Sidecar::new(plan, members(number), start)).collect(),
            servers: servers.map(|(number, plan)| Server::new(plan, mix(2, number))).collect(),
            sources: sources.map(|(number, stream)| Source::new(&stream.arrivals, begin, mix(3, number))).collect(),
            requests: Vec::new(),
            free_requests: Vec::new(),
            works: Vec::new(),
            free_works: Vec::new(),
            changes: Vec::new(),
            dice: SplitMix::new(mix(1, 0)),
            tally: Outcome::new(setup.duration),
        }
    }

    /// As the machines know time.
    pub fn instant(&self, now: u64) -> Instant {
        self.start + Duration::from_nanos(now)
    }

    /// As we count it.
    pub fn since_start(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.start))
    }

    /// Lays the fault script into the queue; where one ends as another begins, the end comes first.
    fn script(&mut self) {
        let mut steps: Vec<(u64, bool, Change<'s>)> = Vec::new();
        for (endpoint, plan) in self.setup.endpoints.iter().enumerate() {
            for fault in &plan.faults {
                let (from, until) = (self.begin + nanos(fault.from), self.begin + nanos(fault.until));
                let returns = matches!(fault.kind, FaultKind::Absent);
                steps.push((from, true, Change { endpoint, fault: Some((&fault.kind, until)), returns }));
                steps.push((until, false, Change { endpoint, fault: None, returns }));
            }
        }
        steps.sort_by_key(|(at, begins, _)| (*at, *begins));
        for (at, _, change) in steps {
            self.queue.at(at, Event::Change(self.changes.len() as u32));
            self.changes.push(change);
        }
        self.queue.at(SECOND, Event::Second);
    }

    /// Clients of a closed loop send their first requests, not all in one instant.
    fn open(&mut self) {
        for (number, stream) in self.setup.streams.iter().enumerate() {
            if let Arrivals::Closed(clients) = stream.arrivals {
                for client in 0..clients {
                    self.queue.at(u64::from(client) * 1_000, Event::Again(number as u32));
                }
            }
        }
    }

    fn run(&mut self) {
        loop {
            let (stream, arrival) = self.next_arrival();
            let event = self.queue.time();
            if arrival <= event && arrival < self.end {
                if let Some(source) = self.sources.get_mut(stream) {
                    source.advance();
                }
                self.arrive(arrival, stream);
                continue;
            }
            let Some((now, event)) = self.queue.pop() else { break };
            if now > self.end.saturating_add(SETTLE_MAX) {
                break;
            }
            self.on(now, event);
        }
        let (end, begin) = (self.instant(self.end), self.instant(self.begin));
        let last = self.sidecars.len().saturating_sub(1);
        for (number, sidecar) in self.sidecars.iter_mut().enumerate() {
            sidecar.end(end, begin, number == last, &mut self.tally);
        }
    }

    fn next_arrival(&self) -> (usize, u64) {
        let times = self.sources.iter().map(|source| source.next).enumerate();
        times.min_by_key(|(_, next)| *next).unwrap_or((0, u64::MAX))
    }

    fn on(&mut self, now: u64, event: Event) {
        match event {
            Event::Ended(work, generation) if self.works[work as usize].generation == generation => {
                self.on_ended(now, work);
            }
            Event::Served(work, generation) if self.works[work as usize].generation == generation => {
                self.on_served(now, work);
            }
            Event::Wake(request, generation) => {
                let waits = &self.requests[request as usize];
                if waits.generation == generation && waits.live && waits.wakes == now {
                    self.on_wake(now, request);
                }
            }
            Event::Again(stream) if now < self.end => self.arrive(now, stream as usize),
            Event::Change(number) => self.change(now, number as usize),
            Event::Second if now < self.end => self.second(now),
            Event::Ended(..) | Event::Served(..) | Event::Again(_) | Event::Second => {}
        }
    }

    /// What the observer does once a second. Harm is left to it: it takes minutes to see.
    fn second(&mut self, now: u64) {
        let at = self.instant(now);
        for sidecar in &mut self.sidecars {
            if !sidecar.dependency.efficacy.is_quiet() {
                sidecar.dependency.efficacy.review(at, Harm::default());
            }
        }
        self.queue.at(now + SECOND, Event::Second);
    }

    fn change(&mut self, now: u64, number: usize) {
        let Some(Change { endpoint, fault, returns }) = self.changes.get(number).copied() else { return };
        let at = self.instant(now);
        let Some(server) = self.servers.get_mut(endpoint) else { return };
        let broken = match fault {
            Some((kind, until)) => server.fail(kind, until),
            None => {
                server.recover();
                false
            }
        };
        let Some(sidecar) = self.sidecars.last_mut() else { return };
        if returns {
            sidecar.set_present(endpoint, fault.is_none(), at);
        }
        if broken && !returns {
            sidecar.members[endpoint].idle = 0;
            self.break_connections(now, endpoint);
        }
    }

    /// Whatever is in flight to this endpoint ends.
    fn break_connections(&mut self, now: u64, endpoint: usize) {
        if let Some(server) = self.servers.get_mut(endpoint) {
            server.queue.clear();
            server.busy = 0;
        }
        for number in 0..self.works.len() {
            let work = &mut self.works[number];
            if !work.live || work.child != NONE || work.endpoint as usize != endpoint || !self.is_last(number) {
                continue;
            }
            self.works[number].place = Place::Outside;
            if self.works[number].permit.is_some() {
                let reset = Ending::failed(Failure::ConnectionTerminated, Sent::Maybe);
                self.end_attempt(now, number as u32, reset);
            } else {
                self.free_work(number as u32);
            }
        }
    }

    /// Whether an attempt goes to an endpoint, and not to the next sidecar.
    pub fn is_last(&self, work: usize) -> bool {
        let request = self.works[work].request as usize;
        usize::from(self.requests[request].sidecar) + 1 == self.sidecars.len()
    }

    pub fn keep_request(&mut self, mut request: Request<'s>) -> u32 {
        if let Some(place) = self.free_requests.pop() {
            let before = &mut self.requests[place as usize];
            request.generation = before.generation.wrapping_add(1);
            *before = request;
            return place;
        }
        self.requests.push(request);
        (self.requests.len() - 1) as u32
    }

    pub fn free_request(&mut self, place: u32) {
        let request = &mut self.requests[place as usize];
        request.live = false;
        request.generation = request.generation.wrapping_add(1);
        self.free_requests.push(place);
    }

    pub fn keep_work(&mut self, mut work: Work) -> u32 {
        if let Some(place) = self.free_works.pop() {
            let before = &mut self.works[place as usize];
            work.generation = before.generation.wrapping_add(1);
            *before = work;
            return place;
        }
        self.works.push(work);
        (self.works.len() - 1) as u32
    }

    pub fn free_work(&mut self, place: u32) {
        let work = &mut self.works[place as usize];
        work.live = false;
        work.generation = work.generation.wrapping_add(1);
        self.free_works.push(place);
    }
}
