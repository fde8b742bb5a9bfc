use super::*;
use crate::report::example::{arm, fault, round, scenario, unable, with_cpu, with_latency, with_seconds};
use crate::results::Round;

fn parse(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    Condition::parse(text).err().unwrap_or_else(|| panic!("{text} should be refused"))
}

/// The gate of the one arm that a condition speaks of, among these.
fn judge(text: &str, arms: Vec<ArmRun>) -> Gate {
    let mut scenario = scenario("brownout");
    scenario.seconds = 6.0;
    scenario.faults = vec![fault("one third fails", 1.0, 3.0)];
    scenario.arms = arms;
    let gates = judge_all(&[parse(text)], &scenario);
    assert_eq!(gates.len(), 1, "{gates:?}");
    gates.into_iter().next().expect("one gate")
}

fn passed(text: &str, round: Round) -> bool {
    judge(text, vec![arm("outrigger", vec![round])]).passed
}

fn well() -> Round {
    let mut round = with_latency(with_cpu(round(10_000, 9_950), 5.0, 15.0), [500, 900, 5_000, 9_000, 20_000]);
    round.upstream.requests = 12_000;
    round.client.latency_of_failures = vec![(0.5, 300_000), (0.99, 505_000), (1.0, 505_000)];
    round
}

#[test]
fn each_operator_holds_where_it_should_and_nowhere_else() {
    // The measured value is 1.2 exactly; 12,000 / 10,000 must not miss it by its binary form.
    for (text, holds) in [
        ("amplification <= 1.2", true),
        ("amplification <= 1.19", false),
        ("amplification < 1.2", false),
        ("amplification < 1.21", true),
        ("amplification >= 1.2", true),
        ("amplification >= 1.21", false),
        ("amplification > 1.2", false),
        ("amplification > 1.19", true),
        ("amplification == 1.2", true),
        ("amplification == 1.3", false),
        ("amplification ≤ 1.2", true),
        ("amplification≥1.3", false),
    ] {
        assert_eq!(passed(text, well()), holds, "{text}");
    }
}

#[test]
fn amounts_are_read_in_every_unit_of_their_figure() {
    for (text, holds) in [
        ("success >= 99.5%", true),
        ("success >= 99.51%", false),
        ("p99 <= 5ms", true),
        ("p99 <= 5000us", true),
        ("p99 <= 4_999µs", false),
        ("p99 < 0.006s", true),
        ("p99.9 <= 9ms", true),
        ("p999 < 9ms", false),
        ("failure_p99 <= 505ms", true),
        ("failure_p50 <= 299ms", false),
        ("cpu <= 20us", true),
        ("cpu <= 19.9us", false),
        ("cpu_user <= 5us", true),
        ("rss <= 12MiB", true),
        ("rss <= 12287KiB", false),
        ("rss_idle <= 0.01GiB", true),
        ("syscalls <= 4.1", true),
        ("syscalls <= 4", false),
        ("threads == 3", true),
        ("throughput >= 331/s", true),
        ("throughput >= 332", false),
    ] {
        assert_eq!(passed(text, well()), holds, "{text}");
    }
}

#[test]
fn the_measured_value_stands_in_the_unit_of_the_condition() {
    let measured = |text| judge(text, vec![arm("outrigger", vec![well()])]).measured;
    assert_eq!(measured("p99 <= 1s"), Some(0.005));
    assert_eq!(measured("p99 <= 1ms"), Some(5.0));
    assert_eq!(measured("success >= 1%"), Some(99.5));
}

#[test]
fn the_median_is_judged_not_the_worst_round() {
    let rounds = vec![round(1_000, 999), round(1_000, 500), round(1_000, 998)];
    assert!(judge("success >= 99.8%", vec![arm("outrigger", rounds)]).passed);
}

#[test]
fn an_effect_that_happened_twice_in_one_round_is_not_evened_out() {
    let keyed = |most| {
        let mut round = round(100, 100);
        (round.upstream.keys, round.upstream.executions_max) = (100, most);
        round
    };
    let gate = judge("executions_per_key <= 1", vec![arm("outrigger", vec![keyed(1), keyed(2), keyed(1)])]);
    assert_eq!((gate.passed, gate.measured), (false, Some(2.0)));
    assert!(judge("executions_per_key <= 1", vec![arm("outrigger", vec![keyed(1), keyed(1)])]).passed);
}

#[test]
fn without_an_arm_every_outrigger_is_judged_and_nobody_else() {
    let mut scenario = scenario("steady");
    scenario.arms = ["direct", "outrigger", "envoy", "outrigger-b"].map(|name| arm(name, vec![well()])).into();
    let judged: Vec<String> =
        judge_all(&[parse("success >= 99%")], &scenario).into_iter().map(|gate| gate.arm).collect();
    assert_eq!(judged, ["outrigger", "outrigger-b"]);
}

#[test]
fn a_named_arm_alone_is_judged() {
    let gate = judge("envoy: success >= 99.9%", vec![arm("outrigger", vec![well()]), arm("envoy", vec![well()])]);
    assert_eq!((gate.arm.as_str(), gate.passed, gate.condition.as_str()), ("envoy", false, "envoy: success >= 99.9%"));
}

#[test]
fn a_named_arm_that_took_no_part_is_moot() {
    let gate = judge("envoy: success >= 99.9%", vec![arm("outrigger", vec![well()])]);
    assert!(gate.moot && gate.passed);
    assert_eq!(gate.note, "envoy took no part");
}

#[test]
fn a_ratio_is_measured_as_a_ratio() {
    let with = |cpu| with_cpu(round(1_000, 1_000), cpu, 0.0);
    let arms = || vec![arm("outrigger", vec![with(21.0)]), arm("haproxy", vec![with(20.0)])];
    let gate = judge("cpu <= 1.00x haproxy", arms());
    assert!(!gate.passed);
    assert!(gate.measured.is_some_and(|ratio| (ratio - 1.05).abs() < 1e-9), "{gate:?}");
    assert_eq!(gate.note, "haproxy 20.0 µs");
    assert!(judge("cpu <= 1.05x haproxy", arms()).passed);
    assert!(judge("cpu <= 1.05 × haproxy", arms()).passed);
    assert!(!judge("cpu <= haproxy", arms()).passed);
    assert!(judge("cpu <= haproxy + 1us", arms()).passed);
    assert!(!judge("cpu <= 0.4x haproxy", arms()).passed);
}

#[test]
fn the_best_peer_is_neither_direct_nor_ours() {
    let arms = |ours| {
        vec![
            arm("direct", vec![round(1_000, 1_000)]),
            arm("outrigger", vec![round(1_000, ours)]),
            arm("envoy", vec![round(1_000, 970)]),
            arm("nginx", vec![round(1_000, 980)]),
        ]
    };
    let gate = judge("success >= best peer", arms(979));
    assert_eq!((gate.passed, gate.note.as_str()), (false, "nginx 98.00 %"));
    assert!(judge("success >= best peer", arms(980)).passed);
    assert!(judge("success >= best peer - 0.1%", arms(979)).passed);
}

#[test]
fn for_a_figure_that_should_be_low_the_best_peer_is_the_lowest() {
    let with = |upstream| {
        let mut round = round(1_000, 990);
        round.upstream.requests = upstream;
        round
    };
    let arms = vec![
        arm("outrigger", vec![with(1_100)]),
        arm("nginx", vec![with(1_000)]),
        arm("envoy", vec![with(1_200)]),
        arm("haproxy", vec![with(1_300)]),
    ];
    assert_eq!(judge("amplification <= best peer", arms.clone()).note, "nginx 1.00");
    let gate = judge("amplification <= best retrying peer", arms);
    assert_eq!((gate.passed, gate.note.as_str()), (true, "envoy 1.20"));
}

#[test]
fn a_comparison_with_nobody_is_moot() {
    let ours = || arm("outrigger", vec![well()]);
    for (text, arms, note) in [
        ("success >= best peer", vec![ours()], "no peer has a figure for success"),
        ("amplification <= best retrying peer", vec![ours(), arm("nginx", vec![round(10, 10)])], "no peer retried"),
        ("cpu <= 1x haproxy", vec![ours()], "haproxy took no part"),
        ("cpu <= 1x haproxy", vec![ours(), unable("haproxy", "no reload")], "haproxy has no figure for cpu"),
        ("recovery <= 2s", Vec::new(), "outrigger took no part"),
    ] {
        let gate = judge(text, arms);
        assert!(gate.moot && gate.passed, "{gate:?}");
        assert_eq!(gate.note, note, "{text}");
    }
}

#[test]
fn what_was_not_measured_is_a_failure_with_its_reason() {
    let mut bad = well();
    bad.invalid.push("noise".to_owned());
    for (text, arm, note) in [
        ("success >= 1%", arm("outrigger", Vec::new()), "no valid round"),
        ("success >= 1%", arm("outrigger", vec![bad]), "no valid round"),
        ("success >= 1%", unable("outrigger", "no reload"), "outrigger could not play: no reload"),
        ("success >= 0%", arm("outrigger", vec![round(0, 0)]), "not measured"),
        ("syscalls <= 9", arm("outrigger", vec![round(10, 10)]), "not measured"),
        ("p50_added <= 9s", arm("outrigger", vec![well()]), "no direct beside it"),
        ("executions_per_key <= 1", arm("outrigger", vec![well()]), "the requests had no keys"),
        ("per_core >= 1", arm("outrigger", vec![well()]), "only in closed loop"),
    ] {
        let gate = judge(text, vec![arm]);
        assert_eq!((gate.passed, gate.moot, gate.measured, gate.note.as_str()), (false, false, None, note), "{text}");
    }
}

#[test]
fn the_latency_of_failures_is_moot_where_no_request_failed() {
    let gate = judge("failure_p99 <= 505ms", vec![arm("outrigger", vec![round(100, 100)])]);
    assert!(gate.moot && gate.passed);
    assert_eq!(gate.note, "no request failed");
    assert!(!passed("failure_p99 <= 505ms", round(100, 99)), "failures of unknown latency are not moot");
    assert!(!passed("failure_p99 <= 505ms", round(0, 0)));
}

#[test]
fn recovery_that_does_not_come_fails() {
    let gate =
        judge("recovery <= 2s", vec![arm("outrigger", vec![with_seconds(round(600, 300), &[100, 0, 0, 0, 0, 0])])]);
    assert_eq!((gate.passed, gate.measured, gate.note.as_str()), (false, None, "never recovered"));
    assert!(passed("recovery <= 2s", with_seconds(round(600, 300), &[100, 0, 0, 0, 0, 100])));
    assert!(!passed("recovery < 2s", with_seconds(round(600, 300), &[100, 0, 0, 0, 0, 100])));
}

#[test]
fn a_peer_that_never_recovers_is_a_bound_that_everybody_keeps() {
    let never = with_seconds(round(600, 300), &[100, 0, 0, 0, 0, 0]);
    let late = with_seconds(round(600, 300), &[100, 0, 0, 0, 0, 100]);
    let gate = judge("recovery <= 0.5x envoy", vec![arm("outrigger", vec![late]), arm("envoy", vec![never])]);
    assert_eq!((gate.passed, gate.note.as_str()), (true, "envoy never"));
}

#[test]
fn typing_errors_are_answered_with_what_was_probably_meant() {
    assert_eq!(error("sucess >= 99%"), "there is no figure `sucess`; did you mean `success`?");
    assert_eq!(error("p99_aded < 1ms"), "there is no figure `p99_aded`; did you mean `p99_added`?");
    assert_eq!(error("cpu <= 1x haprxoy"), "there is no arm `haprxoy`; did you mean `haproxy`?");
    assert_eq!(error("outriger: cpu <= 1us"), "there is no arm `outriger`; did you mean `outrigger`?");
    assert!(error("colour >= 1").starts_with("there is no figure `colour`; there are success, "));
}

#[test]
fn units_that_are_missing_or_wrong_are_named_with_an_example() {
    for (text, says) in [
        ("p99 < 50", "p99 needs a unit of time (us, ms or s): write it like `50ms`"),
        ("p99 < 50m", "p99 needs a unit of time (us, ms or s): write it like `50ms`"),
        ("success >= 0.995", "success is a percentage: write it like `99.5%`"),
        ("success >= 101%", "`101%` is more than everything: success goes up to 100%"),
        ("amplification <= 20%", "amplification is a plain number: write it like `1.2`"),
        ("rss <= 12MB", "rss needs a unit of memory (KiB, MiB or GiB): write it like `12MiB`"),
        ("throughput >= 2000rps", "throughput is requests per second: write it like `2000/s`"),
        ("cpu <= 1.2.3us", "`1.2.3us` is no amount: write `20us`"),
    ] {
        assert_eq!(error(text), says, "{text}");
    }
}

#[test]
fn what_is_no_condition_says_what_is_missing() {
    for (text, says) in [
        ("", "a condition is like `success >= 99.5%`"),
        ("success", "`success` has no operator: write `<=`, `<`, `>=`, `>` or `==`"),
        ("success >=", "`success >=` has no bound: write a value, such as `99.5%`"),
        ("success = 99%", "write `<=`, `<`, `>=`, `>` or `==` between figure and bound"),
        ("success != 99%", "write `<=`, `<`, `>=`, `>` or `==` between figure and bound"),
        ("success =>= 99%", "write `<=`, `<`, `>=`, `>` or `==` between figure and bound"),
        ("success >== 99%", "`>==` is no operator: write `<=`, `<`, `>=`, `>` or `==`"),
        ("success <> 99%", "`<>` is no operator: write `<=`, `<`, `>=`, `>` or `==`"),
        ("cpu <= best", "`best` is nobody: write `best peer`, `best retrying peer` or the name of an arm"),
        ("cpu <= 1.2x", "`1.2x` lacks the arm to compare with: write it like `1.05x haproxy`"),
        ("cpu <= -5us", "`-5us` is no name of an arm"),
        ("cpu <= nan", ""),
        (": cpu <= 5us", "`` is no name of an arm: a letter, then letters, digits, `-`, `_` and `.`"),
        (
            "cpu <= very much indeed",
            "`very much indeed` is neither an amount nor an arm: write `20us` or `1.05x haproxy`",
        ),
    ] {
        if says.is_empty() {
            // An unknown word is the name of an arm, which may be the user's own.
            assert!(Condition::parse(text).is_ok(), "{text}");
        } else {
            assert!(error(text).starts_with(says), "{text}: {}", error(text));
        }
    }
    assert_eq!(error(&"x".repeat(300)), "a condition is like `success >= 99.5%`");
}

#[test]
fn the_text_stays_as_written() {
    assert_eq!(parse("  cpu   <= 1.00x haproxy ").text(), "cpu   <= 1.00x haproxy");
}

#[test]
fn names_with_a_dash_are_arms_and_an_allowance_stands_apart() {
    let gate = judge("envoy: cpu <= outrigger-b - 1us", {
        let with = |name, cpu| arm(name, vec![with_cpu(round(10, 10), cpu, 0.0)]);
        vec![with("envoy", 9.0), with("outrigger-b", 10.0)]
    });
    assert!(gate.passed, "{gate:?}");
}

#[test]
fn an_outcome_stands_in_the_words_and_the_precision_of_its_condition() {
    let said = |text: &str, arms| outcome(&judge(text, arms));
    let ours = || vec![arm("outrigger", vec![well()])];
    let beside = |cpu| vec![arm("outrigger", vec![well()]), arm("haproxy", vec![with_cpu(round(10, 10), cpu, 0.0)])];
    assert_eq!(said("success >= 99.9%", ours()), "99.5 %");
    assert_eq!(said("p99 <= 1s", ours()), "0.005 s");
    assert_eq!(said("amplification <= 1.1", ours()), "1.2");
    assert_eq!(said("cpu <= 1.00x haproxy", beside(19.95)), "1.003 × (haproxy 19.9 µs)");
    assert_eq!(said("cpu <= haproxy", beside(25.0)), "20 µs (haproxy 25.0 µs)");
    assert_eq!(said("cpu <= 1.00x haproxy", ours()), "haproxy took no part");
    assert_eq!(said("syscalls <= 4", vec![arm("outrigger", vec![round(1, 1)])]), "not measured");
}
