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
        println!("{told}");
        assert!(report.goodput >= 0.8, "{told}");
        assert!(report.shed_within(0.99) <= Duration::from_millis(20), "{told}");
        assert!(report.success(Criticality::CriticalPlus) > 0.99, "{told}");
        assert!(report.success(Criticality::Critical) > 0.99, "{told}");
        assert!(report.success(Criticality::Sheddable) > 0.005, "not starved: {told}");
    }
}
