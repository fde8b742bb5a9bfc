//! Conditions of a scenario file, and whether they hold: `success >= 99.5%`, `cpu <= 1.00x haproxy`.

mod parse;
#[cfg(test)]
mod tests;

pub use parse::{amount, metric};

use crate::report::metric::{Better, Metric, Unit, fixed};
use crate::report::summary::{Summary, answered, summary};
use crate::results::{ArmRun, Gate, ScenarioRun};

/// Peers whose amplification stays below this do not retry here.
const RETRIES: f64 = 1.005;

/// One condition: `[arm:] figure operator bound`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    /// Judged for this arm alone; `None`: for every `outrigger…`.
    arm: Option<String>,
    metric: Metric,
    relation: Relation,
    bound: Bound,
}

/// `<=` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// What the figure is held against.
#[derive(Clone, Debug, PartialEq)]
enum Bound {
    /// A value in the unit that figures are kept in, and the unit it was written in.
    Value(f64, Unit),
    /// So many times the figure of another arm, and an allowance in the unit that figures are kept in.
    Times { factor: Option<f64>, of: Reference, plus: f64 },
}

/// Another arm of the same scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reference {
    Arm(String),
    /// The peer (no `outrigger…`, not `direct`) with the best figure.
    BestPeer,
    /// The same among the peers that retried.
    BestRetryingPeer,
}

/// Whether the arm is one of ours.
pub fn is_ours(arm: &str) -> bool {
    arm.starts_with("outrigger")
}

/// Whether the arm is a peer: neither ours nor the way without a proxy.
pub fn is_peer(arm: &str) -> bool {
    !is_ours(arm) && arm != "direct"
}

impl Condition {
    /// Reads `[arm:] figure operator bound`.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what was probably meant.
    pub fn parse(text: &str) -> Result<Condition, String> {
        parse::condition(text)
    }

    /// As written.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of this arm: of the named one, and without a name of every `outrigger…`.
    pub fn applies_to(&self, arm: &str) -> bool {
        self.arm.as_deref().map_or_else(|| is_ours(arm), |named| named == arm)
    }

    /// Judges the arm by the medians of its valid rounds, and effects on keys by the worst round.
    ///
    /// A figure that was not measured is a failure. A condition that compares with an arm that has no such figure
    /// here, or that speaks of failures where no request failed, is moot.
    pub fn judge(&self, arm: &ArmRun, direct: Option<&ArmRun>, scenario: &ScenarioRun) -> Gate {
        let summary = summary(arm, direct, scenario);
        let gate = |measured, passed, moot, note: String| Gate {
            condition: self.text.clone(),
            arm: arm.arm.clone(),
            measured,
            passed,
            moot,
            note,
        };
        let value = match summary.judged(self.metric) {
            Some(value) if value.is_finite() => value,
            Some(_) => return gate(None, false, false, "never recovered".to_owned()),
            None if self.speaks_of_failures() && nothing_failed(arm) => {
                return gate(None, true, true, "no request failed".to_owned());
            }
            None => return gate(None, false, false, why_absent(arm, &summary, self.metric)),
        };
        match &self.bound {
            Bound::Value(bound, unit) => {
                gate(Some(unit.shown_of(value)), self.relation.holds(value, *bound), false, String::new())
            }
            Bound::Times { factor, of, plus } => {
                let shown = self.metric.unit().shown_of(value);
                let (name, reference) = match of.find(self.metric, direct, scenario) {
                    Ok(found) => found,
                    Err(why) => return gate(None, true, true, why),
                };
                // An arm to compare with that never recovers sets no upper bound.
                let bound = factor.unwrap_or(1.0) * reference + plus;
                let passed = self.relation.holds(value, bound);
                let note = format!("{name} {}", self.metric.show_with_unit(reference));
                match factor {
                    Some(_) if reference > 0.0 && reference.is_finite() => {
                        gate(Some(value / reference), passed, false, note)
                    }
                    Some(_) | None => gate(Some(shown), passed, false, note),
                }
            }
        }
    }

    /// The unit that a gate's measured value stands in; `None`: a ratio to another arm.
    fn measured_in(&self) -> Option<Unit> {
        match &self.bound {
            Bound::Value(_, unit) => Some(*unit),
            Bound::Times { factor: None, .. } => Some(self.metric.unit()),
            Bound::Times { factor: Some(_), .. } => None,
        }
    }

    fn speaks_of_failures(&self) -> bool {
        matches!(self.metric, Metric::FailureP50 | Metric::FailureP99)
    }
}

/// Every condition, judged for every arm of the scenario that it speaks of. A condition that names an arm which took
/// no part is moot.
pub fn judge_all(conditions: &[Condition], scenario: &ScenarioRun) -> Vec<Gate> {
    let direct = scenario.arms.iter().find(|arm| arm.arm == "direct");
    let mut gates = Vec::new();
    for condition in conditions {
        let before = gates.len();
        let arms = scenario.arms.iter().filter(|arm| condition.applies_to(&arm.arm));
        gates.extend(arms.map(|arm| condition.judge(arm, direct, scenario)));
        if gates.len() == before {
            let arm = condition.arm.clone().unwrap_or_else(|| "outrigger".to_owned());
            gates.push(Gate {
                condition: condition.text.clone(),
                note: format!("{arm} took no part"),
                arm,
                measured: None,
                passed: true,
                moot: true,
            });
        }
    }
    gates
}

/// The measured value and what it was held against, in words: `99.91 % (envoy 97.2 %)`, `never recovered`.
pub fn outcome(gate: &Gate) -> String {
    let measured = gate.measured.filter(|value| value.is_finite()).map(|value| {
        let number = significant(value);
        match Condition::parse(&gate.condition).map(|condition| condition.measured_in()) {
            Ok(Some(unit)) => format!("{number}{}", unit.suffix()),
            Ok(None) => format!("{number} ×"),
            Err(_) => number,
        }
    });
    match (measured, gate.note.as_str()) {
        (Some(measured), "") => measured,
        (Some(measured), note) => format!("{measured} ({note})"),
        (None, "") => "not measured".to_owned(),
        (None, note) => note.to_owned(),
    }
}

/// Four significant digits, so that 1.003 does not look like 1.00; more only before the point.
fn significant(value: f64) -> String {
    let digits_before = if value.abs() >= 1.0 { value.abs().log10().floor() as usize + 1 } else { 1 };
    let text = fixed(value, 4_usize.saturating_sub(digits_before));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

impl Relation {
    /// Equality within the error of binary fractions counts as equal.
    fn holds(self, value: f64, bound: f64) -> bool {
        let equal = value == bound || (value - bound).abs() <= 1e-9 * bound.abs().max(1e-3);
        match self {
            Relation::Below => value < bound && !equal,
            Relation::AtMost => value < bound || equal,
            Relation::Equal => equal,
            Relation::AtLeast => value > bound || equal,
            Relation::Above => value > bound && !equal,
        }
    }
}

impl Reference {
    /// The arm's name and its figure, or why there is none.
    fn find(&self, metric: Metric, direct: Option<&ArmRun>, scenario: &ScenarioRun) -> Result<(String, f64), String> {
        let figure = |arm: &ArmRun, metric| summary(arm, direct, scenario).judged(metric);
        let best = |retrying: bool| {
            let peers = scenario.arms.iter().filter(|arm| is_peer(&arm.arm));
            let peers =
                peers.filter(|arm| !retrying || figure(arm, Metric::Amplification).is_some_and(|it| it > RETRIES));
            let figures = peers.filter_map(|arm| figure(arm, metric).map(|value| (arm.arm.clone(), value)));
            match metric.better() {
                Better::Higher => figures.max_by(|a, b| a.1.total_cmp(&b.1)),
                Better::Lower => figures.min_by(|a, b| a.1.total_cmp(&b.1)),
            }
        };
        match self {
            Reference::BestPeer => best(false).ok_or_else(|| format!("no peer has a figure for {}", metric.word())),
            Reference::BestRetryingPeer => best(true).ok_or_else(|| "no peer retried".to_owned()),
            Reference::Arm(name) => {
                let arm = scenario.arms.iter().find(|arm| arm.arm == *name);
                let arm = arm.ok_or_else(|| format!("{name} took no part"))?;
                let value = figure(arm, metric);
                value
                    .map(|value| (name.clone(), value))
                    .ok_or_else(|| format!("{name} has no figure for {}", metric.word()))
            }
        }
    }
}

/// Whether the valid rounds had requests and all of them succeeded.
fn nothing_failed(arm: &ArmRun) -> bool {
    let mut valid = arm.rounds.iter().filter(|round| round.invalid.is_empty()).peekable();
    valid.peek().is_some() && valid.all(|round| round.client.ok >= round.client.intended && answered(round) > 0)
}

/// Why an arm has no figure.
fn why_absent(arm: &ArmRun, summary: &Summary, metric: Metric) -> String {
    if let Some(why) = &arm.unable {
        return format!("{} could not play: {why}", arm.arm);
    }
    if summary.valid == 0 {
        return "no valid round".to_owned();
    }
    match metric {
        Metric::CriticalSuccess => "no request said that it was critical".to_owned(),
        Metric::Recovery => "no fault ends within the measured part".to_owned(),
        Metric::ExecutionsPerKey | Metric::DuplicatedKeys => "the requests had no keys".to_owned(),
        Metric::PerCore => "only in closed loop".to_owned(),
        Metric::P99Moved => "nobody attacked".to_owned(),
        Metric::RssPerConnection => "no idle connections".to_owned(),
        Metric::P50Added | Metric::P90Added | Metric::P99Added | Metric::P999Added => "no direct beside it".to_owned(),
        Metric::Success
        | Metric::Amplification
        | Metric::P50
        | Metric::P90
        | Metric::P99
        | Metric::P999
        | Metric::FailureP50
        | Metric::FailureP99
        | Metric::Throughput
        | Metric::Cpu
        | Metric::CpuUser
        | Metric::CpuSystem
        | Metric::Syscalls
        | Metric::Switches
        | Metric::SwitchesVoluntary
        | Metric::SwitchesInvoluntary
        | Metric::Threads
        | Metric::RssIdle
        | Metric::Rss
        | Metric::RssMax => "not measured".to_owned(),
    }
}
