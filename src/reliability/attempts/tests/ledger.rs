//! What the ledger learns, and what it forbids.

use super::*;
use crate::reliability::efficacy::{FailureClass, Helpfulness, Report};

fn report(b: &Bench, now: Instant, class: FailureClass) -> Report {
    let reports = b.dependency.efficacy.reports(now, ROUTE);
    reports.into_iter().find(|report| report.class == Some(class)).expect("a failure of this class was counted")
}

/// A request whose attempts all end so; how many there were.
fn exhaust(b: &mut Bench, now: Instant, policy: &RetryPolicy, outcome: Outcome) -> (u32, Option<Denied>) {
    let mut attempts = Attempts::new(plan(policy, now + SEC));
    let mut at = now;
    while b.attempt(&mut attempts, at, outcome) {
        at += 200 * MS;
    }
    (attempts.launched(), attempts.denied())
}

/// A bench whose budget never says no.
fn rich() -> Bench {
    let budget = BudgetPolicy { burst: 100_000, floor_per_second: 1000.0, ..BudgetPolicy::default() };
    Bench::with(DependencyPolicy { budget, breaker: None, throttle: None }).fixed_backoff()
}

#[test]
fn a_rescue_is_counted_with_its_place_its_endpoint_and_its_price_in_time() {
    let mut b = rich();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut attempts, b.start, unavailable()));
    let (id, _, _, permit) = b.launch(&mut attempts, b.start + 100 * MS);
    attempts.set_elsewhere(true);
    assert!(b.end(&mut attempts, b.start + 101 * MS, id, permit, unavailable()));
    let (id, _, _, permit) = b.launch(&mut attempts, b.start + 200 * MS);
    attempts.set_elsewhere(false);
    assert!(!b.end(&mut attempts, b.start + 201 * MS, id, permit, Outcome::answered(200)));
    let report = report(&b, b.start + 201 * MS, FailureClass::Error);
    assert_eq!((report.requests, report.counts.first_failed, report.counts.retried), (1, 1, 1));
    assert_eq!((report.tries.retries(), report.tries.rescued(), report.tries.wasted()), (2, 1, 1));
    assert_eq!(report.counts.by_place.map(|share| (share.tried, share.good)), [(1, 0), (1, 1), (0, 0), (0, 0)]);
    assert_eq!((report.counts.elsewhere.ratio(), report.counts.same.ratio()), (Some(0.0), Some(1.0)));
    let tax = report.counts.rescued_tax.quantile(0.5).expect("one was rescued");
    assert!(tax > 150 * MS && tax < 270 * MS, "{tax:?}");
    assert_eq!(report.counts.failed_tax.total(), 0);
    assert_eq!(report.counts.wasted_time, MS);
}

#[test]
fn an_abandoned_retry_is_wasted_and_one_that_waits_is_none() {
    let mut b = rich();
    let policy = b.policy.clone();
    let mut waiting = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut waiting, b.start, unavailable()));
    assert!(waiting.is_unsettled());
    waiting.abandon(b.start, &mut b.dependency);
    assert_eq!(report(&b, b.start, FailureClass::Error).tries.retries(), 0);

    let mut flying = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut flying, b.start, unavailable()));
    let (.., permit) = b.launch(&mut flying, b.start + 100 * MS);
    b.dependency.on_cancelled(b.start + 130 * MS, permit);
    flying.abandon(b.start + 130 * MS, &mut b.dependency);
    assert!(!flying.is_unsettled());
    let report = report(&b, b.start + SEC, FailureClass::Error);
    assert_eq!((report.tries.retries(), report.tries.wasted()), (1, 1));
    assert_eq!((report.counts.wasted_time, report.counts.retried), (30 * MS, 1));
}

#[test]
fn a_request_without_a_failure_leaves_nothing_to_settle() {
    let mut b = rich();
    let policy = b.policy.clone();
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    let (id, _, _, permit) = b.launch(&mut attempts, b.start);
    assert!(!attempts.is_unsettled());
    b.end(&mut attempts, b.start, id, permit, Outcome::answered(200));
    assert!(!attempts.is_unsettled());
    assert!(b.dependency.efficacy.reports(b.start, ROUTE).is_empty());
}

#[test]
fn retries_that_do_not_help_are_held_to_probes_and_only_after_that_kind_of_failure() {
    let mut b = rich();
    let policy = RetryPolicy { retries: 1, ..b.policy.clone() };
    for _ in 0..35 {
        let now = b.start;
        assert_eq!(exhaust(&mut b, now, &policy, unavailable()), (2, None));
    }
    let now = b.start + 9 * SEC;
    assert_eq!(report(&b, now, FailureClass::Error).verdict, Helpfulness::NotHelping);
    assert_eq!(exhaust(&mut b, now, &policy, unavailable()), (1, Some(Denied::Efficacy)));
    let reset = Outcome::failed(Failure::ConnectionTerminated, Sent::Yes);
    assert_eq!(exhaust(&mut b, now, &policy, reset), (2, None), "resets are another matter");
    let due = b.start + 11 * SEC;
    assert_eq!(exhaust(&mut b, due, &policy, unavailable()), (2, None), "a probe");
    assert_eq!(exhaust(&mut b, due + 4 * SEC, &policy, unavailable()), (1, Some(Denied::Efficacy)), "and no other yet");
    let told: Vec<_> = b.dependency.efficacy.take_changes();
    let words: Vec<_> = told.iter().map(|change| (change.from, change.to, change.tries.retries())).collect();
    assert_eq!(words[0], (Helpfulness::Unknown, Helpfulness::Marginal, 20));
    assert_eq!(words[1], (Helpfulness::Marginal, Helpfulness::NotHelping, 35));
}

#[test]
fn a_held_out_request_is_never_retried_and_its_attempt_may_use_all_the_time() {
    let mut b = rich();
    let policy = RetryPolicy { holdout_percent: 100.0, ..b.policy.clone() };
    let limited = Plan { backend_request: Some(200 * MS), ..plan(&policy, b.start + SEC) };
    let mut failing = Attempts::new(limited);
    let (id, _, cutoff, permit) = b.launch(&mut failing, b.start);
    assert_eq!(cutoff, b.start + SEC);
    assert!(!b.end(&mut failing, b.start + 50 * MS, id, permit, unavailable()));
    assert_eq!((failing.denied(), failing.launched()), (Some(Denied::Holdout), 1));

    // Early success: it needed no retry, and is in neither group.
    let mut good = Attempts::new(limited);
    let (id, _, _, permit) = b.launch(&mut good, b.start);
    b.end(&mut good, b.start + 199 * MS, id, permit, Outcome::answered(200));
    // A success after the time of one try: it would have been given up, and came round.
    let mut late = Attempts::new(limited);
    let (id, _, _, permit) = b.launch(&mut late, b.start);
    b.end(&mut late, b.start + 300 * MS, id, permit, Outcome::answered(200));

    let control = |b: &Bench, class| report(b, b.start + SEC, class).control;
    let (errors, timeouts) = (control(&b, FailureClass::Error), control(&b, FailureClass::Timeout));
    assert_eq!((errors.control, errors.control_succeeded, errors.treated), (1, 0, 0));
    assert_eq!((timeouts.control, timeouts.control_succeeded), (1, 1));
    let rescue = late.rescue().expect("it came round");
    b.dependency.efficacy.on_late(b.start + SEC, rescue);
    assert_eq!(control(&b, FailureClass::Timeout).control_succeeded, 0, "its client had gone");
}

#[test]
fn a_held_out_request_keeps_a_limit_that_no_retry_could_follow() {
    let mut b = rich();
    let policy = RetryPolicy { holdout_percent: 100.0, ..b.policy.clone() };
    let unsafe_one = Plan { backend_request: Some(200 * MS), idempotent: false, ..plan(&policy, b.start + SEC) };
    let (_, _, cutoff, _) = b.launch(&mut Attempts::new(unsafe_one), b.start);
    assert_eq!(cutoff, b.start + 200 * MS);
}
