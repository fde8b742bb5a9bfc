use super::*;
use crate::report::example::{arm, fault, played, round, scenario, with_cpu, with_latency, with_seconds};
use crate::results::{ArmRun, Round};

/// A run of one scenario.
fn run(arms: Vec<ArmRun>) -> Run {
    Run { scenarios: vec![ScenarioRun { arms, ..scenario("steady") }], ..played::run() }
}

fn against(before: Vec<ArmRun>, after: Vec<ArmRun>) -> Comparison {
    compare(&run(before), &run(after), &Thresholds::default())
}

/// Rounds with these CPU times.
fn costing(name: &str, cpu: &[f64]) -> ArmRun {
    arm(name, cpu.iter().map(|cpu| with_cpu(round(1_000, 1_000), *cpu, 0.0)).collect())
}

fn found(comparison: &Comparison, arm: &str, metric: Metric) -> Finding {
    let changes = &comparison.scenarios[0].changes;
    changes.iter().find(|change| change.arm == arm && change.metric == metric).expect("compared").finding
}

fn text(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    comparison.print(&mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_difference_within_the_spread_is_no_clear_difference_however_large_the_medians_differ() {
    let comparison =
        against(vec![costing("outrigger", &[18.0, 20.0, 25.0])], vec![costing("outrigger", &[24.0, 26.0, 27.0])]);
    assert_eq!(found(&comparison, "outrigger", Metric::Cpu), Finding::NoClearDifference);
    assert!(!comparison.regressed());
    assert!(text(&comparison).contains("no clear difference"));
}

#[test]
fn a_clear_difference_beyond_the_limit_is_a_regression_and_within_it_is_not() {
    let base = || vec![costing("outrigger", &[19.9, 20.0, 20.1])];
    let within = against(base(), vec![costing("outrigger", &[20.9, 21.0, 21.1])]);
    assert_eq!(found(&within, "outrigger", Metric::Cpu), Finding::Worse, "5 % is allowed");
    assert!(!within.regressed());
    let beyond = against(base(), vec![costing("outrigger", &[21.1, 21.2, 21.3])]);
    assert_eq!(found(&beyond, "outrigger", Metric::Cpu), Finding::Regression(Limit::Relative(0.05)));
    assert!(beyond.regressed());
    assert_eq!(
        beyond.regressions(),
        ["steady: outrigger CPU per request went from 20.0 µs to 21.2 µs (+6.0 %); 5 % is allowed."]
    );
    let better = against(base(), vec![costing("outrigger", &[10.0])]);
    assert_eq!(found(&better, "outrigger", Metric::Cpu), Finding::Better);
}

#[test]
fn peers_are_shown_and_not_judged_and_say_if_it_may_be_the_machine() {
    let play = |ours: f64, peer: f64| vec![costing("outrigger", &[ours]), costing("haproxy", &[peer])];
    let both = against(play(20.0, 20.0), play(23.0, 23.0));
    assert_eq!(found(&both, "haproxy", Metric::Cpu), Finding::Worse);
    let said = both.regressions();
    assert!(
        said[0].ends_with(
            "One round alone: nobody knows the spread. Every peer got worse as well: it may be the machine."
        )
    );
    let alone = against(play(20.0, 20.0), play(23.0, 20.1));
    assert!(!alone.regressions()[0].contains("machine"));
    assert!(!against(play(20.0, 20.0), play(20.0, 40.0)).regressed());
}

#[test]
fn success_is_compared_in_points_and_attempts_as_they_are() {
    let play = |ok, upstream| {
        let mut round = round(10_000, ok);
        round.upstream.requests = upstream;
        vec![arm("outrigger", vec![round])]
    };
    let worse = against(play(9_990, 10_000), play(9_930, 10_600));
    assert_eq!(
        worse.regressions(),
        [
            "steady: outrigger success went from 99.90 % to 99.30 % (−0.60 points); 0.5 points is allowed. \
             One round alone: nobody knows the spread.",
            "steady: outrigger attempts per request went from 1.00 to 1.06 (+0.06); 0.05 is allowed. \
             One round alone: nobody knows the spread.",
        ]
    );
    assert!(!against(play(9_990, 10_000), play(9_940, 10_500)).regressed(), "exactly the limit is allowed");
}

#[test]
fn one_key_executed_twice_in_one_round_is_a_regression() {
    let keyed = |twice: u64| {
        let mut round = round(100, 100);
        (round.upstream.keys, round.upstream.keys_executed_twice) = (100, twice);
        round
    };
    let comparison =
        against(vec![arm("outrigger", vec![keyed(0), keyed(0)])], vec![arm("outrigger", vec![keyed(0), keyed(1)])]);
    assert_eq!(found(&comparison, "outrigger", Metric::DuplicatedKeys), Finding::Regression(Limit::Absolute(0.0)));
}

#[test]
fn thresholds_can_be_changed_and_added() {
    let parse = |changes: &[&str]| Thresholds::parse(&changes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let thresholds = parse(&["cpu=2us", "success=1%", "amplification=10%", "recovery=1s", "p99=20 %"]).expect("valid");
    assert_eq!(thresholds.of(Metric::Cpu), Some(Limit::Absolute(2.0)));
    assert_eq!(thresholds.of(Metric::Success), Some(Limit::Absolute(0.01)));
    assert_eq!(thresholds.of(Metric::Amplification), Some(Limit::Relative(0.1)));
    assert_eq!(thresholds.of(Metric::Recovery), Some(Limit::Absolute(1e6)));
    assert_eq!(thresholds.of(Metric::P99), Some(Limit::Relative(0.2)));
    assert_eq!(thresholds.of(Metric::Rss), Some(Limit::Relative(0.1)), "the default stays");
    assert_eq!(thresholds.of(Metric::Threads), None);
    assert_eq!(parse(&["cpu"]).err().as_deref(), Some("`cpu` is no threshold: write it like `cpu=5%`"));
    assert_eq!(parse(&["cpuu=5%"]).err().as_deref(), Some("there is no figure `cpuu`; did you mean `cpu`?"));
    assert_eq!(parse(&["cpu=inf%"]).err().as_deref(), Some("`inf%` is no percentage: write it like `5%`"));
    assert_eq!(parse(&["cpu=-5%"]).err().as_deref(), Some("`-5%` is no percentage: write it like `5%`"));
    assert!(parse(&["rss=5"]).is_err_and(|error| error.contains("needs a unit of memory")));
}

#[test]
fn recovery_that_no_longer_comes_is_a_regression_if_there_is_a_limit() {
    let play = |ok: &[u64]| {
        let faults = vec![fault("stall", 1.0, 2.0)];
        let arms = vec![arm("outrigger", vec![with_seconds(round(500, 400), ok)])];
        Run { scenarios: vec![ScenarioRun { arms, faults, seconds: 5.0, ..scenario("stall") }], ..played::run() }
    };
    let thresholds = Thresholds::parse(&["recovery=2s".to_owned()]).expect("valid");
    let (well, never) = (play(&[100, 0, 100, 100, 100]), play(&[100, 0, 0, 0, 0]));
    let comparison = compare(&well, &never, &thresholds);
    assert!(comparison.regressed());
    assert!(text(&comparison).contains("went from 0 s to never (–); 2 s is allowed."), "{}", text(&comparison));
    assert!(!compare(&never, &never, &thresholds).regressed());
    assert!(!compare(&never, &well, &thresholds).regressed());
}

#[test]
fn different_formats_are_refused() {
    let base = run(vec![costing("outrigger", &[20.0])]);
    let other = Run { format: base.format + 1, ..base.clone() };
    let comparison = compare(&base, &other, &Thresholds::default());
    assert_eq!(comparison.refused.as_deref(), Some("the runs have different formats: A 1, B 2"));
    assert!(!comparison.regressed());
    assert!(text(&comparison).contains("Not compared: the runs have different formats"));
}

#[test]
fn nothing_in_common_is_refused() {
    let comparison = against(vec![costing("outrigger", &[20.0])], vec![costing("outrigger-b", &[20.0])]);
    let refused = comparison.refused.expect("refused");
    assert!(refused.contains("\n  steady: outrigger played only in A"), "the reasons are told: {refused}");
    assert_eq!(comparison.warnings, ["steady: outrigger played only in A", "steady: outrigger-b played only in B"]);
}

#[test]
fn figures_of_different_machines_are_shown_and_only_effects_are_judged() {
    let worse = |cpu, ok| vec![arm("outrigger", vec![with_cpu(round(1_000, ok), cpu, 0.0)])];
    let (base, mut other) = (run(worse(20.0, 1_000)), run(worse(40.0, 900)));
    other.environment.cpu = "another processor".to_owned();
    let comparison = compare(&base, &other, &Thresholds::default());
    assert_eq!(found(&comparison, "outrigger", Metric::Cpu), Finding::Worse);
    assert!(matches!(found(&comparison, "outrigger", Metric::Success), Finding::Regression(_)));
    assert!(comparison.warnings[0].starts_with("different machines (A 2 × Intel"), "{:?}", comparison.warnings);
}

#[test]
fn different_seeds_and_kernels_are_warned_of() {
    let base = run(vec![costing("outrigger", &[20.0])]);
    let mut other = Run { seed: 8, ..base.clone() };
    other.environment.kernel = "Linux 7".to_owned();
    let warnings = compare(&base, &other, &Thresholds::default()).warnings;
    assert_eq!(
        warnings,
        [
            "different kernels (A Linux 6.1.0-18-amd64, B Linux 7)",
            "different seeds (A 7, B 8): the arrivals were not the same",
        ]
    );
}

#[test]
fn changed_missing_and_invalid_scenarios_are_not_compared_and_said() {
    let with = |name: &str| ScenarioRun { arms: vec![costing("outrigger", &[20.0])], ..scenario(name) };
    let base = Run { scenarios: ["same", "changed", "gone", "noisy"].map(with).into(), ..played::run() };
    let mut other = Run { scenarios: ["same", "changed", "noisy", "new"].map(with).into(), ..played::run() };
    other.scenarios[1].load.connections = 1;
    other.scenarios[2].invalid.push("noise".to_owned());
    let comparison = compare(&base, &other, &Thresholds::default());
    assert_eq!(comparison.scenarios.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["same"]);
    assert_eq!(
        comparison.warnings,
        [
            "changed is not compared: load, faults or duration were changed",
            "gone is only in A",
            "noisy is not compared: invalid in B (noise)",
            "new is only in B",
        ]
    );
}

#[test]
fn the_table_shows_both_runs_with_their_spread_and_the_change() {
    let play = |p99: u64| {
        let round = |p99| with_latency(with_cpu(round(1_000, 1_000), 20.0, 0.0), [100, 200, p99, p99, p99]);
        vec![arm("outrigger", vec![round(p99), round(p99 + 100)])]
    };
    let text = text(&against(play(1_000), play(2_000)));
    assert!(
        text.contains("             p99 ms        1.05 (1.00–1.10)  2.05 (2.00–2.10)  +95.2 %  REGRESSION\n"),
        "{text}"
    );
    assert!(text.contains("  outrigger  success %                  100               100        =\n"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn a_run_compared_with_itself_has_no_difference_and_odd_figures_make_no_panic() {
    let base = played::run();
    let comparison = compare(&base, &base, &Thresholds::default());
    assert!(!comparison.regressed() && comparison.refused.is_none());
    let findings = comparison.scenarios.iter().flat_map(|scenario| &scenario.changes).map(|change| change.finding);
    assert!(findings.clone().count() > 100 && findings.into_iter().all(|it| it == Finding::NoClearDifference));
    let mut odd: Round = with_cpu(round(0, 0), f64::NAN, 0.0);
    odd.client.seconds = f64::NAN;
    let text = text(&against(vec![arm("outrigger", vec![odd.clone()])], vec![arm("outrigger", vec![odd])]));
    assert!(!text.contains("NaN"), "{text}");
}
