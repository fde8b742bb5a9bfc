//! Nanoseconds per decision of the pure core: no runtime and no lock in between.
//!
//! `cargo bench --bench reliability` measures; without `--bench` (as `cargo test --benches` runs it) each case
//! runs once, to prove that it works. The clock that the machines see is virtual and moves on by 100 µs per
//! decision (10,000 requests per second), so that windows turn over as they do in traffic.
#![expect(clippy::disallowed_methods, reason = "a virtual clock begins at a real moment")]

use divan::{Bencher, black_box};
use outrigger::reliability::attempts::{Attempts, Plan, RetryPolicy, Step, Stop};
use outrigger::reliability::balance::{Balance, View};
use outrigger::reliability::breaker::BreakerPolicy;
use outrigger::reliability::budget::BudgetPolicy;
use outrigger::reliability::classify::Outcome;
use outrigger::reliability::dependency::{Dependency, DependencyPolicy};
use outrigger::reliability::efficacy::RouteNumber;
use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::reliability::throttle::ThrottlePolicy;
use std::time::{Duration, Instant};

/// Decisions per sample: so many that neither the clock's precision nor an interruption counts.
const DECISIONS: u32 = 10_000;

fn main() {
    divan::Divan::default().sample_size(DECISIONS).config_with_args().main();
}

/// Between two decisions on the virtual clock.
const TICK: Duration = Duration::from_micros(100);
/// How long every attempt takes.
const RTT: Duration = Duration::from_millis(5);

/// Time and chance as a caller of the core has them.
struct World {
    now: Instant,
    entropy: SplitMix,
}

impl World {
    fn new() -> World {
        World { now: Instant::now(), entropy: SplitMix::new(1) }
    }

    fn tick(&mut self) -> Instant {
        self.now += TICK;
        black_box(self.now)
    }
}

mod window {
    use super::*;
    use outrigger::reliability::window::{Counts, Window};

    #[divan::bench]
    fn update(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut window = Window::<Counts>::new(world.now, Duration::from_secs(10));
        bencher.bench_local(|| window.record(world.tick()).add(black_box(false), false));
    }

    #[divan::bench]
    fn read(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut window = Window::<Counts>::new(world.now, Duration::from_secs(10));
        window.record(world.now).add(true, false);
        bencher.bench_local(|| window.read(world.tick()));
    }
}

mod budget {
    use super::*;
    use outrigger::reliability::budget::{Budget, RetryClass};

    /// What every request pays that succeeds at once.
    #[divan::bench]
    fn deposit(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut budget = Budget::new(BudgetPolicy::default(), world.now);
        bencher.bench_local(|| {
            let now = world.tick();
            budget.on_first_attempt(now);
            budget.on_first_success(now);
        });
    }

    #[divan::bench]
    fn withdraw_granted(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut budget = Budget::new(super::endless(), world.now);
        let (now, entropy) = (world.now, &mut world.entropy);
        assert!(budget.try_retry(now, RetryClass::Ordinary, entropy).is_some());
        bencher.bench_local(|| budget.try_retry(world.tick(), RetryClass::Ordinary, &mut world.entropy));
    }

    #[divan::bench]
    fn withdraw_denied(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let policy = BudgetPolicy { floor_per_second: 0.0, ..BudgetPolicy::default() };
        let mut budget = Budget::new(policy, world.now);
        let (now, entropy) = (world.now, &mut world.entropy);
        while budget.try_retry(now, RetryClass::Ordinary, entropy).is_some() {}
        // Beyond the interval, so that it is the tokens that are missing.
        world.now += Duration::from_secs(20);
        bencher.bench_local(|| budget.try_retry(world.tick(), RetryClass::Ordinary, &mut world.entropy));
        assert!(budget.refused().tokens > 0);
    }
}

/// A budget that never denies a retry within one run.
fn endless() -> BudgetPolicy {
    BudgetPolicy { burst: u32::MAX, ..BudgetPolicy::default() }
}

mod breaker {
    use super::*;
    use outrigger::reliability::breaker::{Breaker, Signal, SlowCall};

    #[divan::bench]
    fn permit_and_record(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let slow_call = Some(SlowCall { threshold: Duration::from_secs(1), percent: 80.0 });
        let policy = BreakerPolicy { consecutive_failures: Some(5), slow_call, ..BreakerPolicy::default() };
        let mut breaker = Breaker::new(policy, world.now);
        bencher.bench_local(|| {
            let now = world.tick();
            if let Ok(permit) = breaker.acquire(now, &mut world.entropy) {
                breaker.record(now, permit, Signal::Success, RTT, &mut world.entropy);
            }
        });
    }

    #[divan::bench]
    fn refusal_while_open(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let now = world.now;
        let mut breaker = Breaker::new(BreakerPolicy { min_requests: 1, ..BreakerPolicy::default() }, now);
        if let Ok(permit) = breaker.acquire(now, &mut world.entropy) {
            breaker.record(now, permit, Signal::Failure, RTT, &mut world.entropy);
        }
        assert!(breaker.precheck(now).is_some());
        bencher.bench_local(|| breaker.precheck(black_box(now)).is_some());
    }
}

#[divan::bench]
fn throttle_admit_and_accept(bencher: Bencher<'_, '_>) {
    use outrigger::reliability::throttle::Throttle;
    let mut world = World::new();
    let mut throttle = Throttle::new(ThrottlePolicy::default(), world.now);
    bencher.bench_local(|| {
        let now = world.tick();
        if throttle.admit(now, false, &mut world.entropy) {
            throttle.on_accept(now);
        }
    });
}

#[divan::bench]
fn ejection_record(bencher: Bencher<'_, '_>) {
    use outrigger::reliability::ejection::{Ejection, EjectionPolicy, EndpointSignal};
    let mut world = World::new();
    let (mut ejection, policy) = (Ejection::new(world.now), EjectionPolicy::default());
    bencher.bench_local(|| {
        let now = world.tick();
        ejection.record(now, EndpointSignal::Success, &policy, black_box(Some(0.0)), &mut world.entropy)
    });
}

#[divan::bench]
fn limit_acquire_and_release(bencher: Bencher<'_, '_>) {
    use outrigger::reliability::limit::{Ask, Limit, Limits};
    use outrigger::reliability::priority::Criticality;
    let mut world = World::new();
    let (mut limit, limits) = (Limit::new(), Limits::default());
    bencher.bench_local(|| {
        let now = world.tick();
        let ask = Ask { class: Criticality::Critical, now, deadline: now + RTT };
        black_box(limit.admit(&limits, &ask, || ()));
        limit.release(|| now, None)
    });
}

mod latency {
    use super::*;
    use outrigger::reliability::latency::{PeakEwma, Quantiles};

    #[divan::bench]
    fn ewma_record(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut ewma = PeakEwma::new(world.now, RTT, Duration::from_secs(10));
        bencher.bench_local(|| ewma.record(world.tick(), black_box(RTT)));
    }

    #[divan::bench]
    fn ewma_read(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let ewma = PeakEwma::new(world.now, RTT, Duration::from_secs(10));
        bencher.bench_local(|| ewma.value(world.tick()));
    }

    #[divan::bench]
    fn histogram_record(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut quantiles = Quantiles::new(world.now);
        bencher.bench_local(|| {
            let rtt = RTT.mul_f64(world.entropy.between(0.5, 2.0));
            quantiles.record(world.tick(), rtt);
        });
    }

    /// As the data plane asks for it: kept for a while, then computed anew.
    #[divan::bench]
    fn p99_kept(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut quantiles = Quantiles::new(world.now);
        bencher.bench_local(|| {
            let now = world.tick();
            quantiles.record(now, RTT);
            quantiles.p99(now)
        });
    }

    #[divan::bench]
    fn p99_computed(bencher: Bencher<'_, '_>) {
        let mut world = World::new();
        let mut quantiles = Quantiles::new(world.now);
        quantiles.record(world.now, RTT);
        bencher.bench_local(|| quantiles.quantile(world.tick(), 0.99));
    }
}

mod pick {
    use super::*;
    use outrigger::reliability::balance;

    const ENDPOINTS: [usize; 3] = [1, 10, 1_000];

    fn bench(bencher: Bencher<'_, '_>, by: Balance, endpoints: usize, available: impl Fn(usize) -> bool) {
        let mut entropy = SplitMix::new(3);
        let view = |index| View {
            available: available(index),
            used: false,
            pending: index as u32 % 7,
            ewma: 0.005,
            weight: 1.0,
        };
        let views: Vec<View> = (0..endpoints).map(view).collect();
        bencher.bench_local(|| balance::pick(by, views.len(), 0, |index| views[index], &mut entropy));
    }

    #[divan::bench(args = ENDPOINTS)]
    fn peak_ewma(bencher: Bencher<'_, '_>, endpoints: usize) {
        bench(bencher, Balance::PeakEwma, endpoints, |_| true);
    }

    #[divan::bench(args = ENDPOINTS)]
    fn peak_ewma_half_ejected(bencher: Bencher<'_, '_>, endpoints: usize) {
        bench(bencher, Balance::PeakEwma, endpoints, |index| index % 2 == 0);
    }

    #[divan::bench(args = ENDPOINTS)]
    fn least_request(bencher: Bencher<'_, '_>, endpoints: usize) {
        bench(bencher, Balance::LeastRequest, endpoints, |_| true);
    }
}

/// All decisions about one request, from its first attempt to its end: breaker, throttle, budget, latency.
mod request {
    use super::*;

    fn bench(bencher: Bencher<'_, '_>, budget: BudgetPolicy, answers: &[u16]) {
        let mut world = World::new();
        let policy = DependencyPolicy {
            budget,
            // Half of the attempts fail in one case, and nothing must open.
            breaker: Some(BreakerPolicy { failure_percent: 90.0, ..BreakerPolicy::default() }),
            throttle: Some(ThrottlePolicy { k: 10.0, ..ThrottlePolicy::default() }),
        };
        let mut dependency = Dependency::new(&policy, world.now);
        dependency.efficacy.keep(world.now, [RouteNumber(0)]);
        let retry = RetryPolicy::default();
        let mut one = || {
            let now = world.tick();
            run(&retry, now, answers, &mut dependency, &mut world.entropy)
        };
        assert_eq!(one(), (Some(Stop::Answered), answers.len() as u32));
        bencher.bench_local(one);
    }

    /// How the request ended, and its attempts.
    fn run(
        retry: &RetryPolicy,
        mut now: Instant,
        answers: &[u16],
        dependency: &mut Dependency,
        entropy: &mut SplitMix,
    ) -> (Option<Stop>, u32) {
        let mut attempts = Attempts::new(Plan {
            policy: retry,
            deadline: now + Duration::from_secs(15),
            backend_request: None,
            idempotent: true,
            replayable: true,
            chain_stop: false,
            endpoints: 3,
            ledger: Some(RouteNumber(0)),
            hedge: None,
        });
        let mut answers = answers.iter();
        loop {
            match attempts.next(now, dependency, entropy) {
                Step::Launch { id, permit, .. } => {
                    let Some(status) = answers.next() else { return (None, attempts.launched()) };
                    let outcome = Outcome::answered(*status);
                    attempts.on_outcome(now, id, permit, outcome, RTT, dependency, entropy);
                }
                Step::Wait { until } => now = until,
                Step::Finish { stop, .. } => return (Some(stop), attempts.launched()),
            }
        }
    }

    #[divan::bench]
    fn answered_at_once(bencher: Bencher<'_, '_>) {
        bench(bencher, BudgetPolicy::default(), &[200]);
    }

    #[divan::bench]
    fn rescued_by_a_retry(bencher: Bencher<'_, '_>) {
        bench(bencher, endless(), &[503, 200]);
    }
}
