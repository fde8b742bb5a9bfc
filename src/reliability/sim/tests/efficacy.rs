//! The hold on retries that do not help, and the control group, over simulated hours.

use super::super::exponential;
use super::*;
use crate::reliability::attempts::Denied;
use crate::reliability::efficacy::{FailureClass, Helpfulness, Report, RouteNumber};
use crate::reliability::entropy::Entropy;
use crate::reliability::failure::{Failure, Sent};

const ROUTE: RouteNumber = RouteNumber(0);
/// Requests per second.
const RATE: f64 = 14.0;

/// One sidecar, attempts that take no time, whose ends are made up by the test.
struct World {
    start: Instant,
    now: Duration,
    dependency: Dependency,
    policy: RetryPolicy,
    arrivals: SplitMix,
    entropy: SplitMix,
}

/// What became of one request.
struct Fate {
    attempts: u32,
    denied: Option<Denied>,
}

impl World {
    fn new(seed: u64, policy: RetryPolicy) -> World {
        let start = Instant::now();
        let budget = DependencyPolicy { budget: BudgetPolicy::default(), breaker: None, throttle: None };
        let mut dependency = Dependency::new(&budget, start);
        dependency.efficacy.keep(start, [ROUTE]);
        let (arrivals, entropy) = (SplitMix::new(seed), SplitMix::new(!seed));
        World { start, now: Duration::ZERO, dependency, policy, arrivals, entropy }
    }

    /// The next request, whose attempts take no time. `outcome`: how they end, by number (0 = the first) and a lot of
    /// each.
    fn request(&mut self, outcome: impl Fn(u32, f64) -> Outcome) -> Fate {
        self.timed(|number, lot| (outcome(number, lot), Duration::ZERO))
    }

    /// The same, with the time that each attempt would take.
    fn timed(&mut self, outcome: impl Fn(u32, f64) -> (Outcome, Duration)) -> Fate {
        self.now += exponential(RATE, &mut self.arrivals);
        let mut now = self.start + self.now;
        let mut attempts = Attempts::new(Plan {
            policy: &self.policy,
            deadline: now + Duration::from_secs(3600),
            backend_request: Some(Duration::from_secs(1)),
            idempotent: true,
            replayable: true,
            chain_stop: false,
            endpoints: 3,
            ledger: Some(ROUTE),
            hedge: None,
        });
        loop {
            match attempts.next(now, &mut self.dependency, &mut self.entropy) {
                Step::Launch { id, permit, cutoff, .. } => {
                    let (mut ended, took) = outcome(id.0, self.arrivals.unit());
                    let launched = now;
                    now += took;
                    if now > cutoff {
                        now = cutoff;
                        ended = Outcome::failed(Failure::TryTimeout, Sent::Yes);
                    }
                    let (dependency, entropy) = (&mut self.dependency, &mut self.entropy);
                    attempts.on_outcome(now, id, permit, ended, now - launched, dependency, entropy);
                }
                Step::Wait { until } => now = until,
                Step::Finish { .. } => return Fate { attempts: attempts.launched(), denied: attempts.denied() },
            }
        }
    }

    fn report(&self, class: Option<FailureClass>) -> Option<Report> {
        let reports = self.dependency.efficacy.reports(self.start + self.now, ROUTE);
        reports.into_iter().find(|report| report.class == class)
    }
}

fn eager() -> RetryPolicy {
    let mut policy = RetryPolicy { retries: 3, ..RetryPolicy::default() };
    policy.backoff.base = Duration::from_millis(1);
    policy.backoff.cap = Duration::from_millis(1);
    policy
}

fn answer(good: bool) -> Outcome {
    Outcome::answered(if good { 200 } else { 503 })
}

/// V4.
#[test]
fn one_third_dead_is_helped_by_retries_that_are_not_held() {
    let cell = steady::run(&Contender::outrigger(), steady::Scenario::elsewhere(1.0 / 3.0), 3, Instant::now());
    assert!((cell.amplification - 1.34).abs() <= 0.03 && cell.success >= 0.98, "{cell:?}");
    assert_eq!(cell.helpfulness, Some(Helpfulness::Helping));
    for seed in 0..10 {
        let mut world = World::new(seed, eager());
        let held = (0..5_000).filter(|_| {
            let fate = world.request(|number, lot| answer(number > 0 || lot > 1.0 / 3.0));
            fate.denied == Some(Denied::Efficacy)
        });
        assert_eq!(held.count(), 0, "seed {seed}");
    }
}

#[test]
fn in_a_total_outage_retries_fall_to_probes_and_come_back_after_it() {
    for seed in 0..10 {
        let mut world = World::new(seed, eager());
        let (mut late_requests, mut late_retries) = (0, 0);
        let second = |world: &World| world.now.as_secs();
        while second(&world) < 660 {
            let down = (60..660).contains(&second(&world));
            let fate = world.request(|_, lot| answer(!down && lot > 0.02));
            if second(&world) >= 260 && down {
                late_requests += 1;
                late_retries += fate.attempts - 1;
            }
        }
        let report = world.report(Some(FailureClass::Error)).expect("there were errors");
        assert!(report.held && report.verdict == Helpfulness::NotHelping, "seed {seed}: {:?}", report.tries);
        // 400 s at one probe per 10 s, give or take a half. Without a hold the floor of the budget gives as many.
        assert!((20..=80).contains(&late_retries), "seed {seed}: {late_retries} retries");
        let load = 1.0 + f64::from(late_retries) / f64::from(late_requests);
        assert!(load <= 1.02, "seed {seed}: {load}");

        // It is back; one request in ten fails, and a retry elsewhere serves it.
        let (mut denied_last, mut denied_late) = (660, 0);
        while second(&world) < 960 {
            let fate = world.request(|number, lot| answer(number > 0 || lot > 0.1));
            if fate.denied == Some(Denied::Efficacy) {
                denied_last = second(&world);
                denied_late += u32::from(second(&world) >= 720);
            }
        }
        assert!(denied_late == 0, "seed {seed}: still held at {denied_last} s");
        let report = world.report(Some(FailureClass::Error)).expect("there were errors");
        assert_eq!((report.held, report.verdict), (false, Helpfulness::Helping), "seed {seed}");
    }
}

#[test]
fn retries_after_timeouts_are_held_while_those_after_refused_connections_help() {
    // A budget that is never the reason, so that what is seen is the hold.
    let mut world = World::new(11, eager());
    let budget = BudgetPolicy { burst: 1_000, floor_per_second: 100.0, max_ratio: 3.0, ..BudgetPolicy::default() };
    let policy = DependencyPolicy { budget, breaker: None, throttle: None };
    world.dependency = Dependency::new(&policy, world.start);
    world.dependency.efficacy.keep(world.start, [ROUTE]);
    let (mut held, mut retried) = ([0u32; 2], [0u32; 2]);
    for count in 0..4_200 {
        let timeouts = count % 5 == 0;
        let fate = world.request(|number, _| match (count % 5, number) {
            (0, _) => Outcome::failed(Failure::TryTimeout, Sent::Yes),
            (1, 0) => Outcome::failed(Failure::ConnectionRefused, Sent::No),
            _ => answer(true),
        });
        let kind = usize::from(timeouts);
        held[kind] += u32::from(fate.denied == Some(Denied::Efficacy));
        retried[kind] += fate.attempts - 1;
    }
    assert_eq!((held[0], retried[0]), (0, 840), "connects: all retried");
    assert!(held[1] > 700, "timeouts: {} of 840 held", held[1]);
    let verdict = |class| world.report(Some(class)).map(|report| (report.verdict, report.held));
    assert_eq!(verdict(FailureClass::Timeout), Some((Helpfulness::NotHelping, true)));
    assert_eq!(verdict(FailureClass::Connect), Some((Helpfulness::Helping, false)));
    assert_eq!(world.report(None).map(|report| report.verdict), Some(Helpfulness::Helping));
}

/// Seeded worlds.
const RUNS: u32 = 300;

/// One retry, a control group, and a budget that is never the reason: the true effect is that of a retry that is made.
fn rich_world(seed: u64) -> World {
    let policy = RetryPolicy { retries: 1, holdout_percent: 10.0, ..eager() };
    let mut world = World::new(seed ^ 0xC0FFEE, policy);
    let budget = BudgetPolicy { burst: 100_000, ..BudgetPolicy::default() };
    world.dependency = Dependency::new(&DependencyPolicy { budget, breaker: None, throttle: None }, world.start);
    world.dependency.efficacy.keep(world.start, [ROUTE]);
    world
}

/// Whether the true effect lies within the bounds that were found.
fn is_covered(seed: u64, retry_succeeds: f64) -> bool {
    let mut world = rich_world(seed);
    for _ in 0..2_000 {
        world.request(|number, lot| answer(lot < if number == 0 { 0.7 } else { retry_succeeds }));
    }
    let control = world.report(None).expect("a third failed").control;
    assert!(control.control > 20 && control.control_succeeded == 0, "{control:?}");
    let effect = control.effect().expect("both groups are there");
    (effect.low..=effect.high).contains(&retry_succeeds)
}

#[test]
fn the_control_group_finds_the_true_effect_within_its_bounds() {
    for effect in [0.2, 0.5, 0.8] {
        let covered = (0..RUNS).filter(|seed| is_covered(u64::from(*seed), effect)).count();
        assert!(covered as f64 >= 0.94 * f64::from(RUNS), "{effect}: {covered} of {RUNS}");
    }
}

/// Three in ten first attempts are slow. Of these, four in ten would come round if they were not given up after a
/// second; a retry succeeds in seven of ten cases. So a retry adds three in ten, and not seven.
fn is_covered_with_late_successes(seed: u64) -> bool {
    let mut world = rich_world(seed);
    let (slow, hung) = (Duration::from_secs(3), Duration::from_secs(100_000));
    for _ in 0..2_000 {
        world.timed(|number, lot| match number {
            0 if lot < 0.7 => (answer(true), Duration::ZERO),
            0 if lot < 0.82 => (answer(true), slow),
            0 => (answer(true), hung),
            _ if lot < 0.7 => (answer(true), Duration::ZERO),
            _ => (answer(false), Duration::ZERO),
        });
    }
    let control = world.report(Some(FailureClass::Timeout)).expect("a third timed out").control;
    assert!(control.control > 20 && control.control_succeeded > 0, "{control:?}");
    let effect = control.effect().expect("both groups are there");
    (effect.low..=effect.high).contains(&0.3)
}

#[test]
fn what_comes_round_without_a_retry_is_not_credited_to_retries() {
    let covered = (0..RUNS).filter(|seed| is_covered_with_late_successes(u64::from(*seed))).count();
    assert!(covered as f64 >= 0.94 * f64::from(RUNS), "{covered} of {RUNS}");
}
