//! Each cause, named within ten seconds.

use super::sim::Sim;
use crate::reliability::breaker::{Hold, State};
use crate::reliability::ending::Ending;
use crate::reliability::verdict::finding::{Finding, Symptom};
use crate::reliability::verdict::{Cause, Condition};
use std::time::Duration;

const RATE: f64 = 20.0;

fn caused(cause: Cause) -> impl Fn(Option<&Finding>) -> bool {
    move |found| found.is_some_and(|found| found.cause == cause)
}

/// After a healthy minute, `fault` is named within ten seconds, and nothing else before.
fn named(rate: f64, endpoints: usize, cause: Cause, fault: impl Fn(&mut Sim)) -> Finding {
    let mut sim = Sim::healthy(rate, endpoints, 60);
    assert_eq!(sim.finding(), None, "nothing is wrong yet");
    fault(&mut sim);
    let began = sim.now;
    for second in 1..=10 {
        sim.second();
        let Some(found) = sim.finding() else { continue };
        assert_eq!(found.cause, cause, "after {second} s: {found:?}");
        let since = found.since.max(began) - found.since.min(began);
        assert!(since <= Duration::from_secs(3), "{since:?} away from the fault: {found:?}");
        // What is said first may be less than what is said in the end.
        return sim.run(10 - second).expect("it lasts");
    }
    panic!("not named within 10 s");
}

#[test]
fn each_way_to_fail_has_its_cause() {
    let endings = [
        (Ending::Refused, Cause::Refusing),
        (Ending::Unreachable, Cause::Down),
        (Ending::TimedOut, Cause::TimingOut),
        (Ending::Broken, Cause::Breaking),
        (Ending::Error, Cause::Erroring),
        (Ending::Overload, Cause::Overloaded),
        (Ending::Tls, Cause::Tls),
        (Ending::Dns, Cause::Dns),
    ];
    for (ending, cause) in endings {
        for rate in [2.0, 5.0, 20.0, 500.0] {
            let found = named(rate, 1, cause, |sim| sim.fail(1.0, ending));
            assert_eq!(found.condition, Condition::Failing, "at {rate}/s: {found:?}");
            assert!(found.share > 0.9, "{found:?}");
        }
    }
}

#[test]
fn a_part_of_the_requests_failing_is_degraded() {
    for share in [0.2, 0.38] {
        let found = named(RATE, 3, Cause::Erroring, |sim| sim.fail(share, Ending::Error));
        assert_eq!(found.condition, Condition::Degraded);
        assert!((found.share - share).abs() < 0.12, "{found:?}");
    }
}

#[test]
fn failures_that_retries_rescue_degrade_although_no_request_fails() {
    let found = named(RATE, 3, Cause::Erroring, |sim| {
        sim.attempts = 4;
        sim.fail(0.3, Ending::Error);
    });
    assert_eq!(found.condition, Condition::Degraded);
    assert!(found.share < 0.05 && found.numbers.rescued > 20, "{found:?}");
    assert!(found.numbers.attempts_failed > 20, "{found:?}");
}

#[test]
fn one_of_three_endpoints_is_named_by_its_address() {
    for (ending, attempts) in [(Ending::Refused, 1), (Ending::TimedOut, 2), (Ending::Error, 1)] {
        let found = named(RATE, 3, Cause::OneEndpoint, |sim| {
            sim.attempts = attempts;
            (sim.endpoints[1].fails, sim.endpoints[1].ending) = (1.0, ending);
        });
        assert_eq!(found.endpoints, ["10.0.0.2:8080"]);
        assert_eq!((found.endpoints_total, found.symptom), (3, Symptom::Fails(ending)));
        assert_eq!(found.condition, Condition::Degraded);
    }
}

#[test]
fn an_endpoint_that_sits_out_is_told_although_nothing_fails_any_more() {
    let mut sim = Sim::healthy(RATE, 3, 60);
    (sim.endpoints[2].fails, sim.endpoints[2].ending) = (1.0, Ending::Refused);
    sim.attempts = 2;
    sim.second();
    sim.endpoints[2].ejected = true;
    let found = sim.run(8).expect("it is told");
    assert_eq!((found.cause, found.endpoints), (Cause::OneEndpoint, vec!["10.0.0.3:8080".to_owned()]));
    // It returns, and does well.
    (sim.endpoints[2].fails, sim.endpoints[2].ejected) = (0.0, false);
    assert!(sim.until(15, |found| found.is_none()).is_some(), "{:?}", sim.finding());
}

#[test]
fn a_dead_endpoint_that_the_balancer_avoids_is_named_by_two_connections() {
    let mut sim = Sim::healthy(RATE, 3, 60);
    (sim.rate, sim.attempts) = (3.0, 2);
    (sim.endpoints[1].fails, sim.endpoints[1].ending) = (1.0, Ending::Refused);
    while sim.endpoints[1].seen.endings.get(Ending::Refused) < 2 {
        sim.second();
    }
    (sim.rate, sim.endpoints[1].avoided) = (RATE, true);
    for _ in 0..60 {
        sim.second();
        let found = sim.finding().expect("it is still held to be dead");
        assert_eq!((found.cause, found.symptom), (Cause::OneEndpoint, Symptom::Fails(Ending::Refused)));
        assert_eq!(found.endpoints, ["10.0.0.2:8080"]);
    }
    (sim.endpoints[1].fails, sim.endpoints[1].avoided) = (0.0, false);
    assert!(sim.until(15, |found| found.is_none()).is_some(), "{:?}", sim.finding());
}

#[test]
fn slow_is_told_of_all_and_of_one() {
    let found = named(RATE, 3, Cause::Slow, |sim| sim.answer_in(250.0));
    assert_eq!((found.condition, found.share > 0.9), (Condition::Degraded, true));
    let (now, usual) = found.numbers.latency.zip(found.numbers.usual_latency).expect("both are known");
    assert!(now > Duration::from_millis(150) && usual < Duration::from_millis(15), "{now:?} {usual:?}");

    let found = named(RATE, 3, Cause::OneEndpoint, |sim| sim.endpoints[0].millis = 200.0);
    assert_eq!((found.endpoints, found.symptom), (vec!["10.0.0.1:8080".to_owned()], Symptom::Slow));
    assert!(found.numbers.latency > found.numbers.usual_latency.map(|usual| usual * 3));
}

#[test]
fn a_slow_endpoint_that_the_balancer_avoids_is_named_by_few_answers() {
    let mut sim = Sim::healthy(RATE, 3, 60);
    sim.endpoints[1].millis = 600.0;
    sim.second();
    sim.endpoints[1].avoided = true;
    for _ in 0..60 {
        sim.second();
        let found = sim.finding().expect("it is still held to be slow");
        assert_eq!((found.cause, found.symptom), (Cause::OneEndpoint, Symptom::Slow));
    }
    (sim.endpoints[1].millis, sim.endpoints[1].avoided) = (5.0, false);
    assert!(sim.until(15, |found| found.is_none()).is_some(), "{:?}", sim.finding());
}

#[test]
fn what_the_policy_calls_slow_is_slow_even_if_it_always_was() {
    let mut sim = Sim::new(RATE, 2, 3);
    sim.slow_call = Some(Duration::from_millis(100));
    sim.answer_in(400.0);
    assert!(sim.until(10, caused(Cause::Slow)).is_some(), "{:?}", sim.finding());
}

#[test]
fn facts_are_told_as_they_are() {
    let found = named(RATE, 2, Cause::Held, |sim| sim.held = Some(Hold::Open));
    assert_eq!(found.condition, Condition::Failing);
    let found = named(RATE, 2, Cause::Held, |sim| sim.held = Some(Hold::Closed));
    assert_eq!(found.condition, Condition::Degraded);
    let found = named(RATE, 2, Cause::Dns, |sim| sim.unresolved = true);
    assert_eq!((found.condition, found.symptom), (Condition::Degraded, Symptom::Unresolved));

    let mut sim = Sim::new(RATE, 0, 1);
    assert!(sim.until(5, caused(Cause::Down)).is_some(), "{:?}", sim.finding());
    let mut sim = Sim::new(RATE, 0, 1);
    sim.unresolved = true;
    assert!(sim.until(5, caused(Cause::Dns)).is_some(), "{:?}", sim.finding());
    assert_eq!(sim.finding().map(|found| found.condition), Some(Condition::Failing));
}

#[test]
fn our_limits_and_leaving_clients_are_not_the_upstreams_fault() {
    let found = named(RATE, 2, Cause::OurLimit, |sim| sim.refused = 0.4);
    assert!((0.25..0.6).contains(&found.share), "{found:?}");
    let found = named(RATE, 2, Cause::OurLimit, |sim| sim.waiting = 12);
    assert_eq!(found.condition, Condition::Degraded);
    let found = named(RATE, 2, Cause::ClientAborts, |sim| sim.cancelled = 0.7);
    assert!((0.5..0.9).contains(&found.share), "{found:?}");
}

#[test]
fn requests_that_pile_up_while_nothing_is_answered_time_out() {
    let mut sim = Sim::healthy(RATE, 1, 60);
    sim.rate = 0.0;
    let found = (0..10).find_map(|_| {
        sim.in_flight += 20;
        sim.second();
        sim.finding().cloned()
    });
    let found = found.expect("named within 10 s");
    assert_eq!((found.cause, found.symptom, found.condition), (Cause::TimingOut, Symptom::Stalls, Condition::Failing));

    let mut ended = Sim::healthy(RATE, 1, 60);
    ended.rate = 0.0;
    assert_eq!(ended.run(120), None, "traffic may end");
}

#[test]
fn one_route_that_fails_alone_is_named() {
    let found = |share: f64, cause: Cause| {
        named(100.0, 2, cause, |sim| {
            sim.routes = vec![("charge", share, 1.0), ("default", 1.0 - share, 0.0)];
        })
    };
    // A route that the upstream as a whole shows, and one that it does not.
    let seen = |share: f64| {
        let mut sim = Sim::new(100.0, 2, 5);
        sim.routes = vec![("charge", share, 0.0), ("default", 1.0 - share, 0.0)];
        sim.run(60);
        sim.routes[0].2 = 1.0;
        sim.run(10).expect("named")
    };
    for share in [0.3, 0.03] {
        let found = seen(share);
        assert_eq!((found.cause, found.route.as_deref()), (Cause::Erroring, Some("charge")), "{found:?}");
        assert_eq!(found.condition, Condition::Degraded);
    }
    assert_eq!(found(0.5, Cause::Erroring).condition, Condition::Degraded);
}

#[test]
fn behind_inbound_it_is_the_app() {
    let mut sim = Sim::new(RATE, 1, 2);
    sim.inbound = true;
    sim.run(60);
    sim.fail(1.0, Ending::Refused);
    assert!(sim.until(10, caused(Cause::TheApp)).is_some(), "{:?}", sim.finding());
    assert_eq!(sim.finding().map(|found| found.symptom), Some(Symptom::Fails(Ending::Refused)));
}

#[test]
fn an_open_breaker_keeps_the_cause_for_as_long_as_it_is_open() {
    for ending in [Ending::Refused, Ending::TimedOut, Ending::Error] {
        let mut sim = Sim::healthy(RATE, 1, 60);
        sim.circuit = Some(State::Closed);
        sim.fail(1.0, ending);
        // It opens before the engine has seen enough.
        sim.second();
        sim.circuit = Some(State::Open);
        let first = sim.run(2).expect("an open circuit is told at once");
        assert_eq!(first.condition, Condition::Failing);
        for _ in 0..300 {
            sim.second();
            let found = sim.finding().expect("it is open");
            assert_eq!((found.cause, found.condition, found.since), (first.cause, Condition::Failing, first.since));
        }
        assert_eq!(first.symptom, Symptom::Fails(ending));
    }
}
