use std::collections::{BTreeMap, BTreeSet};

use super::judge::Seen;
use super::script::{Drill, Trouble, fill};
use crate::library::DRILLS;

fn drill(name: &str) -> Drill {
    let (text, file) = DRILLS.find(name).expect("a drill");
    Drill::parse(&text, &file).expect("a good drill")
}

fn filled(text: &str) -> String {
    let mut port = 20_000;
    let spare = || {
        port += 1;
        Ok(format!("127.0.0.1:{port}"))
    };
    fill(text, &mut BTreeMap::new(), spare).expect("addresses")
}

#[test]
fn every_drill_that_comes_with_the_tool_is_good_and_so_are_its_policies() {
    for (name, text) in DRILLS.files {
        let drill = Drill::parse(text, name).unwrap_or_else(|e| panic!("{e}"));
        outrigger::policy::compile::load(name, &filled(&drill.policy)).unwrap_or_else(|e| panic!("{name}: {e}"));
        for trouble in &drill.trouble {
            let Trouble::Policy { text } = trouble else { continue };
            let loaded = outrigger::policy::compile::load(name, &filled(text));
            assert_eq!(loaded.is_err(), *name == "typo", "{name}");
        }
        let causes: BTreeSet<&str> = outrigger::reliability::verdict::Cause::ALL.map(|cause| cause.token()).into();
        assert!(drill.expect.cause.iter().all(|cause| causes.contains(cause.as_str())), "{name}: an unknown cause");
    }
}

#[test]
fn every_file_of_the_folder_comes_with_the_tool() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtests/drills");
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let files: BTreeSet<String> = files.map(|file| file.to_string_lossy().into_owned()).collect();
    let embedded: BTreeSet<String> = DRILLS.files.iter().map(|(name, _)| format!("{name}.yaml")).collect();
    assert_eq!(files, embedded);
}

#[test]
fn a_broken_drill_is_refused_with_its_place() {
    let (text, _) = DRILLS.find("refused").expect("a drill");
    let wrong = |from: &str, to: &str| Drill::parse(&text.replace(from, to), "x.yaml").expect_err("it is broken");
    assert!(wrong("what: dead", "what: daed").contains("daed"), "{}", wrong("what: dead", "what: daed"));
    assert!(wrong("servers: [e1, e2, e3] }", "servers: [e9] }").contains("there is no server `e9`"));
    assert!(wrong("rate: 40", "rate: 0").contains("1 to 2000"));
}

#[test]
fn a_look_passes_only_if_everything_that_must_be_read_stands_in_the_first_lines() {
    let expect = drill("refused").expect;
    let json = r#"{"condition":"failing","verdicts":[{"upstream":"payments","cause":"refusing"}]}"#;
    let good = Seen::read(json, "payments is failing: connections are refused\n\n").expect("a look");
    assert_eq!(good.lacks(&expect), None);
    let lacks = |json: &str, text: &str| Seen::read(json, text).expect("a look").lacks(&expect);
    assert!(lacks(&json.replace("refusing", "slow"), "payments refuses").is_some());
    assert!(lacks(&json.replace("payments", "catalog"), "payments refuses").is_some());
    assert!(lacks(&json.replace("failing", "degraded"), "payments refuses").is_some());
    assert!(lacks(json, "one\ntwo\nthree\nfour\npayments refuses").is_some(), "it stands too far below");
    assert!(Seen::read("{", "").is_err());
}
