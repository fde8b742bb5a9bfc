use super::*;
use crate::report::example::{arm, fault, round, scenario, with_cpu, with_latency, with_seconds};

fn of_rounds(metric: Metric, rounds: Vec<Round>) -> Option<Figure> {
    summary(&arm("outrigger", rounds), None, &scenario("steady")).of(metric)
}

fn assert_close(figure: Option<Figure>, median: f64, min: f64, max: f64) {
    let figure = figure.expect("a figure");
    for (is, should) in [(figure.median, median), (figure.min, min), (figure.max, max)] {
        assert!((is - should).abs() < 1e-9 * should.abs().max(1.0), "{figure:?} should be {median} ({min}–{max})");
    }
}

#[test]
fn the_median_of_an_odd_number_of_rounds_is_the_middle_one_and_the_spread_is_the_extremes() {
    let rounds = vec![round(1_000, 990), round(1_000, 900), round(1_000, 1_000)];
    assert_close(of_rounds(Metric::Success, rounds), 0.99, 0.9, 1.0);
}

#[test]
fn the_median_of_an_even_number_of_rounds_is_the_mean_of_the_middle_two() {
    let rounds = vec![round(10, 1), round(10, 9), round(10, 4), round(10, 6)];
    assert_close(of_rounds(Metric::Success, rounds), 0.5, 0.1, 0.9);
}

#[test]
fn invalid_rounds_are_counted_and_left_out() {
    let mut bad = round(1_000, 0);
    bad.invalid.push("the generator was late".to_owned());
    let summary = summary(&arm("outrigger", vec![round(1_000, 990), bad]), None, &scenario("steady"));
    assert_eq!((summary.valid, summary.invalid), (1, 1));
    assert_close(summary.of(Metric::Success), 0.99, 0.99, 0.99);
}

#[test]
fn an_arm_without_rounds_has_no_figures() {
    let summary = summary(&arm("outrigger", Vec::new()), None, &scenario("steady"));
    assert!(Metric::ALL.into_iter().all(|metric| summary.of(metric).is_none()));
}

#[test]
fn rounds_without_requests_have_no_shares_instead_of_nan() {
    let empty = with_cpu(round(0, 0), 10.0, 10.0);
    let summary = summary(&arm("outrigger", vec![empty]), None, &scenario("steady"));
    for metric in [Metric::Success, Metric::Amplification, Metric::Cpu, Metric::P99, Metric::Recovery] {
        assert_eq!(summary.of(metric), None, "{metric:?}");
    }
}

#[test]
fn amplification_is_upstream_requests_for_each_request_that_left_the_client() {
    let mut round = round(1_000, 900);
    round.client.outcomes.insert("unsent".to_owned(), 200);
    round.upstream.requests = 960;
    assert_close(of_rounds(Metric::Amplification, vec![round]), 1.2, 1.2, 1.2);
}

#[test]
fn cpu_is_microseconds_per_request_of_the_clients() {
    let summary =
        summary(&arm("outrigger", vec![with_cpu(round(60_000, 60_000), 4.5, 15.0)]), None, &scenario("steady"));
    assert_close(summary.of(Metric::CpuUser), 4.5, 4.5, 4.5);
    assert_close(summary.of(Metric::CpuSystem), 15.0, 15.0, 15.0);
    assert_close(summary.of(Metric::Cpu), 19.5, 19.5, 19.5);
    assert_close(summary.of(Metric::RssIdle), 10.0, 10.0, 10.0);
    assert_close(summary.of(Metric::Switches), 0.75, 0.75, 0.75);
    assert_close(summary.of(Metric::Syscalls), 4.05, 4.05, 4.05);
}

#[test]
fn latency_is_added_over_direct_of_the_same_round() {
    let plain = |p50| with_latency(round(10_000, 10_000), [p50, p50, p50, p50, p50]);
    let direct = arm("direct", vec![plain(100), plain(1_000)]);
    let outrigger = arm("outrigger", vec![plain(180), plain(1_060)]);
    let summary = summary(&outrigger, Some(&direct), &scenario("steady"));
    assert_close(summary.of(Metric::P50Added), 70.0, 60.0, 80.0);
}

#[test]
fn a_round_whose_direct_is_missing_or_invalid_has_no_added_latency() {
    let plain = |p50| with_latency(round(10_000, 10_000), [p50, p50, p50, p50, p50]);
    let mut bad = plain(5);
    bad.invalid.push("noise".to_owned());
    let direct = arm("direct", vec![bad, plain(100)]);
    let outrigger = arm("outrigger", vec![plain(180), plain(190), plain(200)]);
    let summary = summary(&outrigger, Some(&direct), &scenario("steady"));
    assert_eq!(summary.of(Metric::P99Added).map(|figure| (figure.rounds, figure.median)), Some((1, 90.0)));
    assert_eq!(summary.of(Metric::P99).map(|figure| figure.rounds), Some(3));
}

#[test]
fn a_percentile_needs_as_many_requests_as_it_divides() {
    let few = with_latency(round(999, 999), [1, 2, 3, 4, 5]);
    let enough = with_latency(round(1_000, 1_000), [1, 2, 3, 4, 5]);
    assert_eq!(of_rounds(Metric::P999, vec![few.clone()]), None);
    assert_close(of_rounds(Metric::P99, vec![few]), 3.0, 3.0, 3.0);
    assert_close(of_rounds(Metric::P999, vec![enough]), 4.0, 4.0, 4.0);
}

#[test]
fn a_percentile_between_two_entries_is_the_upper_one_and_behind_the_last_the_last() {
    let values = [(0.5, 10), (0.98, 20), (0.991, 30)];
    assert_eq!(quantile(&values, 0.99), Some(30.0));
    assert_eq!(quantile(&values, 0.98), Some(20.0));
    assert_eq!(quantile(&values, 0.999), Some(30.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn saturation_is_known_only_in_closed_loop_and_is_a_lower_bound_unless_the_core_was_busy() {
    let mut closed = scenario("saturation");
    closed.load.mode = Mode::Closed;
    // 1,000,000 requests in 30 s at 29.4 µs are 0.98 cores, at 15 µs half a core, at 60 µs two cores.
    let at = |cpu| summary(&arm("nginx", vec![with_cpu(round(1_000_000, 1_000_000), cpu, 0.0)]), None, &closed);
    let figure = |cpu| at(cpu).of(Metric::PerCore).map(|figure| (figure.median.round(), figure.at_least));
    assert_eq!(figure(29.4), Some((33_333.0, false)));
    assert_eq!(figure(15.0), Some((33_333.0, true)));
    assert_eq!(figure(60.0), Some((16_667.0, false)));
    assert_eq!(of_rounds(Metric::PerCore, vec![with_cpu(round(1_000, 1_000), 1.0, 1.0)]), None);
}

fn recovery_after(end: f64, ok: &[u64]) -> Option<f64> {
    let mut scenario = scenario("stall");
    scenario.seconds = ok.len() as f64;
    scenario.faults = vec![fault("early", 0.0, 1.0), fault("stall", 1.0, end), fault("reload", 4.0, 4.0)];
    let arm = arm("outrigger", vec![with_seconds(round(1_000, 500), ok)]);
    summary(&arm, None, &scenario).of(Metric::Recovery).map(|figure| figure.median / 1e6)
}

#[test]
fn recovery_counts_from_the_end_of_the_last_fault_to_the_first_second_that_stays_well() {
    assert_eq!(recovery_after(3.0, &[100, 10, 0, 100, 100, 100]), Some(0.0));
    assert_eq!(recovery_after(3.0, &[100, 10, 0, 40, 98, 99, 100]), Some(2.0));
    assert_eq!(recovery_after(3.0, &[100, 10, 0, 100, 98, 100, 100]), Some(2.0), "it has to stay well");
    assert_eq!(recovery_after(2.5, &[100, 10, 0, 100, 100]), Some(0.5));
}

#[test]
fn recovery_that_does_not_come_is_infinite() {
    assert_eq!(recovery_after(3.0, &[100, 10, 0, 40, 40, 98]), Some(f64::INFINITY));
}

#[test]
fn recovery_is_unknown_if_the_fault_lasts_to_the_end_or_nothing_was_asked_afterwards() {
    assert_eq!(recovery_after(6.0, &[100, 10, 0, 40, 40, 98]), None);
    assert_eq!(of_rounds(Metric::Recovery, vec![with_seconds(round(10, 10), &[100; 30])]), None, "no fault");
    let mut scenario = scenario("stall");
    scenario.faults = vec![fault("stall", 1.0, 3.0)];
    let quiet = arm("outrigger", vec![with_seconds(round(10, 10), &[100; 3])]);
    assert_eq!(summary(&quiet, None, &scenario).of(Metric::Recovery), None);
}

#[test]
fn one_round_that_never_recovers_shows_in_the_spread() {
    let mut scenario = scenario("stall");
    scenario.seconds = 5.0;
    scenario.faults = vec![fault("stall", 1.0, 2.0)];
    let play = |ok: &[u64]| with_seconds(round(500, 400), ok);
    let rounds = vec![play(&[100, 0, 100, 100, 100]), play(&[100, 0, 0, 0, 0]), play(&[100, 0, 0, 100, 100])];
    let figure = summary(&arm("envoy", rounds), None, &scenario).of(Metric::Recovery).expect("a figure");
    assert_eq!((figure.min, figure.median, figure.max), (0.0, 1e6, f64::INFINITY));
}

#[test]
fn keys_are_judged_by_the_worst_round_and_only_if_requests_had_keys() {
    let mut twice = round(100, 100);
    twice.upstream.keys = 100;
    twice.upstream.executions_max = 2;
    twice.upstream.keys_executed_twice = 7;
    let mut once = round(100, 100);
    once.upstream.keys = 100;
    once.upstream.executions_max = 1;
    let summary = summary(&arm("envoy", vec![once.clone(), twice, once]), None, &scenario("keyed"));
    assert_eq!(summary.judged(Metric::ExecutionsPerKey), Some(2.0));
    assert_eq!(summary.judged(Metric::DuplicatedKeys), Some(7.0));
    assert_eq!(of_rounds(Metric::ExecutionsPerKey, vec![round(100, 100)]), None);
}

#[test]
fn ranges_that_touch_overlap() {
    let figure = |min, max| Figure { median: min, min, max, rounds: 2, at_least: false };
    assert!(figure(1.0, 2.0).overlaps(&figure(2.0, 3.0)));
    assert!(!figure(1.0, 2.0).overlaps(&figure(2.1, 3.0)));
    assert!(figure(1.0, 5.0).overlaps(&figure(2.0, 3.0)));
}
