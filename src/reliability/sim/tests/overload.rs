//! What a limit, classes and a queue that is cut do for an app in overload.

use crate::reliability::adaptive::{AdaptivePolicy, Algorithm};
use crate::reliability::limit::{Limits, QueuePolicy};
use crate::reliability::priority::Criticality;
use crate::reliability::sim::overload::{Report, Scenario, run};
use std::time::{Duration, Instant};

const CORRELATED: AdaptivePolicy =
    AdaptivePolicy { algorithm: Algorithm::Correlated, observe: false, min: 4, max: 128, initial: 20 };

/// As inbound: 128 in flight, 32 wait.
fn limits(adaptive: Option<AdaptivePolicy>) -> Limits {
    let queue = adaptive.map(|_| QueuePolicy::default());
    Limits { connections: 128, requests: 128, pending: 32, adaptive, queue }
}

/// Ten seconds as usual, thirty at three times what the app can do, a third of it critical-plus and critical together;
/// then as usual again.
fn three_times(second: u64) -> [f64; 4] {
    match second {
        10..40 => [1.3, 1.0, 0.5, 0.2],
        _ => [0.1, 0.1, 0.2, 0.1],
    }
}

fn scenario(workers: usize, service_ms: u64, adaptive: Option<AdaptivePolicy>) -> Scenario {
    Scenario {
        workers,
        service: Duration::from_millis(service_ms),
        slower: (u64::MAX, 1.0),
        patience: Duration::from_secs(1),
        limits: limits(adaptive),
        load: three_times,
        seconds: 60,
        seed: 7,
    }
}

fn overload(workers: usize, service_ms: u64, adaptive: Option<AdaptivePolicy>) -> Report {
    run(&scenario(workers, service_ms, adaptive), Instant::now(), 11, 40)
}

fn told(report: &Report) -> String {
    let success = Criticality::ALL.map(|class| format!("{:.3}", report.success(class)));
    format!(
        "goodput {:.3}, success {success:?}, late {}, shed p99 {:?}, served p50 {:?} p99 {:?}, limits {:?}",
        report.goodput,
        report.late,
        report.shed_within(0.99),
        report.served_within(0.5),
        report.served_within(0.99),
        report.limits,
    )
}

#[test]
fn at_three_times_the_load_four_fifths_of_the_peak_are_served_and_the_rest_is_told_in_twenty_milliseconds() {
    for (workers, service_ms) in [(8, 10), (16, 50), (64, 20), (4, 5)] {
        let report = overload(workers, service_ms, Some(CORRELATED));
        let told = format!("{workers} workers x {service_ms} ms: {}", told(&report));
        assert!(report.goodput >= 0.8, "{told}");
        assert!(report.shed_within(0.99) <= Duration::from_millis(20), "{told}");
        assert!(report.success(Criticality::CriticalPlus) > 0.99, "{told}");
        assert!(report.success(Criticality::Critical) > 0.99, "{told}");
        assert!(report.success(Criticality::Sheddable) > 0.005, "not starved: {told}");
    }
}

#[test]
fn a_limit_that_was_found_does_not_drift_upwards_in_an_overload_that_lasts() {
    let lasting = Scenario { load: |_| [1.0, 0.5, 0.3, 0.2], seconds: 600, ..scenario(8, 10, Some(CORRELATED)) };
    let report = run(&lasting, Instant::now(), 100, 600);
    let (early, late) = (&report.limits[60..120], &report.limits[540..600]);
    let most = |limits: &[u32]| limits.iter().copied().max().unwrap_or_default();
    assert!(most(late) <= 2 * most(early) && most(late) <= 48, "{} then {}", most(early), most(late));
    assert!(report.goodput >= 0.95, "{}", told(&report));
}

#[test]
fn an_app_that_has_become_slower_for_good_is_not_taken_for_one_with_a_queue() {
    let load = |_| [0.3, 0.2, 0.2, 0.1];
    let slower = Scenario { load, seconds: 120, slower: (30, 3.0), ..scenario(64, 20, Some(CORRELATED)) };
    let report = run(&slower, Instant::now(), 80, 120);
    // A third of what it could do is all that is left.
    assert!(report.goodput >= 0.3, "{}", told(&report));
}

#[test]
fn an_app_that_times_out_altogether_gets_less_until_it_answers_in_time() {
    // Ten requests a second at best, and twenty in flight: each waits for longer than its client does.
    let slow = Scenario { seconds: 60, ..scenario(2, 200, Some(CORRELATED)) };
    let report = run(&slow, Instant::now(), 25, 40);
    assert!(report.goodput >= 0.8, "{}", told(&report));
}

#[test]
fn without_classes_and_without_a_limit_that_is_found_all_fail_alike_and_late() {
    let report = overload(4, 40, None);
    let spread = report.success(Criticality::CriticalPlus) - report.success(Criticality::Sheddable);
    assert!(report.goodput < 0.2, "the app works for those who have gone: {}", told(&report));
    assert!(spread < 0.3, "{}", told(&report));
}
