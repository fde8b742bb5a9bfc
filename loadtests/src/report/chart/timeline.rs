//! Success, attempts and latency second by second, with the fault script behind them.

use super::axis::Axis;
use super::{Band, Chart, Hint, Series};
use crate::gates::is_ours;
use crate::report::metric::Metric;
use crate::report::summary::rounds_to_show;
use crate::results::{ArmRun, ScenarioRun, Second};

/// What is drawn over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Success,
    Attempts,
    P99,
}

impl Over {
    /// In the order of the page.
    pub const ALL: [Over; 3] = [Over::Success, Over::Attempts, Over::P99];

    /// The caption.
    pub const fn title(self) -> &'static str {
        match self {
            Over::Success => "Success over time",
            Over::Attempts => "Attempts per request over time",
            Over::P99 => "99th percentile of latency over time",
        }
    }

    const fn metric(self) -> Metric {
        match self {
            Over::Success => Metric::Success,
            Over::Attempts => Metric::Amplification,
            Over::P99 => Metric::P99,
        }
    }

    /// Of one second, in the unit that figures are kept in.
    fn value(self, second: &Second) -> Option<f64> {
        let share = |part: u64| (second.intended > 0).then(|| part as f64 / second.intended as f64);
        match self {
            Over::Success => share(second.ok),
            Over::Attempts => share(second.upstream),
            Over::P99 => (second.p99 > 0).then_some(second.p99 as f64),
        }
    }

    /// As drawn.
    fn drawn(self, value: f64) -> f64 {
        match self {
            Over::Success | Over::Attempts => value,
            Over::P99 => value / 1e3,
        }
    }
}

/// The charts that tell something: where nothing goes wrong, straight lines at 100 % and at one attempt do not.
pub fn charts(scenario: &ScenarioRun, class: impl Fn(&str) -> String + Copy) -> Vec<Chart> {
    let flat = |over: Over, chart: &Chart| {
        let mut values = chart.series.iter().flat_map(|series| &series.points).filter_map(|(_, y)| *y);
        scenario.faults.is_empty()
            && match over {
                Over::Success => values.all(|share| share >= 1.0),
                Over::Attempts => values.all(|attempts| (0.95..=1.05).contains(&attempts)),
                Over::P99 => false,
            }
    };
    let charts = Over::ALL.into_iter().map(|over| (over, over_time(over, scenario, class)));
    charts.filter(|(over, chart)| !flat(*over, chart)).map(|(_, chart)| chart).collect()
}

/// One chart; medians over the valid rounds in each second.
pub fn over_time(over: Over, scenario: &ScenarioRun, class: impl Fn(&str) -> String) -> Chart {
    let seconds = |arm: &ArmRun| arm.rounds.iter().map(|round| round.timeline.len()).max().unwrap_or(0);
    let most = scenario.arms.iter().map(seconds).max().unwrap_or(0);
    let length = if scenario.seconds.is_finite() { scenario.seconds.max(most as f64) } else { most as f64 };
    let series: Vec<Series> = scenario
        .arms
        .iter()
        .map(|arm| Series {
            class: class(&arm.arm),
            name: arm.arm.clone(),
            ours: is_ours(&arm.arm),
            points: (0..seconds(arm))
                .map(|at| (at as f64 + 0.5, median(over, arm, scenario, at).map(|it| over.drawn(it))))
                .collect(),
        })
        .collect();
    let values = || series.iter().flat_map(|series| &series.points).filter_map(|(_, y)| *y);
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let hints = (0..most).map(|at| hint(over, scenario, at)).collect();
    let bands = scenario.faults.iter().filter(|fault| fault.from_s.is_finite() && fault.to_s.is_finite());
    Chart {
        title: over.title().to_owned(),
        x: Axis::seconds(length),
        y: match over {
            Over::Success => Axis::percent(least),
            Over::Attempts => Axis::factor(least, greatest),
            Over::P99 => Axis::millis(least, greatest),
        },
        series,
        bands: bands.map(|it| Band { from: it.from_s, to: it.to_s, label: it.label.clone() }).collect(),
        hints,
    }
}

fn median(over: Over, arm: &ArmRun, scenario: &ScenarioRun, second: usize) -> Option<f64> {
    let valid = rounds_to_show(arm, scenario);
    let mut values: Vec<f64> =
        valid.filter_map(|round| round.timeline.get(second)).filter_map(|second| over.value(second)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn hint(over: Over, scenario: &ScenarioRun, second: usize) -> Hint {
    let mut text = format!("second {second}");
    for arm in &scenario.arms {
        if let Some(value) = median(over, arm, scenario, second) {
            text.push_str(&format!("\n{} {}", arm.arm, over.metric().show_with_unit(value)));
        }
    }
    Hint { from: second as f64, to: second as f64 + 1.0, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{arm, fault, round, scenario, with_seconds};

    #[test]
    fn each_second_is_the_median_of_the_rounds_and_stands_in_its_middle() {
        let play = |ok: &[u64]| with_seconds(round(300, 200), ok);
        let arms = vec![arm("outrigger", vec![play(&[100, 10]), play(&[100, 90]), play(&[100, 50, 70])])];
        let scenario = ScenarioRun { arms, faults: vec![fault("stall", 1.0, 2.0)], ..scenario("stall") };
        let chart = over_time(Over::Success, &scenario, |_| "a0".to_owned());
        assert_eq!(chart.series[0].points, [(0.5, Some(1.0)), (1.5, Some(0.5)), (2.5, Some(0.7))]);
        assert_eq!(chart.hints[1].text, "second 1\noutrigger 50.00 %");
        assert_eq!(chart.bands.len(), 1);
        let attempts = over_time(Over::Attempts, &scenario, |_| String::new());
        assert_eq!(attempts.series[0].points[0], (0.5, Some(1.1)));
    }

    #[test]
    fn seconds_without_requests_are_gaps() {
        let mut quiet = with_seconds(round(300, 200), &[100, 100, 100]);
        quiet.timeline[1] = Second::default();
        let arms = vec![arm("outrigger", vec![quiet])];
        let scenario = ScenarioRun { arms, ..scenario("quiet") };
        for over in Over::ALL {
            let chart = over_time(over, &scenario, |_| String::new());
            assert_eq!(chart.series[0].points[1].1, None, "{over:?}");
        }
    }

    #[test]
    fn straight_lines_are_left_out_where_nothing_goes_wrong() {
        let play = |ok: &[u64]| with_seconds(round(300, 300), ok);
        let mut well = play(&[100, 100]);
        well.timeline.iter_mut().for_each(|second| second.upstream = second.intended);
        let count = |round, faults| {
            charts(&ScenarioRun { arms: vec![arm("outrigger", vec![round])], faults, ..scenario("steady") }, |_| {
                String::new()
            })
            .len()
        };
        assert_eq!(count(well.clone(), Vec::new()), 1);
        assert_eq!(count(well, vec![fault("stall", 0.0, 1.0)]), 3, "under faults a straight line is news");
        assert_eq!(count(play(&[100, 99]), Vec::new()), 3);
    }

    #[test]
    fn no_timeline_is_no_chart() {
        let scenario = ScenarioRun { arms: vec![arm("outrigger", vec![round(1, 1)])], ..scenario("none") };
        assert_eq!(over_time(Over::P99, &scenario, |_| String::new()).svg(), None);
    }
}
