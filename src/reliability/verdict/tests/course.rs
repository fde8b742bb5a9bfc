//! How a finding begins, changes and ends; and the app behind `inbound`.

use super::sim::Sim;
use crate::reliability::breaker::State;
use crate::reliability::ending::Ending;
use crate::reliability::verdict::app::Blame;
use crate::reliability::verdict::finding::Finding;
use crate::reliability::verdict::{Cause, Condition, Confidence};
use std::time::Duration;

#[test]
fn after_a_recovery_it_is_healthy_again_within_fifteen_seconds() {
    for rate in [2.0, 20.0, 500.0] {
        let mut sim = Sim::healthy(rate, 2, 60);
        sim.fail(1.0, Ending::Refused);
        assert!(sim.run(40).is_some());
        sim.fail(0.001, Ending::Error);
        let took = sim.until(15, |found| found.is_none());
        assert!(took.is_some(), "at {rate}/s: {:?}", sim.finding());
        assert_eq!(sim.run(120), None, "and stays so, at {rate}/s");
    }
}

#[test]
fn a_breaker_that_closes_again_ends_the_trouble() {
    let mut sim = Sim::healthy(20.0, 1, 60);
    sim.fail(1.0, Ending::Refused);
    sim.run(3);
    sim.circuit = Some(State::Open);
    sim.run(30);
    sim.fail(0.0, Ending::Error);
    sim.circuit = Some(State::HalfOpen);
    assert!(sim.run(3).is_some(), "probes decide");
    sim.circuit = Some(State::Closed);
    assert!(sim.until(15, |found| found.is_none()).is_some(), "{:?}", sim.finding());
}

#[test]
fn a_finding_does_not_come_and_go_while_the_fault_lasts() {
    for share in [0.12, 0.3, 0.7] {
        let mut sim = Sim::healthy(20.0, 3, 60);
        sim.fail(share, Ending::Error);
        let first = sim.until(30, |found| found.is_some());
        assert!(first.is_some(), "{share} is found");
        let since = sim.finding().map(|found| found.since);
        let mut gone = 0;
        for _ in 0..300 {
            sim.second();
            let same = |found: &Finding| Some(found.since) == since && found.cause == Cause::Erroring;
            gone += u32::from(!sim.finding().is_some_and(same));
        }
        assert!(gone == 0, "{share}: gone or anew in {gone} looks");
    }
}

#[test]
fn a_fault_that_turns_into_another_one_is_one_trouble_with_the_cause_of_now() {
    let mut sim = Sim::healthy(20.0, 1, 60);
    sim.fail(1.0, Ending::TimedOut);
    let first = sim.run(6).expect("found");
    assert_eq!(first.cause, Cause::TimingOut);
    sim.fail(1.0, Ending::Refused);
    let second = sim.run(10).expect("found");
    assert_eq!((second.cause, second.since), (Cause::Refusing, first.since));
}

#[test]
fn the_cause_is_that_of_the_last_failures_also_while_the_breaker_lets_few_through() {
    let mut sim = Sim::healthy(100.0, 1, 60);
    sim.fail(0.2, Ending::TimedOut);
    sim.run(10).expect("found");
    sim.fail(1.0, Ending::Error);
    sim.second();
    sim.circuit = Some(State::Open);
    let found = sim.run(4).expect("found");
    assert_eq!((found.cause, found.condition), (Cause::Erroring, Condition::Failing));
    assert!(found.share > 0.95, "what clients get now: {}", found.share);
}

#[test]
fn who_answers_again_recovers_while_traffic_returns_step_by_step() {
    let mut sim = Sim::healthy(100.0, 1, 60);
    sim.fail(1.0, Ending::Error);
    sim.run(10).expect("found");
    sim.fail(0.0, Ending::Error);
    sim.shed = 0.4;
    assert!(sim.until(7, |found| found.is_some_and(|found| found.cause == Cause::Recovering)).is_some());
    for _ in 0..30 {
        sim.second();
        let found = sim.finding().expect("clients are still refused");
        assert_eq!((found.cause, found.condition), (Cause::Recovering, Condition::Degraded));
    }
    sim.shed = 0.0;
    assert!(sim.until(12, |found| found.is_none()).is_some(), "{:?}", sim.finding());
    // It fails again on its way back.
    sim.fail(1.0, Ending::Refused);
    sim.run(5);
    sim.fail(0.0, Ending::Error);
    sim.run(4);
    sim.fail(1.0, Ending::Refused);
    let found = sim.run(4).expect("found");
    assert_eq!((found.cause, found.condition), (Cause::Refusing, Condition::Failing));
}

#[test]
fn probes_that_all_go_to_one_endpoint_do_not_put_the_blame_on_it() {
    let mut sim = Sim::healthy(50.0, 2, 60);
    sim.fail(1.0, Ending::Error);
    sim.run(3);
    sim.endpoints[0].avoided = true;
    for _ in 0..10 {
        (sim.circuit, sim.endpoints[1].ejected) = (Some(State::HalfOpen), false);
        sim.second();
        (sim.circuit, sim.endpoints[1].ejected) = (Some(State::Open), true);
        for _ in 0..3 {
            sim.second();
            assert_eq!(sim.finding().map(|found| found.cause), Some(Cause::Erroring));
        }
    }
}

#[test]
fn without_traffic_a_finding_is_let_go_after_a_minute() {
    let mut sim = Sim::healthy(20.0, 1, 60);
    sim.fail(1.0, Ending::Refused);
    sim.run(10);
    sim.rate = 0.0;
    assert!(sim.run(30).is_some(), "nothing shows that it is well");
    assert_eq!(sim.finding().map(|found| found.confidence), Some(Confidence::Low));
    assert_eq!(sim.run(30), None);
}

#[test]
fn what_is_slow_for_half_an_hour_is_usual() {
    let mut sim = Sim::healthy(20.0, 2, 60);
    sim.answer_in(300.0);
    assert!(sim.run(600).is_some());
    assert_eq!(sim.run(1_400), None);
}

#[test]
fn a_chronic_share_of_failures_never_becomes_usual_if_it_was_found_at_once() {
    let mut sim = Sim::new(20.0, 2, 11);
    sim.fail(0.4, Ending::Error);
    assert!(sim.run(1_200).is_some());
}

#[test]
fn half_or_more_is_failing_and_becomes_degraded_when_it_is_less() {
    let mut sim = Sim::healthy(50.0, 2, 60);
    sim.fail(0.9, Ending::Error);
    assert_eq!(sim.run(10).map(|found| found.condition), Some(Condition::Failing));
    sim.fail(0.2, Ending::Error);
    assert_eq!(sim.run(10).map(|found| found.condition), Some(Condition::Degraded));
}

fn app() -> Sim {
    let mut sim = Sim::new(20.0, 1, 21);
    sim.inbound = true;
    sim.run(60);
    sim
}

fn settled(blame: &mut Blame, app: &Sim, dependency: &Sim) -> Option<Finding> {
    let mut found = app.finding().cloned()?;
    blame.settle(app.now, &mut found, dependency.finding().map(|finding| ("payments", finding)).into_iter());
    Some(found)
}

#[test]
fn an_app_that_fails_with_its_dependency_is_not_accused_itself() {
    let (mut app, mut payments, mut blame) = (app(), Sim::healthy(20.0, 1, 60), Blame::default());
    // One clock.
    let later = payments.now.max(app.now);
    (app.now, payments.now) = (later, later);
    payments.fail(1.0, Ending::Refused);
    app.fail(0.8, Ending::Error);
    let mut told = 0;
    for _ in 0..40 {
        payments.second();
        app.second();
        if let Some(found) = settled(&mut blame, &app, &payments) {
            assert_eq!((found.cause, found.dependency.as_deref()), (Cause::AppsDependency, Some("payments")));
            told += 1;
        }
    }
    assert!(told > 30, "{told}");
    // The dependency recovers first.
    payments.fail(0.0, Ending::Error);
    for _ in 0..20 {
        payments.second();
        app.second();
        let found = settled(&mut blame, &app, &payments).expect("the app still fails");
        assert_eq!(found.cause, Cause::AppsDependency);
    }
    // And the app does not: it is the app's own now.
    for _ in 0..60 {
        payments.second();
        app.second();
        settled(&mut blame, &app, &payments);
    }
    assert_eq!(settled(&mut blame, &app, &payments).map(|found| found.cause), Some(Cause::TheApp));
}

#[test]
fn an_app_that_failed_first_or_is_not_there_is_accused_itself() {
    for (ending, lead) in [(Ending::Error, 20), (Ending::Refused, 0)] {
        let (mut app, mut payments, mut blame) = (app(), Sim::healthy(20.0, 1, 60), Blame::default());
        let later = payments.now.max(app.now);
        (app.now, payments.now) = (later, later);
        app.fail(1.0, ending);
        app.run(lead);
        payments.run(lead);
        payments.fail(1.0, Ending::Error);
        payments.run(10);
        app.run(10);
        let found = settled(&mut blame, &app, &payments).expect("the app fails");
        assert_eq!(found.cause, Cause::TheApp, "{ending:?}");
        assert!(app.now - found.since >= Duration::from_secs(lead));
    }
}
