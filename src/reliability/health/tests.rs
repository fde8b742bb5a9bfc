use super::super::entropy::SplitMix;
use super::*;

/// Middle of every range: no jitter.
struct Middle;
impl Entropy for Middle {
    fn next_u64(&mut self) -> u64 {
        1 << 63
    }
}

const POLICY: HealthPolicy =
    HealthPolicy { interval: Duration::from_secs(5), timeout: Duration::from_secs(1), healthy: 2, unhealthy: 3 };

/// What is said after each of the results, and how long the wait for the next check is.
fn course(results: &[bool]) -> Vec<(Standing, Option<Change>, f64)> {
    let mut now = Instant::now();
    let mut health = Health::new(now, &POLICY, &mut Middle);
    let each = results.iter().map(|passed| {
        now = health.due();
        health.begin(now, &POLICY);
        let change = health.record(now, *passed, &POLICY, &mut Middle);
        (health.standing(), change, (health.due() - now).as_secs_f64())
    });
    each.collect()
}

use Change::{Fails, Passes};
use Standing::{Healthy, Unhealthy, Unknown};

#[test]
fn an_endpoint_is_unknown_until_one_check_passes_and_that_is_no_news() {
    assert_eq!(Health::new(Instant::now(), &POLICY, &mut Middle).standing(), Unknown);
    assert_eq!(course(&[true]), [(Healthy, None, 5.0)]);
}

#[test]
fn a_new_endpoint_that_is_down_is_known_as_that_after_three_hasty_checks() {
    let expected = [(Unknown, None, 1.0), (Unknown, None, 1.0), (Unhealthy, Some(Fails), 5.0)];
    assert_eq!(course(&[false; 3]), expected);
}

#[test]
fn three_failures_in_a_row_take_out_and_two_successes_in_a_row_let_in() {
    let expected = [
        (Healthy, None, 5.0),
        (Healthy, None, 1.0),
        (Healthy, None, 1.0),
        (Healthy, None, 5.0),
        (Healthy, None, 1.0),
        (Healthy, None, 1.0),
        (Unhealthy, Some(Fails), 5.0),
        (Unhealthy, None, 1.0),
        (Unhealthy, None, 5.0),
        (Unhealthy, None, 1.0),
        (Healthy, Some(Passes), 5.0),
    ];
    let results = [true, false, false, true, false, false, false, true, false, true, true];
    assert_eq!(course(&results), expected);
}

#[test]
fn the_first_checks_of_many_endpoints_come_soon_and_not_at_once() {
    let (now, mut entropy) = (Instant::now(), SplitMix::new(1));
    let waits: Vec<f64> =
        (0..1_000).map(|_| (Health::new(now, &POLICY, &mut entropy).due() - now).as_secs_f64()).collect();
    assert!(waits.iter().all(|wait| (0.0..1.0).contains(wait)));
    let half = waits.iter().filter(|wait| **wait < 0.5).count();
    assert!((400..600).contains(&half), "{half} of 1000 in the first half of a second");
}

#[test]
fn intervals_are_drawn_from_a_tenth_below_to_a_tenth_above() {
    let (now, mut entropy) = (Instant::now(), SplitMix::new(2));
    let mut health = Health::new(now, &POLICY, &mut entropy);
    let waits: Vec<f64> = (0..1_000)
        .map(|_| {
            health.record(now, true, &POLICY, &mut entropy);
            (health.due() - now).as_secs_f64()
        })
        .collect();
    assert!(waits.iter().all(|wait| (4.5..5.5).contains(wait)));
    assert!(waits.iter().any(|wait| *wait < 4.6) && waits.iter().any(|wait| *wait > 5.4));
}

#[test]
fn haste_knows_bounds_also_where_the_interval_is_short() {
    let of = |ms| HealthPolicy { interval: Duration::from_millis(ms), ..POLICY }.soon().as_millis();
    assert_eq!((of(5_000), of(400), of(50)), (1_000, 100, 50));
}

#[test]
fn a_check_that_never_ends_is_made_good_for() {
    let now = Instant::now();
    let mut health = Health::new(now, &POLICY, &mut Middle);
    health.begin(now, &POLICY);
    assert_eq!(health.due(), now + Duration::from_secs(5));
}

#[test]
fn another_block_asks_soon_and_what_was_said_stays_until_it_has_its_say() {
    let now = Instant::now();
    let mut health = Health::new(now, &POLICY, &mut Middle);
    for _ in 0..3 {
        health.record(now, false, &POLICY, &mut Middle);
    }
    health.record(now, true, &POLICY, &mut Middle);
    health.ask_anew(now, &POLICY, &mut Middle);
    assert_eq!((health.standing(), health.passed()), (Unhealthy, 0));
    assert!(health.due() - now <= POLICY.soon());
    assert_eq!(health.record(now, true, &POLICY, &mut Middle), None, "the one before is forgotten");
    assert_eq!(health.record(now, true, &POLICY, &mut Middle), Some(Passes));
}

#[test]
fn checks_are_ignored_where_fewer_than_half_pass() {
    assert_eq!(bench(1, 0, 1, 50), Bench { failing: false, ejected: 0 });
    assert_eq!(bench(1, 0, 2, 50), Bench { failing: true, ejected: 0 });
    assert_eq!(bench(2, 0, 3, 50), Bench { failing: false, ejected: 0 });
    assert_eq!(bench(3, 0, 6, 50), Bench { failing: true, ejected: 0 });
    assert_eq!(bench(0, 0, 3, 50), Bench { failing: false, ejected: 0 });
}

#[test]
fn who_fails_its_checks_takes_the_place_of_one_that_would_be_ejected() {
    assert_eq!(bench(1, 2, 6, 50), Bench { failing: true, ejected: 2 });
    assert_eq!(bench(2, 2, 6, 50), Bench { failing: true, ejected: 0 }, "panic: four of six are ill");
    assert_eq!(bench(2, 1, 6, 50), Bench { failing: true, ejected: 1 });
    assert_eq!(bench(1, 1, 10, 10), Bench { failing: true, ejected: 0 }, "one in ten is the most that sits out");
    assert_eq!(bench(4, 1, 6, 50), Bench { failing: false, ejected: 1 }, "ignored checks take no place");
}

#[test]
fn without_checks_it_is_the_rule_of_ejection_and_half_of_every_set_stays() {
    for total in 1..=20 {
        for tripped in 0..=total {
            assert_eq!(bench(0, tripped, total, 50).ejected, ejection::enforced(tripped, total, 50));
            for failing in 0..=total - tripped {
                let Bench { failing: heeded, ejected } = bench(failing, tripped, total, 100);
                let out = if heeded { failing } else { 0 } + ejected;
                assert!(2 * (total - out) >= total, "{failing} fail, {tripped} tripped of {total}: {out} sit out");
            }
        }
    }
}
