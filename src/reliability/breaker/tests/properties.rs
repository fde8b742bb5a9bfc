//! Whatever the order of events: no permit is lost, and what is told in advance comes true.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    /// the oldest or the newest permit out
    Record(bool, Signal, u16),
    Cancel(bool),
    /// never given back: its request was dropped in a way that lost the permit
    Lose,
    Jump(u32),
    AllDown,
    Hold(bool, u16),
    Reset,
    Reload(u32, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let signal = prop_oneof![2 => Just(Success), 2 => Just(Failure), 1 => Just(Overload), 1 => Just(Ignored)];
    prop_oneof![
        8 => Just(Op::Acquire),
        8 => (any::<bool>(), signal, any::<u16>()).prop_map(|(oldest, signal, ms)| Op::Record(oldest, signal, ms)),
        2 => any::<bool>().prop_map(Op::Cancel),
        1 => Just(Op::Lose),
        6 => prop_oneof![0u32..100, 0u32..10_000, 0u32..200_000].prop_map(Op::Jump),
        1 => Just(Op::AllDown),
        1 => (any::<bool>(), 0u16..10_000).prop_map(|(open, ms)| Op::Hold(open, ms)),
        1 => Just(Op::Reset),
        1 => (1u32..6, 1u8..20).prop_map(|(probes, min)| Op::Reload(probes, min)),
    ]
}

/// One step of any interleaving; the shell's view is `out`.
fn apply(bench: &mut Bench, out: &mut VecDeque<Permit>, entropy: &mut SplitMix, op: &Op) {
    let (now, breaker) = (bench.now, &mut bench.breaker);
    let mut take = |oldest: bool| if oldest { out.pop_front() } else { out.pop_back() };
    match *op {
        Op::Acquire => {
            let told = (breaker.state(now), breaker.precheck(now));
            let got = breaker.acquire(now, entropy);
            match (&got, told) {
                (Err(Refusal::CircuitOpen { retry_after }), (_, Some(left))) => assert_eq!(*retry_after, left),
                (Err(Refusal::CircuitOpen { .. }), (state, None)) => assert_eq!(state, State::HalfOpen),
                (Err(Refusal::Throttled), (state, _)) => assert_eq!(state, State::Closed),
                (Ok(permit), (state, left)) => assert!(left.is_none() && permit.probe == (state == State::HalfOpen)),
            }
            out.extend(got);
        }
        Op::Record(oldest, signal, ms) => {
            if let Some(permit) = take(oldest) {
                let stale = permit.generation != breaker.generation;
                let before = breaker.state(now);
                breaker.record(now, permit, signal, Duration::from_millis(ms.into()), entropy);
                assert!(!stale || breaker.state(now) == before, "a stale result changed the state");
            }
        }
        Op::Cancel(oldest) => {
            if let Some(permit) = take(oldest) {
                let before = (breaker.state(now), breaker.precheck(now));
                breaker.cancel(now, permit);
                assert_eq!((breaker.state(now), breaker.precheck(now)), before);
            }
        }
        Op::Lose => drop(take(true)),
        Op::Jump(ms) => bench.now += Duration::from_millis(ms.into()),
        Op::AllDown => breaker.on_all_endpoints_down(now, entropy),
        Op::Hold(true, ms) => breaker.hold(now, Hold::Open, now + Duration::from_millis(ms.into())),
        Op::Hold(false, ms) => breaker.hold(now, Hold::Closed, now + Duration::from_millis(ms.into())),
        Op::Reset => breaker.reset(now),
        Op::Reload(half_open_requests, min) => {
            let policy = BreakerPolicy { half_open_requests, min_requests: min.into(), ..breaker.policy.clone() };
            breaker.reconfigure(policy, now);
        }
    }
}

proptest! {
    #[test]
    fn no_interleaving_loses_a_permit_or_keeps_a_healthy_dependency_out(
        ops in prop::collection::vec(op(), 0..200),
        seed in any::<u64>(),
    ) {
        let slow_call = Some(SlowCall { threshold: seconds(30.0), percent: 80.0 });
        let some = BreakerPolicy { min_requests: 4, consecutive_failures: Some(3), slow_call, ..policy() };
        let mut bench = Bench::new(some);
        let mut out = VecDeque::new();
        let mut entropy = SplitMix::new(seed);
        for op in &ops {
            apply(&mut bench, &mut out, &mut entropy, op);
            prop_assert!(bench.breaker.transitions.len() <= TRANSITIONS_MAX);
            if let Phase::HalfOpen { probes } = &bench.breaker.phase {
                // A reload may lower the number while more are out; 5 is the most it sets.
                prop_assert!(probes.out.len() <= 5);
            }
            if let Some(left) = bench.breaker.precheck(bench.now) {
                prop_assert!(left <= bench.breaker.policy.max_open && !left.is_zero());
            }
        }
        // The dependency is well again: whatever is still out, however it ended before, two rounds of the
        // longest waiting and the probes close it.
        for _ in 0..2 {
            bench.wait(66.0);
            for _ in 0..5 {
                if let Ok(permit) = bench.breaker.acquire(bench.now, &mut entropy) {
                    bench.breaker.record(bench.now, permit, Success, seconds(0.1), &mut entropy);
                }
            }
        }
        prop_assert_eq!(bench.state(), State::Closed);
    }

    #[test]
    fn no_sequence_of_stale_results_changes_the_state(signals in prop::collection::vec(0usize..4, 1..100)) {
        let mut bench = Bench::new(BreakerPolicy { min_requests: 2, ..policy() });
        let stale: Vec<Permit> = signals.iter().map(|_| bench.acquire().expect("closed")).collect();
        bench.calls(&[Failure; 2]);
        bench.wait_out_the_opening();
        let _probe = bench.acquire().expect("a probe");
        for (permit, signal) in stale.into_iter().zip(signals) {
            bench.record(permit, [Success, Failure, Overload, Ignored][signal], 1.0);
            prop_assert_eq!(bench.state(), State::HalfOpen);
        }
    }
}
