use super::super::entropy::SplitMix;
use super::EndpointSignal::{Hard, Ignored, Overload, Soft, Success};
use super::*;

/// Middle of every range: U(0.5, 1.5) gives 1.
struct Middle;
impl Entropy for Middle {
    fn next_u64(&mut self) -> u64 {
        1 << 63
    }
}

struct Endpoint {
    t0: Instant,
    ejection: Ejection,
    policy: EjectionPolicy,
    peers: Option<f64>,
}

impl Endpoint {
    fn new(peers: Option<f64>) -> Self {
        let t0 = Instant::now();
        Endpoint { t0, ejection: Ejection::new(t0), policy: EjectionPolicy::default(), peers }
    }

    /// Seconds that the trip lasts, if the last of `signals` trips it.
    fn feed(&mut self, at: f64, signals: &[EndpointSignal]) -> Option<f64> {
        let now = self.t0 + Duration::from_secs_f64(at);
        let mut tripped = None;
        for signal in signals {
            assert_eq!(tripped, None, "tripped early");
            tripped = self.ejection.record(now, *signal, &self.policy, self.peers, &mut Middle);
        }
        tripped.map(|until| (until - now).as_secs_f64())
    }
}

#[test]
fn five_hard_failures_in_a_row_trip() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Hard; 4]), None);
    assert_eq!(endpoint.feed(0.0, &[Success]), None);
    assert_eq!(endpoint.feed(0.0, &[Hard, Hard, Soft, Hard, Overload, Ignored, Hard]), None);
    assert_eq!(endpoint.feed(0.0, &[Hard]), Some(1.0));
    assert!(endpoint.ejection.tripped_until(endpoint.t0).is_some());
    assert_eq!(endpoint.ejection.tripped_until(endpoint.t0 + Duration::from_secs(1)), None);
}

#[test]
fn half_of_twenty_samples_trips_and_soft_failures_count() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Success; 10]), None);
    assert_eq!(endpoint.feed(1.0, &[Soft; 9]), None);
    assert_eq!(endpoint.feed(2.0, &[Overload]), Some(1.0));
}

#[test]
fn an_endpoint_that_never_fails_never_trips_whatever_the_percentage() {
    let mut endpoint = Endpoint::new(Some(0.0));
    endpoint.policy = EjectionPolicy { failure_percent: 0.0, min_requests: 0, ..EjectionPolicy::default() };
    assert_eq!(endpoint.feed(0.0, &[Success; 50]), None);
}

#[test]
fn samples_older_than_the_window_do_not_trip() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Soft; 19]), None);
    assert_eq!(endpoint.feed(10.0, &[Soft; 19]), None);
    assert_eq!(endpoint.feed(10.0, &[Soft]), Some(1.0));
}

#[test]
fn a_rate_trips_only_if_it_is_twice_the_median_of_the_peers() {
    assert_eq!(Endpoint::new(Some(60.0)).feed(0.0, &[Soft; 40]), None);
    assert_eq!(Endpoint::new(Some(50.0)).feed(0.0, &[Soft; 20]), Some(1.0));
    assert_eq!(Endpoint::new(Some(0.0)).feed(0.0, &[Soft; 20]), Some(1.0));
    assert_eq!(Endpoint::new(Some(100.0)).feed(0.0, &[Hard; 5]), Some(1.0), "a run needs no comparison");
}

#[test]
fn the_median_of_the_peers_leaves_out_who_has_no_samples() {
    let of = |peers: &[(u32, f64)]| peer_median(peers.iter().copied());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[(0, 0.0), (0, 0.0)]), None);
    assert_eq!(of(&[(5, 40.0)]), Some(40.0));
    assert_eq!(of(&[(5, 60.0), (5, 0.0)]), Some(30.0));
    assert_eq!(of(&[(5, 90.0), (5, 0.0), (1, 10.0)]), Some(10.0));
    assert_eq!(of(&[(20, 70.0), (0, 0.0), (20, 70.0), (0, 0.0)]), Some(70.0), "those that sit out");
}

#[test]
fn each_trip_doubles_up_to_the_maximum_and_a_clean_minute_takes_one_back() {
    let mut endpoint = Endpoint::new(None);
    let mut at = 0.0;
    for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
        assert_eq!(endpoint.feed(at, &[Hard; 5]), Some(expected));
        at += expected;
    }
    // Eight trips; after three clean minutes the exponent is 5.
    assert_eq!(endpoint.feed(at + 180.0, &[Hard; 5]), Some(32.0));
    assert_eq!(endpoint.feed(at + 3_600.0, &[Hard; 5]), Some(1.0));
}

#[test]
fn jitter_spreads_trips_between_half_and_one_and_a_half() {
    let mut entropy = SplitMix::new(1);
    let policy = EjectionPolicy { consecutive_failures: 1, ..EjectionPolicy::default() };
    let t0 = Instant::now();
    let trips: Vec<f64> = (0..1_000)
        .filter_map(|_| Ejection::new(t0).record(t0, Hard, &policy, None, &mut entropy))
        .map(|until| (until - t0).as_secs_f64())
        .collect();
    assert_eq!(trips.len(), 1_000);
    assert!(trips.iter().all(|s| (0.5..1.5).contains(s)));
    assert!(trips.iter().any(|s| *s < 0.55) && trips.iter().any(|s| *s > 1.45));
}

#[test]
fn stragglers_of_a_trip_neither_prolong_it_nor_count_after_it() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Hard; 5]), Some(1.0));
    assert_eq!(endpoint.feed(0.5, &[Hard; 50]), None);
    assert_eq!(endpoint.feed(1.0, &[Hard; 4]), None);
    assert_eq!(endpoint.feed(1.0, &[Hard]), Some(2.0));
}

#[test]
fn the_samples_that_tripped_it_do_not_trip_it_again() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Soft; 20]), Some(1.0));
    assert_eq!(endpoint.feed(1.0, &[Soft; 19]), None);
    assert_eq!(endpoint.feed(1.0, &[Soft]), Some(2.0));
}

#[test]
fn reset_by_hand_forgets_the_trip_and_the_exponent() {
    let mut endpoint = Endpoint::new(None);
    endpoint.feed(0.0, &[Hard; 5]);
    endpoint.feed(1.0, &[Hard; 5]);
    let now = endpoint.t0 + Duration::from_secs(1);
    endpoint.ejection.reset(now);
    assert_eq!(endpoint.ejection.tripped_until(now), None);
    assert_eq!(endpoint.ejection.failure_percent(now), (0, 0.0));
    assert_eq!(endpoint.feed(1.0, &[Hard; 5]), Some(1.0));
}

#[test]
fn one_endpoint_is_never_ejected() {
    assert_eq!(set_state(0, 1), SetState::Normal);
    assert_eq!(set_state(1, 1), SetState::Panic);
    assert_eq!(enforced(1, 1, 100), 0);
}

#[test]
fn of_two_endpoints_one_may_sit_out() {
    assert_eq!(set_state(1, 2), SetState::Normal);
    assert_eq!(enforced(1, 2, 50), 1);
    assert_eq!(set_state(2, 2), SetState::Panic);
    assert_eq!(enforced(2, 2, 100), 0);
}

#[test]
fn of_three_endpoints_one_may_sit_out_and_two_are_a_panic() {
    assert_eq!(set_state(1, 3), SetState::Normal);
    assert_eq!(enforced(1, 3, 50), 1);
    assert_eq!(set_state(2, 3), SetState::Panic);
    assert_eq!(enforced(2, 3, 100), 0);
}

#[test]
fn for_every_set_at_most_the_share_is_ejected_and_never_the_last() {
    assert_eq!(set_state(0, 0), SetState::Normal);
    for total in 1..=50 {
        for tripped in 0..=total {
            for percent in [0, 10, 50, 100, 1_000] {
                let ejected = enforced(tripped, total, percent);
                assert!(ejected < total && ejected <= tripped);
                assert!(ejected * 100 <= total * percent as usize);
            }
            let healthy_half = 2 * (total - tripped) >= total;
            assert_eq!(set_state(tripped, total) == SetState::Normal, healthy_half);
        }
    }
    assert_eq!(enforced(3, 10, 10), 1);
}

/// Envoy's rule for success rates, as a model: whoever is below the mean less 1.9 deviations of the population. Returns
/// mean, deviation and threshold.
fn envoy_threshold(rates: &[f64]) -> (f64, f64, f64) {
    let count = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / count;
    let deviation = (rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count).sqrt();
    (mean, deviation, mean - 1.9 * deviation)
}

#[test]
fn c7_envoys_success_rate_rule_ejects_what_stands_out_however_well_it_does() {
    let mut ten = [1.0; 10];
    ten[9] = 0.7;
    let five = [1.0, 1.0, 1.0, 1.0, 0.9];
    for (rates, expected) in [(&ten[..], [0.97, 0.09, 0.799]), (&five[..], [0.98, 0.04, 0.904])] {
        let (mean, deviation, threshold) = envoy_threshold(rates);
        for (found, expected) in [mean, deviation, threshold].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
        }
        let worst = rates.last().expect("a rate");
        assert!(*worst < threshold, "ejected");
    }
}

#[test]
fn c7_ours_lets_an_endpoint_be_that_stands_out_and_does_most_of_its_work() {
    // The same tenth of Envoy's cases: 30% of failures cost less as retries than a tenth of the capacity.
    assert_eq!(Endpoint::new(Some(0.0)).feed(0.0, &[[Success; 70].as_slice(), &[Soft; 30]].concat()), None);
    // Half of its work is the line, and then it must stand out.
    let half = [[Success; 50].as_slice(), &[Soft; 50]].concat();
    assert_eq!(Endpoint::new(Some(0.0)).feed(0.0, &half), Some(1.0));
    assert_eq!(Endpoint::new(Some(30.0)).feed(0.0, &half), None, "its peers do little better");
}

#[test]
fn a_trip_that_is_ended_early_is_over_and_the_next_one_is_as_long_as_if_it_had_run_out() {
    let mut endpoint = Endpoint::new(None);
    assert_eq!(endpoint.feed(0.0, &[Hard; 5]), Some(1.0));
    endpoint.ejection.end_trip(endpoint.t0 + Duration::from_millis(300));
    assert_eq!(endpoint.ejection.tripped_until(endpoint.t0 + Duration::from_millis(300)), None);
    assert_eq!(endpoint.feed(0.3, &[Hard; 5]), Some(2.0));
    let later = endpoint.t0 + Duration::from_secs(60);
    endpoint.ejection.end_trip(later);
    assert_eq!(endpoint.feed(2.5, &[Hard; 5]), Some(4.0), "one that is over is not touched");
}
