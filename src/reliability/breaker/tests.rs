mod operator;
mod properties;
mod ramp;

use super::super::entropy::{Entropy, SplitMix};
use super::*;
use Signal::{Failure, Ignored, Overload, Success};

/// `unit()` is always this: 1 makes an open time last as long as the policy allows.
struct Jitter(f64);

impl Entropy for Jitter {
    fn next_u64(&mut self) -> u64 {
        ((self.0 * (1u64 << 53) as f64) as u64) << 11
    }
}

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

/// A breaker on a virtual clock. Half of the jitter range unless a test says otherwise: open times are 0.75
/// of their bound.
struct Bench {
    now: Instant,
    breaker: Breaker,
    entropy: Jitter,
}

impl Bench {
    fn new(policy: BreakerPolicy) -> Self {
        let now = Instant::now();
        Bench { now, breaker: Breaker::new(policy, now), entropy: Jitter(0.5) }
    }

    fn opened(policy: BreakerPolicy) -> Self {
        let mut bench = Bench::new(BreakerPolicy { min_requests: 2, ..policy });
        bench.calls(&[Signal::Failure; 2]);
        assert_eq!(bench.state(), State::Open);
        bench
    }

    /// Open with its open time just over.
    fn half_opened(policy: BreakerPolicy) -> Self {
        let mut bench = Bench::opened(policy);
        bench.wait_out_the_opening();
        bench
    }

    fn wait(&mut self, s: f64) {
        self.now += seconds(s);
    }

    fn wait_out_the_opening(&mut self) -> Duration {
        let left = self.breaker.precheck(self.now).expect("open");
        self.now += left;
        left
    }

    fn state(&self) -> State {
        self.breaker.state(self.now)
    }

    fn acquire(&mut self) -> Result<Permit, Refusal> {
        self.breaker.acquire(self.now, &mut self.entropy)
    }

    fn record(&mut self, permit: Permit, signal: Signal, elapsed: f64) {
        self.breaker.record(self.now, permit, signal, seconds(elapsed), &mut self.entropy);
    }

    fn call(&mut self, signal: Signal, elapsed: f64) {
        let permit = self.acquire().expect("a permit");
        self.record(permit, signal, elapsed);
    }

    fn calls(&mut self, signals: &[Signal]) {
        signals.iter().for_each(|signal| self.call(*signal, 0.01));
    }

    fn causes(&mut self) -> Vec<Cause> {
        self.breaker.take_transitions().iter().map(|transition| transition.cause).collect()
    }
}

fn policy() -> BreakerPolicy {
    // Long enough that the steps of a test fit between two openings.
    BreakerPolicy { open: seconds(5.0), max_open: seconds(60.0), failure_percent: 50.0, ..BreakerPolicy::default() }
}

#[test]
fn c1_three_errors_of_five_open_on_the_fifth_call_even_if_that_succeeds() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 5, ..policy() });
    bench.calls(&[Failure, Failure, Failure, Success]);
    assert_eq!(bench.state(), State::Closed);
    bench.calls(&[Success]);
    assert_eq!(bench.state(), State::Open);
    let expected = Transition {
        from: State::Closed,
        to: State::Open,
        cause: Cause::FailureRate,
        failure_percent: 60.0,
        samples: 5,
    };
    assert_eq!(bench.breaker.take_transitions(), [expected]);
    assert!(!bench.breaker.has_transitions());
}

#[test]
fn what_fails_late_turns_its_sample_and_adds_none() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 4, consecutive_failures: Some(3), ..policy() });
    bench.calls(&[Success; 4]);
    bench.breaker.record_late(bench.now, Failure, &mut bench.entropy);
    assert_eq!(bench.breaker.rates(bench.now), (4, 25.0, 0.0));
    for nothing in [Success, Ignored] {
        bench.breaker.record_late(bench.now, nothing, &mut bench.entropy);
    }
    assert_eq!((bench.state(), bench.breaker.rates(bench.now)), (State::Closed, (4, 25.0, 0.0)));
    bench.breaker.record_late(bench.now, Overload, &mut bench.entropy);
    assert_eq!((bench.state(), bench.causes()), (State::Open, vec![Cause::FailureRate]));
    // Open, it learns nothing; and late news from before must not end the probing.
    bench.breaker.record_late(bench.now, Failure, &mut bench.entropy);
    bench.wait_out_the_opening();
    bench.breaker.record_late(bench.now, Failure, &mut bench.entropy);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn failures_that_come_late_in_a_row_open_as_others_do() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 100, consecutive_failures: Some(3), ..policy() });
    bench.calls(&[Success; 3]);
    for _ in 0..3 {
        bench.breaker.record_late(bench.now, Failure, &mut bench.entropy);
    }
    assert_eq!(bench.causes(), [Cause::ConsecutiveFailures]);
}

#[test]
fn c1_three_slow_calls_of_five_open_and_slow_is_strictly_above_the_threshold() {
    let slow_call = Some(SlowCall { threshold: seconds(1.0), percent: 50.0 });
    let mut bench = Bench::new(BreakerPolicy { min_requests: 5, slow_call, ..policy() });
    for elapsed in [1.0, 1.0, 2.0, 2.0] {
        bench.call(Success, elapsed);
    }
    assert_eq!(bench.breaker.rates(bench.now), (4, 0.0, 50.0));
    bench.call(Success, 2.0);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.causes(), [Cause::SlowCalls]);
}

#[test]
fn c2_half_open_opens_at_the_first_error_and_closes_when_all_succeed() {
    // Stricter than resilience4j on purpose: it would let one error of four pass.
    let four = BreakerPolicy { half_open_requests: 4, ..policy() };
    let mut failing = Bench::half_opened(four.clone());
    failing.calls(&[Success, Success, Success, Failure]);
    assert_eq!(failing.state(), State::Open);
    assert_eq!(failing.causes(), [Cause::FailureRate, Cause::OpenTimeOver, Cause::ProbeFailed]);

    let mut well = Bench::half_opened(four);
    well.calls(&[Success, Success, Success]);
    assert_eq!(well.state(), State::HalfOpen);
    well.calls(&[Success]);
    assert_eq!(well.state(), State::Closed);
    assert_eq!(well.causes(), [Cause::FailureRate, Cause::OpenTimeOver, Cause::ProbesSucceeded]);
}

#[test]
fn c2_three_slow_probes_of_four_open_although_all_succeed() {
    let slow_call = Some(SlowCall { threshold: seconds(1.0), percent: 75.0 });
    let mut bench = Bench::half_opened(BreakerPolicy { half_open_requests: 4, slow_call, ..policy() });
    for elapsed in [5.0, 5.0, 5.0] {
        bench.call(Success, elapsed);
    }
    assert_eq!(bench.state(), State::HalfOpen);
    bench.call(Success, 1.0);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.causes().last(), Some(&Cause::SlowCalls));
}

#[test]
fn c3_half_open_grants_so_many_permits_and_one_given_back_can_be_taken_again() {
    let mut bench = Bench::half_opened(BreakerPolicy { half_open_requests: 4, ..policy() });
    let mut permits: Vec<Permit> = (0..4).map(|_| bench.acquire().expect("a probe")).collect();
    bench.wait(1.0);
    assert_eq!(bench.acquire().unwrap_err(), Refusal::CircuitOpen { retry_after: seconds(4.0) });
    bench.record(permits.remove(0), Ignored, 0.0);
    let again = bench.acquire().expect("the permit given back");
    assert!(bench.acquire().is_err());
    bench.breaker.cancel(bench.now, again);
    assert!(bench.acquire().is_ok());
}

#[test]
fn c4_c5_the_rate_is_exact_over_ten_seconds_and_needs_its_samples() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 5, failure_percent: 80.0, ..policy() });
    bench.calls(&[Failure; 2]);
    bench.wait(6.0);
    bench.calls(&[Success; 8]);
    assert_eq!(bench.breaker.rates(bench.now), (10, 20.0, 0.0));
    bench.wait(4.0);
    assert_eq!(bench.breaker.rates(bench.now), (8, 0.0, 0.0));

    let mut burst = Bench::new(BreakerPolicy { min_requests: 5, ..policy() });
    burst.calls(&[Failure; 4]);
    assert_eq!(burst.state(), State::Closed);
    burst.calls(&[Failure]);
    assert_eq!(burst.state(), State::Open);

    let mut spread = Bench::new(BreakerPolicy { min_requests: 5, ..policy() });
    for _ in 0..4 {
        spread.calls(&[Failure]);
        spread.wait(1.0);
    }
    assert_eq!(spread.state(), State::Closed);
    spread.calls(&[Failure]);
    assert_eq!(spread.state(), State::Open);
}

#[test]
fn c8_results_of_an_older_generation_change_nothing() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 2, ..policy() });
    let mut old: Vec<Permit> = (0..6).map(|_| bench.acquire().expect("closed")).collect();
    bench.calls(&[Failure; 2]);
    bench.record(old.remove(0), Success, 0.1);
    bench.record(old.remove(0), Failure, 0.1);
    assert_eq!(bench.state(), State::Open);
    bench.wait_out_the_opening();
    let first = bench.acquire().expect("a probe");
    old.drain(..2)
        .for_each(|permit| bench.breaker.record(bench.now, permit, Success, seconds(9.0), &mut bench.entropy));
    old.drain(..).for_each(|permit| bench.breaker.record(bench.now, permit, Failure, seconds(9.0), &mut bench.entropy));
    assert_eq!(bench.state(), State::HalfOpen);
    bench.record(first, Success, 0.1);
    bench.calls(&[Success; 2]);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.breaker.rates(bench.now).0, 0, "old results are not samples of the new window either");
}

#[test]
fn c8_probes_of_an_earlier_half_open_are_stale_too() {
    for straggler in [Success, Failure] {
        let mut bench = Bench::half_opened(policy());
        let mut earlier: Vec<Permit> = (0..3).map(|_| bench.acquire().expect("a probe")).collect();
        bench.record(earlier.remove(0), Failure, 0.1);
        bench.wait_out_the_opening();
        let current: Vec<Permit> = (0..3).map(|_| bench.acquire().expect("a probe")).collect();
        earlier.into_iter().for_each(|permit| bench.record(permit, straggler, 3.0));
        assert_eq!(bench.state(), State::HalfOpen);
        current.into_iter().for_each(|permit| bench.record(permit, Success, 0.1));
        assert_eq!(bench.state(), State::Closed);
    }
}

#[test]
fn c8_results_from_before_an_outage_do_not_count_after_it() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 2, ..policy() });
    let before: Vec<Permit> = (0..5).map(|_| bench.acquire().expect("closed")).collect();
    bench.calls(&[Failure; 2]);
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    before.into_iter().for_each(|permit| bench.record(permit, Failure, 9.0));
    assert_eq!((bench.state(), bench.breaker.rates(bench.now).0), (State::Closed, 0));
}

#[test]
fn c9_hung_probes_open_it_again_within_the_probe_timeout() {
    let mut bench = Bench::half_opened(policy());
    let hung: Vec<Permit> = (0..3).map(|_| bench.acquire().expect("a probe")).collect();
    bench.wait(4.999);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.wait(0.001);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.breaker.precheck(bench.now), Some(seconds(7.5)), "second trip: 10 s · 0.75");
    assert_eq!(bench.acquire().unwrap_err(), Refusal::CircuitOpen { retry_after: seconds(7.5) });
    assert_eq!(bench.causes().last(), Some(&Cause::ProbeTimeout));
    hung.into_iter().for_each(|permit| bench.breaker.cancel(bench.now, permit));
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    assert_eq!(bench.state(), State::Closed, "the permits came back");
}

#[test]
fn c9_what_the_clock_has_changed_is_the_same_whoever_asks_and_whenever() {
    // Only read-only questions for an hour, then an acquire: it must find what they said.
    let mut bench = Bench::half_opened(policy());
    let hung = bench.acquire().expect("a probe");
    bench.entropy = Jitter(0.999);
    bench.wait(5.5);
    let told = bench.breaker.precheck(bench.now).expect("open");
    assert_eq!(bench.acquire().unwrap_err(), Refusal::CircuitOpen { retry_after: told });
    bench.breaker.cancel(bench.now, hung);
    assert_eq!(bench.breaker.precheck(bench.now), Some(told));

    let mut late = Bench::half_opened(policy());
    let _hung = late.acquire().expect("a probe");
    late.wait(3_600.0);
    assert_eq!((late.state(), late.breaker.precheck(late.now)), (State::HalfOpen, None));
    late.calls(&[Success; 3]);
    assert_eq!(late.state(), State::Closed);
}

#[test]
fn a_probe_that_hung_cannot_be_cancelled_into_a_success() {
    let mut bench = Bench::half_opened(policy());
    let hung = bench.acquire().expect("a probe");
    bench.wait(5.0);
    bench.breaker.cancel(bench.now, hung);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn a_run_of_failures_opens_below_the_minimum_of_samples() {
    let mut bench = Bench::new(BreakerPolicy { consecutive_failures: Some(3), ..policy() });
    bench.calls(&[Failure, Failure, Success, Failure, Failure]);
    assert_eq!(bench.state(), State::Closed);
    bench.calls(&[Failure]);
    assert_eq!(bench.causes(), [Cause::ConsecutiveFailures]);
}

#[test]
fn both_conditions_crossed_at_once_count_as_the_run() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 3, consecutive_failures: Some(3), ..policy() });
    bench.calls(&[Failure; 3]);
    assert_eq!(bench.causes(), [Cause::ConsecutiveFailures]);
}

#[test]
fn overload_degrades_the_rate_never_the_run_and_fails_a_probe() {
    let mut run = Bench::new(BreakerPolicy { consecutive_failures: Some(3), ..policy() });
    run.calls(&[Failure, Failure, Overload, Overload]);
    assert_eq!(run.state(), State::Closed);
    run.calls(&[Failure]);
    assert_eq!(run.state(), State::Open, "it does not interrupt the run either");

    let mut rate = Bench::new(BreakerPolicy { min_requests: 5, ..policy() });
    rate.calls(&[Overload; 5]);
    assert_eq!(rate.state(), State::Open);
    rate.wait_out_the_opening();
    rate.calls(&[Overload]);
    assert_eq!(rate.state(), State::Open);
}

#[test]
fn ignored_results_are_no_samples() {
    let mut bench = Bench::new(BreakerPolicy { min_requests: 1, consecutive_failures: Some(1), ..policy() });
    bench.calls(&[Ignored; 100]);
    assert_eq!((bench.state(), bench.breaker.rates(bench.now).0), (State::Closed, 0));
}

#[test]
fn a_dependency_that_never_fails_never_opens_whatever_the_percentages() {
    let slow_call = Some(SlowCall { threshold: seconds(1.0), percent: 0.0 });
    let mut bench = Bench::new(BreakerPolicy { failure_percent: 0.0, min_requests: 0, slow_call, ..policy() });
    bench.calls(&[Success; 100]);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn probes_of_which_none_is_slow_close_whatever_the_percentage() {
    let slow_call = Some(SlowCall { threshold: seconds(1.0), percent: 0.0 });
    let mut bench = Bench::half_opened(BreakerPolicy { slow_call, ..policy() });
    bench.calls(&[Success; 3]);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn open_times_double_per_trip_up_to_the_maximum_and_halve_per_clean_minute() {
    let mut bench = Bench::opened(policy());
    let mut bounds = Vec::new();
    for _ in 0..6 {
        bounds.push(bench.wait_out_the_opening().as_secs_f64() / 0.75);
        bench.calls(&[Failure]);
    }
    assert_eq!(bounds, [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]);
    // Seven trips by now; closed for three minutes, the next is the fifth step: 5 s · 2^4, at most 60 s.
    let reopen = |bench: &mut Bench, clean: f64| {
        bench.wait_out_the_opening();
        bench.calls(&[Success; 3]);
        bench.wait(clean);
        bench.calls(&[Failure; 2]);
        bench.breaker.precheck(bench.now).expect("open").as_secs_f64() / 0.75
    };
    assert_eq!(reopen(&mut bench, 180.0), 60.0);
    assert_eq!(reopen(&mut bench, 180.0), 20.0);
    assert_eq!(reopen(&mut bench, 3_600.0), 5.0);
}

#[test]
fn open_times_are_between_half_and_all_of_what_the_policy_says() {
    for (jitter, expected) in [(0.0, 2.5), (0.5, 3.75), (1.0 - f64::EPSILON, 5.0)] {
        let mut bench = Bench::new(BreakerPolicy { min_requests: 1, ..policy() });
        bench.entropy = Jitter(jitter);
        bench.calls(&[Failure]);
        let left = bench.breaker.precheck(bench.now).expect("open");
        assert!((left.as_secs_f64() - expected).abs() < 1e-6, "jitter {jitter}: {left:?}");
        bench.wait(1.0);
        assert_eq!(bench.breaker.precheck(bench.now), Some(left - seconds(1.0)), "it counts down");
        assert_eq!(bench.acquire().unwrap_err(), Refusal::CircuitOpen { retry_after: left - seconds(1.0) });
    }
}

#[test]
fn all_endpoints_down_opens_a_closed_one_and_leaves_an_open_or_probing_one_alone() {
    let mut bench = Bench::new(policy());
    bench.calls(&[Success; 5]);
    let report = |bench: &mut Bench| bench.breaker.on_all_endpoints_down(bench.now, &mut bench.entropy);
    report(&mut bench);
    assert_eq!(bench.causes(), [Cause::AllEndpointsDown]);
    bench.wait(1.0);
    report(&mut bench);
    assert_eq!(bench.breaker.precheck(bench.now), Some(seconds(2.75)));
    bench.wait_out_the_opening();
    report(&mut bench);
    assert_eq!(bench.causes(), [Cause::OpenTimeOver]);
    bench.calls(&[Success; 3]);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn at_most_eight_transitions_are_kept_and_the_oldest_go_first() {
    let mut bench = Bench::half_opened(policy());
    for _ in 0..20 {
        bench.calls(&[Failure]);
        bench.wait_out_the_opening();
    }
    let kept = bench.breaker.take_transitions();
    assert_eq!(kept.len(), 8);
    assert_eq!(kept[7].to, State::Open);
    assert!(kept.windows(2).all(|pair| pair[0].to == pair[1].from));
}
