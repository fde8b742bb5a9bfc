//! After the probes.

use super::*;

#[test]
fn the_ramp_refuses_nine_tenths_at_first_and_nothing_after_ten_seconds() {
    let mut bench = Bench::opened(BreakerPolicy { open: seconds(20.0), ..policy() });
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    let mut entropy = SplitMix::new(1);
    let mut passed_in = [0u32; 11];
    // 1,000 rps; nothing is learned from them, or a run of successes would end the ramp early.
    for passed in &mut passed_in {
        for _ in 0..1_000 {
            match bench.breaker.acquire(bench.now, &mut entropy) {
                Ok(permit) => {
                    *passed += 1;
                    bench.record(permit, Ignored, 0.01);
                }
                Err(refusal) => assert_eq!(refusal, Refusal::Throttled),
            }
            bench.wait(0.001);
        }
    }
    for (second, passed) in passed_in.iter().enumerate().take(10) {
        // Refused in the middle of that second: 0.9 · (1 − t/10).
        let expected = 1_000.0 * (1.0 - 0.9 * (1.0 - (second as f64 + 0.5) / 10.0));
        assert!((f64::from(*passed) - expected).abs() < 60.0, "second {second}: {passed} of {expected}");
    }
    assert_eq!(passed_in[10], 1_000);
}

#[test]
fn the_ramp_is_no_longer_than_the_outage_was() {
    let mut bench = Bench::new(BreakerPolicy { open: seconds(1.0), min_requests: 3, ..policy() });
    bench.wait(3_600.0);
    bench.calls(&[Failure; 3]);
    bench.entropy = Jitter(0.0);
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    bench.calls(&[Success; 2]);
    assert_eq!(bench.acquire().unwrap_err(), Refusal::Throttled);
    bench.wait(0.75);
    bench.calls(&[Success; 100]);
}

#[test]
fn a_run_of_successes_ends_the_ramp_before_its_time() {
    let mut bench = Bench::new(BreakerPolicy { open: seconds(20.0), min_requests: 20, ..policy() });
    bench.calls(&[Failure; 20]);
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    // Drawn so that all pass: one of thirty is no success, so that ten more are wanted afterwards.
    bench.entropy = Jitter(0.99);
    bench.calls(&[Success; 15]);
    bench.calls(&[Overload]);
    bench.calls(&[Success; 10]);
    bench.wait(1.0);
    // Drawn so that only the free ones pass.
    bench.entropy = Jitter(0.0);
    bench.calls(&[Success; 2]);
    assert_eq!(bench.acquire().unwrap_err(), Refusal::Throttled);
    bench.entropy = Jitter(0.99);
    bench.calls(&[Success; 8]);
    bench.entropy = Jitter(0.0);
    bench.calls(&[Success; 1_000]);
}

#[test]
fn two_requests_per_second_pass_the_ramp_whatever_the_draw() {
    let mut bench = Bench::opened(BreakerPolicy { open: seconds(60.0), ..policy() });
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    bench.entropy = Jitter(0.0);
    for _ in 0..20 {
        bench.calls(&[Success]);
        bench.wait(0.5);
    }
}

#[test]
fn the_failures_of_the_outage_do_not_open_it_again_after_the_probes() {
    let mut bench = Bench::opened(BreakerPolicy { open: seconds(0.1), ..policy() });
    bench.wait_out_the_opening();
    bench.calls(&[Success; 3]);
    assert_eq!(bench.breaker.rates(bench.now).0, 0);
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), State::Closed);
}
