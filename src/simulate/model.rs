//! What a policy is tried on: load and a dependency, whichever file they come from.

use std::time::Duration;

use http::Method;

use super::scenario::{Abandoned, Fault, FaultKind, Latency, LoadPlan, Mode, ResetPoint, Scenario};
use super::subject::{Subject, Wanted};
use crate::reliability::priority::Criticality;
use crate::reliability::sim::system::plan::{self, Arrivals, Capacity, EndpointPlan, Setup, Spread, Stream};

/// What an exchange with an endpoint takes besides the endpoint's work: loopback, as the load tests measure it.
const HOP: Duration = Duration::from_micros(60);
/// The same in a closed loop that nothing else would hold back.
const HOP_OF_CLOSED_LOOP: Duration = Duration::from_millis(1);

/// Load and a dependency.
#[derive(Clone, Debug)]
pub struct Model {
    /// One line.
    pub title: String,
    /// What it says of the load, for people.
    pub load: String,
    /// Requests of one kind each.
    pub traffic: Vec<Traffic>,
    /// Behind the last sidecar.
    pub endpoints: Vec<EndpointPlan>,
    /// 1, or 2: a service with a sidecar of its own stands between.
    pub tiers: usize,
    /// Requests share connections where the policy leaves it open.
    pub shared: bool,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
    /// See [`Setup::hop`].
    pub hop: Duration,
    /// What goes wrong when, for a chart: label, from, to.
    pub trouble: Vec<(String, Duration, Duration)>,
    /// What the answer leaves out, in sentences.
    pub notes: Vec<String>,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Name of the route, where it is known by it.
    pub route: Option<String>,
    /// What the policy looks at.
    pub wanted: Wanted,
    /// When they come.
    pub arrivals: Arrivals,
    /// How important they say they are.
    pub says: Option<Criticality>,
}

impl Model {
    /// This model under that policy.
    pub fn setup<'p>(&self, subject: &'p Subject) -> Setup<'p> {
        let stream = |traffic: &Traffic| {
            let treated = match &traffic.route {
                Some(name) => subject.treats_named(name, &traffic.wanted).0,
                None => subject.treats(&traffic.wanted),
            };
            let (route, idempotent, replayable) = (treated.route, treated.idempotent, treated.replayable);
            Stream { route, arrivals: traffic.arrivals.clone(), idempotent, replayable, says: traffic.says }
        };
        Setup {
            sidecars: std::iter::repeat_with(|| subject.plan(self.shared)).take(self.tiers).collect(),
            streams: self.traffic.iter().map(stream).collect(),
            endpoints: self.endpoints.clone(),
            warm_up: self.warm_up,
            duration: self.duration,
            hop: self.hop,
            ledgers: true,
        }
    }

    /// When the last trouble is over, if there is any and something comes after it.
    pub fn trouble_ends(&self) -> Option<Duration> {
        let end = self.trouble.iter().filter(|(_, from, to)| to > from).map(|(_, _, to)| *to).max()?;
        (end < self.duration).then_some(end)
    }

    /// Of a scenario file.
    pub fn of_scenario(scenario: &Scenario) -> Model {
        let load = &scenario.load;
        let closed = load.arrivals == Mode::Closed;
        let spread = spread(&scenario.upstream.latency);
        let arrivals = match load.arrivals {
            Mode::Poisson => Arrivals::Poisson(load.rate),
            Mode::Constant => Arrivals::Constant(load.rate),
            Mode::Closed => Arrivals::Closed(load.connections),
        };
        let wanted = Wanted {
            method: Method::from_bytes(load.method.as_bytes()).unwrap_or(Method::GET),
            path: load.path.split('?').next().unwrap_or("/").to_owned(),
            body: load.body,
            keyed: load.keyed,
        };
        let label = |fault: &Fault| (fault.label(scenario.upstream.endpoints), fault.at, fault.until);
        let hop = if closed && spread.is_none() { HOP_OF_CLOSED_LOOP } else { HOP };
        Model {
            title: scenario.title.clone(),
            load: said(scenario),
            traffic: traffic(load, &wanted, &arrivals),
            endpoints: (0..scenario.upstream.endpoints as usize).map(|number| endpoint(scenario, number)).collect(),
            tiers: scenario.tiers as usize,
            shared: scenario.all_sides().iter().any(|side| side.upstream_protocol.is_h2()),
            warm_up: scenario.warm_up,
            duration: scenario.duration,
            hop,
            trouble: scenario.faults.iter().map(label).collect(),
            notes: notes(scenario),
        }
    }
}

/// One stream, or one for each class that requests say they are of.
fn traffic(load: &LoadPlan, wanted: &Wanted, arrivals: &Arrivals) -> Vec<Traffic> {
    let stream = |arrivals, says| Traffic { route: None, wanted: wanted.clone(), arrivals, says };
    let part = |share: f64| match arrivals {
        Arrivals::Poisson(rate) => Some(Arrivals::Poisson(rate * share)),
        Arrivals::Constant(rate) => Some(Arrivals::Constant(rate * share)),
        Arrivals::Closed(_) | Arrivals::Counted { .. } => None,
    };
    let Some(share) = load.critical else { return vec![stream(arrivals.clone(), None)] };
    let classes = [(share, Criticality::Critical), (1.0 - share, Criticality::Sheddable)];
    let streams = classes.into_iter().filter(|(share, _)| *share > 0.0);
    let streams: Vec<Traffic> = streams.filter_map(|(share, class)| Some(stream(part(share)?, Some(class)))).collect();
    if streams.is_empty() { vec![stream(arrivals.clone(), None)] } else { streams }
}

fn said(scenario: &Scenario) -> String {
    let load = &scenario.load;
    match load.arrivals {
        Mode::Poisson => format!("{} requests/s, Poisson arrivals", load.rate),
        Mode::Constant => format!("{} requests/s at equal distances", load.rate),
        Mode::Closed => format!("closed loop of {} clients", load.connections),
    }
}

fn spread(latency: &Latency) -> Spread {
    match latency {
        Latency::None => Spread::default(),
        Latency::Fixed(time) => Spread::fixed(*time),
        Latency::Quantiles(points) => Spread::through(points),
    }
}

fn endpoint(scenario: &Scenario, number: usize) -> EndpointPlan {
    let upstream = &scenario.upstream;
    let here = scenario.faults.iter().filter(|fault| fault.endpoints.contains(&number));
    EndpointPlan {
        latency: spread(&upstream.latency),
        error_ratio: upstream.error_ratio,
        capacity: upstream
            .capacity
            .map(|capacity| Capacity { slots: capacity.slots, cancels: capacity.abandoned == Abandoned::Cancelled }),
        faults: here.filter_map(fault).collect(),
        recorded: None,
    }
}

/// None = the fault changes nothing that is simulated.
fn fault(fault: &Fault) -> Option<plan::Fault> {
    let kind = match &fault.kind {
        FaultKind::Dead => plan::FaultKind::Dead,
        FaultKind::BlackHole => plan::FaultKind::BlackHole,
        FaultKind::Stall => plan::FaultKind::Stall,
        FaultKind::Absent => plan::FaultKind::Absent,
        FaultKind::Errors { ratio, status } => plan::FaultKind::Errors { ratio: *ratio, status: *status },
        FaultKind::Slow { latency } => plan::FaultKind::Slow(spread(latency)),
        FaultKind::Reset { ratio, point } => {
            plan::FaultKind::Reset { ratio: *ratio, after: *point == ResetPoint::After }
        }
        FaultKind::SlowBody { .. } | FaultKind::RapidReset { .. } | FaultKind::Reload => return None,
    };
    Some(plan::Fault { from: fault.at, until: fault.until, kind })
}

/// What the file asks for and the simulation leaves out.
fn notes(scenario: &Scenario) -> Vec<String> {
    let (load, upstream) = (&scenario.load, &scenario.upstream);
    let mut notes = vec!["CPU, bytes, TLS and the scheduling of threads cost no time".to_owned()];
    let mut say = |asked: bool, what: &str| {
        if asked {
            notes.push(what.to_owned());
        }
    };
    let open = load.arrivals != Mode::Closed;
    say(open, "load.connections and load.timeout: arrivals never wait for a connection of their client, nor give up");
    say(
        !open && upstream.latency == Latency::None,
        "a closed loop without `latency`: each answer is taken to need 1ms",
    );
    say(load.requests_per_connection.is_some(), "load.requestsPerConnection: clients' connections are not simulated");
    say(load.idle > 0, "load.idle: idle connections are not simulated");
    say(scenario.policy_is_given, "policy: the policy file counts, not the scenario's block");
    say(scenario.between.is_some(), "between: two proxies without a service between them are simulated as one");
    for fault in &scenario.faults {
        let left_out = match fault.kind {
            FaultKind::SlowBody { .. } => "slowBody: answers end with their heads",
            FaultKind::RapidReset { .. } => "rapidReset: attackers at the proxy's own door are not simulated",
            FaultKind::Reload => "reload: a reload keeps all state, so that nothing happens",
            _ => continue,
        };
        say(true, left_out);
    }
    notes.dedup();
    notes
}
