//! Two runs side by side: what changed, what is only noise, and what got worse by more than is allowed.

mod print;
#[cfg(test)]
mod tests;
mod thresholds;

pub use thresholds::{Limit, Thresholds};

use crate::gates::{is_ours, is_peer};
use crate::report::metric::{Better, Metric};
use crate::report::sheet::{Row, rows};
use crate::report::summary::Figure;
use crate::results::{Environment, Run, ScenarioRun};

/// Figures that are compared, beside those with a threshold.
const COMPARED: [Metric; 12] = [
    Metric::Success,
    Metric::Amplification,
    Metric::Recovery,
    Metric::DuplicatedKeys,
    Metric::P50,
    Metric::P99,
    Metric::FailureP99,
    Metric::PerCore,
    Metric::Cpu,
    Metric::Syscalls,
    Metric::RssIdle,
    Metric::Rss,
];

/// What [`compare`] found. `A` is the base, `B` the new run.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Why the two runs cannot be compared at all; nothing else is filled then.
    pub refused: Option<String>,
    /// What a reader must know before the figures.
    pub warnings: Vec<String>,
    pub scenarios: Vec<Compared>,
    /// Name, start and commit of both.
    heads: [String; 2],
}

/// One scenario that both runs have.
#[derive(Clone, Debug)]
pub struct Compared {
    pub name: String,
    pub title: String,
    pub changes: Vec<Change>,
}

/// One figure of one arm in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub arm: String,
    pub metric: Metric,
    pub before: Figure,
    pub after: Figure,
    pub finding: Finding,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// The rounds of both reach into one another, or nothing changed.
    NoClearDifference,
    Better,
    /// Worse, and either within the limit or without one.
    Worse,
    /// Worse by more than the limit, in an arm of ours.
    Regression(Limit),
}

impl Comparison {
    /// Whether a limit was passed.
    pub fn regressed(&self) -> bool {
        self.scenarios.iter().flat_map(|scenario| &scenario.changes).any(|change| change.is_regression())
    }
}

impl Change {
    /// Whether a limit was passed.
    pub fn is_regression(&self) -> bool {
        matches!(self.finding, Finding::Regression(_))
    }

    /// The values that are compared: medians, or the worst rounds.
    pub fn values(&self) -> (f64, f64) {
        if self.metric.worst_round_counts() {
            (self.before.max, self.after.max)
        } else {
            (self.before.median, self.after.median)
        }
    }
}

/// Compares run `b` (the new one) with run `a` (the base): every figure that an arm has in a scenario of both.
pub fn compare(a: &Run, b: &Run, thresholds: &Thresholds) -> Comparison {
    let heads = [a, b].map(print::head);
    if a.format != b.format {
        let refused = Some(format!("the runs have different formats: A {}, B {}", a.format, b.format));
        return Comparison { refused, heads, ..Comparison::default() };
    }
    let mut warnings = Vec::new();
    let same_machine = same_machine(&a.environment, &b.environment, &mut warnings);
    if a.seed != b.seed {
        warnings.push(format!("different seeds (A {}, B {}): the arrivals were not the same", a.seed, b.seed));
    }
    let mut scenarios = Vec::new();
    for before in &a.scenarios {
        match b.scenarios.iter().find(|after| after.name == before.name) {
            Some(after) => match why_not(before, after) {
                Some(why) => warnings.push(format!("{} is not compared: {why}", before.name)),
                None => scenarios.push(compared(before, after, thresholds, same_machine, &mut warnings)),
            },
            None => warnings.push(format!("{} is only in A", before.name)),
        }
    }
    for after in b.scenarios.iter().filter(|after| !a.scenarios.iter().any(|before| before.name == after.name)) {
        warnings.push(format!("{} is only in B", after.name));
    }
    let nothing = scenarios.iter().all(|scenario| scenario.changes.is_empty());
    // The reasons are all that is left to tell.
    let refused = nothing.then(|| {
        let reasons = warnings.iter().map(|reason| format!("\n  {reason}"));
        format!("the runs have no valid figure of the same arm in the same scenario{}", reasons.collect::<String>())
    });
    Comparison { refused, warnings, scenarios, heads }
}

/// Whether figures that depend on the machine can be compared.
fn same_machine(a: &Environment, b: &Environment, warnings: &mut Vec<String>) -> bool {
    let hardware = |it: &Environment| (it.cpu.clone(), it.cores, it.proxy_core.is_some(), it.load_core.is_some());
    let same = hardware(a) == hardware(b);
    if !same {
        let said = |it: &Environment| {
            let pinned = if it.proxy_core.is_some() && it.load_core.is_some() { "pinned" } else { "not pinned" };
            format!("{} × {}, {pinned}", it.cores, if it.cpu.is_empty() { "unknown processor" } else { &it.cpu })
        };
        warnings.push(format!(
            "different machines (A {}; B {}): latency, throughput, CPU and memory are shown and not judged",
            said(a),
            said(b)
        ));
    }
    if a.kernel != b.kernel {
        warnings.push(format!("different kernels (A {}, B {})", a.kernel, b.kernel));
    }
    same
}

/// Why two plays of a scenario cannot be compared.
fn why_not(a: &ScenarioRun, b: &ScenarioRun) -> Option<String> {
    for (scenario, which) in [(a, "A"), (b, "B")] {
        if !scenario.invalid.is_empty() {
            return Some(format!("invalid in {which} ({})", scenario.invalid.join("; ")));
        }
    }
    // Title, description and gates may change; what was played may not.
    let played = |it: &ScenarioRun| format!("{:?} {:?} {:?}", it.load, it.faults, it.seconds);
    (played(a) != played(b)).then(|| "load, faults or duration were changed".to_owned())
}

fn compared(
    before: &ScenarioRun,
    after: &ScenarioRun,
    thresholds: &Thresholds,
    same_machine: bool,
    warnings: &mut Vec<String>,
) -> Compared {
    let (before_rows, after_rows) = (rows(before), rows(after));
    let mut changes = Vec::new();
    for row in &before_rows {
        match after_rows.iter().find(|other| other.arm.arm == row.arm.arm) {
            Some(other) => changes.extend(changes_of(row, other, thresholds, same_machine)),
            None => warnings.push(format!("{}: {} played only in A", before.name, row.arm.arm)),
        }
    }
    let only = after_rows.iter().filter(|row| !before_rows.iter().any(|other| other.arm.arm == row.arm.arm));
    warnings.extend(only.map(|row| format!("{}: {} played only in B", before.name, row.arm.arm)));
    Compared { name: after.name.clone(), title: after.title.clone(), changes }
}

fn changes_of(before: &Row<'_>, after: &Row<'_>, thresholds: &Thresholds, same_machine: bool) -> Vec<Change> {
    let shown = |metric: &Metric| COMPARED.contains(metric) || thresholds.of(*metric).is_some();
    let change = |metric: Metric| {
        let (old, new) = (before.summary.of(metric)?, after.summary.of(metric)?);
        let judged = is_ours(&before.arm.arm) && (same_machine || !metric.depends_on_machine());
        let limit = if judged { thresholds.of(metric) } else { None };
        let arm = before.arm.arm.clone();
        Some(Change { arm, metric, before: old, after: new, finding: finding(metric, &old, &new, limit) })
    };
    Metric::ALL.into_iter().filter(shown).filter_map(change).collect()
}

fn finding(metric: Metric, before: &Figure, after: &Figure, limit: Option<Limit>) -> Finding {
    let (old, new) = if metric.worst_round_counts() { (before.max, after.max) } else { (before.median, after.median) };
    // One round has no spread: its value may be noise, and nobody can tell.
    let noise = before.overlaps(after) && !metric.worst_round_counts();
    if noise || old == new {
        return Finding::NoClearDifference;
    }
    let worse_by = match metric.better() {
        Better::Higher => old - new,
        Better::Lower => new - old,
    };
    match limit {
        Some(limit) if limit.is_passed(old, worse_by) => Finding::Regression(limit),
        Some(_) | None if worse_by > 0.0 => Finding::Worse,
        Some(_) | None => Finding::Better,
    }
}

/// How much a peer's figure changed in the same scenario, if all peers got worse by more than the limit as well: then
/// the machine is the more likely cause.
fn peers_as_well(scenario: &Compared, change: &Change, limit: Limit) -> bool {
    let mut peers =
        scenario.changes.iter().filter(|other| is_peer(&other.arm) && other.metric == change.metric).peekable();
    peers.peek().is_some()
        && change.metric.depends_on_machine()
        && peers.all(|peer| {
            let (old, new) = peer.values();
            let worse_by = if change.metric.better() == Better::Higher { old - new } else { new - old };
            limit.is_passed(old, worse_by)
        })
}
