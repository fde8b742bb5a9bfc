//! What operators do: hold, reset, observe, reload.

use super::*;

#[test]
fn held_open_refuses_until_then_and_probes_after() {
    for observe in [false, true] {
        let mut bench = Bench::new(BreakerPolicy { observe, ..policy() });
        bench.breaker.hold(bench.now, Hold::Open, bench.now + seconds(600.0));
        assert_eq!(bench.acquire().unwrap_err(), Refusal::CircuitOpen { retry_after: seconds(600.0) });
        assert_eq!(bench.breaker.precheck(bench.now), Some(seconds(600.0)));
        bench.breaker.reconfigure(BreakerPolicy { observe, max_open: seconds(1.0), ..policy() }, bench.now);
        bench.wait(599.0);
        assert_eq!(bench.breaker.precheck(bench.now), Some(seconds(1.0)), "a reload does not end it");
        bench.wait(1.0);
        assert_eq!(bench.breaker.held(bench.now), None);
        assert_eq!(bench.state(), State::HalfOpen);
        bench.calls(&[Success; 3]);
        assert_eq!(bench.state(), State::Closed);
    }
}

#[test]
fn held_closed_counts_but_never_trips_until_it_ends() {
    let mut bench = Bench::opened(BreakerPolicy { consecutive_failures: Some(2), ..policy() });
    bench.breaker.hold(bench.now, Hold::Closed, bench.now + seconds(5.0));
    bench.calls(&[Failure; 50]);
    bench.breaker.on_all_endpoints_down(bench.now, &mut bench.entropy);
    assert_eq!(bench.state(), State::Closed);
    bench.wait(5.0);
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn a_hold_that_ends_in_the_past_is_none() {
    let mut bench = Bench::new(policy());
    bench.breaker.hold(bench.now, Hold::Open, bench.now);
    assert_eq!((bench.state(), bench.breaker.has_transitions()), (State::Closed, false));
}

#[test]
fn reset_ends_a_hold_closes_without_a_ramp_and_forgets() {
    let mut bench = Bench::opened(policy());
    bench.breaker.hold(bench.now, Hold::Open, bench.now + seconds(600.0));
    bench.breaker.reset(bench.now);
    bench.entropy = Jitter(0.0);
    bench.calls(&[Success; 100]);
    assert_eq!(bench.causes(), [Cause::FailureRate, Cause::Manual]);
    assert_eq!(bench.breaker.held(bench.now), None);
}

#[test]
fn observing_lets_everything_pass_and_reports_what_it_would_have_done() {
    let mut bench = Bench::opened(BreakerPolicy { observe: true, ..policy() });
    assert_eq!(bench.breaker.precheck(bench.now), None);
    bench.calls(&[Failure; 10]);
    bench.wait(3.75);
    // Probes and bystanders: only the probes decide.
    let probes: Vec<Permit> = (0..3).map(|_| bench.acquire().expect("a probe")).collect();
    bench.calls(&[Failure; 10]);
    assert_eq!(bench.state(), State::HalfOpen);
    probes
        .into_iter()
        .for_each(|permit| bench.breaker.record(bench.now, permit, Success, seconds(0.1), &mut bench.entropy));
    bench.entropy = Jitter(0.0);
    bench.calls(&[Success; 10]);
    assert_eq!(bench.causes(), [Cause::FailureRate, Cause::OpenTimeOver, Cause::ProbesSucceeded]);
}

#[test]
fn a_reload_keeps_the_state_and_takes_the_new_bounds() {
    let mut bench = Bench::opened(policy());
    bench.breaker.reconfigure(BreakerPolicy { max_open: seconds(1.0), ..policy() }, bench.now);
    assert_eq!(bench.breaker.precheck(bench.now), Some(seconds(1.0)));
    bench.breaker.reconfigure(BreakerPolicy { window: seconds(30.0), ..policy() }, bench.now);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.breaker.rates(bench.now).0, 0);
}

#[test]
fn absurd_policies_neither_overflow_nor_wedge() {
    let absurd = BreakerPolicy {
        window: Duration::MAX,
        open: Duration::MAX,
        max_open: Duration::MAX,
        probe_timeout: Duration::MAX,
        min_requests: 1,
        half_open_requests: 0,
        ..policy()
    };
    let mut bench = Bench::new(absurd);
    bench.calls(&[Failure]);
    bench.wait_out_the_opening();
    bench.calls(&[Success]);
    assert_eq!(bench.state(), State::Closed);
    bench.breaker.hold(bench.now, Hold::Open, bench.now + Duration::from_secs(1 << 33));
    bench.wait_out_the_opening();
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_reload_that_lowers_the_probes_to_what_has_succeeded_does_not_wedge_it() {
    let mut bench = Bench::half_opened(BreakerPolicy { half_open_requests: 5, ..policy() });
    bench.calls(&[Success; 3]);
    bench.breaker.reconfigure(BreakerPolicy { half_open_requests: 3, ..policy() }, bench.now);
    bench.calls(&[Success]);
    assert_eq!(bench.state(), State::Closed);
}
