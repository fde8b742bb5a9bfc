use super::*;
use crate::report::example::{arm, fault, played, round, scenario, unable, with_cpu, with_seconds};
use crate::results::Gate;

fn rendered(run: &Run) -> String {
    page(run).expect("a page")
}

fn of(scenarios: Vec<ScenarioRun>) -> Run {
    Run { scenarios, ..played::run() }
}

/// Writes the example for a reader's eye, if asked to: `OUTRIGGER_EXAMPLE_PAGE=/path/page.html cargo test …`.
#[test]
fn the_example_is_a_whole_page() {
    let page = rendered(&played::run());
    if let Some(path) = std::env::var_os("OUTRIGGER_EXAMPLE_PAGE") {
        std::fs::write(path, &page).expect("the file can be written");
    }
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
}

#[test]
fn the_page_asks_the_network_for_nothing() {
    let page = rendered(&played::run());
    for foreign in ["http://", "https://", "src=", "@import", "url(", "<script", "//cdn"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_others_wrote_is_escaped() {
    let hostile = "<img onerror=x>\"'&";
    let mut run = played::run();
    run.name = hostile.to_owned();
    run.command = hostile.to_owned();
    for arm in &mut run.arms {
        (arm.name, arm.version, arm.config, arm.command) =
            (hostile.to_owned(), hostile.to_owned(), hostile.to_owned(), hostile.to_owned());
        arm.lacks = vec![hostile.to_owned()];
    }
    for scenario in &mut run.scenarios {
        (scenario.name, scenario.title, scenario.source) = (hostile.to_owned(), hostile.to_owned(), hostile.to_owned());
        (scenario.load.path, scenario.description) = (hostile.to_owned(), hostile.to_owned());
        scenario.invalid.push(hostile.to_owned());
        scenario.faults.iter_mut().for_each(|fault| fault.label = hostile.to_owned());
        scenario.arms.iter_mut().for_each(|arm| arm.arm.push_str(hostile));
        scenario.arms.push(unable("nobody", hostile));
        let note = hostile.to_owned();
        let (condition, arm) = (hostile.to_owned(), hostile.to_owned());
        scenario.gates.push(Gate { condition, arm, measured: None, passed: false, moot: false, note });
    }
    let page = rendered(&run);
    assert!(!page.contains("<img"), "not escaped");
    assert!(page.contains("&lt;img onerror=x&gt;"));
}

#[test]
fn verdicts_come_first_and_lead_to_their_scenario() {
    let page = rendered(&played::run());
    let verdict = page.find("best peer envoy").expect("a verdict");
    assert!(verdict < page.find("What a request costs").expect("costs"));
    assert!(page.contains("<a class=\"where\" href=\"#scenario-3\">") && page.contains("<section id=\"scenario-3\">"));
}

#[test]
fn invalid_skipped_unable_and_lacking_are_all_said() {
    let page = rendered(&played::run());
    for said in [
        "Invalid: do not use these figures.</strong> the generator was busy for 97 % of its core",
        "Skipped: traefik (no program of that name in PATH)",
        "pingora did not play: its configuration cannot be reloaded",
        "haproxy lacks: retry budget",
        "1 of 3 rounds left out: 9 % of the proxy&#x27;s core was used by others",
        "<span class=\"badge failed\">failed</span></td><td><code>syscalls &lt;= 4.1</code></td><td>outrigger: 4.3",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn every_arm_has_colours_and_dashes_of_its_own() {
    let mut run = played::run();
    let extra = ["outrigger-b", "traefik", "outrigger-c"].map(|name| arm(name, vec![round(10, 10)]));
    run.scenarios[0].arms.extend(extra);
    let mut looks: Vec<(&str, &str)> = arm_views(&run).iter().map(|arm| (arm.light, arm.dash)).collect();
    assert_eq!(looks.len(), 9);
    looks.sort_unstable();
    looks.dedup();
    assert_eq!(looks.len(), 9);
}

#[test]
fn costs_are_read_only_where_nothing_fails_and_the_figures_are_valid() {
    let costly = |name: &str| ScenarioRun {
        arms: vec![arm("outrigger", vec![with_cpu(round(100, 100), 5.0, 15.0)])],
        ..scenario(name)
    };
    let run = of(vec![
        costly("steady"),
        ScenarioRun { faults: vec![fault("stall", 1.0, 2.0)], ..costly("stall") },
        ScenarioRun { invalid: vec!["noise".to_owned()], ..costly("noisy") },
    ]);
    let titles: Vec<String> = costs(&run, &|_| String::new()).into_iter().map(|cost| cost.title).collect();
    assert_eq!(titles, ["Title of steady"]);
}

#[test]
fn odd_runs_make_a_page_without_nan_and_without_panic() {
    let mut nan = with_seconds(with_cpu(round(0, 0), f64::NAN, 1.0), &[0, 0]);
    nan.client.latency = vec![(f64::NAN, 0), (1.0, 0)];
    nan.client.seconds = f64::NAN;
    nan.client.intended = u64::MAX;
    nan.timeline.push(crate::results::Second::default());
    let mut strange = ScenarioRun {
        arms: vec![arm("outrigger", vec![nan]), arm("envoy", Vec::new()), unable("nginx", "")],
        faults: vec![fault("", f64::NAN, f64::INFINITY), fault("late", 99.0, 98.0)],
        seconds: f64::NAN,
        ..scenario("strange")
    };
    strange.load.rate = Some(f64::NAN);
    let mut run = of(vec![strange, ScenarioRun { seconds: 0.0, title: String::new(), ..scenario("") }]);
    for _ in 0..2 {
        let page = rendered(&run);
        assert!(!page.contains("NaN") && !page.contains(">inf"), "{page}");
        run.arms.clear();
        run.skipped.clear();
    }
    run.scenarios.clear();
    assert!(rendered(&run).contains("No conditions were judged."));
}
