//! Model M5: overload. An app with so many workers and a queue of its own behind the limit that protects it.
//!
//! Open-loop Poisson arrivals of four classes; a request takes between half and one and a half times the mean; what is
//! answered after its client's patience is worth nothing and costs a worker all the same.

use super::{Timeline, exponential};
use crate::reliability::adaptive::Sample;
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::limit::{Admission, Ask, Limit, Limits, Next, Sheds, Ticket};
use crate::reliability::priority::Criticality;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const CLASSES: usize = Criticality::ALL.len();

/// What is varied.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Requests that the app works on at once.
    pub workers: usize,
    /// Mean time of one.
    pub service: Duration,
    /// From this second on it takes so many times as long.
    pub slower: (u64, f64),
    /// How long a client waits.
    pub patience: Duration,
    /// What stands before the app.
    pub limits: Limits,
    /// Load of each class in parts of what the app can do, by second.
    pub load: fn(u64) -> [f64; CLASSES],
    /// Length in seconds.
    pub seconds: u64,
    /// For the dice.
    pub seed: u64,
}

/// What became of the requests that arrived from one second on until another one.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By class.
    pub offered: [u32; CLASSES],
    /// Answered in time, by class.
    pub served: [u32; CLASSES],
    /// Answered too late.
    pub late: u32,
    /// How long those who were turned away waited for that, in rising order.
    pub shed_after: Vec<Duration>,
    /// How long those who were served waited, in rising order.
    pub served_after: Vec<Duration>,
    /// Answers in time in parts of what the app can do.
    pub goodput: f64,
    /// The limit that was found, by second.
    pub limits: Vec<u32>,
    /// Who was turned away and why, over the whole run.
    pub sheds: Sheds,
}

impl Report {
    /// Share of one class that was served.
    pub fn success(&self, class: Criticality) -> f64 {
        f64::from(self.served[class as usize]) / f64::from(self.offered[class as usize].max(1))
    }

    /// The time within which a share of those turned away was told so.
    pub fn shed_within(&self, share: f64) -> Duration {
        quantile(&self.shed_after, share)
    }

    /// The time within which a share of those served had their answer.
    pub fn served_within(&self, share: f64) -> Duration {
        quantile(&self.served_after, share)
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

enum Event {
    Arrive(Criticality),
    GiveUp(usize),
    Done(usize),
    Second,
}

struct Request {
    class: Criticality,
    arrived: Duration,
    ticket: Option<Ticket>,
    in_flight: u32,
    sent: Duration,
}

/// One run.
struct World<'a> {
    scenario: &'a Scenario,
    start: Instant,
    now: Duration,
    timeline: Timeline<Event>,
    dice: SplitMix,
    limit: Limit<usize>,
    requests: Vec<Request>,
    idle: usize,
    backlog: VecDeque<usize>,
    /// From when until when is reported.
    measured: (Duration, Duration),
    report: Report,
}

/// Runs `scenario`, and reports what arrived in the seconds `from..to`.
pub fn run(scenario: &Scenario, start: Instant, from: u64, to: u64) -> Report {
    let mut limit = Limit::new();
    limit.reconfigure(&scenario.limits, start);
    let mut world = World {
        scenario,
        start,
        now: Duration::ZERO,
        timeline: Timeline::default(),
        dice: SplitMix::new(scenario.seed),
        limit,
        requests: Vec::new(),
        idle: scenario.workers,
        backlog: VecDeque::new(),
        measured: (Duration::from_secs(from), Duration::from_secs(to)),
        report: Report::default(),
    };
    Criticality::ALL.into_iter().for_each(|class| world.schedule(class));
    world.timeline.at(Duration::from_secs(1), Event::Second);
    while let Some((at, event)) = world.timeline.pop() {
        world.now = at;
        world.step(event);
    }
    let Report { shed_after, served_after, .. } = &mut world.report;
    shed_after.sort_unstable();
    served_after.sort_unstable();
    world.report.sheds = *world.limit.sheds();
    let capacity = scenario.workers as f64 / scenario.service.as_secs_f64();
    let good: u32 = world.report.served.iter().sum();
    world.report.goodput = f64::from(good) / (capacity * to.saturating_sub(from) as f64);
    world.report
}

impl World<'_> {
    fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// The next arrival of a class. While it has no load, its dice are thrown again each second.
    fn schedule(&mut self, class: Criticality) {
        let second = self.now.as_secs();
        if second >= self.scenario.seconds {
            return;
        }
        let load = (self.scenario.load)(second)[class as usize];
        let rate = load * self.scenario.workers as f64 / self.scenario.service.as_secs_f64();
        let at = if rate > 0.0 { self.now + exponential(rate, &mut self.dice) } else { Duration::MAX };
        let edge = Duration::from_secs(second + 1);
        // Arrivals have no memory: at the edge of a second they may begin anew with another rate.
        if at < edge {
            self.timeline.at(at, Event::Arrive(class));
        } else {
            self.timeline.at(edge, Event::Arrive(class));
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive(class) => {
                // An event at the edge of a second only asks for the rate of the new one.
                if self.now.subsec_nanos() != 0 {
                    self.arrive(class);
                }
                self.schedule(class);
            }
            Event::GiveUp(id) => self.give_up(id),
            Event::Done(id) => self.done(id),
            Event::Second => {
                self.report.limits.push(self.limit.found().unwrap_or(self.scenario.limits.requests));
                if self.now.as_secs() < self.scenario.seconds {
                    self.timeline.at(self.now + Duration::from_secs(1), Event::Second);
                }
            }
        }
    }

    fn is_measured(&self, arrived: Duration) -> bool {
        (self.measured.0..self.measured.1).contains(&arrived)
    }

    fn arrive(&mut self, class: Criticality) {
        let id = self.requests.len();
        self.requests.push(Request { class, arrived: self.now, ticket: None, in_flight: 0, sent: self.now });
        if self.is_measured(self.now) {
            self.report.offered[class as usize] += 1;
        }
        let now = self.instant();
        let ask = Ask { class, now, deadline: now + self.scenario.patience };
        match self.limit.admit(&self.scenario.limits, &ask, || id) {
            Admission::Granted(taken) => self.send(id, taken.in_flight),
            Admission::Refused(_) => self.shed(id),
            Admission::Queued { ticket, max_wait, displaced } => {
                self.requests[id].ticket = Some(ticket);
                self.timeline.at(self.now + max_wait, Event::GiveUp(id));
                if let Some((other, _)) = displaced {
                    self.shed(other);
                }
            }
        }
    }

    fn give_up(&mut self, id: usize) {
        if let Some(ticket) = self.requests[id].ticket.take()
            && self.limit.give_up(&self.scenario.limits, ticket, self.instant()).is_some()
        {
            self.shed(id);
        }
    }

    fn shed(&mut self, id: usize) {
        let Request { arrived, ticket, .. } = &mut self.requests[id];
        *ticket = None;
        let arrived = *arrived;
        if self.is_measured(arrived) {
            self.report.shed_after.push(self.now - arrived);
        }
    }

    fn send(&mut self, id: usize, in_flight: u32) {
        let request = &mut self.requests[id];
        (request.sent, request.in_flight, request.ticket) = (self.now, in_flight, None);
        if self.idle > 0 {
            self.idle -= 1;
            self.work(id);
        } else {
            self.backlog.push_back(id);
        }
    }

    fn work(&mut self, id: usize) {
        let (from, factor) = self.scenario.slower;
        let factor = if self.now.as_secs() >= from { factor } else { 1.0 };
        let time = self.scenario.service.mul_f64(factor * self.dice.between(0.5, 1.5));
        self.timeline.at(self.now + time, Event::Done(id));
    }

    fn done(&mut self, id: usize) {
        match self.backlog.pop_front() {
            Some(next) => self.work(next),
            None => self.idle += 1,
        }
        let Request { class, arrived, sent, in_flight, .. } = self.requests[id];
        let (rtt, took) = (self.now - sent, self.now - arrived);
        let in_time = took <= self.scenario.patience;
        if self.is_measured(arrived) {
            if in_time {
                self.report.served[class as usize] += 1;
                self.report.served_after.push(took);
            } else {
                self.report.late += 1;
            }
        }
        // Whose client has gone is cancelled, which says nothing; a deadline of ours is a drop.
        let sample = Sample { rtt, in_flight, dropped: !in_time };
        let now = self.instant();
        self.limit.release(|| now, Some(sample));
        while let Some(next) = self.limit.next(&self.scenario.limits, now) {
            match next {
                Next::Granted(id, taken) => self.send(id, taken.in_flight),
                Next::Refused(id, _) => self.shed(id),
            }
        }
    }
}
