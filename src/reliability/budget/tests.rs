use super::ledger::Counts;
use super::*;
use crate::reliability::entropy::SplitMix;

mod properties;

const SEC: Duration = Duration::from_secs(1);

fn policy() -> BudgetPolicy {
    BudgetPolicy::default()
}

fn without_floor() -> BudgetPolicy {
    BudgetPolicy { floor_per_second: 0.0, ..policy() }
}

fn spend_all(budget: &mut Budget, now: Instant, class: RetryClass) -> u32 {
    let mut entropy = SplitMix::new(1);
    (0..100_000).take_while(|_| budget.try_retry(now, class, &mut entropy).is_some()).count() as u32
}

/// Row B1 for our own budget: 10,000 × (deposit; withdraw) at one instant.
#[test]
fn the_ratio_is_exact_for_every_ratio() {
    for ratio in [0.1, 0.5, 0.25, 0.75, 0.99, 0.999, 0.9999, 0.01, 0.001, 0.0001, 0.6, 0.7, 0.9] {
        let now = Instant::now();
        let mut budget = Budget::new(BudgetPolicy { ratio, max_ratio: 1.0, burst: 0, ..without_floor() }, now);
        let mut entropy = SplitMix::new(1);
        let mut granted = 0;
        for _ in 0..10_000 {
            budget.on_first_attempt(now);
            budget.on_first_success(now);
            granted += i32::from(budget.try_retry(now, RetryClass::Ordinary, &mut entropy).is_some());
        }
        let expected = (10_000.0 * ratio) as i32;
        assert!((granted - expected).abs() <= 1, "{ratio}: {granted} instead of {expected}");
    }
}

/// Row B5: asked every 3.7 ms for two minutes, the floor is the floor (tower grants 1.67 times as much).
#[test]
fn the_floor_keeps_its_rate_when_asked_all_the_time() {
    let start = Instant::now();
    let mut entropy = SplitMix::new(5);
    let floor = BudgetPolicy { floor_per_second: 10.0, burst: 0, max_ratio: 1.0, ..policy() };
    let mut budget = Budget::new(floor, start);
    let (mut granted, step) = (0u32, Duration::from_micros(3700));
    let mut now = start;
    while now < start + 120 * SEC {
        budget.on_first_attempt(now);
        let grant = budget.try_retry(now, RetryClass::Ordinary, &mut entropy);
        granted += u32::from(grant.is_some() && now >= start + 60 * SEC);
        now += step;
    }
    let per_second = f64::from(granted) / 60.0;
    assert!((9.0..=11.0).contains(&per_second), "{per_second}");
}

/// Row B5: a success lives for the whole ttl (±1 slot) under traffic; tower's for six tenths of it.
#[test]
fn the_window_neither_drifts_nor_shrinks_under_traffic() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start, 10 * SEC);
    let step = Duration::from_micros(3700);
    let mut now = start;
    let mut recorded = 0u64;
    while now < start + 200 * SEC {
        ledger.at(now).successes += 1;
        recorded += 1;
        if now > start + 20 * SEC {
            let lived = step * ledger.totals(now).successes as u32;
            assert!(lived >= 9 * SEC - step && lived <= 10 * SEC + step, "{lived:?}");
        }
        now += step;
    }
    assert!(recorded > 50_000);
    assert_eq!(ledger.totals(now + 10 * SEC), Counts::default());
}

#[test]
fn a_count_expires_with_its_slot() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start, SEC);
    ledger.at(start).successes += 1;
    assert_eq!(ledger.totals(start + Duration::from_millis(901)).successes, 1);
    assert_eq!(ledger.totals(start + 3 * SEC).successes, 0);
    // A gap of years moves the window at once and for good.
    let later = start + Duration::from_secs(400 * 24 * 3600);
    ledger.at(later).retries += 1;
    assert_eq!(ledger.totals(later), Counts { retries: 1, ..Counts::default() });
    // A clock read before the lock was taken counts as now, and never wedges the window.
    ledger.at(start).retries += 1;
    assert_eq!(ledger.totals(later).retries, 2);
}

#[test]
fn the_cap_shrinks_as_successes_age() {
    let start = Instant::now();
    let mut budget = Budget::new(BudgetPolicy { max_ratio: 1.0, ..without_floor() }, start);
    for _ in 0..1000 {
        budget.on_first_attempt(start);
        budget.on_first_success(start);
    }
    assert_eq!(spend_all(&mut budget.clone(), start, RetryClass::Ordinary), 200);
    assert_eq!(spend_all(&mut budget.clone(), start + 5 * SEC, RetryClass::Ordinary), 200);
    assert_eq!(spend_all(&mut budget.clone(), start + 11 * SEC, RetryClass::Ordinary), 10);
    assert_eq!(budget.remaining_ratio(start + 11 * SEC), 1.0);
}

#[test]
fn overload_costs_two_and_is_never_refunded() {
    let now = Instant::now();
    let mut budget = Budget::new(without_floor(), now);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Overload), 5);
    budget.on_retry_outcome(now, Grant::Tokens(RetryClass::Overload), true);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 0);
    budget.on_retry_outcome(now, Grant::Tokens(RetryClass::Ordinary), true);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 1);
    budget.on_retry_outcome(now, Grant::Floor(RetryClass::Ordinary), true);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 1, "the floor's rescue earns as much");
    budget.on_retry_outcome(now, Grant::Tokens(RetryClass::Ordinary), false);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 0);
}

#[test]
fn transparent_retries_are_free_and_count_against_the_hard_cap() {
    let now = Instant::now();
    let mut budget = Budget::new(without_floor(), now);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Transparent), 10);
    assert_eq!(budget.remaining_ratio(now), 1.0);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 0);
    assert_eq!(budget.refused(), Refused { tokens: 0, hard_cap: 2 });
    for _ in 0..100 {
        budget.on_first_attempt(now);
    }
    assert_eq!(spend_all(&mut budget, now, RetryClass::Transparent), 40, "half of 100, 10 are used");
}

#[test]
fn a_refusal_says_whether_tokens_or_the_hard_cap_stood_in_the_way() {
    let now = Instant::now();
    let mut budget = Budget::new(BudgetPolicy { burst: 2, ..without_floor() }, now);
    for _ in 0..100 {
        budget.on_first_attempt(now);
    }
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 2);
    assert_eq!(budget.refused(), Refused { tokens: 1, hard_cap: 0 });
}

#[test]
fn a_grant_that_was_not_used_gives_its_tokens_back_but_stays_counted() {
    let now = Instant::now();
    let mut budget = Budget::new(without_floor(), now);
    let grant = budget.try_retry(now, RetryClass::Overload, &mut SplitMix::new(1));
    assert_eq!(grant, Some(Grant::Tokens(RetryClass::Overload)));
    budget.on_retry_unsent(now, Grant::Tokens(RetryClass::Overload));
    assert_eq!(budget.remaining_ratio(now), 1.0);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 9, "the tenth is refused by the hard cap");
}

fn floor_rate(budget: &mut Budget, start: Instant, seconds: u32, rescued: bool) -> f64 {
    let mut entropy = SplitMix::new(9);
    let mut granted = 0u32;
    for step in 0..seconds * 100 {
        let now = start + step * Duration::from_millis(10);
        budget.on_first_attempt(now);
        if let Some(grant) = budget.try_retry(now, RetryClass::Overload, &mut entropy) {
            granted += 1;
            budget.on_retry_outcome(now, grant, rescued);
        }
    }
    f64::from(granted) / f64::from(seconds)
}

#[test]
fn retries_that_do_not_help_slow_the_floor_to_a_tenth() {
    let start = Instant::now();
    let mut budget = Budget::new(BudgetPolicy { burst: 5, ..policy() }, start);
    floor_rate(&mut budget, start, 60, false);
    assert!(budget.gated());
    let rate = floor_rate(&mut budget, start + 60 * SEC, 600, false);
    assert!((0.07..=0.13).contains(&rate), "{rate}");
}

#[test]
fn the_gate_shuts_after_five_wasted_retries_and_opens_after_three_rescues_of_five() {
    let now = Instant::now();
    let mut budget = Budget::new(policy(), now);
    let paid = Grant::Tokens(RetryClass::Ordinary);
    for _ in 0..4 {
        budget.on_retry_outcome(now, paid, false);
        assert!(!budget.gated());
    }
    budget.on_retry_outcome(now, paid, false);
    assert!(budget.gated());
    // Latched: time alone does not open it.
    let later = now + 600 * SEC;
    for rescued in [true, false, true, false] {
        budget.on_retry_outcome(later, paid, rescued);
        assert!(budget.gated());
    }
    // The last five are 1 0 1 0 1.
    budget.on_retry_outcome(later, paid, true);
    assert!(!budget.gated());
    for _ in 0..4 {
        budget.on_retry_outcome(later, paid, false);
        assert!(!budget.gated(), "what happened before the gate opened must not shut it");
    }
}

#[test]
fn the_gate_stays_open_from_one_rescue_in_ten_up_and_forgets_after_thirty_seconds() {
    let now = Instant::now();
    let paid = Grant::Tokens(RetryClass::Ordinary);
    let mut budget = Budget::new(policy(), now);
    for outcome in 0..100 {
        budget.on_retry_outcome(now, paid, outcome % 10 == 0);
        assert!(!budget.gated(), "{outcome}");
    }
    let mut budget = Budget::new(policy(), now);
    for minute in 0..20 {
        budget.on_retry_outcome(now + minute * 15 * SEC, paid, false);
        assert!(!budget.gated());
    }
}

#[test]
fn a_reload_keeps_tokens_and_counters() {
    let start = Instant::now();
    let mut budget = Budget::new(without_floor(), start);
    for _ in 0..100 {
        budget.on_first_attempt(start);
        budget.on_first_success(start);
    }
    assert_eq!(spend_all(&mut budget, start, RetryClass::Ordinary), 20);
    // More burst, a longer memory: nothing is in hand yet, it has to be earned.
    budget.reconfigure(BudgetPolicy { burst: 100, ttl: 60 * SEC, ..without_floor() }, start);
    assert_eq!(spend_all(&mut budget, start, RetryClass::Ordinary), 0);
    assert_eq!(budget.ledger.totals(start), Counts { first_attempts: 100, successes: 100, retries: 20, rescues: 0 });
    let mut full = Budget::new(BudgetPolicy { burst: 50, ..without_floor() }, start);
    full.reconfigure(BudgetPolicy { burst: 3, ..without_floor() }, start);
    assert_eq!(spend_all(&mut full, start, RetryClass::Ordinary), 3, "clamped to the new cap");
}

#[test]
fn a_reload_changes_how_long_a_success_counts_and_keeps_those_that_were_counted() {
    let start = Instant::now();
    let mut budget = Budget::new(without_floor(), start);
    (0..100).for_each(|_| budget.on_first_success(start));
    budget.reconfigure(BudgetPolicy { ttl: 60 * SEC, ..without_floor() }, start + 5 * SEC);
    assert_eq!(budget.ledger.totals(start + 50 * SEC).successes, 100);
    assert_eq!(budget.ledger.totals(start + 70 * SEC).successes, 0);
}

#[test]
fn strange_numbers_in_a_policy_grant_nothing_extra() {
    let now = Instant::now();
    for strange in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let odd = BudgetPolicy {
            ratio: strange,
            max_ratio: 1.0,
            floor_per_second: strange,
            burst: 0,
            ttl: SEC,
            observe: false,
        };
        let mut budget = Budget::new(odd, now);
        budget.on_first_attempt(now);
        budget.on_first_success(now);
        assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 0, "{strange}");
        assert_eq!(budget.remaining_ratio(now), 0.0);
    }
    let endless = BudgetPolicy { floor_per_second: f64::MIN_POSITIVE, ttl: Duration::MAX, ..policy() };
    let mut budget = Budget::new(endless, now);
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 10);
    let zero = BudgetPolicy { ttl: Duration::ZERO, ..policy() };
    assert_eq!(spend_all(&mut Budget::new(zero, now), now, RetryClass::Ordinary), 10);
}

#[test]
fn hedges_are_a_share_of_first_attempts_and_never_given_in_advance() {
    let start = Instant::now();
    for ratio in [0.05, 0.01, 0.2, 0.001] {
        let mut budget = Budget::new(policy(), start);
        let (mut granted, mut now) = (0u32, start);
        for _ in 0..20_000 {
            budget.on_first_attempt(now);
            budget.on_hedgeable(ratio);
            granted += u32::from(budget.try_hedge(now, ratio).is_ok());
            now += Duration::from_millis(5);
        }
        assert_eq!(granted, (20_000.0 * ratio) as u32, "{ratio}");
    }
}

#[test]
fn hedges_that_are_not_used_are_saved_up_for_two_seconds_of_traffic_only() {
    let start = Instant::now();
    let mut budget = Budget::new(policy(), start);
    let mut now = start;
    // 200 a second for a minute: within ten seconds they earn 100 hedges.
    for _ in 0..12_000 {
        budget.on_first_attempt(now);
        budget.on_hedgeable(0.05);
        now += Duration::from_millis(5);
    }
    let saved = (0..1_000).take_while(|_| budget.try_hedge(now, 0.05).is_ok()).count();
    assert!((18..=20).contains(&saved), "{saved}");
    let mut quiet = Budget::new(policy(), start);
    (0..1_000).for_each(|_| quiet.on_hedgeable(0.05));
    assert_eq!((0..1_000).take_while(|_| quiet.try_hedge(start, 0.05).is_ok()).count(), 2);
}

#[test]
fn hedges_yield_to_retries_and_cost_them_nothing() {
    let now = Instant::now();
    let mut budget = Budget::new(without_floor(), now);
    let mut entropy = SplitMix::new(1);
    (0..2).for_each(|_| budget.on_hedgeable(1.0));
    assert_eq!(budget.try_hedge(now, 0.05), Ok(()));
    assert_eq!(budget.remaining_ratio(now), 1.0, "the tokens are the retries'");
    assert!((0..5).all(|_| budget.try_retry(now, RetryClass::Ordinary, &mut entropy).is_some()));
    budget.on_hedge_unsent();
    assert_eq!(budget.try_hedge(now, 0.05), Ok(()), "half is enough");
    budget.try_retry(now, RetryClass::Ordinary, &mut entropy).unwrap();
    budget.on_hedge_unsent();
    assert_eq!(budget.try_hedge(now, 0.05), Err(NoHedge::RetriesFirst));
    assert_eq!(spend_all(&mut budget, now, RetryClass::Ordinary), 4, "and there are as many as without hedges");
    budget.on_first_success(now);
    assert_eq!(budget.try_hedge(now, 0.05), Err(NoHedge::RetriesFirst));
}

/// What is reported is what an enforced budget would have said of the same requests.
#[test]
fn observing_it_denies_nothing_and_counts_what_it_would_have_denied() {
    let now = Instant::now();
    let (mut enforced, mut observed) =
        (Budget::new(policy(), now), Budget::new(BudgetPolicy { observe: true, ..policy() }, now));
    let (mut one, mut other, mut denied) = (SplitMix::new(3), SplitMix::new(3), 0);
    for number in 0..2_000_u64 {
        let now = now + Duration::from_millis(number * 10);
        let class = if number % 7 == 0 { RetryClass::Overload } else { RetryClass::Ordinary };
        for budget in [&mut enforced, &mut observed] {
            budget.on_first_attempt(now);
            if number % 3 == 0 {
                budget.on_first_success(now);
            }
        }
        let granted = enforced.try_retry(now, class, &mut one);
        let made = observed.try_retry(now, class, &mut other).expect("nothing is denied");
        denied += u64::from(granted.is_none());
        if let Some(grant) = granted {
            assert_eq!(grant, made);
            enforced.on_retry_outcome(now, grant, number % 11 == 0);
        }
        observed.on_retry_outcome(now, made, number % 11 == 0);
    }
    assert!(denied > 100, "{denied}");
    assert_eq!((enforced.observed(), observed.observed()), (None, Some(denied)));
}
