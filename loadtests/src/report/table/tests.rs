use super::*;
use crate::report::example::{arm, fault, played, round, scenario, unable, with_cpu};
use crate::results::{Arm, ArmRun};

fn text(run: &Run) -> String {
    let mut out = Vec::new();
    write(run, &mut out, Colours::No).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

fn of(scenarios: Vec<ScenarioRun>) -> Run {
    Run { scenarios, ..played::run() }
}

/// The lines of one table, from its head on, without the indent.
fn lines_from<'t>(text: &'t str, head: &str) -> Vec<&'t str> {
    let lines = text.lines().skip_while(|line| !line.contains(head));
    lines.take_while(|line| !line.trim().is_empty()).map(str::trim_end).collect()
}

#[test]
fn no_line_of_a_full_report_is_wider_than_the_terminal() {
    for line in text(&played::run()).lines() {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn units_stand_in_the_head_and_numbers_end_where_their_head_ends() {
    let steady = ScenarioRun {
        arms: vec![
            arm("outrigger", vec![with_cpu(round(100, 100), 5.0, 15.0), with_cpu(round(100, 100), 5.0, 16.0)]),
            arm("haproxy", vec![with_cpu(round(100, 100), 100.0, 15.0)]),
        ],
        ..scenario("steady")
    };
    assert_eq!(
        lines_from(&text(&of(vec![steady])), "user"),
        [
            "              CPU              × haproxy  user  system  syscalls  switches  idle RSS   RSS  threads",
            "               µs                           µs      µs                           MiB   MiB",
            "  outrigger  20.5 (20.0–21.0)       0.18   5.0    15.5      4.05      0.75      10.0  12.0        3",
            "  haproxy     115                   1.00   100    15.0      4.05      0.75      10.0  12.0        3",
        ]
    );
}

#[test]
fn verdicts_come_before_the_table() {
    let brownout = ScenarioRun {
        faults: vec![fault("33 %", 10.0, 20.0)],
        arms: vec![arm("outrigger", vec![round(1_000, 999)]), arm("envoy", vec![round(1_000, 972)])],
        ..scenario("brownout")
    };
    let text = text(&of(vec![brownout]));
    let verdict =
        text.find("success ahead: outrigger 99.90 % at 1.00 attempts; best peer envoy 97.20 %").expect("verdict");
    assert!(verdict < text.find("success  ").expect("table"));
}

#[test]
fn who_did_not_play_and_what_an_arm_lacks_is_said_with_the_reason() {
    let reload = ScenarioRun { arms: vec![unable("pingora", "it has no reload")], ..scenario("reload") };
    let mut run = of(vec![reload]);
    run.arms = vec![Arm { lacks: vec!["retry budget".to_owned()], ..run.arms[3].clone() }];
    let text = text(&run);
    assert!(text.contains("pingora did not play: it has no reload"), "{text}");
    assert!(text.contains("skipped: traefik (no program of that name in PATH)"), "{text}");
    assert!(text.contains("haproxy lacks: retry budget"), "{text}");
}

#[test]
fn invalid_scenarios_and_rounds_are_marked_with_their_reason() {
    let mut bad = round(100, 100);
    bad.invalid.push("9 % of the core was used by others".to_owned());
    let noisy = ScenarioRun {
        invalid: vec!["the upstream was the bottleneck".to_owned()],
        arms: vec![arm("outrigger", vec![round(100, 100), bad])],
        ..scenario("noisy")
    };
    let text = text(&of(vec![noisy]));
    assert!(text.contains("INVALID, do not use these figures: the upstream was the bottleneck"), "{text}");
    assert!(text.contains("outrigger: 1 of 2 rounds left out: 9 % of the core was used by others"), "{text}");
    assert!(text.contains("1 scenario is invalid"), "{text}");
}

#[test]
fn gates_are_listed_as_passed_failed_or_not_judged() {
    let text = text(&played::run());
    assert!(text.contains("passed     success >= best peer  outrigger: 99.92 % (envoy 98.74 %)"), "{text}");
    assert!(text.contains("FAILED     syscalls <= 4.1  outrigger: 4.3"), "{text}");
}

#[test]
fn colours_are_there_only_if_asked_for() {
    assert!(!text(&played::run()).contains('\u{1b}'));
    let mut out = Vec::new();
    write(&played::run(), &mut out, Colours::Yes).expect("a vector takes everything");
    assert!(String::from_utf8(out).expect("text").contains("\u{1b}[1;31mFAILED"));
}

#[test]
fn odd_runs_are_printed_without_nan_and_without_panic() {
    let mut nan = with_cpu(round(0, 0), f64::NAN, 1.0);
    nan.client.latency = vec![(f64::NAN, 3), (1.0, 4)];
    nan.client.seconds = f64::NAN;
    let mut strange = ScenarioRun {
        arms: vec![arm("outrigger", vec![nan]), arm("envoy", Vec::new()), ArmRun { ..unable("nginx", "") }],
        faults: vec![fault("", f64::NAN, f64::INFINITY)],
        seconds: f64::NAN,
        ..scenario("strange")
    };
    strange.load.rate = Some(f64::NAN);
    let mut empty = of(vec![strange, ScenarioRun { title: String::new(), ..scenario("") }]);
    let text_of_strange = text(&empty);
    assert!(!text_of_strange.contains("NaN") && !text_of_strange.contains("inf"), "{text_of_strange}");
    empty.scenarios.clear();
    empty.arms.clear();
    assert!(text(&empty).contains("no rounds of 0 arms"));
}

#[test]
fn text_is_broken_at_spaces_and_long_words_stand_alone() {
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("abcdefghij k", 5), ["abcdefghij", "k"]);
    assert!(wrapped("  ", 5).is_empty());
}
