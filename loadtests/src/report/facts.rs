//! What a report says about a run besides its figures: machine, method, load, faults, tally.

use std::collections::BTreeSet;

use crate::report::metric::{fixed, thousands};
use crate::results::{Load, Mode, Run, ScenarioRun};

/// Where it ran.
pub fn machine(run: &Run) -> String {
    let environment = &run.environment;
    let mut parts = vec![counted(u64::from(environment.cores), "core")];
    if !environment.cpu.is_empty() {
        parts[0] = format!("{} of {}", parts[0], environment.cpu);
    }
    if environment.memory_mib > 0 {
        parts.push(format!("{} MiB of memory", thousands(environment.memory_mib as f64)));
    }
    if !environment.kernel.is_empty() {
        parts.push(environment.kernel.clone());
    }
    parts.push(match (environment.proxy_core, environment.load_core) {
        (Some(proxy), Some(load)) => format!("proxies on core {proxy}, load and upstream on core {load}"),
        (Some(proxy), None) => format!("proxies on core {proxy}, load and upstream not pinned"),
        (None, Some(load)) => format!("proxies not pinned, load and upstream on core {load}"),
        (None, None) => "not pinned to cores".to_owned(),
    });
    parts.join(", ")
}

/// How it was played.
pub fn method(run: &Run) -> String {
    let rounds: BTreeSet<usize> = run
        .scenarios
        .iter()
        .flat_map(|scenario| &scenario.arms)
        .filter(|arm| arm.unable.is_none())
        .map(|arm| arm.rounds.len())
        .collect();
    let rounds = match (rounds.first(), rounds.last()) {
        (Some(least), Some(most)) if least == most => counted(*most as u64, "round"),
        (Some(least), Some(most)) => format!("{least} to {most} rounds"),
        (_, _) => "no rounds".to_owned(),
    };
    let commit = if run.environment.commit.is_empty() { "unknown" } else { &run.environment.commit };
    format!("{rounds} of {}, interleaved, seed {}, commit {commit}", counted(run.arms.len() as u64, "arm"), run.seed)
}

/// What was sent.
pub fn load(scenario: &ScenarioRun) -> String {
    let Load { mode, rate, connections, protocol, tls, idle, method, path, body_bytes, answer_bytes, keyed, timeout_s } =
        &scenario.load;
    let encrypted = match tls.as_str() {
        "server" => " in TLS",
        "mutual" => " in mutual TLS",
        _ => "",
    };
    let arrivals = match (mode, rate) {
        (Mode::Poisson, Some(rate)) => format!("{} requests/s, Poisson arrivals", thousands(*rate)),
        (Mode::Constant, Some(rate)) => format!("{} requests/s at equal distances", thousands(*rate)),
        (Mode::Poisson, None) => "Poisson arrivals".to_owned(),
        (Mode::Constant, None) => "arrivals at equal distances".to_owned(),
        (Mode::Closed, _) => "closed loop".to_owned(),
    };
    let over = format!("{} over {protocol}{encrypted}", counted(u64::from(*connections), "connection"));
    let mut parts = vec![arrivals, over];
    if *idle > 0 {
        parts.push(format!("{} held idle beside them", thousands(f64::from(*idle))));
    }
    parts.push(format!("{method} {path}{}", if *keyed { " with a key each" } else { "" }));
    if *body_bytes > 0 {
        parts.push(format!("bodies of {}", bytes(*body_bytes)));
    }
    parts.push(format!("answers of {}", bytes(*answer_bytes)));
    parts.push(format!("clients wait {} s", seconds(*timeout_s)));
    parts.push(format!("{} s measured", seconds(scenario.seconds)));
    parts.join(", ")
}

/// The fault script: `10–20 s: one third fails`, `15 s: reload`.
pub fn faults(scenario: &ScenarioRun) -> Vec<String> {
    let said = |fault: &crate::results::FaultSpan| {
        if fault.to_s > fault.from_s {
            format!("{}–{} s: {}", seconds(fault.from_s), seconds(fault.to_s), fault.label)
        } else {
            format!("{} s: {}", seconds(fault.from_s), fault.label)
        }
    };
    scenario.faults.iter().map(said).collect()
}

/// How the gates came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub moot: usize,
    /// Scenarios whose figures must not be used.
    pub invalid: usize,
}

/// Counts gates and invalid scenarios.
pub fn tally(run: &Run) -> Tally {
    let mut tally = Tally::default();
    for scenario in &run.scenarios {
        tally.invalid += usize::from(!scenario.invalid.is_empty());
        for gate in &scenario.gates {
            match (gate.moot, gate.passed) {
                (true, _) => tally.moot += 1,
                (false, true) => tally.passed += 1,
                (false, false) => tally.failed += 1,
            }
        }
    }
    tally
}

impl Tally {
    /// `21 of 22 conditions hold, 1 fails; 1 scenario is invalid.`
    pub fn sentence(&self) -> String {
        let judged = self.passed + self.failed;
        let mut text = match (judged, self.failed) {
            (0, _) => "No conditions were judged".to_owned(),
            (_, 0) => format!("{} of {} hold", self.passed, counted(judged as u64, "condition")),
            (_, 1) => format!("{} of {} hold, 1 fails", self.passed, counted(judged as u64, "condition")),
            (_, failed) => format!("{} of {} hold, {failed} fail", self.passed, counted(judged as u64, "condition")),
        };
        if self.moot > 0 {
            text.push_str(&format!(", {} could not be judged", self.moot));
        }
        match self.invalid {
            0 => {}
            1 => text.push_str("; 1 scenario is invalid"),
            many => text.push_str(&format!("; {many} scenarios are invalid")),
        }
        text + "."
    }
}

/// Without needless decimals.
pub fn seconds(value: f64) -> String {
    let text = fixed(value, 2);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1 round`, `3 rounds`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count as f64), if count == 1 { "" } else { "s" })
}

fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{} B", thousands(count as f64)),
        10_240..10_485_760 => format!("{} KiB", thousands(count as f64 / 1024.0)),
        10_485_760.. => format!("{} MiB", thousands(count as f64 / 1_048_576.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{fault, scenario};

    #[test]
    fn load_and_faults_are_said_in_words() {
        let mut scenario = scenario("keyed");
        (scenario.load.keyed, scenario.load.body_bytes, scenario.load.answer_bytes) = (true, 2_097_152, 12);
        scenario.faults = vec![fault("stall", 10.0, 20.5), fault("reload", 15.0, 15.0)];
        assert_eq!(
            load(&scenario),
            "2,000 requests/s, Poisson arrivals, 64 connections over http/1.1, GET / with a key each, \
             bodies of 2,048 KiB, answers of 12 B, clients wait 2 s, 30 s measured"
        );
        assert_eq!(faults(&scenario), ["10–20.5 s: stall", "15 s: reload"]);
    }

    #[test]
    fn the_tally_is_a_sentence() {
        let said = |passed, failed, moot, invalid| Tally { passed, failed, moot, invalid }.sentence();
        assert_eq!(said(3, 0, 0, 0), "3 of 3 conditions hold.");
        assert_eq!(said(2, 1, 1, 1), "2 of 3 conditions hold, 1 fails, 1 could not be judged; 1 scenario is invalid.");
        assert_eq!(said(0, 0, 0, 2), "No conditions were judged; 2 scenarios are invalid.");
    }
}
