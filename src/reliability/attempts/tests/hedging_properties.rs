//! Hedges, whatever happens in whatever order: many requests at once against one dependency. And the figure that they
//! are there for.

use super::*;
use crate::reliability::classify::Reply;
use crate::reliability::hedge::{Delay, HedgePolicy, Standby};
use crate::reliability::sim::Timeline;
use proptest::prelude::*;

/// An attempt that is out.
struct Out {
    id: AttemptId,
    permit: Permit,
    launched: Instant,
}

/// A request under way.
struct Job<'a> {
    attempts: Attempts<'a>,
    arrived: Instant,
    deadline: Instant,
    out: Vec<Out>,
    hedges: u32,
    done: bool,
}

/// What the world does with an attempt: how it ends, and when. None = its client leaves then.
type Fate = (Option<Outcome>, u64);

enum Event {
    Arrives,
    Wakes(usize),
    Ends(usize, AttemptId, Option<Outcome>),
}

#[derive(Default)]
struct Seen {
    first: u64,
    hedges: u64,
    latencies: Vec<Duration>,
}

struct World<'a> {
    b: Bench,
    policy: &'a RetryPolicy,
    hedge: &'a HedgePolicy,
    total: Duration,
    idempotent: bool,
    endpoints: usize,
    timeline: Timeline<Event>,
    jobs: Vec<Job<'a>>,
    seen: Seen,
}

impl<'a> World<'a> {
    fn new(b: Bench, policy: &'a RetryPolicy, hedge: &'a HedgePolicy, total: Duration) -> Self {
        World {
            b,
            policy,
            hedge,
            total,
            idempotent: true,
            endpoints: 3,
            timeline: Timeline::default(),
            jobs: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn run(
        &mut self,
        fate: &mut impl FnMut() -> Fate,
        standby: &mut impl FnMut() -> Standby,
    ) -> Result<(), TestCaseError> {
        while let Some((time, event)) = self.timeline.pop() {
            let now = self.b.start + time;
            match event {
                Event::Arrives => {
                    let deadline = now + self.total;
                    let plan = Plan {
                        deadline,
                        idempotent: self.idempotent,
                        endpoints: self.endpoints,
                        hedge: Some(self.hedge),
                        ..plan(self.policy, deadline)
                    };
                    let attempts = Attempts::new(plan);
                    let job = Job { attempts, arrived: now, deadline, out: Vec::new(), hedges: 0, done: false };
                    self.jobs.push(job);
                    self.pump(self.jobs.len() - 1, now, fate, standby)?;
                }
                Event::Wakes(number) => self.pump(number, now, fate, standby)?,
                Event::Ends(number, id, outcome) => self.end(number, now, (id, outcome), fate, standby)?,
            }
        }
        prop_assert!(self.jobs.iter().all(|job| job.done && job.out.is_empty()));
        Ok(())
    }

    fn pump(
        &mut self,
        number: usize,
        now: Instant,
        fate: &mut impl FnMut() -> Fate,
        standby: &mut impl FnMut() -> Standby,
    ) -> Result<(), TestCaseError> {
        let World { b, jobs, timeline, seen, .. } = self;
        let job = &mut jobs[number];
        while !job.done {
            if job.attempts.hedge_due().is_some_and(|due| due <= now) {
                job.attempts.set_standby(standby());
            }
            match job.attempts.next(now, &mut b.dependency, &mut b.entropy) {
                Step::Launch { id, kind, cutoff, permit } => {
                    prop_assert!(now < job.deadline && cutoff <= job.deadline && now < cutoff);
                    prop_assert!(job.out.len() == usize::from(kind == Kind::Hedge), "beside a hedge one attempt flies");
                    job.hedges += u32::from(kind == Kind::Hedge);
                    seen.first += u64::from(kind == Kind::First);
                    seen.hedges += u64::from(kind == Kind::Hedge);
                    prop_assert!(job.hedges <= 1, "one hedge per request");
                    job.out.push(Out { id, permit, launched: now });
                    let (outcome, after) = fate();
                    let timed_out = Outcome::failed(
                        if cutoff == job.deadline { Failure::DeadlineExceeded } else { Failure::TryTimeout },
                        Sent::Yes,
                    );
                    let ends = now + Duration::from_millis(after);
                    let (ends, outcome) = if ends > cutoff { (cutoff, Some(timed_out)) } else { (ends, outcome) };
                    timeline.at(ends - b.start, Event::Ends(number, id, outcome));
                }
                Step::Wait { until } => {
                    prop_assert!(until > now);
                    timeline.at(until - b.start, Event::Wakes(number));
                    return Ok(());
                }
                Step::Finish { .. } => {
                    job.done = true;
                    seen.latencies.push(now - job.arrived);
                    // What still flies is cancelled.
                    job.out.drain(..).for_each(|out| b.dependency.on_cancelled(now, out.permit));
                    prop_assert!(!job.attempts.is_unsettled());
                    prop_assert!(job.attempts.launched() - job.hedges <= 1 + self.policy.retries);
                }
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        number: usize,
        now: Instant,
        (id, outcome): (AttemptId, Option<Outcome>),
        fate: &mut impl FnMut() -> Fate,
        standby: &mut impl FnMut() -> Standby,
    ) -> Result<(), TestCaseError> {
        let World { b, jobs, .. } = self;
        let job = &mut jobs[number];
        let Some(place) = job.out.iter().position(|out| out.id == id) else { return Ok(()) };
        let Out { id, permit, launched } = job.out.remove(place);
        let Some(outcome) = outcome else {
            // The client leaves.
            b.dependency.on_cancelled(now, permit);
            job.out.drain(..).for_each(|out| b.dependency.on_cancelled(now, out.permit));
            job.attempts.abandon(now, &mut b.dependency);
            job.done = true;
            return Ok(());
        };
        job.attempts.on_outcome(now, id, permit, outcome, now - launched, &mut b.dependency, &mut b.entropy);
        self.pump(number, now, fate, standby)
    }
}

fn any_fate() -> impl Strategy<Value = Fate> {
    let reply = prop_oneof![
        8 => Just(Reply::Status(200)),
        4 => prop::sample::select(vec![409, 429, 500, 503]).prop_map(Reply::Status),
        2 => prop::sample::select(Failure::ALL).prop_map(Reply::Failed),
    ];
    let sent = prop::sample::select(vec![Sent::No, Sent::Maybe, Sent::Yes]);
    let outcome = (reply, sent, prop::option::weighted(0.05, 0u64..3)).prop_map(|(reply, sent, hint)| Outcome {
        reply,
        sent,
        retry_after: hint.map(Duration::from_secs),
        mark: PeerMark::None,
    });
    (prop::option::weighted(0.95, outcome), prop_oneof![3 => 0u64..12, 1 => 0u64..600])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_makes_more_of_hedges_than_was_granted(
        gaps in prop::collection::vec(0u64..30, 40..250),
        fates in prop::collection::vec(any_fate(), 1..200),
        standbys in prop::collection::vec(
            prop_oneof![8 => Just(Standby::Other), 1 => Just(Standby::Alone), 1 => Just(Standby::Panic)], 1..20),
        retries in 0u32..3,
        delay_ms in 1u64..40,
        percentile: bool,
        idempotent in prop::bool::weighted(0.8),
        endpoints in 1usize..4,
        holdout in prop::sample::select(vec![0.0, 10.0]),
    ) {
        let b = Bench::with(DependencyPolicy {
            budget: BudgetPolicy::default(),
            breaker: Some(breaker()),
            throttle: Some(throttle()),
        });
        let policy = RetryPolicy { retries, holdout_percent: holdout, contract: Contract::Dedupes, ..b.policy.clone() };
        let delay = if percentile { Delay::Percentile(0.9) } else { Delay::After(Duration::from_millis(delay_ms)) };
        let hedge = HedgePolicy { delay, min_delay: 5 * MS, unsafe_methods: true, ..HedgePolicy::default() };
        let mut world = World { idempotent, endpoints, ..World::new(b, &policy, &hedge, SEC) };
        let mut at = Duration::ZERO;
        for gap in gaps {
            at += Duration::from_millis(gap);
            world.timeline.at(at, Event::Arrives);
        }
        let mut fates = fates.into_iter().cycle();
        let mut standbys = standbys.into_iter().cycle();
        world.run(&mut || fates.next().unwrap_or((None, 0)), &mut || standbys.next().unwrap_or(Standby::Alone))?;
        let World { mut b, seen, .. } = world;
        // Nothing is given in advance: a hedge is earned by first attempts alone.
        prop_assert!(seen.hedges as f64 <= 0.05 * seen.first as f64 + 1e-9, "{} of {}", seen.hedges, seen.first);
        let now = b.start + at;
        let counts = b.dependency.hedges.report(now, ROUTE, &hedge).unwrap().counts;
        prop_assert_eq!(counts.sent(), seen.hedges);
        prop_assert_eq!(counts.first_attempts, seen.first);
        // No permit was lost: whatever state it is in, three good probes close the breaker.
        let later = now + Duration::from_secs(7200);
        let breaker = b.dependency.breaker.as_mut().unwrap();
        for _ in 0..3 {
            let Ok(permit) = breaker.acquire(later, &mut b.entropy) else {
                return Err(TestCaseError::fail("a probe is missing"));
            };
            breaker.record(later, permit, Signal::Success, MS, &mut b.entropy);
        }
        prop_assert_eq!(breaker.state(later), State::Closed);
    }
}

/// The figure: one call of a hundred takes 500 ms, the rest 5 ms.
fn tail(hedge: &HedgePolicy, seed: u64) -> (Duration, f64) {
    let mut b = Bench::new();
    b.entropy = SplitMix::new(seed);
    let policy = RetryPolicy { retries: 0, ..b.policy.clone() };
    let mut world = World::new(b, &policy, hedge, 2 * SEC);
    let mut arrivals = SplitMix::new(!seed);
    let mut at = Duration::ZERO;
    for _ in 0..30_000 {
        at += crate::reliability::sim::exponential(200.0, &mut arrivals);
        world.timeline.at(at, Event::Arrives);
    }
    let mut fates = SplitMix::new(seed ^ 0x5EED);
    let mut fate = || (Some(Outcome::answered(200)), if fates.unit() < 0.01 { 500 } else { 5 });
    world.run(&mut fate, &mut || Standby::Other).unwrap();
    let mut latencies = world.seen.latencies;
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100 + latencies.len() / 200];
    (p99, world.seen.hedges as f64 / world.seen.first as f64)
}

#[test]
fn of_a_tail_of_one_in_a_hundred_hedges_leave_little_for_a_load_of_as_little() {
    let never = HedgePolicy { delay: Delay::After(SEC), ..HedgePolicy::default() };
    for seed in 1..=5 {
        // Read at p99.5, where without hedges every seed shows the tail; so it holds at p99 as well.
        let (without, none) = tail(&never, seed);
        let (with, load) = tail(&HedgePolicy::default(), seed);
        assert!(without >= Duration::from_millis(500) && none == 0.0, "{without:?}");
        assert!(with <= Duration::from_millis(60), "{with:?}");
        assert!(load <= 0.05 && load > 0.005, "{load}");
    }
}
