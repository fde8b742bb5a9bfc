//! Whatever happens, in whatever order: many requests against one dependency, driven by random events.

use super::*;
use crate::reliability::breaker::Signal;
use crate::reliability::classify::{Contract, PeerMark, Reply, RetryOn};
use crate::reliability::grpc::{Code, CodeSet};
use proptest::prelude::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What the dependency does to one attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Ends {
        outcome: Outcome,
        after_ms: u64,
    },
    /// The client goes away.
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
struct Traits {
    idempotent: bool,
    replayable: bool,
    chain_stop: bool,
    endpoints: usize,
    total_ms: u64,
    backend_request_ms: Option<u64>,
    gap_ms: u64,
}

fn any_traits() -> impl Strategy<Value = Traits> {
    let flags = (any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.1));
    (flags, 1usize..4, 0u64..2000, prop::option::of(1u64..500), 0u64..300).prop_map(
        |((idempotent, replayable, chain_stop), endpoints, total_ms, backend_request_ms, gap_ms)| Traits {
            idempotent,
            replayable,
            chain_stop,
            endpoints,
            total_ms,
            backend_request_ms,
            gap_ms,
        },
    )
}

fn any_fate() -> impl Strategy<Value = Fate> {
    let reply = prop_oneof![
        5 => Just(Reply::Status(200)),
        6 => prop::sample::select(vec![429, 500, 502, 503, 504]).prop_map(Reply::Status),
        3 => prop::sample::select(&Code::ALL[..]).prop_map(Reply::Call),
        4 => prop::sample::select(Failure::ALL).prop_map(Reply::Failed),
    ];
    let sent = prop::sample::select(vec![Sent::No, Sent::Maybe, Sent::Yes]);
    let ends = (
        reply,
        sent,
        prop::option::weighted(0.2, 0u64..5),
        prop::option::weighted(0.05, Just(PeerMark::GaveUp)),
        0u64..400,
    )
        .prop_map(|(reply, sent, hint, mark, after_ms)| {
            let mark = mark.unwrap_or(PeerMark::None);
            let retry_after = hint.map(Duration::from_secs);
            Fate::Ends { outcome: Outcome { reply, sent, retry_after, mark }, after_ms }
        });
    prop_oneof![20 => ends, 1 => Just(Fate::Cancelled)]
}

fn any_policy() -> impl Strategy<Value = RetryPolicy> {
    let contract = prop::sample::select(vec![Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes]);
    let on = any::<[bool; 4]>().prop_map(|[connect_failure, refused_stream, reset, timeout]| RetryOn {
        connect_failure,
        refused_stream,
        reset,
        timeout,
    });
    let holdout = prop::sample::select(vec![0.0, 0.0, 10.0, 50.0]);
    (0u32..5, on, contract, any::<bool>(), holdout).prop_map(
        |(retries, on, contract, respect_retry_after, holdout_percent)| RetryPolicy {
            retries,
            on,
            contract,
            respect_retry_after,
            codes: StatusSet::from_iter([429, 502, 503, 504]),
            grpc_codes: CodeSet::from_iter([Code::Unavailable, Code::ResourceExhausted]),
            all_methods: false,
            backoff: Backoff::default(),
            holdout_percent,
        },
    )
}

/// An attempt that is out.
struct Out {
    id: AttemptId,
    permit: Permit,
    launched: Instant,
    ends: Instant,
    fate: Fate,
}

#[derive(Default)]
struct Tally {
    requests: u32,
    paid: u32,
    free: u32,
    successes: u32,
    rescues: u32,
    /// Rescues whose client had gone when they were there.
    late: u32,
}

/// Runs one request to its end and checks every step.
fn run_request(
    traits: Traits,
    policy: &RetryPolicy,
    fates: &mut impl Iterator<Item = Fate>,
    b: &mut Bench,
    now: &mut Instant,
    tally: &mut Tally,
) -> Result<(), TestCaseError> {
    let deadline = *now + ms(traits.total_ms);
    let mut attempts = Attempts::new(Plan {
        policy,
        deadline,
        backend_request: traits.backend_request_ms.map(ms),
        idempotent: traits.idempotent,
        replayable: traits.replayable,
        chain_stop: traits.chain_stop,
        endpoints: traits.endpoints,
        ledger: Some(ROUTE),
        hedge: None,
    });
    let mut out: Option<Out> = None;
    let mut last: Option<Outcome> = None;
    for _ in 0..100 {
        match b.next(&mut attempts, *now) {
            Step::Launch { id, kind, cutoff, permit } => {
                prop_assert!(out.is_none() && *now < deadline && *now < cutoff && cutoff <= deadline);
                check_launch(id, kind, &traits, policy, last)?;
                let fate = fates.next().unwrap_or(Fate::Cancelled);
                let (ends, fate) = match fate {
                    Fate::Ends { after_ms, .. } if *now + ms(after_ms) > cutoff => {
                        let failure = if cutoff == deadline { Failure::DeadlineExceeded } else { Failure::TryTimeout };
                        (cutoff, Fate::Ends { outcome: Outcome::failed(failure, Sent::Yes), after_ms })
                    }
                    Fate::Ends { after_ms, .. } => (*now + ms(after_ms), fate),
                    Fate::Cancelled => (*now, fate),
                };
                tally.requests += u32::from(kind == Kind::First);
                tally.free += u32::from(kind == Kind::Transparent);
                tally.paid += u32::from(kind == Kind::Retry);
                out = Some(Out { id, permit, launched: *now, ends, fate });
            }
            Step::Wait { until } => {
                prop_assert!(until > *now, "a wait makes progress");
                let Some(ended) = out.take_if(|out| out.ends <= until) else {
                    *now = until;
                    continue;
                };
                *now = ended.ends.max(*now);
                let Fate::Ends { outcome, .. } = ended.fate else {
                    b.dependency.on_cancelled(*now, ended.permit);
                    attempts.abandon(*now, &mut b.dependency);
                    prop_assert!(!attempts.is_unsettled());
                    check_ledger(b, *now, tally)?;
                    return Ok(());
                };
                let again = attempts.on_outcome(
                    *now,
                    ended.id,
                    ended.permit,
                    outcome,
                    *now - ended.launched,
                    &mut b.dependency,
                    &mut b.entropy,
                );
                let success = classify::classify(&outcome, policy, traits.idempotent) == Verdict::Success;
                tally.successes += u32::from(success && ended.id == AttemptId(0));
                tally.rescues += u32::from(success && ended.id != AttemptId(0));
                prop_assert!(!(success && again));
                last = Some(outcome);
            }
            Step::Finish { stop, answer } => {
                prop_assert!(out.is_none());
                prop_assert!(attempts.launched() <= 1 + policy.retries);
                prop_assert_eq!(answer, attempts.launched().checked_sub(1).map(AttemptId));
                prop_assert_eq!(matches!(stop, Stop::Denied(_)), attempts.denied().is_some());
                let later = *now + SEC;
                let step = b.next(&mut attempts, later);
                let same = matches!(step, Step::Finish { stop: s, answer: a } if s == stop && a == answer);
                prop_assert!(same, "{:?} after the end", step);
                prop_assert!(!attempts.is_unsettled());
                prop_assert!(attempts.denied() != Some(Denied::Holdout) || attempts.launched() == 1);
                // Every third client leaves before its answer is complete.
                if let Some(rescue) = attempts.rescue().filter(|_| tally.requests.is_multiple_of(3)) {
                    b.dependency.efficacy.on_late(*now, rescue);
                    tally.late += u32::from(attempts.launched() > 1);
                }
                check_ledger(b, *now, tally)?;
                return Ok(());
            }
        }
    }
    Err(TestCaseError::fail("the request does not end"))
}

/// Every retry was counted once: it rescued, or it was wasted.
fn check_ledger(b: &Bench, now: Instant, tally: &Tally) -> Result<(), TestCaseError> {
    let reports = b.dependency.efficacy.reports(now, ROUTE);
    let Some(all) = reports.first() else {
        prop_assert_eq!(tally.paid + tally.free, 0);
        return Ok(());
    };
    let tries = all.all_tries;
    prop_assert_eq!(tries.retries(), u64::from(tally.paid + tally.free));
    prop_assert_eq!(tries.rescued(), u64::from(tally.rescues - tally.late));
    prop_assert_eq!(tries.retries(), tries.rescued() + tries.wasted());
    let places: u64 = all.all_counts.by_place.iter().map(|share| share.tried).sum();
    prop_assert_eq!(places, tries.retries());
    for report in &reports {
        prop_assert_eq!(report.tries.retries(), report.tries.rescued() + report.tries.wasted());
    }
    Ok(())
}

fn check_launch(
    id: AttemptId,
    kind: Kind,
    traits: &Traits,
    policy: &RetryPolicy,
    last: Option<Outcome>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(kind == Kind::First, id == AttemptId(0));
    let Some(last) = last else { return Ok(()) };
    prop_assert!(traits.replayable);
    prop_assert!(!traits.chain_stop || kind == Kind::Transparent);
    if !traits.idempotent && policy.contract == Contract::Opaque {
        prop_assert_eq!(last.sent, Sent::No, "an unsafe request is sent twice");
    }
    Ok(())
}

fn dependency(with_breaker: bool, with_throttle: bool) -> DependencyPolicy {
    DependencyPolicy {
        budget: BudgetPolicy::default(),
        breaker: with_breaker.then(breaker),
        throttle: with_throttle.then(throttle),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_promise(
        requests in prop::collection::vec(any_traits(), 1..60),
        fates in prop::collection::vec(any_fate(), 1..200),
        policy in any_policy(),
        with_breaker: bool,
        with_throttle: bool,
    ) {
        let mut policies = dependency(with_breaker, with_throttle);
        policies.budget.floor_per_second = 0.0;
        let mut b = Bench::with(policies);
        let (mut now, mut tally, mut fates) = (b.start, Tally::default(), fates.into_iter().cycle());
        for traits in requests {
            run_request(traits, &policy, &mut fates, &mut b, &mut now, &mut tally)?;
            now += ms(traits.gap_ms);
        }
        // No permit was lost: whatever state it is in, three good probes close the breaker.
        let later = now + Duration::from_secs(7200);
        if let Some(breaker) = &mut b.dependency.breaker {
            for _ in 0..3 {
                let Ok(permit) = breaker.acquire(later, &mut b.entropy) else {
                    return Err(TestCaseError::fail("a probe is missing"));
                };
                breaker.record(later, permit, Signal::Success, MS, &mut b.entropy);
            }
            prop_assert_eq!(breaker.state(later), State::Closed);
        }
        // Burst, 20 % of the first successes, refunds: there is no floor here. And one free one per request.
        let earned = 10.0 + 0.2 * f64::from(tally.successes) + f64::from(tally.rescues);
        prop_assert!(f64::from(tally.paid) <= earned + 1e-6, "{} paid of {}", tally.paid, earned);
        prop_assert!(tally.free <= tally.requests);
    }

    #[test]
    fn in_a_total_outage_retries_end_with_the_tokens(count in 200u32..600, seed: u64) {
        let mut b = Bench::with(dependency(false, false));
        b.entropy = SplitMix::new(seed);
        let policy = RetryPolicy { retries: 4, ..RetryPolicy::default() };
        let (mut now, mut tally) = (b.start, Tally::default());
        let outage = Fate::Ends { outcome: unavailable(), after_ms: 1 };
        let traits = Traits {
            idempotent: true, replayable: true, chain_stop: false, endpoints: 3,
            total_ms: 5000, backend_request_ms: None, gap_ms: 50,
        };
        for _ in 0..count {
            run_request(traits, &policy, &mut std::iter::repeat(outage), &mut b, &mut now, &mut tally)?;
            now += ms(traits.gap_ms);
        }
        // Ten tokens, then the floor: five more at full rate until the gate shuts, then a tenth of it.
        let elapsed = (now - b.start).as_secs_f64();
        let most = 10.0 + 2.0 + elapsed * 0.1 * 2.0;
        prop_assert!(f64::from(tally.paid) <= most, "{} retries in {} s", tally.paid, elapsed);
    }
}
