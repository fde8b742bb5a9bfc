use super::*;

#[test]
fn an_endpoint_can_be_absent_for_a_while() {
    let text = "title: A\ndescription: B.\nduration: 5s\nload: { rate: 10 }\nupstream: { endpoints: 2 }\n\
                faults:\n  - { at: 1s, for: 2s, what: absent, endpoints: [2] }\n";
    let scenario = Scenario::parse(text, "a.yaml", &|_| Ok(())).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((&scenario.faults[0].kind, scenario.faults[0].endpoints.as_slice()), (&FaultKind::Absent, &[1][..]));
    assert_eq!(scenario.faults[0].label(2), "absent (1 of 2)");
}

#[test]
fn a_condition_is_judged_by_whoever_reads_it() {
    let text = "title: A\ndescription: B.\nduration: 5s\nload: { rate: 10 }\ngates:\n  - nonsense\n";
    assert_eq!(Scenario::parse(text, "a.yaml", &|_| Ok(())).map(|s| s.gates), Ok(vec!["nonsense".to_owned()]));
    let told = Scenario::parse(text, "a.yaml", &|gate| Err(format!("`{gate}` is none"))).map(|_| ());
    assert_eq!(told, Err("a.yaml:6:5: `nonsense` is none".to_owned()));
}
