//! Model M2: metastability. A server near its capacity stalls for ten seconds; does the system come back?
//!
//! Open-loop Poisson arrivals spread over sidecars, one first-in-first-out server with exponential service,
//! attempts that time out after a second. Work whose client gave up either runs on or is cancelled.

use super::client::{Contender, Job, Move, Sidecar};
use super::{Timeline, exponential};
use crate::reliability::attempts::RetryPolicy;
use crate::reliability::backoff::Backoff;
use crate::reliability::classify::Outcome;
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::failure::{Failure, Sent};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Requests per second that the server can do.
const CAPACITY: f64 = 300.0;
/// The server does nothing from here ...
const STALL_FROM: Duration = Duration::from_secs(30);
/// ... to here.
const STALL_TO: Duration = Duration::from_secs(40);
/// An attempt is given up after this time.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Seconds simulated.
const HORIZON: usize = 180;
/// Processes, each with its own budget.
const SIDECARS: usize = 20;

/// What is varied.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Requests per second offered, of the server's 300.
    pub rate: f64,
    /// Work whose client gave up is skipped by the server.
    pub cancel: bool,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Attempts per request while the server stalls.
    pub stall: f64,
    /// The same in the twenty seconds after.
    pub after: f64,
    /// Share of requests arriving at t = 140..170 that succeed.
    pub success: f64,
    /// Seconds from the end of the stall until five seconds in a row have 95 % success. None = never.
    pub recovery: Option<usize>,
}

#[derive(Clone, Copy)]
enum Event {
    Arrive,
    /// A request's backoff is over.
    Wake(usize),
    /// Attempt of this number timed out.
    Timeout(usize),
    /// The server is done with the attempt of this number.
    Served(usize),
}

struct Request<'a> {
    job: Job<'a>,
    sidecar: usize,
    arrived: usize,
}

struct Attempt {
    request: usize,
    sent: Duration,
    /// Nobody waits for it any more.
    over: bool,
}

/// What happened in one second.
#[derive(Clone, Copy, Default)]
struct Second {
    requests: u32,
    /// Of the requests that arrived in it.
    successes: u32,
    /// Sent in it, first attempts included.
    attempts: u32,
}

struct World<'a> {
    policy: &'a RetryPolicy,
    scenario: Scenario,
    timeline: Timeline<Event>,
    sidecars: Vec<Sidecar>,
    requests: Vec<Request<'a>>,
    attempts: Vec<Attempt>,
    queue: VecDeque<usize>,
    busy: bool,
    seconds: Vec<Second>,
    arrivals: SplitMix,
    service: SplitMix,
    jitter: SplitMix,
}

/// Runs one cell.
pub fn run(contender: &Contender, scenario: Scenario, seed: u64, start: Instant) -> Cell {
    // The model's own backoff, not our defaults: the same for all contenders.
    let backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1), ..Backoff::default() };
    let policy = contender.policy(backoff);
    let mut world = World {
        policy: &policy,
        scenario,
        timeline: Timeline::default(),
        sidecars: (0..SIDECARS).map(|_| contender.sidecar(start)).collect(),
        requests: Vec::new(),
        attempts: Vec::new(),
        queue: VecDeque::new(),
        busy: false,
        seconds: vec![Second::default(); HORIZON],
        arrivals: SplitMix::new(seed),
        service: SplitMix::new(seed ^ 0x5EED),
        jitter: SplitMix::new(!seed),
    };
    world.timeline.at(Duration::ZERO, Event::Arrive);
    while let Some((now, event)) = world.timeline.pop() {
        if now >= Duration::from_secs(HORIZON as u64) {
            break;
        }
        world.on(now, event);
    }
    summarize(&world.seconds)
}

impl World<'_> {
    fn on(&mut self, now: Duration, event: Event) {
        match event {
            Event::Arrive => {
                let sidecar = self.arrivals.below(SIDECARS);
                let job = Job::new(self.policy, TIMEOUT, now, &self.sidecars[sidecar]);
                let arrived = now.as_secs() as usize;
                self.seconds[arrived].requests += 1;
                self.requests.push(Request { job, sidecar, arrived });
                self.advance(now, self.requests.len() - 1);
                self.timeline.at(now + exponential(self.scenario.rate, &mut self.arrivals), Event::Arrive);
            }
            Event::Wake(request) => self.advance(now, request),
            Event::Timeout(attempt) => {
                self.end(now, attempt, Outcome::failed(Failure::TryTimeout, Sent::Yes));
            }
            Event::Served(attempt) => {
                self.busy = false;
                if !self.attempts[attempt].over {
                    let arrived = self.requests[self.attempts[attempt].request].arrived;
                    self.seconds[arrived].successes += 1;
                    self.end(now, attempt, Outcome::answered(200));
                }
                self.serve(now);
            }
        }
    }

    /// An attempt ended for its client, unless it had ended before.
    fn end(&mut self, now: Duration, number: usize, outcome: Outcome) {
        let attempt = &mut self.attempts[number];
        if std::mem::replace(&mut attempt.over, true) {
            return;
        }
        let (request, elapsed) = (attempt.request, now - attempt.sent);
        let Request { job, sidecar, .. } = &mut self.requests[request];
        job.ended(now, outcome, elapsed, &mut self.sidecars[*sidecar], &mut self.jitter);
        self.advance(now, request);
    }

    fn advance(&mut self, now: Duration, number: usize) {
        let Request { job, sidecar, .. } = &mut self.requests[number];
        match job.next(now, &mut self.sidecars[*sidecar], &mut self.jitter) {
            Move::Send => {
                self.seconds[now.as_secs() as usize].attempts += 1;
                self.attempts.push(Attempt { request: number, sent: now, over: false });
                let attempt = self.attempts.len() - 1;
                self.timeline.at(now + TIMEOUT, Event::Timeout(attempt));
                self.queue.push_back(attempt);
                self.serve(now);
            }
            Move::Sleep(until) => self.timeline.at(until, Event::Wake(number)),
            Move::Await | Move::Done => {}
        }
    }

    /// Starts the next piece of work if the server is free.
    fn serve(&mut self, now: Duration) {
        while !self.busy
            && let Some(attempt) = self.queue.pop_front()
        {
            if self.scenario.cancel && self.attempts[attempt].over {
                continue;
            }
            self.busy = true;
            let begin = if (STALL_FROM..STALL_TO).contains(&now) { STALL_TO } else { now };
            self.timeline.at(begin + exponential(CAPACITY, &mut self.service), Event::Served(attempt));
        }
    }
}

fn summarize(seconds: &[Second]) -> Cell {
    let amplification = |range: std::ops::Range<usize>| {
        let part = &seconds[range];
        let attempts: u32 = part.iter().map(|second| second.attempts).sum();
        f64::from(attempts) / f64::from(part.iter().map(|second| second.requests).sum::<u32>().max(1))
    };
    let success = |range: std::ops::Range<usize>| {
        let part = &seconds[range];
        let successes: u32 = part.iter().map(|second| second.successes).sum();
        f64::from(successes) / f64::from(part.iter().map(|second| second.requests).sum::<u32>().max(1))
    };
    let end = STALL_TO.as_secs() as usize;
    // The last seconds are left out: their requests are still on the way at the horizon.
    let recovery = (end..HORIZON - 10).find(|from| (*from..from + 5).all(|s| success(s..s + 1) >= 0.95));
    Cell {
        stall: amplification(STALL_FROM.as_secs() as usize..end),
        after: amplification(end..end + 20),
        success: success(140..170),
        recovery: recovery.map(|second| second - end),
    }
}
