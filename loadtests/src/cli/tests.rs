//! What the command line refuses, and what it makes of what it takes.

use clap::CommandFactory;

use super::*;

fn arguments(words: &[&str]) -> RunArgs {
    let line = ["outrigger-bench", "run"].into_iter().chain(words.iter().copied());
    match Cli::try_parse_from(line).expect("a command line").command {
        Command::Run(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_scenario_of_the_repository_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtests/scenarios");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("scenarios")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names = SCENARIOS.names();
    names.sort_unstable();
    assert_eq!(names, files);
}

#[test]
fn every_scenario_of_ours_is_a_good_one() {
    let all = scenarios(&[], false).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(all.len(), SCENARIOS.names().len());
    let quick = scenarios(&[], true).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(!quick.is_empty() && quick.iter().all(|scenario| scenario.quick));
}

#[test]
fn the_short_comparison_takes_three_minutes_of_load_at_most() {
    let mut plan = plan(arguments(&["--quick", "--arm", "haproxy,binary=/bin/true", "--no-pin"])).expect("a plan");
    let arm = plan.arms[0].clone();
    plan.arms = vec![arm; Kind::ALL.len()];
    assert!(plan.load_seconds() <= 180.0, "{} s", plan.load_seconds());
}

#[test]
fn an_unknown_scenario_is_answered_with_those_that_there_are() {
    let said = scenarios(&["stedy".to_owned()], false).expect_err("unknown");
    assert!(said.starts_with("there is no scenario `stedy`; there are "), "{said}");
    let said = scenarios(&["no/such.yaml".to_owned()], false).expect_err("missing");
    assert!(said.starts_with("no/such.yaml: "), "{said}");
}

#[test]
fn a_stretched_scenario_keeps_the_shape_of_its_faults() {
    let name = SCENARIOS.names().into_iter().find(|name| {
        let (text, file) = SCENARIOS.find(name).expect("ours");
        Scenario::parse(&text, &file).is_ok_and(|scenario| !scenario.faults.is_empty())
    });
    let (text, file) = SCENARIOS.find(name.expect("one with faults")).expect("ours");
    let before = Scenario::parse(&text, &file).expect("good");
    let mut after = Scenario::parse(&text, &file).expect("good");
    let seconds = u32::try_from(before.duration.as_secs() * 2).expect("short");
    stretch(&mut after, seconds);
    assert_eq!(after.duration, before.duration * 2);
    for (before, after) in before.faults.iter().zip(&after.faults) {
        assert_eq!((after.at, after.until), (before.at * 2, before.until * 2));
    }
}

#[test]
fn two_arms_of_one_name_are_refused() {
    let twice = ["haproxy,binary=/bin/true", "haproxy,binary=/bin/true"].map(str::to_owned);
    let said = arms(&twice, None).expect_err("twice");
    assert_eq!(said, "two arms are called haproxy; give one of them a label: haproxy-b=haproxy");
}

#[test]
fn a_program_that_was_named_must_be_there() {
    let said = arms(&["outrigger".to_owned()], Some(Path::new("/nowhere/outrigger"))).expect_err("missing");
    assert_eq!(said, "outrigger: /nowhere/outrigger is not there or not a program");
}

#[test]
fn the_direct_way_alone_measures_nothing() {
    let said = arms(&["direct".to_owned()], None).expect_err("nothing to measure");
    assert!(said.starts_with("there is no arm to measure"), "{said}");
}

#[test]
fn a_policy_that_is_not_there_is_found_before_anything_is_started() {
    let said =
        arms(&["outrigger-b=outrigger,policy=no/such.yaml,binary=/bin/true".to_owned()], None).expect_err("missing");
    assert!(said.starts_with("no/such.yaml: "), "{said}");
}

#[test]
fn a_policy_that_the_program_refuses_is_found_before_anything_is_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("own.yaml");
    std::fs::write(&policy, "version: 1\nupstreams:\n  a: { url: \"http://a.example\" }\n").expect("written");
    // A program that has a version and refuses: there is no file named `check`.
    let arm = format!("outrigger-b=outrigger,policy={},binary=/bin/ls", policy.display());
    let said = arms(&[arm], None).expect_err("refused");
    assert!(said.starts_with("outrigger-b: `outrigger check` refuses the policy:\n"), "{said}");
}

#[test]
fn proxies_and_load_do_not_share_a_core() {
    assert!(
        cores(&arguments(&["--proxy-core", "0", "--load-core", "0"]))
            .is_err_and(|said| said.contains("core of their own"))
    );
    assert!(
        cores(&arguments(&["--proxy-core", "0", "--load-core", "4000"]))
            .is_err_and(|said| said.contains("has cores 0 to"))
    );
    assert_eq!(cores(&arguments(&["--no-pin"])), Ok((None, None)));
}

#[test]
fn words_are_quoted_only_where_a_shell_needs_it() {
    assert_eq!(quoted("--arm=outrigger-b=outrigger,policy=a.yaml"), "--arm=outrigger-b=outrigger,policy=a.yaml");
    assert_eq!(quoted("it's"), r"'it'\''s'");
    assert_eq!(quoted(""), "''");
}

#[test]
fn an_invalid_scenario_outweighs_a_failed_condition() {
    let gate = crate::results::Gate {
        condition: String::new(),
        arm: String::new(),
        measured: None,
        passed: false,
        moot: false,
        note: String::new(),
    };
    let text = r#"{"format":1,"name":"r","started":"","command":"","seed":1,
        "environment":{"cores":2,"cpu":"","kernel":"","memory_mib":1,"commit":"","proxy_core":null,"load_core":null},
        "arms":[],"skipped":[],"scenarios":[{"name":"s","title":"","description":"","source":"","seconds":1.0,
        "load":{"mode":"closed","rate":null,"connections":1,"protocol":"http1","method":"GET","path":"/",
        "body_bytes":0,"answer_bytes":0,"keyed":false,"timeout_s":1.0},"faults":[],"gates":[],"arms":[],"invalid":[]}]}"#;
    let mut run: Run = serde_json::from_str(text).expect("a run");
    assert_eq!(Outcome::of(&run), Outcome::Fine);
    run.scenarios[0].gates.push(gate);
    assert_eq!(Outcome::of(&run), Outcome::Failed);
    run.scenarios[0].invalid.push("noise".to_owned());
    assert_eq!(Outcome::of(&run), Outcome::Invalid);
}
