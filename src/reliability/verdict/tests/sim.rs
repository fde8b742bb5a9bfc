//! An upstream as the counters show it: random traffic, endpoints that do well or not, retries, a breaker.

use std::time::{Duration, Instant};

use crate::reliability::breaker::{Hold, State};
use crate::reliability::ending::{Ending, Endings};
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::verdict::finding::{Change, ChangeKind, EndpointSeen, Finding, RouteSeen, Seen};
use crate::reliability::verdict::history::{Tick, latency_bucket};
use crate::reliability::verdict::watch::Watch;

/// One endpoint of the model.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Share of attempts that end in `ending`.
    pub fails: f64,
    pub ending: Ending,
    /// Median, and the spread of the logarithm.
    pub millis: f64,
    pub sigma: f64,
    /// A collector runs in this second, so long.
    pub pause_millis: f64,
    pub ejected: bool,
    /// The balancer sends nothing to it.
    pub avoided: bool,
    pub seen: EndpointSeen,
}

/// The model, and the watch over it.
pub struct Sim {
    pub now: Instant,
    pub watch: Watch,
    pub rate: f64,
    pub endpoints: Vec<Endpoint>,
    /// Attempts of a request at most.
    pub attempts: usize,
    /// Share of requests that their client ends, and that our own limit refuses.
    pub cancelled: f64,
    pub refused: f64,
    /// Share of requests that breaker or throttle hold back though they let others through.
    pub shed: f64,
    pub circuit: Option<State>,
    pub held: Option<Hold>,
    pub unresolved: bool,
    pub waiting: u32,
    pub in_flight: u32,
    pub slow_call: Option<Duration>,
    pub inbound: bool,
    pub changes: Vec<Change>,
    /// Share of requests, and of failures of the route's own.
    pub routes: Vec<(&'static str, f64, f64)>,
    routed: Vec<Endings>,
    random: SplitMix,
}

impl Sim {
    /// `count` healthy endpoints, looked at for `seconds`.
    pub fn healthy(rate: f64, count: usize, seconds: u64) -> Sim {
        let mut sim = Sim::new(rate, count, 7);
        sim.run(seconds);
        sim
    }

    pub fn new(rate: f64, count: usize, seed: u64) -> Sim {
        let now = Instant::now();
        let endpoint = |number: usize| {
            let name = format!("10.0.0.{}:8080", number + 1);
            let seen = EndpointSeen {
                name,
                endings: Endings::default(),
                answered: 0,
                answered_in: Duration::ZERO,
                ejected: false,
                last_failure: None,
            };
            let ending = Ending::Error;
            let (millis, sigma, pause_millis) = (5.0, 0.5, 0.0);
            Endpoint { fails: 0.0, ending, millis, sigma, pause_millis, ejected: false, avoided: false, seen }
        };
        Sim {
            now,
            watch: Watch::new(now),
            rate,
            endpoints: (0..count).map(endpoint).collect(),
            attempts: 1,
            cancelled: 0.0,
            refused: 0.0,
            shed: 0.0,
            circuit: None,
            held: None,
            unresolved: false,
            waiting: 0,
            in_flight: 0,
            slow_call: None,
            inbound: false,
            changes: Vec::new(),
            routes: vec![("default", 1.0, 0.0)],
            routed: Vec::new(),
            random: SplitMix::new(seed),
        }
    }

    /// All endpoints fail so.
    pub fn fail(&mut self, share: f64, ending: Ending) {
        self.endpoints.iter_mut().for_each(|endpoint| (endpoint.fails, endpoint.ending) = (share, ending));
    }

    /// All endpoints answer in this time.
    pub fn answer_in(&mut self, millis: f64) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.millis = millis);
    }

    /// Something changed now.
    pub fn change(&mut self, kind: ChangeKind, upstreams: &[&str], summary: &str) {
        let upstreams = upstreams.iter().map(|name| (*name).to_owned()).collect();
        let (summary, effects) = (summary.to_owned(), Vec::new());
        self.changes.push(Change { at: self.now, kind, upstreams, summary, effects, revision: None });
    }

    pub fn finding(&self) -> Option<&Finding> {
        self.watch.finding()
    }

    pub fn run(&mut self, seconds: u64) -> Option<Finding> {
        (0..seconds).for_each(|_| self.second());
        self.finding().cloned()
    }

    /// Seconds until it is so; `None` if that takes longer than `at_most`.
    pub fn until(&mut self, at_most: u64, so: impl Fn(Option<&Finding>) -> bool) -> Option<u64> {
        (1..=at_most).find(|_| {
            self.second();
            so(self.finding())
        })
    }

    pub fn second(&mut self) {
        self.now += Duration::from_secs(1);
        let mut tick = Tick::default();
        self.routed.resize(self.routes.len(), Endings::default());
        for _ in 0..self.poisson() {
            self.request(&mut tick);
        }
        for endpoint in &mut self.endpoints {
            endpoint.seen.ejected = endpoint.ejected;
        }
        let endpoints: Vec<EndpointSeen> = self.endpoints.iter().map(|endpoint| endpoint.seen.clone()).collect();
        let named = self.routes.iter().zip(&self.routed);
        let routes: Vec<RouteSeen<'_>> =
            named.map(|((name, ..), endings)| RouteSeen { name, endings: *endings }).collect();
        let seen = Seen {
            inbound: self.inbound,
            tick: &tick,
            endpoints: &endpoints,
            routes: &routes,
            circuit: self.circuit,
            held: self.held,
            unresolved: self.unresolved,
            in_flight: self.in_flight,
            waiting: self.waiting,
            slow_call: self.slow_call,
        };
        self.watch.look(self.now, "payments", &seen, &self.changes);
    }

    fn request(&mut self, tick: &mut Tick) {
        let mut draw = self.random.unit();
        let share = |(_, share, _): &(&str, f64, f64)| {
            draw -= share;
            draw < 0.0
        };
        let route = self.routes.iter().position(share).unwrap_or(0);
        let ending = self.outcome(route, tick);
        tick.requests.add(ending, 1);
        if let Some(routed) = self.routed.get_mut(route) {
            routed.add(ending, 1);
        }
    }

    fn outcome(&mut self, route: usize, tick: &mut Tick) -> Ending {
        if self.circuit == Some(State::Open) || self.held == Some(Hold::Open) {
            return Ending::Shed;
        }
        if self.random.unit() < self.shed {
            return Ending::Shed;
        }
        if self.random.unit() < self.refused {
            return Ending::OwnLimit;
        }
        if self.random.unit() < self.cancelled {
            return Ending::Cancelled;
        }
        if self.random.unit() < self.routes[route].2 {
            tick.attempts.add(Ending::Error, 1);
            return Ending::Error;
        }
        let takes = |at: &usize| !self.endpoints[*at].ejected && !self.endpoints[*at].avoided;
        let available: Vec<usize> = (0..self.endpoints.len()).filter(takes).collect();
        if available.is_empty() {
            return Ending::Unreachable;
        }
        let first = self.random.below(available.len());
        let mut last = Ending::Success;
        for attempt in 0..self.attempts {
            last = self.attempt(available[(first + attempt) % available.len()], tick);
            tick.retries += u32::from(attempt > 0);
            if last == Ending::Success {
                tick.rescued += u32::from(attempt > 0);
                break;
            }
        }
        last
    }

    fn attempt(&mut self, at: usize, tick: &mut Tick) -> Ending {
        let (unit, noise) = (self.random.unit(), self.normal());
        let (late, place) = (self.random.unit(), self.random.unit());
        let endpoint = &mut self.endpoints[at];
        let ending = if unit < endpoint.fails { endpoint.ending } else { Ending::Success };
        tick.attempts.add(ending, 1);
        endpoint.seen.endings.add(ending, 1);
        if ending != Ending::Success {
            endpoint.seen.last_failure = Some(ending);
            return ending;
        }
        // Who comes during the pause waits for the rest of it.
        let paused = if place * 1_000.0 < endpoint.pause_millis { endpoint.pause_millis * late } else { 0.0 };
        let millis = endpoint.millis * (noise * endpoint.sigma).exp() + paused;
        let latency = Duration::from_secs_f64(millis / 1e3);
        tick.latencies.0[latency_bucket(latency)] += 1;
        endpoint.seen.answered += 1;
        endpoint.seen.answered_in += latency;
        ending
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.random.unit().max(f64::MIN_POSITIVE), self.random.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn poisson(&mut self) -> u64 {
        if self.rate > 30.0 {
            let rate = self.rate + self.rate.sqrt() * self.normal();
            return rate.max(0.0).round() as u64;
        }
        let (limit, mut product, mut count) = ((-self.rate).exp(), self.random.unit(), 0);
        while product > limit {
            product *= self.random.unit();
            count += 1;
        }
        count
    }

    pub fn unit(&mut self) -> f64 {
        self.random.unit()
    }
}
