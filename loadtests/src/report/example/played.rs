//! A whole run with figures as they could have been measured: six arms, scenarios of every kind. The numbers are made
//! up; they let the tests and a reader's eye see tables and page with something on them.

use super::{fault, scenario, unable};
use crate::gates::{Condition, judge_all};
use crate::results::{
    Arm, ArmRun, ClientSide, Cost, Environment, FORMAT, FaultSpan, Mode, Round, Run, ScenarioRun, Second, Skipped,
    UpstreamSide,
};

/// How an arm behaves: `well` outside of faults, `sick` within them and for `lag` seconds afterwards.
struct Behaviour {
    name: &'static str,
    /// CPU per request in microseconds, user and system.
    cpu: (f64, f64),
    rss: u64,
    /// Added latency in microseconds.
    added: f64,
    /// Share of successes and attempts per request while sick.
    sick: (f64, f64),
    lag: usize,
}

const fn behaviour(
    name: &'static str,
    cpu: (f64, f64),
    rss: u64,
    added: f64,
    sick: (f64, f64),
    lag: usize,
) -> Behaviour {
    Behaviour { name, cpu, rss, added, sick, lag }
}

fn behaviours() -> [Behaviour; 6] {
    [
        behaviour("direct", (0.0, 0.0), 0, 0.0, (0.667, 1.0), 0),
        behaviour("outrigger", (5.6, 14.9), 10_900, 84.0, (0.998, 1.12), 0),
        behaviour("envoy", (40.2, 21.3), 64_100, 212.0, (0.971, 1.31), 3),
        behaviour("haproxy", (5.8, 15.1), 15_300, 88.0, (0.884, 1.22), 5),
        behaviour("nginx", (3.9, 16.2), 19_400, 81.0, (0.862, 1.29), 6),
        behaviour("pingora", (12.4, 17.2), 13_600, 117.0, (0.893, 1.33), 8),
    ]
}

/// A generator with a seed of its own; the figures are the same in every run of the tests.
struct Noise(u64);

impl Noise {
    /// Between 1 − share and 1 + share.
    fn about(&mut self, share: f64) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1.0 + share * ((self.0 >> 40) as f64 / (1_u64 << 23) as f64 - 1.0)
    }
}

/// The run.
pub fn run() -> Run {
    let arms: Vec<Arm> = behaviours()
        .iter()
        .map(|it| Arm {
            name: it.name.to_owned(),
            version: if it.name == "direct" { String::new() } else { format!("{} 1.2.3 <release>", it.name) },
            config: if it.name == "direct" { String::new() } else { config(it.name) },
            command: if it.name == "direct" { String::new() } else { format!("{0} -f {0}.conf", it.name) },
            lacks: match it.name {
                "haproxy" | "nginx" | "pingora" => vec!["retry budget".to_owned()],
                _ => Vec::new(),
            },
        })
        .collect();
    Run {
        format: FORMAT,
        name: "2026-11-24-example".to_owned(),
        started: "2026-11-24T09:30:00Z".to_owned(),
        command: "outrigger-bench run --seed 7 --rounds 3".to_owned(),
        seed: 7,
        environment: Environment {
            cores: 2,
            cpu: "Intel(R) Xeon(R) Processor @ 2.70GHz".to_owned(),
            kernel: "Linux 6.1.0-18-amd64".to_owned(),
            memory_mib: 7_956,
            commit: "6eec089+changes".to_owned(),
            proxy_core: Some(0),
            load_core: Some(1),
        },
        arms,
        skipped: vec![Skipped { arm: "traefik".to_owned(), reason: "no program of that name in PATH".to_owned() }],
        scenarios: scenarios(),
    }
}

fn config(name: &str) -> String {
    format!("# {name}, as written for this machine\nlisten 127.0.0.1:18080\nretries 2 # \"<b>&amp;\"\ntimeout 500ms\n")
}

fn scenarios() -> Vec<ScenarioRun> {
    let mut saturation = scenario("saturation");
    (saturation.load.mode, saturation.load.rate) = (Mode::Closed, None);
    let mut keyed = scenario("keyed-reset");
    (keyed.load.keyed, keyed.load.method, keyed.load.body_bytes) = (true, "POST".to_owned(), 512);
    let mut noisy = scenario("slow-endpoint");
    noisy.invalid.push("the generator was busy for 97 % of its core".to_owned());
    vec![
        played(
            scenario("steady"),
            "Steady load, all well",
            &[],
            &["p99_added < 1ms", "cpu <= 1.00x haproxy", "cpu <= 0.4x envoy", "syscalls <= 4.1", "rss_idle <= 12MiB"],
        ),
        played(saturation, "As much as one core carries", &[], &["per_core >= 1.00x haproxy", "cpu <= 1.05x nginx"]),
        played(
            scenario("brownout-33"),
            "One third of all answers is 503",
            &[fault("33 % of answers are 503", 10.0, 20.0)],
            &[
                "success >= best peer",
                "amplification <= best retrying peer",
                "success >= 99.9%",
                "amplification <= 1.2",
            ],
        ),
        played(
            scenario("stall-10s"),
            "Every endpoint stalls for ten seconds",
            &[fault("all endpoints stall", 8.0, 18.0)],
            &["recovery <= 2s", "failure_p99 <= 505ms"],
        ),
        played(
            scenario("three-troubles"),
            "A slow endpoint, then a dead one, then resets, and a reload in between",
            &[
                fault("one endpoint answers 300 ms late", 4.0, 12.0),
                fault("one of three endpoints is dead", 8.0, 16.0),
                fault("10 % of connections are reset after the effect", 20.0, 24.0),
                fault("reload", 14.0, 14.0),
            ],
            &["success >= best peer", "recovery <= 1s"],
        ),
        played(
            keyed,
            "Keyed POSTs whose answers are lost",
            &[fault("reset after the effect, 5 %", 10.0, 20.0)],
            &["executions_per_key <= 1"],
        ),
        played(noisy, "One endpoint is slow", &[fault("slow endpoint", 10.0, 20.0)], &["success >= 99.9%"]),
    ]
}

fn played(mut scenario: ScenarioRun, title: &str, faults: &[FaultSpan], gates: &[&str]) -> ScenarioRun {
    scenario.title = title.to_owned();
    scenario.description = format!("{title}: what do users see, what does it cost, and when is it over?");
    scenario.source = format!(
        "name: {}\ntitle: {title}\nload: {{ rate: 2000, arrivals: poisson }} # <open loop>\ngates:\n  - {}\n",
        scenario.name,
        gates.join("\n  - ")
    );
    scenario.faults = faults.to_vec();
    let reload = faults.iter().any(|fault| fault.label == "reload");
    scenario.arms = behaviours()
        .iter()
        .map(|it| match it.name {
            "pingora" if reload => unable("pingora", "its configuration cannot be reloaded"),
            name => {
                ArmRun { arm: name.to_owned(), rounds: (0..3).map(|n| play(it, &scenario, n)).collect(), unable: None }
            }
        })
        .collect();
    if scenario.name == "steady" {
        scenario.arms[2].rounds[1].invalid.push("9 % of the proxy's core was used by others".to_owned());
    }
    let conditions: Vec<Condition> = gates.iter().map(|gate| Condition::parse(gate).expect("a condition")).collect();
    scenario.gates = judge_all(&conditions, &scenario);
    scenario
}

fn play(it: &Behaviour, scenario: &ScenarioRun, round: u64) -> Round {
    let mut noise = Noise(round * 77 + it.name.len() as u64 * 1_001 + scenario.name.len() as u64);
    let closed = scenario.load.mode == Mode::Closed;
    let cpu = (it.cpu.0 + it.cpu.1) * noise.about(0.02);
    let rate = if closed && cpu > 0.0 {
        0.985e6 / cpu
    } else if closed {
        61_000.0
    } else {
        2_000.0
    };
    let base = if closed { 640.0 } else { 180.0 } + it.added;
    let sick = |second: usize| {
        let begins = |fault: &FaultSpan| fault.to_s > fault.from_s && second as f64 >= fault.from_s;
        scenario.faults.iter().any(|fault| begins(fault) && (second as f64) < fault.to_s + it.lag as f64)
    };
    let seconds = 0..scenario.seconds as usize;
    let sick_share = seconds.clone().filter(|second| sick(*second)).count() as f64 / scenario.seconds;
    let timeline: Vec<Second> = seconds.map(|at| second(it, sick(at), rate, base, &mut noise)).collect();
    let (ok, upstream): (u64, u64) =
        (timeline.iter().map(|second| second.ok).sum(), timeline.iter().map(|second| second.upstream).sum());
    let intended: u64 = timeline.iter().map(|second| second.intended).sum();
    let latency = |at: f64| {
        let nines = -(1.0 - at).max(1e-6).log10();
        let tail = if 1.0 - at < sick_share * 0.04 { 120_000.0 * noise_of(it) } else { 0.0 };
        (base * (0.8 + 0.45 * nines + 0.12 * nines.powi(3)) + tail) as u64
    };
    let shares = (0..=55).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 11.0)).chain([1.0]);
    let failed = intended - ok;
    let executed_twice =
        if scenario.load.keyed && it.name != "outrigger" && it.name != "direct" { failed / 9 } else { 0 };
    Round {
        reset_streams: 0,
        client: ClientSide {
            seconds: scenario.seconds,
            intended,
            ok,
            outcomes: [("200".to_owned(), ok), ("503".to_owned(), failed)].into(),
            latency: shares.map(|at| (at, latency(at))).collect(),
            latency_of_failures: if failed > 0 {
                vec![(0.5, 61_000), (0.99, 503_000), (1.0, 504_000)]
            } else {
                Vec::new()
            },
            critical: 0,
            critical_ok: 0,
            bytes: ok * 128,
            send_lag_p99: 40,
            generator_busy: 0.35,
        },
        upstream: UpstreamSide {
            requests: upstream,
            executed: upstream,
            connections: 64,
            keys: if scenario.load.keyed { intended } else { 0 },
            keys_executed_twice: executed_twice,
            executions_max: if executed_twice > 0 { 2 } else { 1 },
            busy: 0.3,
        },
        cost: (it.name != "direct").then(|| cost(it, scenario, intended, cpu)),
        timeline,
        invalid: Vec::new(),
    }
}

fn second(it: &Behaviour, sick: bool, rate: f64, base: f64, noise: &mut Noise) -> Second {
    let intended = rate * noise.about(0.03);
    let success = if sick { 1.0 - (1.0 - it.sick.0) * noise.about(0.2) } else { 1.0 };
    let attempts = if sick { 1.0 + (it.sick.1 - 1.0) * noise.about(0.15) } else { 1.0 };
    let slow = if sick { 90.0 } else { 1.0 };
    Second {
        intended: intended as u64,
        ok: (intended.floor() * success) as u64,
        p50: (base * noise.about(0.05)) as u64,
        p99: (base * 2.6 * slow * noise.about(0.15)) as u64,
        upstream: (intended.floor() * attempts) as u64,
    }
}

/// Slower proxies wait longer in trouble.
fn noise_of(it: &Behaviour) -> f64 {
    0.6 + it.lag as f64 / 5.0
}

fn cost(it: &Behaviour, scenario: &ScenarioRun, requests: u64, cpu: f64) -> Cost {
    let user = it.cpu.0 / (it.cpu.0 + it.cpu.1);
    Cost {
        user_s: cpu * user * requests as f64 / 1e6,
        system_s: cpu * (1.0 - user) * requests as f64 / 1e6,
        wall_s: scenario.seconds,
        requests,
        rss_idle_kib: it.rss,
        rss_kib: it.rss * 6 / 5,
        rss_max_kib: it.rss * 5 / 4,
        threads: 2 + it.name.len() as u32 % 3,
        switches_voluntary: 0.41,
        switches_involuntary: 0.02,
        syscalls: Some(4.02 + it.added / 300.0),
        syscalls_by_name: vec![("recvfrom".to_owned(), 2.0), ("sendto".to_owned(), 1.0), ("writev".to_owned(), 1.0)],
        core_stolen: 0.004,
    }
}
