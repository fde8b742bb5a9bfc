//! Latency by percentile, on an axis of nines.

use super::axis::Axis;
use super::{Chart, Hint, Series};
use crate::gates::is_ours;
use crate::report::metric::Metric;
use crate::report::summary::{answered, quantile, rounds_to_show};
use crate::results::{ArmRun, ScenarioRun};

/// Percentiles that the pointer reveals.
const REVEALED: [(f64, &str); 9] = [
    (0.0, "0th"),
    (0.5, "50th"),
    (0.75, "75th"),
    (0.9, "90th"),
    (0.95, "95th"),
    (0.99, "99th"),
    (0.995, "99.5th"),
    (0.999, "99.9th"),
    (0.9999, "99.99th"),
];

/// All arms that have latencies; medians over the valid rounds at each percentile. `class` gives an arm's style.
pub fn by_percentile(scenario: &ScenarioRun, class: impl Fn(&str) -> String) -> Chart {
    let arms: Vec<(&ArmRun, f64)> =
        scenario.arms.iter().filter_map(|arm| Some((arm, known_nines(arm, scenario)?))).collect();
    let most = arms.iter().map(|(_, nines)| *nines).fold(1.0, f64::max);
    let series: Vec<Series> = arms
        .iter()
        .map(|(arm, nines)| {
            let points = shares(arm, scenario, *nines)
                .into_iter()
                .map(|(at, share)| (at, millis_at(arm, scenario, share)))
                .collect();
            Series { class: class(&arm.arm), name: arm.arm.clone(), ours: is_ours(&arm.arm), points }
        })
        .collect();
    let values = || series.iter().flat_map(|series| &series.points).filter_map(|(_, y)| *y);
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    Chart {
        title: "Latency of answered requests by percentile".to_owned(),
        x: Axis::nines(most),
        y: Axis::millis(least, greatest),
        hints: hints(&arms, scenario, most),
        series,
        bands: Vec::new(),
    }
}

/// How far to the right a curve may go: as many nines as the median round has requests for.
fn known_nines(arm: &ArmRun, scenario: &ScenarioRun) -> Option<f64> {
    let mut counts: Vec<u64> =
        rounds_to_show(arm, scenario).filter(|round| !round.client.latency.is_empty()).map(answered).collect();
    counts.sort_unstable();
    let count = *counts.get(counts.len() / 2)?;
    (count > 0).then(|| (count as f64).log10().clamp(0.0, 6.0))
}

/// The shares that were measured, as nines and as they are, up to what is known; in between there is nothing to draw.
fn shares(arm: &ArmRun, scenario: &ScenarioRun, nines: f64) -> Vec<(f64, f64)> {
    let measured = rounds_to_show(arm, scenario).flat_map(|round| &round.client.latency).map(|(share, _)| *share);
    let mut shares: Vec<f64> = measured.filter(|share| (0.0..1.0).contains(share)).collect();
    shares.push(1.0 - 10_f64.powf(-nines));
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares.into_iter().map(|share| (-(1.0 - share).log10(), share)).filter(|(at, _)| *at <= nines + 1e-9).collect()
}

/// Median over the rounds.
fn millis_at(arm: &ArmRun, scenario: &ScenarioRun, share: f64) -> Option<f64> {
    let mut values: Vec<f64> =
        rounds_to_show(arm, scenario).filter_map(|round| quantile(&round.client.latency, share)).collect();
    values.sort_by(f64::total_cmp);
    // A value of 0 has no place on a logarithmic axis.
    values.get(values.len() / 2).map(|micros| micros.max(1.0) / 1e3)
}

fn hints(arms: &[(&ArmRun, f64)], scenario: &ScenarioRun, most: f64) -> Vec<Hint> {
    let places: Vec<(f64, f64, &str)> = REVEALED
        .iter()
        .map(|(share, name)| (-(1.0 - share).log10(), *share, *name))
        .filter(|(at, _, _)| *at <= most)
        .collect();
    let edge = |index: usize| match (index.checked_sub(1).and_then(|before| places.get(before)), places.get(index)) {
        (Some(before), Some(here)) => f64::midpoint(before.0, here.0),
        (None, _) => 0.0,
        (Some(_), None) => most,
    };
    places
        .iter()
        .enumerate()
        .map(|(index, (at, share, name))| {
            let mut text = format!("{name} percentile");
            for (arm, _) in arms.iter().filter(|(_, nines)| *nines >= *at - 1e-9) {
                if let Some(millis) = millis_at(arm, scenario, *share) {
                    text.push_str(&format!("\n{} {}", arm.arm, Metric::P50.show_with_unit(millis * 1e3)));
                }
            }
            Hint { from: edge(index), to: edge(index + 1), text }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{arm, round, scenario, unable, with_latency};

    #[test]
    fn a_curve_ends_where_its_requests_do_and_is_the_median_of_the_rounds() {
        let play = |p50| with_latency(round(1_000, 1_000), [p50, 2_000, 3_000, 4_000, 5_000]);
        let arms = vec![arm("outrigger", vec![play(100), play(900), play(200)]), unable("nginx", "no")];
        let chart = by_percentile(&ScenarioRun { arms, ..scenario("steady") }, |_| "a0".to_owned());
        assert_eq!(chart.series.len(), 1);
        let points = &chart.series[0].points;
        assert_eq!(points.first().map(|point| point.1), Some(Some(0.2)));
        assert_eq!(points.last().and_then(|point| point.1), Some(4.0));
        assert!(points.last().is_some_and(|point| (point.0 - 3.0).abs() < 1e-9), "1,000 requests are three nines");
        assert_eq!(chart.hints[1].text, "50th percentile\noutrigger 0.20 ms");
    }

    #[test]
    fn nothing_answered_is_nothing_drawn() {
        let arms = vec![arm("outrigger", vec![round(0, 0), round(10, 10)])];
        assert_eq!(by_percentile(&ScenarioRun { arms, ..scenario("steady") }, |_| String::new()).svg(), None);
    }
}
