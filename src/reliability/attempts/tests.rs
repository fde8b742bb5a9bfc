use super::*;
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::breaker::{Breaker, BreakerPolicy, Refusal, Signal, State};
use crate::reliability::budget::BudgetPolicy;
use crate::reliability::classify::{Contract, PeerMark, StatusSet};
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::efficacy::RouteNumber;
use crate::reliability::entropy::SplitMix;
use crate::reliability::failure::{Failure, Sent};
use crate::reliability::throttle::ThrottlePolicy;

mod dependency;
mod hedging;
mod hedging_properties;
mod ledger;
mod properties;

/// The route that all requests take.
const ROUTE: RouteNumber = RouteNumber(0);

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn breaker() -> BreakerPolicy {
    BreakerPolicy {
        window: 10 * SEC,
        min_requests: 20,
        failure_percent: 50.0,
        consecutive_failures: Some(5),
        slow_call: None,
        open: 5 * SEC,
        max_open: 60 * SEC,
        half_open_requests: 3,
        probe_timeout: 5 * SEC,
        observe: false,
    }
}

fn throttle() -> ThrottlePolicy {
    ThrottlePolicy { k: 2.0, window: 10 * SEC, max_rejection: 0.9, min_requests: 20, observe: false }
}

/// One request against one dependency, by hand.
struct Bench {
    policy: RetryPolicy,
    start: Instant,
    dependency: Dependency,
    entropy: SplitMix,
}

impl Bench {
    fn new() -> Self {
        Self::with(DependencyPolicy { budget: BudgetPolicy::default(), breaker: None, throttle: None })
    }

    fn with(policy: DependencyPolicy) -> Self {
        let start = Instant::now();
        let mut dependency = Dependency::new(&policy, start);
        dependency.efficacy.keep(start, [ROUTE]);
        dependency.hedges.keep(start, [ROUTE]);
        Bench { policy: RetryPolicy::default(), start, dependency, entropy: SplitMix::new(7) }
    }

    fn fixed_backoff(mut self) -> Self {
        self.policy.backoff.jitter = Jitter::None;
        self
    }

    fn next(&mut self, attempts: &mut Attempts, now: Instant) -> Step {
        attempts.next(now, &mut self.dependency, &mut self.entropy)
    }

    fn launch(&mut self, attempts: &mut Attempts, now: Instant) -> (AttemptId, Kind, Instant, Permit) {
        match self.next(attempts, now) {
            Step::Launch { id, kind, cutoff, permit } => (id, kind, cutoff, permit),
            other => panic!("{other:?} instead of a launch"),
        }
    }

    fn end(&mut self, attempts: &mut Attempts, now: Instant, id: AttemptId, permit: Permit, outcome: Outcome) -> bool {
        attempts.on_outcome(now, id, permit, outcome, MS, &mut self.dependency, &mut self.entropy)
    }

    /// Launches, ends with `outcome`, returns whether a retry follows.
    fn attempt(&mut self, attempts: &mut Attempts, now: Instant, outcome: Outcome) -> bool {
        let (id, _, _, permit) = self.launch(attempts, now);
        self.end(attempts, now, id, permit, outcome)
    }

    /// One request whose first attempt ends in `outcome`: why it stops there.
    fn stop_after(&mut self, plan: Plan, outcome: Outcome) -> Option<Stop> {
        let mut attempts = Attempts::new(plan);
        let again = self.attempt(&mut attempts, self.start, outcome);
        match self.next(&mut attempts, self.start) {
            Step::Finish { stop, answer } => {
                assert!(!again);
                assert_eq!(answer, Some(AttemptId(0)));
                Some(stop)
            }
            Step::Launch { .. } | Step::Wait { .. } => None,
        }
    }
}

fn plan(policy: &RetryPolicy, deadline: Instant) -> Plan<'_> {
    Plan {
        policy,
        deadline,
        backend_request: None,
        idempotent: true,
        replayable: true,
        chain_stop: false,
        endpoints: 3,
        ledger: Some(ROUTE),
        hedge: None,
    }
}

fn unavailable() -> Outcome {
    Outcome::answered(503)
}

fn refused() -> Outcome {
    Outcome::failed(Failure::ConnectionRefused, Sent::No)
}

#[test]
fn a_good_answer_ends_the_request() {
    let mut b = Bench::new();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    let (id, kind, _, permit) = b.launch(&mut attempts, b.start);
    assert_eq!((id, kind), (AttemptId(0), Kind::First));
    assert!(matches!(b.next(&mut attempts, b.start), Step::Wait { until } if until > b.start));
    assert!(!b.end(&mut attempts, b.start, id, permit, Outcome::answered(200)));
    for _ in 0..3 {
        let step = b.next(&mut attempts, b.start + 9 * SEC);
        assert!(matches!(step, Step::Finish { stop: Stop::Answered, answer: Some(AttemptId(0)) }), "{step:?}");
    }
    assert_eq!((attempts.launched(), attempts.denied(), attempts.last_class()), (1, None, None));
}

#[test]
fn a_failure_is_retried_after_its_backoff_until_the_attempts_are_spent() {
    let mut b = Bench::new().fixed_backoff();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut attempts, b.start, unavailable()));
    let Step::Wait { until } = b.next(&mut attempts, b.start) else { panic!("no backoff") };
    assert_eq!(until, b.start + 25 * MS);
    assert!(b.attempt(&mut attempts, until, unavailable()));
    assert_eq!(attempts.last_class(), Some(RetryClass::Ordinary));
    let Step::Wait { until } = b.next(&mut attempts, until) else { panic!("no backoff") };
    assert_eq!(until, b.start + 75 * MS);
    assert!(!b.attempt(&mut attempts, until, unavailable()));
    let step = b.next(&mut attempts, until);
    assert!(matches!(step, Step::Finish { stop: Stop::AttemptsSpent, answer: Some(AttemptId(2)) }), "{step:?}");
}

#[test]
fn a_refused_connection_is_tried_elsewhere_at_once_and_only_once_for_free() {
    let mut b = Bench::new().fixed_backoff();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut attempts, b.start, refused()));
    let (id, kind, _, permit) = b.launch(&mut attempts, b.start);
    assert_eq!((kind, attempts.last_class()), (Kind::Transparent, Some(RetryClass::Transparent)));
    assert!(b.end(&mut attempts, b.start, id, permit, refused()));
    let Step::Wait { until } = b.next(&mut attempts, b.start) else { panic!("no backoff") };
    let (_, kind, _, permit) = b.launch(&mut attempts, until);
    assert_eq!((kind, attempts.last_class()), (Kind::Retry, Some(RetryClass::Ordinary)));
    b.dependency.on_cancelled(until, permit);
}

#[test]
fn on_the_only_endpoint_a_refused_connection_waits_and_pays_but_a_stale_one_is_free() {
    let mut b = Bench::new().fixed_backoff();
    let policy = b.policy.clone();
    let alone = Plan { endpoints: 1, ..plan(&policy, b.start + SEC) };
    let mut attempts = Attempts::new(alone);
    assert!(b.attempt(&mut attempts, b.start, refused()));
    assert!(matches!(b.next(&mut attempts, b.start), Step::Wait { .. }));
    assert_eq!(attempts.last_class(), Some(RetryClass::Ordinary));
    let mut attempts = Attempts::new(alone);
    assert!(b.attempt(&mut attempts, b.start, Outcome::failed(Failure::ConnectionTerminated, Sent::No)));
    assert_eq!(attempts.last_class(), Some(RetryClass::Transparent));
    assert!(matches!(b.next(&mut attempts, b.start), Step::Wait { .. }), "it may have been refused, not stale");
}

#[test]
fn retry_after_is_a_minimum_unless_the_policy_ignores_it() {
    let mut b = Bench::new();
    let asked = Outcome { retry_after: Some(SEC), ..unavailable() };
    for (respect, least) in [(true, SEC), (false, Duration::ZERO)] {
        let policy = RetryPolicy { respect_retry_after: respect, ..b.policy.clone() };
        let mut attempts = Attempts::new(plan(&policy, b.start + 10 * SEC));
        assert!(b.attempt(&mut attempts, b.start, asked));
        assert_eq!(attempts.last_class(), Some(RetryClass::Overload));
        let Step::Wait { until } = b.next(&mut attempts, b.start) else { panic!("no backoff") };
        assert!(until >= b.start + least);
        assert!(until <= b.start + if respect { SEC * 11 / 10 } else { 250 * MS });
    }
}

/// Row D2: 29 ms remain, the backoff is 25 ms, an answer takes 5 ms at least.
#[test]
fn a_retry_that_cannot_be_answered_in_time_is_denied() {
    for (remaining, denied) in [(29, true), (30, false)] {
        let mut b = Bench::new().fixed_backoff();
        b.dependency.latency.record(b.start, MS);
        let policy = b.policy.clone();
        let stop = b.stop_after(plan(&policy, b.start + remaining * MS), unavailable());
        assert_eq!(stop, denied.then_some(Stop::Denied(Denied::Deadline)), "{remaining} ms");
    }
    let mut b = Bench::new().fixed_backoff();
    (0..10).for_each(|_| b.dependency.latency.record(b.start, 100 * MS));
    let policy = b.policy.clone();
    let stop = b.stop_after(plan(&policy, b.start + 100 * MS), unavailable());
    assert_eq!(stop, Some(Stop::Denied(Denied::Deadline)), "successes take 100 ms");
}

#[test]
fn what_the_request_forbids_is_told_apart() {
    let mut b = Bench::new();
    let policy = b.policy.clone();
    let whole = plan(&policy, b.start + SEC);
    let cases = [
        (Plan { idempotent: false, ..whole }, unavailable(), Denied::NotIdempotent),
        (Plan { replayable: false, ..whole }, unavailable(), Denied::BodyTooLarge),
        (Plan { chain_stop: true, ..whole }, unavailable(), Denied::ChainStop),
        (whole, Outcome { mark: PeerMark::GaveUp, ..unavailable() }, Denied::Pushback),
    ];
    for (plan, outcome, reason) in cases {
        assert_eq!(b.stop_after(plan, outcome), Some(Stop::Denied(reason)));
    }
    assert_eq!(b.stop_after(Plan { chain_stop: true, ..whole }, refused()), None, "a free retry is no retry");
    assert_eq!(b.stop_after(Plan { idempotent: false, ..whole }, refused()), None, "nothing was sent");
}

#[test]
fn a_spent_budget_denies_and_adds_no_latency() {
    let budget = BudgetPolicy { burst: 0, floor_per_second: 0.0, ..BudgetPolicy::default() };
    let mut b = Bench::with(DependencyPolicy { budget, breaker: None, throttle: None });
    let policy = b.policy.clone();
    let stop = b.stop_after(plan(&policy, b.start + SEC), unavailable());
    assert_eq!(stop, Some(Stop::Denied(Denied::Budget)));
}

#[test]
fn without_retries_nothing_is_said_to_be_spent() {
    let mut b = Bench::new();
    let policy = RetryPolicy { retries: 0, ..b.policy.clone() };
    assert_eq!(b.stop_after(plan(&policy, b.start + SEC), unavailable()), Some(Stop::Answered));
    assert_eq!(b.stop_after(plan(&policy, b.start + SEC), refused()), Some(Stop::Answered));
}

#[test]
fn the_cutoff_of_an_attempt_leaves_room_for_the_next_and_the_last_takes_all() {
    let mut b = Bench::new().fixed_backoff();
    let policy = b.policy.clone();
    let deadline = b.start + 900 * MS;
    let cutoffs = |plan: Plan, b: &mut Bench| -> Vec<u128> {
        let (mut attempts, mut now, mut cutoffs) = (Attempts::new(plan), b.start, vec![]);
        loop {
            match b.next(&mut attempts, now) {
                Step::Launch { id, cutoff, permit, .. } => {
                    cutoffs.push((cutoff - now).as_millis());
                    b.end(&mut attempts, now, id, permit, unavailable());
                }
                Step::Wait { until } => now = until,
                Step::Finish { .. } => return cutoffs,
            }
        }
    };
    let derived = plan(&policy, deadline);
    let written = Plan { backend_request: Some(200 * MS), ..derived };
    assert_eq!(cutoffs(derived, &mut b), [300, 300, 825], "a third each, then the rest");
    assert_eq!(cutoffs(written, &mut b), [200, 200, 825]);
    assert_eq!(cutoffs(Plan { idempotent: false, ..derived }, &mut b), [900], "nothing can follow a timeout");
    assert_eq!(cutoffs(Plan { idempotent: false, ..written }, &mut b), [200], "a written limit is a limit");
    assert_eq!(cutoffs(Plan { backend_request: Some(Duration::MAX), ..derived }, &mut b)[0], 900);
    let single = RetryPolicy { retries: 0, ..policy.clone() };
    assert_eq!(cutoffs(plan(&single, deadline), &mut b), [900]);
    for _ in 0..100 {
        b.dependency.latency.record(b.start, 80 * MS);
    }
    let learned = cutoffs(derived, &mut b)[0];
    assert!((230..=260).contains(&learned), "three times the p99 of 80 ms: {learned}");
}

#[test]
fn nothing_is_launched_at_the_deadline_and_a_silent_attempt_does_not_hang_the_request() {
    let mut b = Bench::new();
    let policy = b.policy.clone();
    let mut late = Attempts::new(plan(&policy, b.start));
    let step = b.next(&mut late, b.start);
    assert!(matches!(step, Step::Finish { stop: Stop::DeadlinePassed, answer: None }), "{step:?}");
    let mut silent = Attempts::new(plan(&policy, b.start + SEC));
    let (id, _, _, permit) = b.launch(&mut silent, b.start);
    // A little time is left for the attempt to report its own timeout, so that the breaker learns of it.
    assert!(matches!(b.next(&mut silent, b.start + SEC), Step::Wait { until } if until == b.start + SEC + GRACE));
    let step = b.next(&mut silent, b.start + SEC + GRACE);
    assert!(matches!(step, Step::Finish { stop: Stop::DeadlinePassed, answer: None }), "{step:?}");
    assert!(!b.end(&mut silent, b.start + 2 * SEC, id, permit, Outcome::answered(200)), "too late");
    assert!(matches!(b.next(&mut silent, b.start + 2 * SEC), Step::Finish { stop: Stop::DeadlinePassed, .. }));
}

#[test]
fn a_retry_that_oversleeps_the_deadline_is_not_launched_and_gets_its_token_back() {
    let mut b = Bench::new();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut attempts, b.start, unavailable()));
    assert!(b.dependency.budget.remaining_ratio(b.start) < 1.0);
    let step = b.next(&mut attempts, b.start + SEC);
    assert!(matches!(step, Step::Finish { stop: Stop::DeadlinePassed, answer: Some(AttemptId(0)) }), "{step:?}");
    assert_eq!(b.dependency.budget.remaining_ratio(b.start + SEC), 1.0);
}

#[test]
fn only_codes_that_are_listed_are_retried() {
    let mut b = Bench::new();
    let policy = RetryPolicy { codes: StatusSet::from_iter([429]), backoff: Backoff::default(), ..b.policy.clone() };
    assert_eq!(b.stop_after(plan(&policy, b.start + 9 * SEC), unavailable()), Some(Stop::Answered));
    assert_eq!(b.stop_after(plan(&policy, b.start + 9 * SEC), Outcome::answered(429)), None);
}

#[test]
fn an_outcome_reported_twice_changes_nothing() {
    let mut b = Bench::new();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut attempts, b.start, unavailable()));
    assert!(!b.end(&mut attempts, b.start, AttemptId(0), Permit::free(), Outcome::answered(200)));
    assert!(matches!(b.next(&mut attempts, b.start), Step::Wait { .. }));
}

#[test]
fn when_the_breaker_closes_the_throttle_holds_nothing_of_the_outage_against_the_dependency() {
    let policy =
        DependencyPolicy { budget: BudgetPolicy::default(), breaker: Some(breaker()), throttle: Some(throttle()) };
    let mut b = Bench::with(policy);
    let dependency = &mut b.dependency;
    let mut now = b.start;
    let mut end = |dependency: &mut Dependency, now, status| {
        let permit = super::account::admit_first(now, dependency, &mut b.entropy).unwrap();
        let outcome = Outcome::answered(status);
        let verdict = if status < 500 { Verdict::Success } else { Verdict::Final };
        super::account::report(now, Stake::First, permit, &outcome, verdict, SEC / 100, dependency, &mut b.entropy);
    };
    dependency.breaker = None;
    (0..20).for_each(|_| end(dependency, now, 503));
    assert!(dependency.throttle.as_ref().unwrap().rejection(now) > 0.5);
    let mut opened = Breaker::new(breaker(), now);
    for _ in 0..5 {
        let permit = opened.acquire(now, &mut SplitMix::new(1)).unwrap();
        opened.record(now, permit, Signal::Failure, SEC, &mut SplitMix::new(1));
    }
    now += opened.precheck(now).unwrap();
    dependency.breaker = Some(opened);
    (0..2).for_each(|_| end(dependency, now, 200));
    assert!(dependency.throttle.as_ref().unwrap().rejection(now) > 0.5, "it has not closed yet");
    end(dependency, now, 200);
    assert_eq!(dependency.throttle.as_ref().unwrap().rejection(now), 0.0);
}

#[test]
fn the_lists_of_words_are_in_declaration_order_since_tables_are_indexed_by_them() {
    assert!(Denied::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
    assert!(Kind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
}
