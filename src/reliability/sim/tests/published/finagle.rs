//! Finagle: when an endpoint is taken for dead, and what its admission control drops.

use crate::reliability::entropy::{Entropy, SplitMix};

/// For how long an endpoint is dead when the schedule has no more to say, in seconds.
const AFTER_THE_SCHEDULE: f64 = 300.0;

/// Failure accrual: dead for the next time of a schedule. All times are seconds.
struct Accrual {
    rule: Rule,
    schedule: std::vec::IntoIter<f64>,
}

enum Rule {
    /// So many failures in a row.
    Run { limit: u32, failures: u32 },
    /// A moving average of successes below a share, once as many requests were seen as it remembers.
    Rate { least: f64, window: f64, seen: f64, average: f64 },
}

impl Accrual {
    fn run(limit: u32, schedule: Vec<f64>) -> Accrual {
        Accrual { rule: Rule::Run { limit, failures: 0 }, schedule: schedule.into_iter() }
    }

    fn rate(least: f64, window: f64) -> Accrual {
        Accrual { rule: Rule::Rate { least, window, seen: 0.0, average: 1.0 }, schedule: vec![5.0].into_iter() }
    }

    fn success(&mut self) {
        match &mut self.rule {
            Rule::Run { failures, .. } => *failures = 0,
            Rule::Rate { window, seen, average, .. } => {
                let keep = (-1.0 / *window).exp();
                (*seen, *average) = (*seen + 1.0, *average * keep + (1.0 - keep));
            }
        }
    }

    /// For how long it is dead now.
    fn failure(&mut self) -> Option<f64> {
        let dead = match &mut self.rule {
            Rule::Run { limit, failures } => {
                *failures += 1;
                *failures >= *limit
            }
            Rule::Rate { least, window, seen, average } => {
                (*seen, *average) = (*seen + 1.0, *average * (-1.0 / *window).exp());
                *seen >= *window && *average < *least
            }
        };
        dead.then(|| self.schedule.next().unwrap_or(AFTER_THE_SCHEDULE))
    }
}

#[test]
fn c6_the_third_failure_in_a_row_is_death_for_the_next_time_of_the_schedule() {
    let mut accrual = Accrual::run(3, vec![5.0]);
    assert_eq!([accrual.failure(), accrual.failure()], [None, None]);
    accrual.success();
    assert_eq!([accrual.failure(), accrual.failure(), accrual.failure()], [None, None, Some(5.0)]);
    assert_eq!(accrual.failure(), Some(300.0), "the schedule is used up");
}

#[test]
fn c6_after_a_hundred_successes_69_failures_are_forgiven_and_the_70th_is_not() {
    let mut accrual = Accrual::rate(0.5, 100.0);
    (0..100).for_each(|_| accrual.success());
    assert!((0..69).all(|_| accrual.failure().is_none()));
    assert_eq!(accrual.failure(), Some(5.0));
    let mut cold = Accrual::rate(0.5, 100.0);
    assert!((0..99).all(|_| cold.failure().is_none()), "nothing dies before it is warm");
    assert!(cold.failure().is_some());
}

/// Share that nack admission control drops when `accepted` is the average share of requests that were accepted.
fn dropped(accepted: f64) -> f64 {
    const THRESHOLD: f64 = 0.5;
    const MOST: f64 = 0.75;
    (1.0 - accepted / THRESHOLD).clamp(0.0, MOST)
}

#[test]
fn t3_the_drop_of_finagle_rises_below_half_and_ends_at_three_quarters() {
    for (accepted, expected) in [(1.0, 0.0), (0.5, 0.0), (0.2, 0.6), (0.1, 0.75), (0.0, 0.75)] {
        assert!((dropped(accepted) - expected).abs() < 1e-12, "{accepted}");
    }
    assert!((1.0f64 - 0.1 / 0.5 - 0.8).abs() < 1e-12, "0.80 before the cap");
}

#[test]
fn t4_of_a_thousand_requests_to_a_service_that_refuses_all_finagle_drops_three_quarters() {
    for seed in 0..20 {
        let mut entropy = SplitMix::new(seed);
        let drops = (0..1000).filter(|_| entropy.unit() < dropped(0.0)).count();
        assert!((650..=850).contains(&drops), "seed {seed}: {drops}");
    }
}
