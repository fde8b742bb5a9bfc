use std::time::Duration;

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtests/scenarios");

/// A scenario that is right, in which `from` is replaced by `to`.
fn with(from: &str, to: &str) -> Result<Scenario, String> {
    let text = "\
title: A title
description: What it asks.
duration: 20s
load: { rate: 100, timeout: 3s }
upstream:
  endpoints: 3
  latency: { p50: 5ms, p99: 20ms }
policy: { deadline: 2s, attempt: 500ms }
faults:
  - { at: 2s, for: 4s, what: dead, endpoints: [2] }
  - { at: 4s, for: 4s, what: errors, ratio: 33%, status: 503, endpoints: [1, 3] }
  - { at: 10s, what: reload }
gates:
  - success >= 99%
";
    assert!(text.contains(from), "{from}");
    Scenario::parse(&text.replacen(from, to, 1), "own/a-name.yaml")
}

fn finding(from: &str, to: &str) -> String {
    with(from, to).map(|_| "no finding".to_owned()).unwrap_err()
}

#[test]
fn every_scenario_of_the_repository_is_right_and_begins_with_what_it_is_for() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = Scenario::parse(&text, path.to_str().unwrap()).unwrap_or_else(|why| panic!("{why}"));
        assert!(text.starts_with("# "), "{}: a comment says what it is for", scenario.name);
        assert!(!scenario.gates.is_empty(), "{}: nothing is asked of it", scenario.name);
        assert!(scenario.duration <= Duration::from_secs(35), "{}", scenario.name);
        let last = scenario.faults.iter().map(|fault| fault.until).max().unwrap_or_default();
        let event = scenario.reloads();
        assert!(event || last.is_zero() || last + Duration::from_secs(2) < scenario.duration, "{}", scenario.name);
        names.push(scenario.name.clone());
    }
    names.sort();
    let named = [
        "all-failing",
        "big-bodies",
        "black-hole",
        "brownout-10",
        "brownout-33",
        "brownout-50",
        "churn",
        "grpc-mtls",
        "grpc-unary",
        "h2-mtls",
        "handshakes",
        "idle-tls",
        "keyed-posts",
        "one-of-three-dead",
        "overload",
        "rapid-reset",
        "reload",
        "retry-storm",
        "saturation",
        "slow-endpoint",
        "stall",
        "steady",
        "tail",
        "tls-h1",
    ];
    assert_eq!(names, named);
}

#[test]
fn a_file_becomes_a_scenario() {
    let scenario = with("title", "title").unwrap();
    assert_eq!((scenario.name.as_str(), scenario.tiers, scenario.quick), ("a-name", 1, false));
    assert_eq!(scenario.load.rate, 100.0);
    let ms = Duration::from_millis;
    assert_eq!(scenario.upstream.latency, Latency::Quantiles(vec![(0.5, ms(5)), (0.99, ms(20))]));
    let spans: Vec<_> = scenario.fault_spans().into_iter().map(|s| (s.label, s.from_s, s.to_s)).collect();
    let expected = [("dead (1 of 3)", 2.0, 6.0), ("33 % 503 (2 of 3)", 4.0, 8.0), ("reload", 10.0, 10.0)];
    assert_eq!(spans, expected.map(|(label, from, to)| (label.to_owned(), from, to)));
    assert_eq!(scenario.faults[1].endpoints, [0, 2]);
    assert!(scenario.reloads());
    assert_eq!(scenario.results_load().rate, Some(100.0));
}

#[test]
fn a_wrong_word_is_told_with_its_place_and_the_nearest_right_one() {
    for (from, to, place, word) in [
        ("timeout: 3s", "timeuot: 3s", "4:20: unknown key `timeuot`", "did you mean `timeout`?"),
        ("what: dead", "what: daed", "10:30: unknown fault `daed`", "did you mean `dead`?"),
        ("rate: 100", "arrivals: poison, rate: 100", "4:19: unknown arrivals `poison`", "did you mean `poisson`?"),
    ] {
        let told = finding(from, to);
        assert!(told.starts_with(&format!("own/a-name.yaml:{place}")) && told.ends_with(word), "{told}");
    }
}

#[test]
fn each_mistake_is_told_with_the_next_step() {
    for (from, to, told) in [
        ("endpoints: [2]", "endpoints: [4]", "10:48: there is no endpoint `4`: they are 1 to 3"),
        ("endpoints: [2]", "endpoints: 2", "10:47: `2`: write `all`, or a list such as [1, 3]"),
        ("endpoints: [2]", "endpoints: []", "no endpoint is named: write `endpoints: all`"),
        ("endpoints: [2]", "endpoints: [2, 2]", "endpoint 2 is named twice"),
        (", endpoints: [2]", "", "`endpoints` is missing: write `endpoints: all`"),
        ("for: 4s, what: dead", "for: 19s, what: dead", "ends at 21s, after the scenario's 20s: shorten it"),
        ("at: 2s", "at: 30s", "`30s` is not within 0s to 20s"),
        ("endpoints: [1, 3]", "endpoints: all", "`errors` begins while `dead` (2s to 6s) still holds at endpoint 2"),
        ("what: dead", "what: dead, ratio: 5%", "`ratio` does not belong to `dead`: remove it"),
        ("what: reload", "what: reload, for: 2s", "`for` does not belong to `reload`: remove it"),
        ("ratio: 33%, ", "", "`ratio` is missing: write for example `ratio: 33%`"),
        ("ratio: 33%", "ratio: 0.33", "`0.33` is not a share: write a percentage, such as 33%"),
        ("ratio: 33%", "ratio: 133%", "`133%` is not within 0% to 100%"),
        ("status: 503", "status: 200", "`200` is not a number from 400 to 599"),
        ("rate: 100", "rate: 60000", "`60000` is not a number from 1 to 50000"),
        ("rate: 100", "rate: NaN", "`NaN` is not a number"),
        ("rate: 100, ", "", "`rate` is missing: write for example `rate: 300`"),
        ("rate: 100", "arrivals: closed, rate: 100", "a closed loop has no rate: remove `rate`"),
        ("rate: 100", "arrivals: closed, protocol: h2", "the closed loop speaks http1 only"),
        ("rate: 100", "rate: 100, keyed: true", "a key is for requests with an effect: add `method: POST`"),
        ("duration: 20s", "duration: 20", "duration `20` has no unit: write 20ms or 20s"),
        ("duration: 20s", "duration: 2h", "`2h` is not within 1s to 10m"),
        ("duration: 20s\n", "", "`duration` is missing: write for example `duration: 15s`"),
        ("timeout: 3s", "timeout: 1s", "the client gives up after 1s, before the policy's deadline of 2s"),
        ("attempt: 500ms", "attempt: 5s", "one try of 5s does not fit into the deadline of 2s"),
        ("p99: 20ms", "p99: 2ms", "quantiles must rise"),
        ("p99: 20ms", "q99: 20ms", "`q99` is not a quantile: write p0 to p100"),
        ("latency: { p50: 5ms, p99: 20ms }", "latency: 5", "duration `5` has no unit: write 5ms or 5s"),
        ("latency: { p50: 5ms, p99: 20ms }", "capacity: { slots: 2 }", "add `latency: 20ms` to `upstream`"),
        ("success >= 99%", "sucess >= 99%", "14:5: "),
        ("title: A title", "title:", "a key has no value"),
        ("  endpoints: 3", "\tendpoints: 3", "6:1: a tab; indent with spaces"),
        ("load: { rate", "load: { load: 1, rate", "unknown key `load`"),
        ("title: A title", "title: A title\ntitle: B", "key `title` is written twice in one block"),
    ] {
        let found = finding(from, to);
        assert!(found.contains(told) && found.starts_with("own/a-name.yaml:"), "{from} -> {to}: {found}");
    }
}

#[test]
fn all_findings_of_a_file_are_told_at_once_in_its_order() {
    let text = "title: A\nduration: 5\nload: { rate: x, method: GRT }\ngates: [nothing]\n";
    let told = Scenario::parse(text, "f.yaml").map(|_| ()).unwrap_err();
    let places: Vec<_> = told.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["f.yaml:1:1:", "f.yaml:2:11:", "f.yaml:3:15:", "f.yaml:3:26:", "f.yaml:4:9:"], "{told}");
}

#[test]
fn an_empty_file_and_a_huge_one_are_refused() {
    assert!(Scenario::parse("# nothing\n", "f").map(|_| ()).unwrap_err().contains("loadtests/scenarios/steady.yaml"));
    let huge = "#".repeat(300_000);
    assert!(Scenario::parse(&huge, "f").map(|_| ()).unwrap_err().contains("at most"));
}

#[test]
fn more_load_than_the_tool_can_play_is_refused_with_the_most_it_can() {
    let keyed = "rate: 9000, keyed: true, method: POST";
    assert!(finding("rate: 100", keyed).contains("180000 keys; 100000 are counted: lower `rate` to 5000"));
    let heavy = "rate: 5000, method: PUT, body: 1MiB";
    assert!(finding("rate: 100", heavy).contains("more than 1 GiB a second"));
}

#[test]
fn the_scenario_that_the_readme_shows_is_right() {
    let text = include_str!("../../README.md");
    let lines = text.lines().skip_while(|line| !line.starts_with("    title: "));
    let shown: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).map(|line| &line[4..]).collect();
    let scenario = Scenario::parse(&shown.join("\n"), "readme.yaml").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((scenario.faults.len(), scenario.gates.len()), (1, 2));
}

#[test]
fn an_upstream_has_up_to_a_thousand_endpoints() {
    assert_eq!(with("endpoints: 3\n", "endpoints: 1000\n").unwrap().upstream.endpoints, 1_000);
    let said = finding("endpoints: 3\n", "endpoints: 1001\n");
    assert!(said.contains("not a number from 1 to 1000"), "{said}");
}

#[test]
fn a_forgotten_colon_is_named() {
    let said = finding("load: { rate: 100, timeout: 3s }", "load:\n  rate 100");
    assert!(said.contains("each with a colon and a value"), "{said}");
}
