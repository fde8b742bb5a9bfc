//! The tables of a report, before they are printed or put on the page.

use crate::gates::{is_ours, is_peer};
use crate::report::metric::{Metric, fixed};
use crate::report::summary::{Figure, Summary, only_for_a_look, summary_to_show};
use crate::results::{ArmRun, Mode, ScenarioRun};

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Figure(Metric),
    /// The figure as a multiple of the reference arm's.
    Ratio(Metric),
}

/// How users fared: what failed, what it took, how long it lasted.
pub const EFFECT: &[Column] = &[
    Column::Figure(Metric::Success),
    Column::Figure(Metric::Amplification),
    Column::Figure(Metric::Recovery),
    Column::Figure(Metric::ExecutionsPerKey),
    Column::Figure(Metric::DuplicatedKeys),
    Column::Figure(Metric::FailureP50),
    Column::Figure(Metric::FailureP99),
    Column::Figure(Metric::Throughput),
];

/// Latency of the answered requests.
pub const LATENCY: &[Column] = &[
    Column::Figure(Metric::P50),
    Column::Figure(Metric::P90),
    Column::Figure(Metric::P99),
    Column::Figure(Metric::P999),
    Column::Figure(Metric::P50Added),
    Column::Figure(Metric::P90Added),
    Column::Figure(Metric::P99Added),
    Column::Figure(Metric::P999Added),
    Column::Figure(Metric::P99Moved),
];

/// What the proxy used.
pub const COST: &[Column] = &[
    Column::Figure(Metric::PerCore),
    Column::Ratio(Metric::PerCore),
    Column::Figure(Metric::Cpu),
    Column::Ratio(Metric::Cpu),
    Column::Figure(Metric::CpuUser),
    Column::Figure(Metric::CpuSystem),
    Column::Figure(Metric::Syscalls),
    Column::Figure(Metric::Switches),
    Column::Figure(Metric::RssIdle),
    Column::Figure(Metric::Rss),
    Column::Figure(Metric::RssPerConnection),
    Column::Figure(Metric::Threads),
];

/// An arm with its figures.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub arm: &'a ArmRun,
    pub summary: Summary,
    /// Its rounds are all invalid: shown for a look.
    pub invalid: bool,
}

/// A table: columns that at least one arm has a figure for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    pub heads: Vec<Head>,
    pub lines: Vec<Line>,
}

/// Over a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub text: String,
    /// Empty for plain numbers.
    pub unit: String,
    /// In full, for a hint.
    pub title: String,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub arm: String,
    pub ours: bool,
    /// Its rounds are all invalid: shown for a look.
    pub invalid: bool,
    pub cells: Vec<Cell>,
}

/// One figure; `–` if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub value: String,
    /// `19.5–20.4`; empty for a single round, or if all rounds look the same.
    pub spread: String,
}

/// The arms that played, with their figures, in order of play.
pub fn rows(scenario: &ScenarioRun) -> Vec<Row<'_>> {
    let direct = scenario.arms.iter().find(|arm| arm.arm == "direct");
    let played = scenario.arms.iter().filter(|arm| arm.unable.is_none());
    let row =
        |arm| Row { arm, summary: summary_to_show(arm, direct, scenario), invalid: only_for_a_look(arm, scenario) };
    played.map(row).collect()
}

/// The arm that others are measured by: haproxy, or else the first peer, or else the first of ours if there are more.
pub fn reference<'r, 'a>(rows: &'r [Row<'a>], metric: Metric) -> Option<&'r Row<'a>> {
    let has = |row: &&Row<'_>| row.summary.of(metric).is_some();
    let mut peers = rows.iter().filter(|row| is_peer(&row.arm.arm)).filter(has);
    let mut ours = rows.iter().filter(|row| is_ours(&row.arm.arm)).filter(has);
    let first = peers.next();
    let haproxy = first.into_iter().chain(peers).find(|row| row.arm.arm == "haproxy");
    let first_of_ours = match (ours.next(), ours.next()) {
        (Some(first), Some(_)) => Some(first),
        (Some(_) | None, _) => None,
    };
    haproxy.or(first).or(first_of_ours)
}

/// The table of these columns. Arms without any figure in them have no line (`direct` costs nothing).
pub fn sheet(scenario: &ScenarioRun, rows: &[Row<'_>], columns: &[Column]) -> Sheet {
    let columns: Vec<Column> =
        columns.iter().copied().filter(|column| worth_showing(*column, scenario, rows)).collect();
    let heads = columns.iter().map(|column| head(*column, rows)).collect();
    let has = |row: &Row<'_>, column: &Column| match column {
        Column::Figure(metric) | Column::Ratio(metric) => row.summary.of(*metric).is_some(),
    };
    let lines = rows
        .iter()
        .filter(|row| columns.iter().any(|column| has(row, column)))
        .map(|row| Line {
            arm: row.arm.arm.clone(),
            ours: is_ours(&row.arm.arm),
            invalid: row.invalid,
            cells: columns.iter().map(|column| cell(*column, row, rows)).collect(),
        })
        .collect();
    Sheet { heads, lines }
}

/// Columns without figures are left out.
fn worth_showing(column: Column, scenario: &ScenarioRun, rows: &[Row<'_>]) -> bool {
    let any = |metric| rows.iter().any(|row| row.summary.of(metric).is_some());
    match column {
        // At saturation the ratio of throughputs says the same.
        Column::Ratio(Metric::Cpu) if any(Metric::PerCore) => false,
        Column::Ratio(metric) => reference(rows, metric).is_some(),
        // In closed loop an added latency says only how much throughput there was.
        Column::Figure(Metric::P50Added | Metric::P90Added | Metric::P99Added | Metric::P999Added)
            if scenario.load.mode == Mode::Closed =>
        {
            false
        }
        Column::Figure(metric) => any(metric),
    }
}

fn head(column: Column, rows: &[Row<'_>]) -> Head {
    match column {
        Column::Figure(metric) => Head {
            text: metric.head().to_owned(),
            unit: metric.unit().symbol().to_owned(),
            title: metric.title().to_owned(),
        },
        Column::Ratio(metric) => {
            let name = reference(rows, metric).map_or("", |row| row.arm.arm.as_str());
            Head {
                text: format!("× {name}"),
                unit: String::new(),
                title: format!("{} as a multiple of {name}'s", metric.title()),
            }
        }
    }
}

fn cell(column: Column, row: &Row<'_>, rows: &[Row<'_>]) -> Cell {
    let none = || Cell { value: "–".to_owned(), spread: String::new() };
    match column {
        Column::Figure(metric) => row
            .summary
            .of(metric)
            .map_or_else(none, |figure| Cell { value: shown(metric, &figure), spread: spread(metric, &figure) }),
        Column::Ratio(metric) => {
            let of = |row: &Row<'_>| row.summary.of(metric).map(|figure| figure.median);
            let ratio = reference(rows, metric).and_then(of).zip(of(row)).map(|(base, own)| own / base);
            ratio
                .filter(|ratio| ratio.is_finite())
                .map_or_else(none, |ratio| Cell { value: fixed(ratio, 2), spread: String::new() })
        }
    }
}

/// The value to show, with `≥` before a lower bound.
pub fn shown(metric: Metric, figure: &Figure) -> String {
    let value = if metric.worst_round_counts() { figure.max } else { figure.median };
    format!("{}{}", if figure.at_least { "≥ " } else { "" }, metric.show(value))
}

/// From the least to the greatest round.
pub fn spread(metric: Metric, figure: &Figure) -> String {
    let (min, max) = (metric.show(figure.min), metric.show(figure.max));
    if metric.worst_round_counts() || figure.rounds < 2 || min == max {
        String::new()
    } else {
        format!("{min}–{max}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{arm, round, scenario, unable, with_cpu};

    fn with(arms: Vec<ArmRun>) -> ScenarioRun {
        ScenarioRun { arms, ..scenario("steady") }
    }

    fn cost(scenario: &ScenarioRun) -> Sheet {
        sheet(scenario, &rows(scenario), COST)
    }

    fn costing(name: &str, cpu: f64) -> ArmRun {
        arm(name, vec![with_cpu(round(100, 100), cpu, 10.0), with_cpu(round(100, 100), cpu, 12.0)])
    }

    #[test]
    fn ratios_are_to_haproxy_wherever_it_stands() {
        let sheet = cost(&with(vec![costing("outrigger", 9.0), costing("envoy", 49.0), costing("haproxy", 9.0)]));
        assert_eq!(sheet.heads[1].text, "× haproxy");
        assert_eq!(sheet.lines[1].cells[1].value, "3.00");
    }

    #[test]
    fn without_haproxy_ratios_are_to_the_first_peer_and_without_peers_to_the_first_of_ours() {
        let head = |arms| cost(&with(arms)).heads[1].text.clone();
        assert_eq!(head(vec![costing("outrigger", 9.0), costing("nginx", 9.0), costing("envoy", 9.0)]), "× nginx");
        assert_eq!(head(vec![costing("outrigger", 9.0), costing("outrigger-b", 9.0)]), "× outrigger");
        assert_eq!(
            head(vec![arm("direct", vec![round(1, 1)]), costing("outrigger", 9.0)]),
            "user",
            "nobody to compare"
        );
    }

    #[test]
    fn columns_nobody_has_are_left_out_and_missing_figures_are_dashes() {
        let scenario = with(vec![arm("direct", vec![round(100, 90)]), costing("haproxy", 9.0), unable("nginx", "no")]);
        let sheet = sheet(&scenario, &rows(&scenario), &[EFFECT, COST].concat());
        let heads: Vec<&str> = sheet.heads.iter().map(|head| head.text.as_str()).collect();
        assert_eq!(
            heads,
            [
                "success",
                "attempts",
                "ok",
                "CPU",
                "× haproxy",
                "user",
                "system",
                "syscalls",
                "switches",
                "idle RSS",
                "RSS",
                "threads"
            ]
        );
        assert_eq!(sheet.lines.len(), 2, "who did not play has no line");
        let values: Vec<&str> = sheet.lines[0].cells.iter().map(|cell| cell.value.as_str()).collect();
        assert_eq!(values[..5], ["90.00", "1.00", "3", "–", "–"]);
    }

    #[test]
    fn invalid_rounds_are_shown_for_a_look_only_if_the_whole_scenario_is_marked() {
        let mut bad = costing("haproxy", 9.0);
        bad.rounds.iter_mut().for_each(|round| round.invalid.push("noise".to_owned()));
        let mut scenario = with(vec![costing("outrigger", 9.0), bad]);
        assert_eq!(cost(&scenario).lines.len(), 1);
        scenario.invalid.push("haproxy: 0 of 2 rounds are valid".to_owned());
        let lines: Vec<(String, bool)> =
            cost(&scenario).lines.into_iter().map(|line| (line.arm, line.invalid)).collect();
        assert_eq!(lines, [("outrigger".to_owned(), false), ("haproxy".to_owned(), true)]);
    }

    #[test]
    fn the_spread_is_shown_if_rounds_differ() {
        let sheet = cost(&with(vec![costing("haproxy", 9.0)]));
        assert_eq!(sheet.lines[0].cells[0], Cell { value: "20.0".to_owned(), spread: "19.0–21.0".to_owned() });
        assert_eq!(sheet.lines[0].cells[2].spread, "", "all rounds alike");
    }
}
