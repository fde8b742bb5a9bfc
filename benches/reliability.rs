//! Nanoseconds per decision of the pure core: no runtime, no lock, no allocation counted in.
//!
//! `cargo bench --bench reliability` measures; without `--bench` (as `cargo test --benches` runs it) each case
//! runs a few times only, to prove that it works. The clock that the machines see is virtual and moves on by
//! 100 µs per decision (10,000 rps), so that windows turn over as they do in traffic.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use outrigger::reliability::balance::{Balance, View, pick};
use outrigger::reliability::breaker::{Breaker, BreakerPolicy, Signal, SlowCall};
use outrigger::reliability::ejection::{Ejection, EjectionPolicy, EndpointSignal};
use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::reliability::latency::{PeakEwma, Quantiles};
use outrigger::reliability::limit::{Limit, Limits};
use outrigger::reliability::throttle::{Throttle, ThrottlePolicy};
use outrigger::reliability::window::{Counts, Window};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Between two decisions on the virtual clock.
const TICK: Duration = Duration::from_micros(100);
const RTT: Duration = Duration::from_millis(5);

struct Harness {
    /// decisions per sample, samples
    size: (u32, usize),
    only: Option<String>,
}

impl Harness {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let size = if args.iter().any(|arg| arg == "--bench") { (1_000_000, 9) } else { (100, 1) };
        Harness { size, only: args.into_iter().find(|arg| !arg.starts_with('-')) }
    }

    /// Prints the fastest and the median sample.
    fn measure(&self, name: &str, mut decide: impl FnMut(Instant)) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        let (decisions, samples) = self.size;
        let mut now = Instant::now();
        let mut nanos: Vec<f64> = (0..samples)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..decisions {
                    now += TICK;
                    decide(black_box(now));
                }
                start.elapsed().as_secs_f64() * 1e9 / f64::from(decisions)
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        println!("{name:<44} {:>8.1} ns  median {:>8.1} ns", nanos[0], nanos[samples / 2]);
    }
}

fn main() {
    let harness = Harness::from_args();
    machines(&harness);
    latency(&harness);
    balance(&harness);
}

fn machines(harness: &Harness) {
    let (start, mut entropy) = (Instant::now(), SplitMix::new(1));

    let mut window = Window::<Counts>::new(start, Duration::from_secs(10));
    harness.measure("window: record", |now| window.record(now).add(false, false));
    harness.measure("window: read", |now| {
        black_box(window.read(now));
    });

    let slow_call = Some(SlowCall { threshold: Duration::from_secs(1), percent: 80.0 });
    let policy = BreakerPolicy { consecutive_failures: Some(5), slow_call, ..BreakerPolicy::default() };
    let mut breaker = Breaker::new(policy, start);
    harness.measure("breaker: permit and success", |now| {
        if let Ok(permit) = breaker.acquire(now, &mut entropy) {
            breaker.record(now, permit, Signal::Success, RTT, &mut entropy);
        }
    });
    let mut open = Breaker::new(BreakerPolicy { min_requests: 1, ..BreakerPolicy::default() }, start);
    if let Ok(permit) = open.acquire(start, &mut entropy) {
        open.record(start, permit, Signal::Failure, RTT, &mut entropy);
    }
    harness.measure("breaker: refusal while open", |_| {
        black_box(open.precheck(start).is_some());
    });

    let mut throttle = Throttle::new(ThrottlePolicy::default(), start);
    harness.measure("throttle: admit and accept", |now| {
        if throttle.admit(now, false, &mut entropy) {
            throttle.on_accept(now);
        }
    });

    let (mut ejection, policy) = (Ejection::new(start), EjectionPolicy::default());
    harness.measure("ejection: success", |now| {
        black_box(ejection.record(now, EndpointSignal::Success, &policy, Some(0.0), &mut entropy));
    });

    let (mut limit, limits) = (Limit::new(), Limits::default());
    harness.measure("limit: admit and release", |now| {
        black_box(limit.admit(&limits, now, now + RTT));
        black_box(limit.release(&limits));
    });
}

fn latency(harness: &Harness) {
    let (start, mut entropy) = (Instant::now(), SplitMix::new(2));
    let mut ewma = PeakEwma::new(start, RTT, Duration::from_secs(10));
    harness.measure("latency: EWMA record", |now| ewma.record(now, RTT));
    harness.measure("latency: EWMA read", |now| {
        black_box(ewma.value(now));
    });
    let mut quantiles = Quantiles::new(start);
    harness.measure("latency: histogram record", |now| {
        quantiles.record(now, RTT.mul_f64(entropy.between(0.5, 2.0)));
    });
    harness.measure("latency: p99, recomputed each 100 ms", |now| {
        quantiles.record(now, RTT);
        black_box(quantiles.p99(now));
    });
    harness.measure("latency: p99, computed", |now| {
        black_box(quantiles.quantile(now, 0.99));
    });
}

fn balance(harness: &Harness) {
    let mut entropy = SplitMix::new(3);
    for n in [1, 10, 1_000] {
        let views: Vec<View> =
            (0..n).map(|index| View { available: true, used: false, pending: index as u32 % 7, ewma: 0.005 }).collect();
        let half_out: Vec<View> = views
            .iter()
            .enumerate()
            .map(|(index, view)| View { available: n == 1 || index % 2 == 0, ..*view })
            .collect();
        for (by, word) in [(Balance::PeakEwma, "peak EWMA"), (Balance::LeastRequest, "least request")] {
            harness.measure(&format!("balance: {word}, {n} endpoints"), |_| {
                black_box(pick(by, n, 0, |index| views[index], &mut entropy));
            });
        }
        harness.measure(&format!("balance: peak EWMA, {n} endpoints, half ejected"), |_| {
            black_box(pick(Balance::PeakEwma, n, 0, |index| half_out[index], &mut entropy));
        });
    }
}
