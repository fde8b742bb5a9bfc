//! Which change is named as the suspect, and which is not.

use super::sim::Sim;
use crate::reliability::ending::Ending;
use crate::reliability::verdict::finding::{ChangeKind, Suspicion};
use std::time::Duration;

/// After a healthy minute `change` is made, `seconds` later a part of the requests begins to fail.
fn suspected(seconds: u64, change: impl FnOnce(&mut Sim)) -> Option<Suspicion> {
    let mut sim = Sim::healthy(50.0, 2, 60);
    change(&mut sim);
    sim.run(seconds);
    sim.fail(0.38, Ending::Error);
    sim.run(10).expect("found").suspect
}

fn policy(sim: &mut Sim) {
    sim.change(ChangeKind::Policy, &["payments"], "revision 12");
}

#[test]
fn a_revision_four_seconds_before_is_named_with_the_rates_before_and_after() {
    let suspicion = suspected(4, policy).expect("the revision");
    assert_eq!(suspicion.change.summary, "revision 12");
    assert!((3..=5).contains(&suspicion.before.as_secs()), "{:?}", suspicion.before);
    let (before, after) = suspicion.rates;
    assert!(before < 0.01 && (0.3..0.46).contains(&after), "{before} {after}");
}

#[test]
fn a_change_at_the_same_moment_is_named_too() {
    assert!(suspected(0, policy).is_some_and(|suspicion| suspicion.before <= Duration::from_secs(1)));
}

#[test]
fn innocent_changes_are_not_accused() {
    // Of another upstream; too long ago; what begins with every process.
    assert_eq!(suspected(4, |sim| sim.change(ChangeKind::Policy, &["orders"], "revision 12")), None);
    assert_eq!(suspected(90, policy), None);
    assert_eq!(suspected(4, |sim| sim.change(ChangeKind::Endpoints, &["orders"], "orders: endpoints")), None);
    assert_eq!(suspected(4, |sim| sim.change(ChangeKind::Start, &[], "the start")), None, "it worked for a minute");
    // After the onset.
    let mut sim = Sim::healthy(50.0, 2, 60);
    sim.fail(1.0, Ending::Error);
    sim.run(6);
    policy(&mut sim);
    assert_eq!(sim.run(10).expect("found").suspect, None);
}

#[test]
fn a_change_that_names_the_upstream_comes_before_a_later_one_of_all() {
    let suspicion = suspected(4, |sim| {
        policy(sim);
        sim.run(2);
        sim.change(ChangeKind::Policy, &[], "revision 13");
    });
    assert_eq!(suspicion.map(|suspicion| suspicion.change.summary), Some("revision 12".to_owned()));
    let suspicion = suspected(4, |sim| sim.change(ChangeKind::Policy, &[], "revision 13"));
    assert_eq!(suspicion.map(|suspicion| suspicion.change.summary), Some("revision 13".to_owned()));
}

#[test]
fn of_a_policy_with_new_addresses_the_policy_is_named() {
    let suspicion = suspected(4, |sim| {
        policy(sim);
        sim.change(ChangeKind::Endpoints, &["payments"], "payments: endpoints added [10.0.0.9:80]");
    });
    assert_eq!(suspicion.map(|suspicion| suspicion.change.kind), Some(ChangeKind::Policy));
    let alone = suspected(4, |sim| sim.change(ChangeKind::Endpoints, &["payments"], "payments: endpoints added [x]"));
    assert_eq!(alone.map(|suspicion| suspicion.change.kind), Some(ChangeKind::Endpoints));
}

#[test]
fn a_process_that_never_worked_suspects_its_start() {
    let mut sim = Sim::new(20.0, 1, 3);
    sim.change(ChangeKind::Start, &[], "the start with revision 1");
    sim.fail(1.0, Ending::Refused);
    let found = sim.run(10).expect("found");
    assert_eq!(found.suspect.map(|suspicion| suspicion.change.kind), Some(ChangeKind::Start));
}

#[test]
fn a_suspect_stays_while_the_finding_lasts_and_later_changes_are_not_added() {
    let mut sim = Sim::healthy(50.0, 2, 60);
    policy(&mut sim);
    sim.run(4);
    sim.fail(0.9, Ending::Error);
    sim.run(30);
    sim.changes.clear();
    sim.change(ChangeKind::Policy, &["payments"], "revision 13");
    let suspect = sim.run(120).expect("it lasts").suspect.expect("it stays");
    assert_eq!(suspect.change.summary, "revision 12");
}

#[test]
fn of_slowness_the_latencies_are_told() {
    let mut sim = Sim::healthy(50.0, 2, 60);
    policy(&mut sim);
    sim.run(2);
    sim.answer_in(300.0);
    let suspicion = sim.run(12).expect("found").suspect.expect("the revision");
    let (before, after) = suspicion.latencies.expect("both are known");
    assert!(before < Duration::from_millis(15) && after > Duration::from_millis(150), "{before:?} {after:?}");
}
