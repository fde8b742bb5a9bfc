//! Medians and spread over the valid rounds of an arm.

#[cfg(test)]
mod tests;

use crate::report::metric::Metric;
use crate::results::{ArmRun, Cost, Mode, Round, ScenarioRun};

/// A second counts as recovered from this share of successes on.
const RECOVERED: f64 = 0.99;

/// The proxy's core counts as saturated from this share on.
const SATURATED: f64 = 0.95;

/// One figure over the valid rounds, in the unit it is kept in ([`crate::report::metric::Quantity`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Of an even number of rounds: the mean of the two in the middle.
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// How many rounds have it.
    pub rounds: usize,
    /// The true value may be higher: the proxy was not busy enough to show its limit.
    pub at_least: bool,
}

/// Figures of one arm in one scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rounds that may be used, and rounds that may not.
    pub valid: usize,
    pub invalid: usize,
    figures: [Option<Figure>; Metric::ALL.len()],
}

impl Summary {
    /// The figure, if a valid round has it.
    pub fn of(&self, metric: Metric) -> Option<Figure> {
        self.figures.get(metric as usize).copied().flatten()
    }

    /// What is judged: the median, or the worst round where one is enough
    /// ([`Metric::worst_round_counts`]).
    pub fn judged(&self, metric: Metric) -> Option<f64> {
        self.of(metric).map(|figure| if metric.worst_round_counts() { figure.max } else { figure.median })
    }
}

impl Figure {
    /// Of the values that are numbers; an infinite one (never recovered) counts.
    fn over(values: impl Iterator<Item = f64>) -> Option<Figure> {
        let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Figure { median, min, max, rounds: values.len(), at_least: false })
    }

    /// Whether the rounds of both reach into one another, so that the difference may be noise.
    pub fn overlaps(&self, other: &Figure) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// Summarises the valid rounds of `arm`. Latencies added over `direct` are taken round by round, from the rounds that
/// are valid on both sides.
pub fn summary(arm: &ArmRun, direct: Option<&ArmRun>, scenario: &ScenarioRun) -> Summary {
    summary_of(arm, direct, scenario, |round| round.invalid.is_empty())
}

/// The same for a look: where the whole scenario is invalid and the arm has no valid round, of its invalid ones. What is
/// shown of it must be marked as such.
pub fn summary_to_show(arm: &ArmRun, direct: Option<&ArmRun>, scenario: &ScenarioRun) -> Summary {
    let any = only_for_a_look(arm, scenario);
    summary_of(arm, direct, scenario, |round| round.invalid.is_empty() || any)
}

/// Whether there is nothing but invalid rounds to show, and the scenario is marked as invalid.
pub fn only_for_a_look(arm: &ArmRun, scenario: &ScenarioRun) -> bool {
    !scenario.invalid.is_empty() && arm.rounds.iter().all(|round| !round.invalid.is_empty())
}

/// The rounds that are drawn: the valid ones, or those of [`summary_to_show`].
pub fn rounds_to_show<'a>(arm: &'a ArmRun, scenario: &ScenarioRun) -> impl Iterator<Item = &'a Round> + use<'a> {
    let any = only_for_a_look(arm, scenario);
    arm.rounds.iter().filter(move |round| round.invalid.is_empty() || any)
}

fn summary_of(
    arm: &ArmRun,
    direct: Option<&ArmRun>,
    scenario: &ScenarioRun,
    usable: impl Fn(&Round) -> bool,
) -> Summary {
    // Nothing is added to itself.
    let direct = direct.filter(|direct| direct.arm != arm.arm);
    let valid = arm.rounds.iter().filter(|round| round.invalid.is_empty()).count();
    let mut summary = Summary { valid, invalid: arm.rounds.len() - valid, ..Summary::default() };
    for metric in Metric::ALL {
        let values = arm.rounds.iter().enumerate().filter(|(_, round)| usable(round)).filter_map(|(index, round)| {
            let beside = direct.and_then(|direct| direct.rounds.get(index)).filter(|round| usable(round));
            value(metric, round, beside, scenario)
        });
        summary.figures[metric as usize] = Figure::over(values);
    }
    if let Some(figure) = &mut summary.figures[Metric::PerCore as usize] {
        figure.at_least = arm
            .rounds
            .iter()
            .filter(|round| usable(round))
            .filter_map(|round| round.cost.as_ref())
            .any(|cost| cores_used(cost).is_none_or(|cores| cores < SATURATED));
    }
    summary
}

/// One figure of one round; `direct` is the round of that arm played beside it.
fn value(metric: Metric, round: &Round, direct: Option<&Round>, scenario: &ScenarioRun) -> Option<f64> {
    let client = &round.client;
    let cost = round.cost.as_ref();
    let per_request =
        |seconds: fn(&Cost) -> f64| cost.and_then(|cost| ratio(seconds(cost) * 1e6, as_number(cost.requests)));
    let mebibytes = |kibibytes: fn(&Cost) -> u64| cost.map(|cost| as_number(kibibytes(cost)) / 1024.0);
    let keyed = |count: u64| (round.upstream.keys > 0).then_some(as_number(count));
    match metric {
        Metric::Success => ratio(as_number(client.ok), as_number(client.intended)),
        Metric::CriticalSuccess => ratio(as_number(client.critical_ok), as_number(client.critical)),
        Metric::Amplification => ratio(as_number(round.upstream.requests), as_number(sent(round))),
        Metric::P50 => latency(round, 0.5),
        Metric::P90 => latency(round, 0.9),
        Metric::P99 => latency(round, 0.99),
        Metric::P999 => latency(round, 0.999),
        Metric::P50Added => added(round, direct, 0.5),
        Metric::P90Added => added(round, direct, 0.9),
        Metric::P99Added => added(round, direct, 0.99),
        Metric::P999Added => added(round, direct, 0.999),
        Metric::P99Moved => moved(round, scenario),
        Metric::FailureP50 => quantile(&client.latency_of_failures, 0.5),
        Metric::FailureP99 => quantile(&client.latency_of_failures, 0.99),
        Metric::Throughput => ratio(as_number(client.ok), client.seconds),
        Metric::PerCore => match scenario.load.mode {
            Mode::Closed => {
                let cores = cost.and_then(cores_used)?.max(1.0);
                ratio(as_number(client.ok), client.seconds).map(|throughput| throughput / cores)
            }
            Mode::Poisson | Mode::Constant => None,
        },
        Metric::Recovery => recovery(round, scenario),
        Metric::ExecutionsPerKey => keyed(round.upstream.executions_max),
        Metric::DuplicatedKeys => keyed(round.upstream.keys_executed_twice),
        Metric::Cpu => per_request(|cost| cost.user_s + cost.system_s),
        Metric::CpuUser => per_request(|cost| cost.user_s),
        Metric::CpuSystem => per_request(|cost| cost.system_s),
        Metric::Syscalls => cost.and_then(|cost| cost.syscalls),
        Metric::Switches => cost.map(|cost| cost.switches_voluntary + cost.switches_involuntary),
        Metric::SwitchesVoluntary => cost.map(|cost| cost.switches_voluntary),
        Metric::SwitchesInvoluntary => cost.map(|cost| cost.switches_involuntary),
        Metric::Threads => cost.map(|cost| f64::from(cost.threads)),
        Metric::RssIdle => mebibytes(|cost| cost.rss_idle_kib),
        Metric::Rss => mebibytes(|cost| cost.rss_kib),
        Metric::RssMax => mebibytes(|cost| cost.rss_max_kib),
        Metric::RssPerConnection => cost.and_then(|cost| {
            let grown = cost.rss_kib.saturating_sub(cost.rss_idle_kib);
            ratio(as_number(grown) / 1024.0, f64::from(scenario.load.idle))
        }),
    }
}

/// Requests that left the client.
fn sent(round: &Round) -> u64 {
    let unsent = round.client.outcomes.get("unsent").copied().unwrap_or(0);
    round.client.intended.saturating_sub(unsent)
}

/// Requests that were answered, with whatever status.
pub fn answered(round: &Round) -> u64 {
    let statuses = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let counted = round.client.outcomes.iter().filter(|(word, _)| statuses(word)).map(|(_, count)| *count);
    counted.fold(0, u64::saturating_add).max(round.client.ok)
}

/// A percentile of the answered requests. With fewer requests than a percentile divides (1,000 for the 99.9th) it
/// would be the slowest request under another name, so there is none.
pub fn latency(round: &Round, share: f64) -> Option<f64> {
    let enough = answered(round) as f64 * (1.0 - share) >= 1.0 - 1e-9;
    if enough { quantile(&round.client.latency, share) } else { None }
}

/// The first value at or above the share; the last one if the list ends before it.
pub fn quantile(values: &[(f64, u64)], share: f64) -> Option<f64> {
    let found = values.iter().find(|(at, _)| *at >= share - 1e-9).or(values.last());
    found.map(|(_, micros)| as_number(*micros))
}

fn added(round: &Round, direct: Option<&Round>, share: f64) -> Option<f64> {
    Some(latency(round, share)? - latency(direct?, share)?)
}

/// By how much the 99th percentile of a second is higher while a client attacks: medians of the seconds within and
/// without.
fn moved(round: &Round, scenario: &ScenarioRun) -> Option<f64> {
    if round.reset_streams == 0 {
        return None;
    }
    let within = |second: usize| {
        let (from, to) = (second as f64, second as f64 + 1.0);
        scenario.faults.iter().any(|span| span.from_s < to && from < span.to_s)
    };
    let (mut during, mut beside) = (Vec::new(), Vec::new());
    for (number, second) in round.timeline.iter().enumerate().filter(|(_, second)| second.ok > 0) {
        if within(number) { &mut during } else { &mut beside }.push(second.p99);
    }
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().map(as_number)
    };
    Some(median(during)? - median(beside)?)
}

/// Microseconds from the end of the last fault until success stays at 99 % or more; infinite if it does not.
fn recovery(round: &Round, scenario: &ScenarioRun) -> Option<f64> {
    let spans = scenario.faults.iter().filter(|span| span.to_s > span.from_s);
    let end =
        spans.map(|span| span.to_s).fold(None, |last: Option<f64>, to| Some(last.map_or(to, |last| last.max(to))))?;
    let first = end.max(0.0).floor() as usize;
    let after = round.timeline.get(first..).unwrap_or_default();
    if end >= scenario.seconds || !after.iter().any(|second| second.intended > 0) {
        return None;
    }
    let sick = |second: &crate::results::Second| (second.ok as f64) < RECOVERED * second.intended as f64;
    match after.iter().rposition(sick) {
        None => Some(0.0),
        Some(last) if after[last + 1..].iter().any(|second| second.intended > 0) => {
            Some(((first + last + 1) as f64 - end).max(0.0) * 1e6)
        }
        Some(_) => Some(f64::INFINITY),
    }
}

/// Cores' worth of CPU time that the proxy used.
fn cores_used(cost: &Cost) -> Option<f64> {
    ratio(cost.user_s + cost.system_s, cost.wall_s)
}

/// `None` instead of a division by zero.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    let value = part / whole;
    (whole > 0.0 && value.is_finite()).then_some(value)
}

/// Counts of one run stay far below 2^53.
fn as_number(count: u64) -> f64 {
    count as f64
}
