//! Mirror -> scenario.

use std::path::Path;
use std::time::Duration;

use crate::policy::duration::print;
use crate::policy::raw::scalar::{At, Key, Position};

use super::read::{Findings, bytes, flag, line, number, percent, time, word};
use super::{
    Abandoned, Between, Capacity, FaultKind, Latency, LoadPlan, Mode, PolicyNeeds, Protocol, Scenario, Tls,
    UpstreamPlan,
};
use super::{faults, parse, raw};

/// Beyond these the generator's core is no match for what is asked of it, or the run has no end.
const DURATION_MAX: Duration = Duration::from_secs(600);
const RATE_MAX: f64 = 50_000.0;
const REQUESTS_MAX: f64 = 5_000_000.0;
const CONNECTIONS_MAX: u32 = 8_000;
const BODY_MAX: u64 = 16 << 20;
const ANSWER_MAX: u64 = 64 << 20;
const BYTES_PER_SECOND_MAX: f64 = (1u64 << 30) as f64;
/// As many keys as an upstream keeps count of.
const KEYS_MAX: f64 = 100_000.0;
const ENDPOINTS_MAX: u32 = 1_000;
const IDLE_MAX: u32 = 20_000;
const FAULTS_MAX: usize = 100;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const TOP: Position = Position { line: 1, column: 1 };

/// What is wrong with a condition, if anything.
type GateCheck<'c> = &'c dyn Fn(&str) -> Result<(), String>;

pub(super) fn scenario(text: &str, file: &str, gate: GateCheck<'_>) -> Result<Scenario, String> {
    let mut findings = Findings::default();
    let scenario = match parse::parse(text) {
        Ok(raw) => compile(&raw, text, (file, gate), &mut findings),
        Err(finding) => {
            findings.add(finding.position, finding.message);
            None
        }
    };
    match scenario {
        Some(scenario) if findings.is_empty() => Ok(scenario),
        Some(_) | None => Err(findings.render(file)),
    }
}

fn compile(
    raw: &raw::File,
    text: &str,
    (file, gate): (&str, GateCheck<'_>),
    findings: &mut Findings,
) -> Option<Scenario> {
    // Every part is read before the first `?`, so that all findings are told at once.
    let title = findings.need(("title", "title: One endpoint is dead"), TOP, &raw.title, |text| line(text));
    let description =
        findings.need(("description", "description: What it asks, in a sentence."), TOP, &raw.description, |text| {
            line(text)
        });
    let range = Duration::from_secs(1)..=DURATION_MAX;
    let duration = findings.need(("duration", "duration: 15s"), TOP, &raw.duration, time(range));
    let warm_up = findings.take(&raw.warm_up, time(Duration::ZERO..=MINUTE)).unwrap_or(Duration::from_secs(2));
    let load = load(&raw.load, findings);
    let grpc = load.as_ref().is_some_and(|load| load.protocol == Protocol::Grpc);
    let upstream = upstream(&raw.upstream, grpc, findings);
    let policy = policy(&raw.policy, load.as_ref().is_some_and(|load| load.keyed), findings);
    let tiers = findings.take(&raw.tiers, number(1..=2)).unwrap_or(1);
    let gates = gates(&raw.gates, gate, findings);
    let rounds = findings.take(&raw.rounds, number(1..=50));
    let quick = findings.take(&raw.quick, flag).unwrap_or(false);
    let cost = findings.take(&raw.cost, flag).unwrap_or(false);
    let (duration, upstream) = (duration?, upstream?);
    let list = raw.faults.value().map(Vec::as_slice).unwrap_or_default();
    if list.len() > FAULTS_MAX {
        findings.add(raw.faults.position()?, format!("{} faults; at most {FAULTS_MAX} are played", list.len()));
        return None;
    }
    let faults = faults::compile(list, duration, upstream.endpoints, findings);
    let load = load?;
    together(raw, &load, &upstream, &policy, duration, findings);
    encrypted(raw, &load, &upstream, tiers, &faults, findings);
    let between = raw.between.value().map(|raw| between(raw, load.protocol, findings));
    Some(Scenario {
        name: Path::new(file).file_stem()?.to_string_lossy().into_owned(),
        title: title?,
        description: description?,
        source: text.to_owned(),
        duration,
        warm_up,
        load,
        upstream,
        faults,
        policy,
        policy_is_given: raw.policy.is_given(),
        tiers,
        between,
        gates,
        rounds,
        quick,
        cost,
    })
}

const TLS: &[(&str, Tls)] = &[("none", Tls::None), ("server", Tls::Server), ("mutual", Tls::Mutual)];
const ARRIVALS: &[(&str, Mode)] = &[("poisson", Mode::Poisson), ("constant", Mode::Constant), ("closed", Mode::Closed)];

fn load(key: &Key<raw::Load>, findings: &mut Findings) -> Option<LoadPlan> {
    let Some(at) = key.get() else {
        findings.add(TOP, "`load` is missing: write for example `load: { rate: 300 }`");
        return None;
    };
    let raw = &at.value;
    let arrivals = findings.take(&raw.arrivals, word("arrivals", ARRIVALS)).unwrap_or(Mode::Poisson);
    let rate = match arrivals {
        Mode::Poisson | Mode::Constant => {
            findings.need(("rate", "rate: 300"), at.position, &raw.rate, number(1.0..=RATE_MAX))
        }
        Mode::Closed => {
            if let Some(position) = raw.rate.position() {
                findings.add(position, "a closed loop has no rate: remove `rate`, or write `arrivals: poisson`");
            }
            Some(0.0)
        }
    };
    let protocols = [("http1", Protocol::Http1), ("h2", Protocol::Http2), ("grpc", Protocol::Grpc)];
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(|method| (method, method));
    let protocol = findings.take(&raw.protocol, word("protocol", &protocols)).unwrap_or(Protocol::Http1);
    let (method, route) = if protocol == Protocol::Grpc { ("POST", "/bench.Echo/Unary") } else { ("GET", "/") };
    let plan = LoadPlan {
        arrivals,
        rate: rate.unwrap_or(1.0),
        connections: findings.take(&raw.connections, number(1..=CONNECTIONS_MAX)).unwrap_or(64),
        protocol,
        tls: findings.take(&raw.tls, word("value", TLS)).unwrap_or(Tls::None),
        idle: findings.take(&raw.idle, number(0..=IDLE_MAX)).unwrap_or(0),
        method: findings.take(&raw.method, word("method", &methods)).unwrap_or(method).to_owned(),
        path: findings.take(&raw.path, path).unwrap_or_else(|| route.to_owned()),
        body: findings.take(&raw.body, bytes(BODY_MAX)).unwrap_or(0),
        keyed: findings.take(&raw.keyed, flag).unwrap_or(false),
        critical: findings.take(&raw.critical, percent),
        timeout: findings.take(&raw.timeout, time(MILLISECOND..=MINUTE)).unwrap_or(Duration::from_secs(5)),
        requests_per_connection: findings.take(&raw.requests_per_connection, number(1..=1_000_000)),
    };
    if plan.protocol.is_h2() {
        let position = raw.protocol.position().unwrap_or(at.position);
        if plan.arrivals == Mode::Closed {
            findings.add(position, "the closed loop speaks http1 only: write `protocol: http1`, or give a rate");
        }
        if plan.requests_per_connection.is_some() {
            findings.add(position, "requestsPerConnection is for http1: remove it, or write `protocol: http1`");
        }
        if plan.idle > 0 {
            findings.add(position, "idle connections are of http1: remove `idle`, or write `protocol: http1`");
        }
        if plan.protocol == Protocol::Grpc && plan.method != "POST" {
            findings.add(position, "calls of gRPC are POSTs: remove `method`");
        }
    }
    if let (true, "GET", Some(position)) = (plan.keyed, plan.method.as_str(), raw.keyed.position()) {
        findings.add(position, "a key is for requests with an effect: add `method: POST`");
    }
    Some(plan)
}

fn path(text: &String) -> Result<String, String> {
    if text.starts_with('/') && text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.clone());
    }
    Err(format!("`{text}` is not a path: write one that begins with `/`, in ASCII without blanks"))
}

fn upstream(key: &Key<raw::Upstream>, grpc: bool, findings: &mut Findings) -> Option<UpstreamPlan> {
    let default = raw::Upstream::default();
    let raw = key.value().unwrap_or(&default);
    let latency = raw.latency.get().and_then(|at| latency(&at.value, at.position, findings));
    let protocols = [("http1", Protocol::Http1), ("h2", Protocol::Http2)];
    let protocol = findings.take(&raw.protocol, word("protocol", &protocols)).unwrap_or(Protocol::Http1);
    let plan = UpstreamPlan {
        endpoints: findings.take(&raw.endpoints, number(1..=ENDPOINTS_MAX)).unwrap_or(1),
        tls: findings.take(&raw.tls, word("value", TLS)).unwrap_or(Tls::None),
        protocol: if grpc { Protocol::Grpc } else { protocol },
        latency: latency.unwrap_or(Latency::None),
        answer: findings.take(&raw.answer, bytes(ANSWER_MAX)).unwrap_or(100),
        capacity: capacity(&raw.capacity, findings),
        error_ratio: findings.take(&raw.error_ratio, percent).unwrap_or(0.0),
    };
    if let (Some(position), Latency::None) = (raw.capacity.position(), &plan.latency) {
        findings.add(position, "a capacity limits work that takes time: add `latency: 20ms` to `upstream`");
    }
    Some(plan)
}

fn between(raw: &raw::Between, clients: Protocol, findings: &mut Findings) -> Between {
    let protocols = [("http1", Protocol::Http1), ("h2", Protocol::Http2)];
    let protocol = findings.take(&raw.protocol, word("protocol", &protocols)).unwrap_or(Protocol::Http1);
    let tls = findings.take(&raw.tls, word("value", TLS)).unwrap_or(Tls::None);
    Between { tls, protocol: if clients == Protocol::Grpc { clients } else { protocol } }
}

fn capacity(key: &Key<raw::Capacity>, findings: &mut Findings) -> Option<Capacity> {
    let at = key.get()?;
    let words = [("runsOn", Abandoned::RunsOn), ("cancelled", Abandoned::Cancelled)];
    let slots = findings.need(("slots", "slots: 8"), at.position, &at.value.slots, number(1..=10_000));
    let abandoned = findings.take(&at.value.abandoned, word("value", &words)).unwrap_or(Abandoned::RunsOn);
    Some(Capacity { slots: slots?, abandoned })
}

/// `5ms`, or quantiles with rising shares and durations that do not fall.
pub(super) fn latency(raw: &raw::Latency, position: Position, findings: &mut Findings) -> Option<Latency> {
    let points = match raw {
        raw::Latency::Fixed(text) => {
            let read = time(Duration::ZERO..=MINUTE)(text).map_err(|message| findings.add(position, message));
            return read.ok().map(|fixed| if fixed.is_zero() { Latency::None } else { Latency::Fixed(fixed) });
        }
        raw::Latency::Quantiles(points) => points,
    };
    if points.is_empty() {
        findings.add(position, "quantiles without an entry: write for example { p50: 5ms, p99: 40ms }");
    }
    let mut quantiles: Vec<(f64, Duration)> = Vec::new();
    for (name, value) in points {
        let share = name.value.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
        let Some(share) = share.filter(|share| (0.0..=100.0).contains(share)) else {
            findings.add(name.position, format!("`{}` is not a quantile: write p0 to p100", name.value));
            continue;
        };
        match time(Duration::ZERO..=MINUTE)(&value.value) {
            Err(message) => findings.add(value.position, message),
            Ok(value) => quantiles.push((share / 100.0, value)),
        }
        if let [.., before, last] = quantiles.as_slice()
            && (last.0 <= before.0 || last.1 < before.1)
        {
            findings.add(name.position, "quantiles must rise: order them, the smallest first");
        }
    }
    Some(Latency::Quantiles(quantiles))
}

fn policy(key: &Key<raw::Policy>, keyed: bool, findings: &mut Findings) -> PolicyNeeds {
    let default = raw::Policy::default();
    let raw = key.value().unwrap_or(&default);
    let times = || time(MILLISECOND..=MINUTE);
    let deadline = findings.take(&raw.deadline, times()).unwrap_or(Duration::from_secs(2));
    let attempt = findings.take(&raw.attempt, times()).unwrap_or(deadline.min(Duration::from_millis(500)));
    if let Some(position) = raw.attempt.position().filter(|_| attempt > deadline) {
        let (attempt, deadline) = (print(attempt), print(deadline));
        findings.add(position, format!("one try of {attempt} does not fit into the deadline of {deadline}: lower it"));
    }
    PolicyNeeds {
        deadline,
        attempt,
        retries: findings.take(&raw.retries, number(0..=10)).unwrap_or(2),
        hedge: findings.take(&raw.hedge, flag).unwrap_or(false),
        connections: findings.take(&raw.connections, number(1..=CONNECTIONS_MAX)).unwrap_or(256),
        keyed,
        overload: findings.take(&raw.overload, flag).unwrap_or(false),
    }
}

fn gates(key: &Key<Vec<At<String>>>, check: GateCheck<'_>, findings: &mut Findings) -> Vec<String> {
    let mut gates = Vec::new();
    for at in key.value().into_iter().flatten() {
        match check(&at.value) {
            Ok(()) => gates.push(at.value.clone()),
            Err(message) => findings.add(at.position, message),
        }
    }
    gates
}

/// What only several keys together can get wrong.
fn together(
    raw: &raw::File,
    load: &LoadPlan,
    upstream: &UpstreamPlan,
    policy: &PolicyNeeds,
    duration: Duration,
    findings: &mut Findings,
) {
    let Some(block) = raw.load.get() else { return };
    let at = |key: &Key<String>| key.position().unwrap_or(block.position);
    let requests = load.rate * duration.as_secs_f64();
    if requests > REQUESTS_MAX {
        let most = (REQUESTS_MAX / duration.as_secs_f64()).floor();
        findings.add(at(&block.value.rate), format!("{requests} requests in all; lower `rate` to {most} at most"));
    }
    if load.keyed && requests > KEYS_MAX {
        let most = (KEYS_MAX / duration.as_secs_f64()).floor();
        let message = format!("{requests} keys; {KEYS_MAX} are counted: lower `rate` to {most} at most");
        findings.add(at(&block.value.rate), message);
    }
    if load.rate * (load.body + upstream.answer) as f64 > BYTES_PER_SECOND_MAX {
        findings.add(at(&block.value.rate), "more than 1 GiB a second: lower `rate`, `body` or `answer`");
    }
    if load.timeout <= policy.deadline {
        let (timeout, deadline) = (print(load.timeout), print(policy.deadline));
        let message = format!(
            "the client gives up after {timeout}, before the policy's deadline of {deadline}: \
             raise `load.timeout` or lower `policy.deadline`"
        );
        findings.add(block.value.timeout.position().or(raw.policy.position()).unwrap_or(block.position), message);
    }
}

/// What encryption does not go together with.
fn encrypted(
    raw: &raw::File,
    load: &LoadPlan,
    upstream: &UpstreamPlan,
    tiers: u32,
    faults: &[super::Fault],
    findings: &mut Findings,
) {
    let Some(block) = raw.load.get() else { return };
    let position = block.value.tls.position().unwrap_or(block.position);
    if load.tls != Tls::None && load.arrivals == Mode::Closed {
        findings.add(position, "the closed loop has no TLS: remove `tls`, or give a rate");
    }
    let attacked = faults.iter().any(|fault| matches!(fault.kind, FaultKind::RapidReset { .. }));
    if attacked && (load.tls != Tls::None || !load.protocol.is_h2()) {
        findings
            .add(position, "rapidReset speaks h2 without TLS, as the clients must: write `protocol: h2`, remove `tls`");
    }
    let plain = load.tls == Tls::None && upstream.tls == Tls::None && !upstream.protocol.is_h2();
    if let (Some(position), true) = (raw.tiers.position(), tiers > 1 && !plain) {
        findings.add(position, "the service between two tiers speaks http1 without TLS only: remove `tiers`");
    }
    if let (Some(position), true) = (raw.between.position(), tiers > 1) {
        findings.add(position, "two tiers have a service between them: remove `tiers`, or `between`");
    }
}
