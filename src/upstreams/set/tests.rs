use super::*;
use crate::policy::compile;
use crate::reliability::ejection::EndpointSignal;
use crate::reliability::health::Miss;
use crate::upstreams::endpoint::{AttemptRecord, Due};

const SLOW: Duration = Duration::from_secs(10);

struct Stage {
    t0: Instant,
    policy: UpstreamPolicy,
    set: EndpointSet,
}

impl Stage {
    fn new(endpoints: u8, block: &str) -> Stage {
        let text = format!("version: 1\nupstreams:\n  up:\n    url: http://up.test\n    {block}\n");
        let compiled = compile::load("policy.yaml", &text).unwrap_or_else(|findings| panic!("{findings}"));
        let policy = compiled.policy.upstreams.into_iter().next().expect("one upstream");
        let addresses: Vec<_> = (0..endpoints)
            .map(|last| (SocketAddr::from(([10, 0, 0, last], 80)), HeaderValue::from_static("up")))
            .collect();
        let t0 = Instant::now();
        Stage { t0, policy, set: EndpointSet::new(&addresses, &Shape::default(), None, None, t0) }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.t0 + Duration::from_secs(seconds)
    }

    /// A run of failures that trips it.
    fn trip(&self, number: usize, seconds: u64, failure: &'static str) {
        let record = AttemptRecord {
            signal: EndpointSignal::Hard,
            elapsed: Duration::ZERO,
            penalty: Duration::ZERO,
            failure: Some(failure),
            peer_failure_percent: None,
        };
        for _ in 0..5 {
            self.set.endpoints[number].record(self.at(seconds), &record, &self.policy.ejection);
        }
        self.set.recount(self.at(seconds), &self.policy);
    }

    /// As many checks as it takes to know.
    fn check(&self, number: usize, seconds: u64, result: Result<(), Miss>) {
        let timing = self.policy.health_check.as_ref().expect("checks").timing;
        let endpoint = &self.set.endpoints[number];
        for _ in 0..3 {
            let due = endpoint.check_due(self.at(seconds), &timing);
            assert!(matches!(due, Due::Now | Due::At(_)));
            endpoint.record_check(self.at(seconds), result, &timing);
        }
        self.set.recount(self.at(seconds), &self.policy);
    }

    fn places(&self) -> Vec<Place> {
        self.set.endpoints.iter().map(|endpoint| endpoint.place()).collect()
    }

    fn ramps(&self, seconds: u64) -> Vec<f64> {
        self.set.endpoints.iter().map(|endpoint| endpoint.ramp(self.at(seconds), SLOW)).collect()
    }
}

use Place::{Ejected, Failing, In};

#[test]
fn who_comes_back_from_ejection_starts_slowly_and_who_stayed_does_not() {
    let stage = Stage::new(3, "retry: {}");
    stage.trip(0, 0, "reset");
    assert_eq!(stage.places(), [Ejected, In, In]);
    stage.set.refresh(stage.at(2), &stage.policy);
    assert_eq!((stage.places(), stage.ramps(2)), (vec![In; 3], vec![0.1, 1.0, 1.0]));
    assert!(stage.set.company(&stage.policy).is_some());
    assert_eq!(stage.ramps(7), [0.5, 1.0, 1.0]);
}

#[test]
fn who_is_let_in_because_too_many_are_out_is_needed_as_it_is() {
    let stage = Stage::new(3, "retry: {}");
    stage.trip(0, 0, "reset");
    stage.trip(1, 0, "reset");
    assert_eq!((stage.places(), stage.ramps(0)), (vec![In; 3], vec![1.0; 3]));
    assert!(stage.set.in_panic(stage.at(0)));
    stage.set.refresh(stage.at(3), &stage.policy);
    assert_eq!(stage.ramps(3), [1.0; 3]);
}

#[test]
fn who_fails_its_checks_sits_out_for_that_and_starts_slowly_when_it_passes_them() {
    let stage = Stage::new(3, "healthCheck: {}");
    stage.check(0, 0, Err(Miss::Refused));
    assert_eq!(stage.places(), [Failing, In, In]);
    assert_eq!(stage.set.endpoints[0].miss(), Some(Miss::Refused));
    // The one that is tripped besides would leave less than half.
    stage.trip(1, 0, "reset");
    assert_eq!(stage.places(), [Failing, In, In]);
    assert!(stage.set.in_panic(stage.at(0)) && !stage.set.ignores_checks(&stage.policy));
    stage.check(0, 3, Ok(()));
    assert_eq!((stage.places(), stage.ramps(3)), (vec![In; 3], vec![0.1, 1.0, 1.0]));
    assert_eq!(stage.set.endpoints[0].miss(), None);
}

#[test]
fn checks_that_most_fail_are_ignored_and_take_no_place_of_ejection() {
    let stage = Stage::new(3, "healthCheck: {}");
    stage.check(0, 0, Err(Miss::Status(404)));
    stage.check(1, 0, Err(Miss::Status(404)));
    assert_eq!((stage.places(), stage.ramps(0)), (vec![In; 3], vec![1.0; 3]));
    assert!(stage.set.ignores_checks(&stage.policy));
    stage.trip(0, 0, "reset");
    assert_eq!(stage.places(), [Ejected, In, In], "that requests fail is another reason");
}

#[test]
fn observed_checks_put_nobody_out() {
    let stage = Stage::new(3, "healthCheck: { mode: observe }");
    stage.check(0, 0, Err(Miss::TimedOut));
    assert_eq!(stage.places(), [In; 3]);
    assert!(stage.set.endpoints[0].fails_checks() && !stage.set.ignores_checks(&stage.policy));
}

#[test]
fn checks_that_pass_end_a_trip_for_want_of_a_connection_and_no_other() {
    for (failure, place) in [("connection-refused", In), ("503", Ejected), ("try-timeout", Ejected)] {
        let stage = Stage::new(3, "healthCheck: {}\n    ejection: { baseDuration: 10m, maxDuration: 10m }");
        stage.trip(0, 0, failure);
        assert_eq!(stage.places(), [Ejected, In, In]);
        stage.check(0, 1, Ok(()));
        assert_eq!(stage.places(), [place, In, In], "{failure}");
    }
}

#[test]
fn without_its_block_nothing_is_left_of_a_check() {
    let stage = Stage::new(2, "healthCheck: {}");
    stage.check(0, 0, Err(Miss::Refused));
    stage.set.endpoints[0].forget_checks();
    stage.set.recount_soon();
    stage.set.refresh(stage.at(1), &stage.policy);
    assert_eq!(stage.places(), [In; 2]);
    assert!(!stage.set.endpoints[0].fails_checks());
}
