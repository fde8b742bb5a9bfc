use super::*;

const MS: Duration = Duration::from_millis(1);

fn policy(algorithm: Algorithm) -> AdaptivePolicy {
    AdaptivePolicy { algorithm, observe: false, min: 2, max: 100, initial: 30 }
}

fn sample(rtt: Duration, in_flight: u32, dropped: bool) -> Sample {
    Sample { rtt, in_flight, dropped }
}

#[test]
fn l1_a_drop_takes_a_tenth_off_and_an_answer_adds_one_while_half_of_the_limit_is_used() {
    let now = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Aimd), now);
    adaptive.record(now, &sample(MS, 1, true));
    assert_eq!(adaptive.limit(), 27);
    adaptive.record(now, &sample(MS, 13, false));
    assert_eq!(adaptive.limit(), 27, "less than half is used");
    adaptive.record(now, &sample(MS, 14, false));
    assert_eq!(adaptive.limit(), 28);
    (0..1_000).for_each(|_| adaptive.record(now, &sample(MS, 1, true)));
    assert_eq!(adaptive.limit(), 2, "never below min");
    (0..1_000).for_each(|_| adaptive.record(now, &sample(MS, 100, false)));
    assert_eq!(adaptive.limit(), 100, "never above max");
}

#[test]
fn observing_finds_a_limit_that_is_not_in_force() {
    let now = Instant::now();
    let adaptive = Adaptive::new(AdaptivePolicy { observe: true, ..policy(Algorithm::Aimd) }, now);
    assert_eq!((adaptive.limit(), adaptive.in_force()), (30, None));
    let enforced = Adaptive::new(policy(Algorithm::Aimd), now);
    assert_eq!(enforced.in_force(), Some(30));
}

#[test]
fn a_new_policy_keeps_what_was_found_within_its_bounds() {
    let now = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Aimd), now);
    (0..10).for_each(|_| adaptive.record(now, &sample(MS, 30, false)));
    adaptive.reconfigure(AdaptivePolicy { initial: 5, ..policy(Algorithm::Aimd) }, now);
    assert_eq!(adaptive.limit(), 40);
    adaptive.reconfigure(AdaptivePolicy { max: 35, ..policy(Algorithm::Aimd) }, now);
    assert_eq!(adaptive.limit(), 35);
    adaptive.reconfigure(policy(Algorithm::Correlated), now);
    assert_eq!(adaptive.limit(), 30, "another way begins anew");
}

/// Windows of half a second with 200 samples each.
fn windows(
    adaptive: &mut Adaptive,
    from: Instant,
    count: u32,
    rtt: impl Fn(u32) -> Duration,
    in_flight: u32,
) -> Instant {
    let mut now = from;
    for window in 0..count {
        for _ in 0..200 {
            now += Duration::from_micros(2_500);
            adaptive.record(now, &sample(rtt(window), in_flight, false));
        }
    }
    now
}

#[test]
fn a_quiet_app_keeps_its_limit_and_one_that_uses_it_gets_more() {
    let t0 = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Correlated), t0);
    let now = windows(&mut adaptive, t0, 20, |_| 10 * MS, 3);
    assert_eq!(adaptive.limit(), 30, "less traffic is no sign of overload");
    windows(&mut adaptive, now, 3, |_| 10 * MS, 20);
    assert!(adaptive.limit() > 33, "{}", adaptive.limit());
}

#[test]
fn the_limit_is_never_more_than_five_times_what_was_tried() {
    let t0 = Instant::now();
    let start = AdaptivePolicy { initial: 4, ..policy(Algorithm::Correlated) };
    let mut adaptive = Adaptive::new(start, t0);
    windows(&mut adaptive, t0, 40, |_| 10 * MS, 3);
    assert!(adaptive.limit() <= 15, "{}", adaptive.limit());
}

#[test]
fn answers_that_take_five_times_as_long_with_more_in_flight_bring_the_limit_down() {
    let t0 = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Correlated), t0);
    let now = windows(&mut adaptive, t0, 10, |_| 10 * MS, 5);
    windows(&mut adaptive, now, 8, |_| 50 * MS, 30);
    assert!(adaptive.limit() < 25, "{}", adaptive.limit());
}

#[test]
fn it_falls_when_requests_are_dropped_whatever_the_latency_of_the_others_says() {
    let t0 = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Correlated), t0);
    let mut now = t0;
    for n in 0..2_000_u32 {
        now += Duration::from_micros(2_500);
        adaptive.record(now, &sample(10 * MS, 30, n % 5 == 0));
    }
    assert!(adaptive.limit() < 20, "{}", adaptive.limit());
}

#[test]
fn a_handful_of_samples_decides_nothing() {
    let t0 = Instant::now();
    let mut adaptive = Adaptive::new(policy(Algorithm::Correlated), t0);
    for n in 0..500_u32 {
        adaptive.record(t0 + Duration::from_secs(2) * n, &sample(Duration::from_secs(n.into()), 30, false));
    }
    assert_eq!(adaptive.limit(), 30);
}
