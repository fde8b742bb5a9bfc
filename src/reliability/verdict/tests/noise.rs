//! A healthy sidecar accuses nobody.

use super::sim::Sim;
use crate::reliability::ending::Ending;

const MINUTES_30: u64 = 1_800;

/// Half an hour of traffic as it is: failures now and then, latencies with a tail, a wave over the day, pauses of
/// collectors, clients that leave.
fn half_an_hour(rate: f64, noise: f64, sigma: f64, seed: u64) {
    let mut sim = Sim::new(rate, 3, seed);
    sim.endpoints.iter_mut().for_each(|endpoint| {
        (endpoint.fails, endpoint.ending, endpoint.sigma) = (noise, Ending::Error, sigma);
    });
    sim.attempts = 1 + (seed % 2) as usize;
    sim.cancelled = 0.02;
    sim.routes = vec![("charge", 0.2, 0.0), ("list", 0.7, 0.0), ("default", 0.1, 0.0)];
    for second in 0..MINUTES_30 {
        let wave = (second as f64 / MINUTES_30 as f64 * std::f64::consts::TAU).sin();
        sim.rate = rate * (1.0 + 0.5 * wave);
        let slower = 5.0 * (1.0 + 0.4 * wave);
        for at in 0..sim.endpoints.len() {
            let pauses = sim.unit() < 1.0 / 40.0;
            let pause = 50.0 + 350.0 * sim.unit();
            sim.endpoints[at].pause_millis = if pauses { pause } else { 0.0 };
            sim.endpoints[at].millis = slower;
        }
        sim.second();
        if let Some(found) = sim.finding() {
            panic!("rate {rate}, noise {noise}, spread {sigma}, seed {seed}, second {second}: {found:?}");
        }
    }
}

#[test]
fn half_an_hour_of_noise_accuses_nobody_at_any_rate() {
    for (rate, seeds) in [(1.0, 12), (5.0, 12), (50.0, 6), (500.0, 1)] {
        for noise in [0.001, 0.003, 0.01] {
            for seed in 0..seeds {
                half_an_hour(rate, noise, if seed % 3 == 0 { 1.0 } else { 0.5 }, seed * 31 + 5);
            }
        }
    }
}

#[test]
fn what_always_fails_a_little_more_is_not_accused_for_it() {
    for seed in 0..8 {
        half_an_hour(20.0, 0.03, 0.5, seed + 900);
    }
}

#[test]
fn noise_that_is_no_noise_is_accused() {
    let mut sim = Sim::new(20.0, 3, 77);
    sim.fail(0.01, Ending::Error);
    assert_eq!(sim.run(300), None);
    sim.fail(0.25, Ending::Error);
    assert!(sim.until(10, |found| found.is_some()).is_some(), "else the tests above could not fail");
}
