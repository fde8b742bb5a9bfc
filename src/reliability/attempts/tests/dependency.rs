//! Attempts against a breaker and a throttle.

use super::*;

fn with_breaker() -> Bench {
    Bench::with(DependencyPolicy { budget: BudgetPolicy::default(), breaker: Some(breaker()), throttle: None })
}

fn state(b: &Bench, now: Instant) -> Option<State> {
    b.dependency.breaker.as_ref().map(|breaker| breaker.state(now))
}

#[test]
fn timeouts_open_the_breaker_which_denies_retries_and_refuses_first_attempts() {
    let mut b = with_breaker();
    let policy = b.policy.clone();
    let timeout = Outcome::failed(Failure::TryTimeout, Sent::Yes);
    let mut stops = vec![];
    for _ in 0..5 {
        stops.push(b.stop_after(Plan { endpoints: 1, ..plan(&policy, b.start + SEC) }, timeout));
    }
    // The first four wait for a retry; the fifth opens the breaker, which denies its own retry unpaid.
    assert_eq!(stops[..4], [None; 4]);
    assert_eq!(stops[4], Some(Stop::Denied(Denied::Breaker)));
    assert_eq!(state(&b, b.start), Some(State::Open));
    let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
    let step = b.next(&mut attempts, b.start);
    let Step::Finish { stop: Stop::Refused(Refusal::CircuitOpen { retry_after }), answer: None } = step else {
        panic!("{step:?} instead of a refusal")
    };
    assert!(retry_after > Duration::ZERO);
    assert_eq!(attempts.launched(), 0);
}

#[test]
fn a_breaker_that_opens_during_the_backoff_stops_the_retry() {
    let mut b = with_breaker();
    let policy = b.policy.clone();
    let mut waiting = Attempts::new(plan(&policy, b.start + SEC));
    assert!(b.attempt(&mut waiting, b.start, unavailable()));
    for _ in 0..4 {
        b.stop_after(plan(&policy, b.start + SEC), unavailable());
    }
    let step = b.next(&mut waiting, b.start + 300 * MS);
    let expected = Stop::Denied(Denied::Breaker);
    assert!(matches!(step, Step::Finish { stop, answer: Some(AttemptId(0)) } if stop == expected), "{step:?}");
    assert_eq!(waiting.denied(), Some(Denied::Breaker));
}

#[test]
fn our_own_failures_and_tiny_deadlines_do_not_open_the_breaker() {
    let mut b = with_breaker();
    (0..50).for_each(|_| b.dependency.latency.record(b.start, 20 * MS));
    let policy = b.policy.clone();
    for failure in [Failure::QueueFull, Failure::ClientGone, Failure::Internal, Failure::DeadlineExceeded] {
        for _ in 0..50 {
            let stop = b.stop_after(plan(&policy, b.start + SEC), Outcome::failed(failure, Sent::Maybe));
            assert_eq!(stop, Some(Stop::Answered), "never retried");
        }
        assert_eq!(state(&b, b.start), Some(State::Closed), "{}", failure.token());
    }
}

#[test]
fn every_probe_permit_comes_back_however_the_attempt_ends() {
    let mut b = with_breaker();
    let policy = b.policy.clone();
    for _ in 0..5 {
        b.stop_after(plan(&policy, b.start + SEC), unavailable());
    }
    let now = b.start + 90 * SEC;
    for _ in 0..20 {
        let mut probes: Vec<_> = (0..4).map(|_| Attempts::new(plan(&policy, now + SEC))).collect();
        let steps: Vec<_> = probes.iter_mut().map(|probe| b.next(probe, now)).collect();
        let mut permits = vec![];
        for step in steps {
            if let Step::Launch { permit, id, .. } = step {
                permits.push((permit, id));
            }
        }
        assert_eq!(permits.len(), 3, "three probes at a time");
        for (index, (permit, id)) in permits.into_iter().enumerate() {
            if index == 0 {
                b.dependency.on_cancelled(now, permit);
            } else {
                b.end(&mut probes[index], now, id, permit, Outcome::failed(Failure::ClientGone, Sent::Yes));
            }
        }
        assert_eq!(state(&b, now), Some(State::HalfOpen));
    }
}

#[test]
fn a_rejecting_dependency_gets_no_retries_and_fewer_requests() {
    let mut b = Bench::with(DependencyPolicy {
        budget: BudgetPolicy { burst: 1000, ..BudgetPolicy::default() },
        breaker: None,
        throttle: Some(throttle()),
    });
    let policy = RetryPolicy { retries: 1, ..b.policy.clone() };
    let (mut retried, mut throttled, mut refused) = (0, 0, 0);
    for _ in 0..1000 {
        let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
        match b.next(&mut attempts, b.start) {
            Step::Launch { id, permit, .. } => {
                retried += u32::from(b.end(&mut attempts, b.start, id, permit, unavailable()));
                throttled += u32::from(attempts.denied() == Some(Denied::Throttle));
            }
            Step::Finish { stop: Stop::Refused(Refusal::Throttled), .. } => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(retried <= 20, "retries end as soon as anything is rejected: {retried}");
    assert!(throttled > 50 && refused > 700, "{throttled} {refused}");
    assert!(refused < 950, "a tenth goes through to find out: {refused}");
}

#[test]
fn cancelled_attempts_do_not_look_like_rejections_to_the_throttle() {
    let mut b =
        Bench::with(DependencyPolicy { budget: BudgetPolicy::default(), breaker: None, throttle: Some(throttle()) });
    let policy = b.policy.clone();
    for _ in 0..1000 {
        let mut attempts = Attempts::new(plan(&policy, b.start + SEC));
        let (.., permit) = b.launch(&mut attempts, b.start);
        b.dependency.on_cancelled(b.start, permit);
    }
    assert_eq!(b.dependency.throttle.as_ref().map(|throttle| throttle.rejection(b.start)), Some(0.0));
}

#[test]
fn a_reload_takes_breaker_and_throttle_in_and_out_and_keeps_what_stays() {
    let budget = BudgetPolicy::default();
    let mut b = with_breaker();
    let policy = b.policy.clone();
    for _ in 0..5 {
        b.stop_after(plan(&policy, b.start + SEC), unavailable());
    }
    let kept = DependencyPolicy { budget: budget.clone(), breaker: Some(breaker()), throttle: Some(throttle()) };
    b.dependency.reconfigure(&kept, b.start);
    assert_eq!(state(&b, b.start), Some(State::Open), "an outage survives a reload");
    assert!(b.dependency.throttle.is_some());
    b.dependency.reconfigure(&DependencyPolicy { budget, breaker: None, throttle: None }, b.start);
    assert!(b.dependency.breaker.is_none() && b.dependency.throttle.is_none());
}
