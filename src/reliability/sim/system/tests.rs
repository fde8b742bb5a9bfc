use super::plan::*;
use super::{Outcome, run};
use crate::reliability::adaptive::{AdaptivePolicy, Algorithm};
use crate::reliability::attempts::{Denied, Kind, RetryPolicy};
use crate::reliability::balance::Balance;
use crate::reliability::breaker::BreakerPolicy;
use crate::reliability::budget::BudgetPolicy;
use crate::reliability::deadline::Timeouts;
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::ejection::EjectionPolicy;
use crate::reliability::hedge::HedgePolicy;
use crate::reliability::limit::Limits;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a setup borrows.
struct Policy {
    dependency: DependencyPolicy,
    ejection: EjectionPolicy,
    retry: RetryPolicy,
    hedge: Option<HedgePolicy>,
    timeouts: Timeouts,
    limits: Limits,
}

impl Policy {
    fn new(retries: u32) -> Policy {
        Policy {
            dependency: DependencyPolicy { budget: BudgetPolicy::default(), breaker: None, throttle: None },
            ejection: EjectionPolicy::default(),
            hedge: None,
            retry: RetryPolicy { retries, ..RetryPolicy::default() },
            timeouts: Timeouts {
                request: 2 * SECOND,
                backend_request: Some(500 * MS),
                connect: 250 * MS,
                idle: 60 * SECOND,
            },
            limits: Limits { connections: 1_000, requests: 1_000, ..Limits::default() },
        }
    }

    fn sidecar(&self) -> SidecarPlan<'_> {
        SidecarPlan {
            dependency: &self.dependency,
            ejection: &self.ejection,
            balance: Balance::PeakEwma,
            limits: self.limits,
            shared: false,
            slow_start: None,
            routes: vec![RoutePlan {
                timeouts: self.timeouts,
                retry: &self.retry,
                hedge: self.hedge.as_ref(),
                class: None,
                heeds: false,
                margin: Some(MARGIN),
            }],
        }
    }

    fn setup(&self, rate: f64, endpoints: Vec<EndpointPlan>) -> Setup<'_> {
        let arrivals = Arrivals::Poisson(rate);
        Setup {
            sidecars: vec![self.sidecar()],
            streams: vec![Stream { route: 0, arrivals, idempotent: true, replayable: true, says: None }],
            endpoints,
            warm_up: SECOND,
            duration: 10 * SECOND,
            hop: Duration::from_micros(60),
            ledgers: true,
        }
    }
}

fn endpoint(latency: Duration) -> EndpointPlan {
    let latency = Spread::fixed(latency);
    EndpointPlan { latency, error_ratio: 0.0, capacity: None, faults: Vec::new(), recorded: None }
}

fn failing(kind: FaultKind) -> EndpointPlan {
    let fault = Fault { from: 2 * SECOND, until: 8 * SECOND, kind };
    EndpointPlan { faults: vec![fault], ..endpoint(5 * MS) }
}

fn play(setup: &Setup<'_>) -> Outcome {
    run(setup, 1, Instant::now())
}

#[test]
fn without_faults_every_request_is_answered_once_and_in_its_time() {
    let policy = Policy::new(2);
    let outcome = play(&policy.setup(1_000.0, vec![endpoint(5 * MS)]));
    assert!((9_500..10_500).contains(&outcome.requests), "{}", outcome.requests);
    assert_eq!((outcome.succeeded, outcome.attempts_of(Kind::First)), (outcome.requests, outcome.requests));
    // Those that came before the counted part are received in it.
    assert!(outcome.received.abs_diff(outcome.requests) < 20);
    let median = outcome.times.quantile(0.5).unwrap();
    assert!(median.abs_diff(Duration::from_micros(5_060)) < 200 * MS / 1_000, "{median:?}");
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_another_one_another() {
    let policy = Policy::new(2);
    let setup = policy.setup(200.0, vec![failing(FaultKind::Errors { ratio: 0.3, status: 503 }); 3]);
    let once = run(&setup, 7, Instant::now());
    assert_eq!(once, run(&setup, 7, Instant::now() + SECOND));
    assert_ne!(once, run(&setup, 8, Instant::now()));
}

#[test]
fn retries_save_what_one_of_three_endpoints_loses_and_ejection_makes_them_rare() {
    let policy = Policy::new(2);
    let setup = policy.setup(300.0, vec![endpoint(5 * MS), endpoint(5 * MS), failing(FaultKind::Dead)]);
    let outcome = play(&setup);
    assert!(outcome.success() > 0.999, "{}", outcome.success());
    assert!(outcome.ejections > 0 && outcome.amplification() < 1.02, "{outcome:?}");
    let none = Policy::new(0);
    let outcome = play(&none.setup(300.0, setup.endpoints.clone()));
    assert!((0.95..0.999).contains(&outcome.success()), "ejection alone: {}", outcome.success());
}

#[test]
fn a_share_of_errors_costs_what_the_formula_says() {
    let policy = Policy::new(1);
    let endpoints = vec![EndpointPlan { error_ratio: 0.1, ..endpoint(2 * MS) }; 2];
    let setup = policy.setup(2_000.0, endpoints);
    let outcome = play(&setup);
    assert!((outcome.amplification() - 1.1).abs() < 0.01, "{}", outcome.amplification());
    assert!((outcome.success() - 0.99).abs() < 0.003, "{}", outcome.success());
    assert_eq!(outcome.rescued, outcome.attempts_of(Kind::Retry) - (outcome.requests - outcome.succeeded));
}

#[test]
fn a_black_hole_ends_at_the_deadline_and_a_breaker_makes_it_short() {
    let policy = Policy::new(1);
    let setup = policy.setup(100.0, vec![failing(FaultKind::BlackHole)]);
    let slow = play(&setup).times.quantile(0.99).unwrap();
    assert!(slow > 400 * MS && slow < 2_100 * MS, "{slow:?}");
    let mut broken = Policy::new(1);
    broken.dependency.breaker = Some(BreakerPolicy::default());
    let outcome = play(&broken.setup(100.0, setup.endpoints.clone()));
    assert!(outcome.refused_open > 100 && outcome.open > SECOND, "{outcome:?}");
    assert!(!outcome.open_spans.is_empty());
}

#[test]
fn an_endpoint_with_too_few_slots_queues_and_work_that_is_given_up_leaves_the_queue() {
    let policy = Policy::new(0);
    let capacity = |cancels| Some(Capacity { slots: 2, cancels });
    // 150 requests a second on 100 that it can do.
    let with = |cancels| EndpointPlan { capacity: capacity(cancels), ..endpoint(20 * MS) };
    let given_up = play(&policy.setup(150.0, vec![with(true)]));
    let runs_on = play(&policy.setup(150.0, vec![with(false)]));
    assert!(given_up.times.quantile(0.5).unwrap() > 100 * MS);
    // First come, first served: most of what begins has waited nearly its whole time, and ends too late.
    assert!(given_up.success() > 0.2 && runs_on.success() < 0.1, "{} {}", given_up.success(), runs_on.success());
}

#[test]
fn a_stall_without_a_limit_on_retries_lasts_longer_than_its_cause() {
    let mut policy = Policy::new(3);
    policy.timeouts.backend_request = Some(400 * MS);
    let fault = Fault { from: 2 * SECOND, until: 4 * SECOND, kind: FaultKind::Stall };
    let capacity = Some(Capacity { slots: 4, cancels: true });
    let setup = policy.setup(150.0, vec![EndpointPlan { faults: vec![fault], capacity, ..endpoint(20 * MS) }]);
    let outcome = play(&setup);
    assert!(outcome.recovery(4 * SECOND).unwrap() <= 2.0, "the budget holds: {:?}", outcome.recovery(4 * SECOND));
    assert!(outcome.denied[Denied::Budget as usize] > 0);
}

#[test]
fn a_full_sidecar_queues_and_refuses() {
    let mut policy = Policy::new(0);
    policy.limits = Limits { connections: 4, requests: 4, pending: 8, ..Limits::default() };
    let outcome = play(&policy.setup(300.0, vec![endpoint(20 * MS)]));
    let served = outcome.succeeded as f64 / 10.0;
    assert!((180.0..205.0).contains(&served), "four slots of 20 ms: {served}");
    assert_eq!(outcome.requests - outcome.succeeded, outcome.refused_limit);
}

#[test]
fn a_second_sidecar_that_gave_up_is_believed() {
    let mut policy = Policy::new(2);
    policy.dependency.breaker = None;
    let mut setup = policy.setup(200.0, vec![failing(FaultKind::Errors { ratio: 1.0, status: 503 }); 2]);
    setup.sidecars.push(policy.sidecar());
    let outcome = play(&setup);
    // Nine without the marks of the second one, three with them; the budget makes it less.
    assert!(outcome.amplification() < 1.5, "{}", outcome.amplification());
    assert!(outcome.denied[Denied::Pushback as usize] > 100, "{:?}", outcome.denied);
}

#[test]
fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let policy = Policy::new(0);
    let mut setup = policy.setup(1.0, vec![endpoint(10 * MS)]);
    setup.streams[0].arrivals = Arrivals::Closed(10);
    setup.hop = Duration::ZERO;
    let outcome = play(&setup);
    assert!(outcome.requests.abs_diff(10_000) <= 20, "{}", outcome.requests);
}

#[test]
fn counted_arrivals_come_in_their_steps_and_in_their_number() {
    let policy = Policy::new(0);
    let mut setup = policy.setup(1.0, vec![endpoint(MS)]);
    let counts = vec![5, 0, 100, 7, 0, 0, 0, 0, 0, 300];
    setup.streams[0].arrivals = Arrivals::Counted { step: SECOND, counts: counts.clone() };
    let outcome = play(&setup);
    assert_eq!(outcome.seconds.iter().map(|second| second.requests).collect::<Vec<_>>(), counts);
}

#[test]
fn an_endpoint_that_is_removed_gets_nothing_and_one_that_comes_gets_its_share() {
    let policy = Policy::new(0);
    let gone = Fault { from: Duration::ZERO, until: 5 * SECOND, kind: FaultKind::Absent };
    let late = EndpointPlan { faults: vec![gone], ..endpoint(5 * MS) };
    let outcome = play(&policy.setup(200.0, vec![endpoint(5 * MS), late]));
    assert_eq!(outcome.succeeded, outcome.requests);
}

#[test]
fn recorded_fates_and_latencies_are_drawn_step_by_step() {
    let policy = Policy::new(0);
    let cells = vec![
        Cell { fates: Vec::new(), latency: Spread::fixed(2 * MS) },
        Cell { fates: vec![(0.5, Fate::Answer(500)), (1.0, Fate::Answer(200))], latency: Spread::fixed(MS) },
    ];
    let recorded = Some(Recorded { step: SECOND, steps: vec![vec![0, 0, 0, 0, 0, 1, 1, 1, 1, 0]], cells });
    let outcome = play(&policy.setup(1_000.0, vec![EndpointPlan { recorded, ..endpoint(MS) }]));
    let failed = |from: usize, to: usize| -> f64 {
        let part = &outcome.seconds[from..to];
        let (all, good) = part.iter().fold((0, 0), |sum, s| (sum.0 + s.requests, sum.1 + s.succeeded));
        1.0 - f64::from(good) / f64::from(all)
    };
    assert!(failed(0, 4) == 0.0 && (failed(5, 9) - 0.5).abs() < 0.03, "{} {}", failed(0, 4), failed(5, 9));
}

#[test]
fn a_hedge_saves_the_tail_of_slow_answers_at_a_few_percent_of_load() {
    // Some calls in a hundred take 500 ms, the rest 5.
    let latency = Spread::through(&[(0.0, 5 * MS), (0.985, 5 * MS), (0.987, 500 * MS), (1.0, 500 * MS)]);
    let endpoints = vec![EndpointPlan { latency, ..endpoint(MS) }; 3];
    let mut policy = Policy::new(0);
    let p99 = |policy: &Policy| {
        let mut setup = policy.setup(500.0, endpoints.clone());
        (setup.warm_up, setup.duration) = (10 * SECOND, 20 * SECOND);
        let outcome = play(&setup);
        (outcome.times.quantile(0.99).unwrap(), outcome.amplification(), outcome.attempts_of(Kind::Hedge))
    };
    let (slow, _, none) = p99(&policy);
    policy.hedge = Some(HedgePolicy::default());
    let (fast, load, hedges) = p99(&policy);
    assert!(none == 0 && slow > 400 * MS, "{slow:?}");
    assert!(hedges > 50 && fast <= 60 * MS && load <= 1.05, "{fast:?} {load} {hedges}");
}

#[test]
fn a_limit_that_is_found_out_sheds_where_a_written_one_lets_everything_wait() {
    let capacity = Some(Capacity { slots: 4, cancels: true });
    let endpoints = vec![EndpointPlan { capacity, ..endpoint(20 * MS) }];
    let mut policy = Policy::new(0);
    // 600 requests a second on 200 that it can do.
    let goodput = |policy: &Policy| play(&policy.setup(600.0, endpoints.clone())).succeeded as f64 / 10.0;
    let written = goodput(&policy);
    policy.limits.adaptive =
        Some(AdaptivePolicy { algorithm: Algorithm::Aimd, observe: false, min: 1, max: 1_000, initial: 20 });
    let found = goodput(&policy);
    assert!(found > 100.0 && found > 10.0 * written, "{found} {written}");
}

/// Run by hand, in release: `cargo test --release --no-default-features sim::system -- --ignored --nocapture`.
#[test]
#[ignore = "measures; says nothing without optimisation"]
fn a_million_requests_are_simulated_in_a_second() {
    let policy = Policy::new(2);
    let mut setup = policy.setup(100_000.0, vec![endpoint(5 * MS); 3]);
    setup.sidecars[0].limits.connections = 100_000;
    setup.sidecars[0].limits.requests = 100_000;
    let began = Instant::now();
    let outcome = play(&setup);
    let rate = 1.1 * outcome.requests as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} requests a second, {} in all", outcome.requests);
    assert!(rate > 1e6);
}
