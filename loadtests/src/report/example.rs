//! Hand-made runs for tests.

pub mod played;

use crate::results::{ArmRun, ClientSide, Cost, FaultSpan, Load, Mode, Round, ScenarioRun, Second, UpstreamSide};

/// A scenario of 30 seconds without faults, without arms.
pub fn scenario(name: &str) -> ScenarioRun {
    ScenarioRun {
        name: name.to_owned(),
        title: format!("Title of {name}"),
        description: String::new(),
        source: format!("name: {name}\n"),
        seconds: 30.0,
        load: Load {
            tls: String::new(),
            idle: 0,
            mode: Mode::Poisson,
            rate: Some(2_000.0),
            connections: 64,
            protocol: "http/1.1".to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            body_bytes: 0,
            answer_bytes: 128,
            keyed: false,
            timeout_s: 2.0,
        },
        faults: Vec::new(),
        gates: Vec::new(),
        arms: Vec::new(),
        invalid: Vec::new(),
    }
}

/// A stretch of the fault script.
pub fn fault(label: &str, from_s: f64, to_s: f64) -> FaultSpan {
    FaultSpan { label: label.to_owned(), from_s, to_s }
}

/// An arm with these rounds.
pub fn arm(name: &str, rounds: Vec<Round>) -> ArmRun {
    ArmRun { arm: name.to_owned(), rounds, unable: None }
}

/// An arm that cannot play.
pub fn unable(name: &str, why: &str) -> ArmRun {
    ArmRun { arm: name.to_owned(), rounds: Vec::new(), unable: Some(why.to_owned()) }
}

/// A round of `intended` requests over 30 seconds, `ok` of them successful, the others answered with 503.
pub fn round(intended: u64, ok: u64) -> Round {
    let outcomes = [("200".to_owned(), ok), ("503".to_owned(), intended - ok)].into();
    Round {
        client: ClientSide { seconds: 30.0, intended, ok, outcomes, ..ClientSide::default() },
        upstream: UpstreamSide { requests: intended, executed: intended, ..UpstreamSide::default() },
        ..Round::default()
    }
}

/// The same with this latency at the 50th, 90th, 99th, 99.9th and 100th percentile; microseconds.
pub fn with_latency(mut round: Round, micros: [u64; 5]) -> Round {
    round.client.latency = [0.5, 0.9, 0.99, 0.999, 1.0].into_iter().zip(micros).collect();
    round
}

/// The same with CPU time in microseconds per request, user and system.
pub fn with_cpu(mut round: Round, user: f64, system: f64) -> Round {
    let requests = round.client.intended;
    round.cost = Some(Cost {
        user_s: user * requests as f64 / 1e6,
        system_s: system * requests as f64 / 1e6,
        wall_s: 30.0,
        requests,
        rss_idle_kib: 10 * 1024,
        rss_kib: 12 * 1024,
        rss_max_kib: 13 * 1024,
        threads: 3,
        switches_voluntary: 0.5,
        switches_involuntary: 0.25,
        syscalls: Some(4.05),
        syscalls_by_name: vec![("read".to_owned(), 2.0), ("write".to_owned(), 2.0)],
        core_stolen: 0.01,
    });
    round
}

/// The same with 100 requests in each second, so many of them successful.
pub fn with_seconds(mut round: Round, ok: &[u64]) -> Round {
    round.timeline =
        ok.iter().map(|ok| Second { intended: 100, ok: *ok, p50: 500, p99: 1_500, upstream: 110 }).collect();
    round
}
