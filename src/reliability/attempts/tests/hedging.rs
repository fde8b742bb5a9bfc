//! Hedges: when one is sent, what becomes of two attempts that fly at once, and what may not follow from it.

use super::*;
use crate::reliability::hedge::{Delay, HedgeCounts, HedgePolicy, Standby, Suppressed};

/// After ten milliseconds.
fn hedge() -> HedgePolicy {
    HedgePolicy { delay: Delay::After(10 * MS), ..HedgePolicy::default() }
}

impl Bench {
    /// With hedges in hand.
    fn hedging() -> Self {
        let mut b = Bench::new().fixed_backoff();
        b.afford();
        b
    }

    /// What was earned before.
    fn afford(&mut self) {
        (0..2).for_each(|_| self.dependency.budget.on_hedgeable(1.0));
    }

    fn counts(&mut self) -> HedgeCounts {
        self.dependency.hedges.report(self.start, ROUTE, &hedge()).unwrap().counts
    }

    /// The first attempt, and its hedge after ten milliseconds.
    fn two(&mut self, attempts: &mut Attempts) -> [(AttemptId, Permit); 2] {
        let (first, kind, _, permit) = self.launch(attempts, self.start);
        assert_eq!(kind, Kind::First);
        attempts.set_standby(Standby::Other);
        let (second, kind, _, other) = self.launch(attempts, self.start + 10 * MS);
        assert_eq!(kind, Kind::Hedge);
        [(first, permit), (second, other)]
    }
}

fn hedged<'a>(policy: &'a RetryPolicy, hedge: &'a HedgePolicy, b: &Bench) -> Plan<'a> {
    Plan { hedge: Some(hedge), ..plan(policy, b.start + SEC) }
}

fn suppressed(counts: &HedgeCounts) -> Vec<Suppressed> {
    let told = Suppressed::ALL.into_iter().zip(counts.suppressed);
    told.flat_map(|(why, count)| std::iter::repeat_n(why, count as usize)).collect()
}

#[test]
fn a_first_attempt_that_takes_too_long_gets_one_beside_it_and_the_first_answer_counts() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), hedge());
    let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
    let (first, _, _, permit) = b.launch(&mut attempts, b.start);
    assert_eq!(attempts.hedge_due(), Some(b.start + 10 * MS));
    assert!(matches!(b.next(&mut attempts, b.start), Step::Wait { until } if until == b.start + 10 * MS));
    attempts.set_standby(Standby::Other);
    let (second, kind, cutoff, other) = b.launch(&mut attempts, b.start + 10 * MS);
    assert_eq!((second, kind), (AttemptId(1), Kind::Hedge));
    assert!(cutoff > b.start + 10 * MS && cutoff <= b.start + SEC);
    let step = b.next(&mut attempts, b.start + 11 * MS);
    assert!(matches!(step, Step::Wait { until } if until == b.start + SEC), "one hedge and no more: {step:?}");
    assert!(!b.end(&mut attempts, b.start + 15 * MS, second, other, Outcome::answered(200)));
    let step = b.next(&mut attempts, b.start + 15 * MS);
    assert!(matches!(step, Step::Finish { stop: Stop::Answered, answer: Some(AttemptId(1)) }), "{step:?}");
    assert!(!attempts.is_unsettled() && !attempts.is_flying());
    let counts = b.counts();
    assert_eq!((counts.won, counts.lost, counts.cancelled), (1, 0, 15 * MS));
    // The shell cancels the first one; whatever it still reports changes nothing.
    assert!(!b.end(&mut attempts, b.start + 16 * MS, first, permit, unavailable()));
    assert_eq!(b.counts(), counts);
}

#[test]
fn a_hedge_whose_first_attempt_answers_after_all_is_lost_and_never_an_error() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), hedge());
    let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
    let [(first, permit), (_, other)] = b.two(&mut attempts);
    b.end(&mut attempts, b.start + 12 * MS, first, permit, Outcome::answered(200));
    let step = b.next(&mut attempts, b.start + 12 * MS);
    assert!(matches!(step, Step::Finish { stop: Stop::Answered, answer: Some(AttemptId(0)) }), "{step:?}");
    b.dependency.on_cancelled(b.start + 12 * MS, other);
    let counts = b.counts();
    assert_eq!((counts.won, counts.lost, counts.cancelled), (0, 1, 2 * MS));
    assert!(b.dependency.efficacy.reports(b.start, ROUTE).is_empty());
}

#[test]
fn an_answer_in_time_needs_no_hedge_and_one_that_is_ready_goes_first() {
    for took in [9, 10, 30] {
        let mut b = Bench::hedging();
        let (policy, hedge) = (b.policy.clone(), hedge());
        let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
        let (id, _, _, permit) = b.launch(&mut attempts, b.start);
        b.end(&mut attempts, b.start + took * MS, id, permit, Outcome::answered(200));
        assert!(matches!(b.next(&mut attempts, b.start + took * MS), Step::Finish { .. }));
        assert_eq!(b.counts(), HedgeCounts { first_attempts: 1, ..HedgeCounts::default() });
    }
}

#[test]
fn if_one_of_two_fails_the_other_is_waited_for() {
    for failing in [0, 1] {
        let mut b = Bench::hedging();
        let (policy, hedge) = (b.policy.clone(), hedge());
        let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
        let mut flights = b.two(&mut attempts).map(Some);
        let (id, permit) = flights[failing].take().unwrap();
        assert!(!b.end(&mut attempts, b.start + 12 * MS, id, permit, unavailable()));
        assert!(attempts.is_flying() && matches!(b.next(&mut attempts, b.start + 12 * MS), Step::Wait { .. }));
        let (id, permit) = flights[1 - failing].take().unwrap();
        b.end(&mut attempts, b.start + 14 * MS, id, permit, Outcome::answered(200));
        let step = b.next(&mut attempts, b.start + 14 * MS);
        assert!(
            matches!(step, Step::Finish { stop: Stop::Answered, answer: Some(answer) } if answer == id),
            "{step:?}"
        );
        let counts = b.counts();
        assert_eq!((counts.won, counts.lost), if failing == 0 { (1, 0) } else { (0, 1) });
        // Well without a retry: nothing was rescued by one, nothing wasted.
        assert_eq!(attempts.rescue(), None);
        let reports = b.dependency.efficacy.reports(b.start, ROUTE);
        assert!(reports.iter().all(|report| report.all_tries.retries() == 0));
    }
}

#[test]
fn if_both_fail_the_retries_follow_as_ever_and_a_hedge_is_none_of_them() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), hedge());
    let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
    let [(first, permit), (second, other)] = b.two(&mut attempts);
    assert!(!b.end(&mut attempts, b.start + 12 * MS, first, permit, unavailable()));
    assert!(b.end(&mut attempts, b.start + 13 * MS, second, other, unavailable()));
    let mut now = b.start + 13 * MS;
    for (number, wait) in [(2, 25), (3, 50)] {
        let Step::Wait { until } = b.next(&mut attempts, now) else { panic!("no backoff") };
        assert_eq!(until, now + wait * MS, "the waits are those of first and second retry");
        now = until;
        let (id, kind, _, permit) = b.launch(&mut attempts, now);
        assert_eq!((id, kind), (AttemptId(number), Kind::Retry));
        b.end(&mut attempts, now, id, permit, unavailable());
    }
    let step = b.next(&mut attempts, now);
    assert!(matches!(step, Step::Finish { stop: Stop::AttemptsSpent, .. }), "{step:?}");
    let report = b.dependency.efficacy.reports(now, ROUTE).remove(0);
    assert_eq!((report.all_tries.retries(), report.all_tries.rescued()), (2, 0));
    assert_eq!(report.all_counts.by_place.map(|share| share.tried)[..2], [1, 1]);
}

#[test]
fn of_two_failures_the_longer_pause_and_the_dearer_class_count() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), hedge());
    let mut attempts = Attempts::new(Plan { deadline: b.start + 9 * SEC, ..hedged(&policy, &hedge, &b) });
    let [(first, permit), (second, other)] = b.two(&mut attempts);
    let asked = Outcome { retry_after: Some(2 * SEC), ..unavailable() };
    b.end(&mut attempts, b.start + 12 * MS, first, permit, asked);
    assert!(b.end(&mut attempts, b.start + 13 * MS, second, other, refused()));
    assert_eq!(attempts.last_class(), Some(RetryClass::Overload));
    let Step::Wait { until } = b.next(&mut attempts, b.start + 13 * MS) else { panic!("no backoff") };
    assert!(until >= b.start + 2 * SEC);
}

#[test]
fn an_answer_that_is_there_is_not_given_up_for_a_connection_that_broke() {
    let mut b = Bench::hedging();
    let policy = RetryPolicy { retries: 0, ..b.policy.clone() };
    let hedge = hedge();
    let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
    let [(first, permit), (second, other)] = b.two(&mut attempts);
    b.end(&mut attempts, b.start + 12 * MS, first, permit, Outcome::answered(500));
    b.end(&mut attempts, b.start + 13 * MS, second, other, refused());
    let step = b.next(&mut attempts, b.start + 13 * MS);
    assert!(matches!(step, Step::Finish { answer: Some(AttemptId(0)), .. }), "{step:?}");
}

#[test]
fn what_the_moment_forbids_is_told_apart() {
    let overloaded = DependencyPolicy {
        budget: BudgetPolicy::default(),
        breaker: Some(BreakerPolicy { consecutive_failures: Some(2), ..breaker() }),
        throttle: Some(throttle()),
    };
    type Case = (fn(&mut Bench, &mut Attempts<'_>), Suppressed);
    let cases: [Case; 7] = [
        (|_, attempts| attempts.set_standby(Standby::Alone), Suppressed::NoOtherEndpoint),
        (|_, attempts| attempts.set_standby(Standby::Panic), Suppressed::Panic),
        (
            |b, _| {
                for _ in 0..2 {
                    let breaker = b.dependency.breaker.as_mut().unwrap();
                    let permit = breaker.acquire(b.start, &mut b.entropy).unwrap();
                    breaker.record(b.start, permit, Signal::Failure, MS, &mut b.entropy);
                }
            },
            Suppressed::Breaker,
        ),
        (
            |b, _| {
                let throttle = b.dependency.throttle.as_mut().unwrap();
                for _ in 0..60 {
                    throttle.admit(b.start, false, &mut b.entropy);
                    throttle.on_reject();
                }
            },
            Suppressed::Throttle,
        ),
        (|b, _| b.dependency.hedges.on_pushback(b.start, SEC), Suppressed::Pushback),
        (|b, _| (0..2).for_each(|_| b.dependency.budget.try_hedge(b.start, 1.0).unwrap()), Suppressed::Budget),
        (
            |b, _| {
                for _ in 0..6 {
                    b.dependency.budget.try_retry(b.start, RetryClass::Ordinary, &mut b.entropy).unwrap();
                }
            },
            Suppressed::RetriesFirst,
        ),
    ];
    for (happens, why) in cases {
        let mut b = Bench::with(overloaded.clone());
        b.afford();
        let (policy, hedge) = (b.policy.clone(), HedgePolicy { ratio: 0.0, ..hedge() });
        let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
        let (id, _, _, permit) = b.launch(&mut attempts, b.start);
        attempts.set_standby(Standby::Other);
        happens(&mut b, &mut attempts);
        let step = b.next(&mut attempts, b.start + 10 * MS);
        assert!(matches!(step, Step::Wait { until } if until == b.start + SEC), "{why:?}: {step:?}");
        assert_eq!(suppressed(&b.counts()), [why]);
        b.end(&mut attempts, b.start + 20 * MS, id, permit, Outcome::answered(200));
        assert_eq!(suppressed(&b.counts()), [why], "said once");
    }
}

#[test]
fn what_the_request_has_against_it_is_counted_if_it_was_slow_enough() {
    let base = Bench::hedging();
    let (policy, hedge) = (base.policy.clone(), hedge());
    let whole = hedged(&policy, &hedge, &base);
    let cases = [
        (Plan { idempotent: false, ..whole }, Suppressed::NotIdempotent),
        (Plan { replayable: false, ..whole }, Suppressed::BodyTooLarge),
        (Plan { chain_stop: true, ..whole }, Suppressed::ChainStop),
        (Plan { endpoints: 1, ..whole }, Suppressed::NoOtherEndpoint),
    ];
    for (plan, why) in cases {
        for (took, told) in [(9, vec![]), (10, vec![why])] {
            let mut b = Bench { start: base.start, ..Bench::hedging() };
            let mut attempts = Attempts::new(plan);
            let (id, _, _, permit) = b.launch(&mut attempts, b.start);
            assert_eq!(attempts.hedge_due(), None, "nothing is waited for");
            b.end(&mut attempts, b.start + took * MS, id, permit, Outcome::answered(200));
            assert_eq!(suppressed(&b.counts()), told, "{why:?} after {took} ms");
        }
    }
}

#[test]
fn a_hedge_that_could_not_be_answered_in_time_is_not_sent() {
    for (remaining, sent) in [(14, false), (15, true)] {
        let mut b = Bench::hedging();
        let (policy, hedge) = (b.policy.clone(), hedge());
        let mut attempts = Attempts::new(Plan { deadline: b.start + remaining * MS, ..hedged(&policy, &hedge, &b) });
        let (_, _, _, permit) = b.launch(&mut attempts, b.start);
        attempts.set_standby(Standby::Other);
        let step = b.next(&mut attempts, b.start + 10 * MS);
        assert_eq!(matches!(step, Step::Launch { kind: Kind::Hedge, .. }), sent, "{step:?}");
        assert_eq!(suppressed(&b.counts()), if sent { vec![] } else { vec![Suppressed::Deadline] });
        b.dependency.on_cancelled(b.start, permit);
    }
}

#[test]
fn what_must_not_be_repeated_is_hedged_only_where_the_upstream_recognises_it_and_the_policy_asks_for_it() {
    for (contract, asked, sent) in [
        (Contract::Dedupes, true, true),
        (Contract::Dedupes, false, false),
        (Contract::Atomic5xx, true, false),
        (Contract::Opaque, true, false),
    ] {
        let mut b = Bench::hedging();
        let policy = RetryPolicy { contract, ..b.policy.clone() };
        let hedge = HedgePolicy { unsafe_methods: asked, ..hedge() };
        let mut attempts = Attempts::new(Plan { idempotent: false, ..hedged(&policy, &hedge, &b) });
        b.launch(&mut attempts, b.start);
        assert_eq!(attempts.hedge_due().is_some(), sent, "{contract:?} {asked}");
    }
}

#[test]
fn a_conflict_with_the_other_attempt_is_a_lost_race_and_no_answer() {
    let mut b = Bench::hedging();
    let policy = RetryPolicy { contract: Contract::Dedupes, ..b.policy.clone() };
    let hedge = HedgePolicy { unsafe_methods: true, ..hedge() };
    let mut attempts = Attempts::new(Plan { idempotent: false, ..hedged(&policy, &hedge, &b) });
    let [(first, permit), (second, other)] = b.two(&mut attempts);
    b.end(&mut attempts, b.start + 12 * MS, second, other, Outcome::answered(409));
    assert!(attempts.is_flying());
    b.end(&mut attempts, b.start + 30 * MS, first, permit, Outcome::answered(201));
    let step = b.next(&mut attempts, b.start + 30 * MS);
    assert!(matches!(step, Step::Finish { answer: Some(AttemptId(0)), .. }), "{step:?}");
    assert_eq!((b.counts().won, b.counts().lost), (0, 1));
}

#[test]
fn observed_nothing_is_sent_and_what_would_have_been_is_counted_within_the_same_bounds() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), HedgePolicy { observe: true, ratio: 0.0, ..hedge() });
    for _ in 0..3 {
        let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
        let (id, _, _, permit) = b.launch(&mut attempts, b.start);
        assert_eq!(attempts.hedge_due(), None);
        b.end(&mut attempts, b.start + 20 * MS, id, permit, Outcome::answered(200));
        assert_eq!(attempts.launched(), 1);
    }
    let counts = b.counts();
    assert_eq!((counts.observed, counts.sent()), (2, 0), "two were affordable");
    assert_eq!(suppressed(&counts), [Suppressed::Budget]);
}

#[test]
fn who_leaves_while_two_fly_has_lost_the_hedge_once() {
    let mut b = Bench::hedging();
    let (policy, hedge) = (b.policy.clone(), hedge());
    let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
    for (_, permit) in b.two(&mut attempts) {
        b.dependency.on_cancelled(b.start + 12 * MS, permit);
    }
    assert!(attempts.is_unsettled());
    attempts.abandon(b.start + 12 * MS, &mut b.dependency);
    attempts.abandon(b.start + 12 * MS, &mut b.dependency);
    assert_eq!((b.counts().won, b.counts().lost), (0, 1));
    assert!(!attempts.is_unsettled());
}

#[test]
fn a_hedge_that_wins_earns_no_retry_tokens_and_none_come_back_for_one_that_loses() {
    for winner in [0, 1] {
        let budget = BudgetPolicy { burst: 10, ..BudgetPolicy::default() };
        let mut b = Bench::with(DependencyPolicy { budget, breaker: None, throttle: None });
        b.afford();
        b.dependency.budget.try_retry(b.start, RetryClass::Ordinary, &mut b.entropy).unwrap();
        let before = b.dependency.budget.remaining_ratio(b.start);
        let (policy, hedge) = (b.policy.clone(), HedgePolicy { ratio: 0.0, ..hedge() });
        let mut attempts = Attempts::new(hedged(&policy, &hedge, &b));
        let mut flights = b.two(&mut attempts).map(Some);
        let (id, permit) = flights[winner].take().unwrap();
        b.end(&mut attempts, b.start + 12 * MS, id, permit, Outcome::answered(200));
        let after = b.dependency.budget.remaining_ratio(b.start);
        assert_eq!(after > before, winner == 0, "only a first attempt earns");
        // Of two, one is spent for good.
        assert_eq!(b.dependency.budget.try_hedge(b.start, 0.0), Ok(()));
        assert!(b.dependency.budget.try_hedge(b.start, 0.0).is_err());
    }
}

#[test]
fn attempts_that_are_superseded_keep_the_percentile_where_it_is() {
    let mut b = Bench::hedging();
    let policy = b.policy.clone();
    let hedge = HedgePolicy { delay: Delay::Percentile(0.9), min_delay: MS, ratio: 1.0, ..HedgePolicy::default() };
    let (mut now, mut last) = (b.start, Duration::ZERO);
    for number in 0..20_000u32 {
        // One of five is slow; its hedge answers at once.
        let slow = number % 5 == 0;
        let mut attempts = Attempts::new(Plan { deadline: now + SEC, hedge: Some(&hedge), ..plan(&policy, now) });
        let (id, _, _, permit) = b.launch(&mut attempts, now);
        match attempts.hedge_due().filter(|_| slow) {
            Some(due) => {
                attempts.set_standby(Standby::Other);
                let Step::Launch { id: other, permit: second, .. } = b.next(&mut attempts, due) else { continue };
                b.end(&mut attempts, due + 2 * MS, other, second, Outcome::answered(200));
                b.dependency.on_cancelled(due, permit);
            }
            None => {
                let took = if slow { 100 } else { 2 };
                let ended = now + took * MS;
                attempts.on_outcome(
                    ended,
                    id,
                    permit,
                    Outcome::answered(200),
                    took * MS,
                    &mut b.dependency,
                    &mut b.entropy,
                );
            }
        }
        now += 5 * MS;
        if let Some(delay) = b.dependency.hedges.report(now, ROUTE, &hedge).and_then(|report| report.delay) {
            last = delay;
        }
    }
    // Without them, the p90 of what is left would be 2 ms soon, and then every request would be hedged.
    assert!(last >= 50 * MS, "{last:?}");
}
