use super::*;
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::verdict::history::{History, latency_bucket};

/// When the policy changes, in seconds since the start.
const CHANGE: u64 = 100;

/// What one second brings.
#[derive(Clone, Copy)]
struct Second {
    requests: u32,
    /// Share that fails, and how it does.
    failing: f64,
    how: Ending,
    latency_ms: u64,
}

const WELL: Second = Second { requests: 20, failing: 0.0, how: Ending::Error, latency_ms: 5 };

const fn failing(share: f64) -> Second {
    Second { failing: share, ..WELL }
}

fn tick(second: Second, random: &mut SplitMix) -> Tick {
    let mut tick = Tick::default();
    let fail = (0..second.requests).filter(|_| random.unit() < second.failing).count() as u32;
    tick.requests.add(second.how, fail);
    tick.requests.add(Ending::Success, second.requests - fail);
    tick.latencies.0[latency_bucket(Duration::from_millis(second.latency_ms))] += second.requests - fail;
    tick
}

/// How many seconds after the change at [`CHANGE`] it is accused, and of what; looked at once a second, as it is done.
fn accused(seed: u64, course: impl Fn(u64) -> Second) -> Option<(u64, Worse)> {
    accused_at(seed, CHANGE, AFTER.as_secs(), course)
}

fn accused_at(seed: u64, change: u64, length: u64, course: impl Fn(u64) -> Second) -> Option<(u64, Worse)> {
    let (t0, mut random) = (Instant::now(), SplitMix::new(seed));
    let at = |second: u64| t0 + Duration::from_secs(second);
    let mut history = History::new(t0);
    let mut baseline = None;
    // In the middle of a second, as changes come.
    let moment = at(change) - Duration::from_millis(500);
    for now in 1..=change + length {
        history.record(at(now), &tick(course(now), &mut random));
        if now < change {
            continue;
        }
        let baseline: &mut Baseline =
            baseline.get_or_insert_with(|| Baseline::take(moment, |from, to| history.sum(from, to)));
        let since = moment + SETTLING;
        let recent = since.max(at(now) - RECENT);
        let sums = (history.sum(since, at(now)), history.sum(recent, at(now)));
        if let Some(worse) = baseline.judge(&sums.0, &sums.1) {
            return Some((now - change, worse));
        }
    }
    None
}

/// `before` until the change, `after` since then.
fn step(before: Second, after: Second) -> impl Fn(u64) -> Second {
    move |second| if second <= CHANGE { before } else { after }
}

#[test]
fn a_change_after_which_requests_fail_is_named_within_ten_seconds() {
    for (seed, requests, share) in [(1, 20, 1.0), (2, 20, 0.4), (3, 500, 0.1), (4, 10, 1.0)] {
        let second = |failing| Second { requests, failing, ..WELL };
        let (after, worse) = accused(seed, step(second(0.001), second(share))).unwrap();
        assert!(after <= 10, "{share} of {requests} a second: after {after} s");
        let Worse::Failing(shares) = worse else { panic!("{worse:?}") };
        assert!(shares.before.0 < 0.01 && shares.after.0 > share / 2.0, "{shares:?}");
    }
}

#[test]
fn failures_of_our_own_making_count_and_mistakes_of_callers_never_do() {
    let worse = |how| accused(1, step(WELL, Second { failing: 0.9, how, ..WELL }));
    for how in [Ending::OwnLimit, Ending::OwnFault, Ending::TimedOut, Ending::Shed, Ending::Dns] {
        assert!(matches!(worse(how), Some((_, Worse::Failing(_)))), "{how:?}");
    }
    assert_eq!(worse(Ending::CallerFault), None);
}

#[test]
fn clients_that_leave_are_told_only_where_their_share_doubles() {
    let leaving = |failing| Second { failing, how: Ending::Cancelled, ..WELL };
    assert!(matches!(accused(1, step(leaving(0.05), leaving(0.5))), Some((_, Worse::Abandoned(_)))));
    assert_eq!(accused(1, step(leaving(0.5), leaving(0.8))), None);
}

#[test]
fn an_upstream_that_takes_three_times_as_long_is_named_and_one_that_takes_twice_as_long_is_not() {
    let taking = |latency_ms| Second { latency_ms, ..WELL };
    let (after, worse) = accused(1, step(taking(10), taking(60))).unwrap();
    assert!(after <= 10 && matches!(worse, Worse::Slower { .. }), "{after}: {worse:?}");
    assert_eq!(accused(1, step(taking(10), taking(20))), None);
    assert_eq!(accused(1, step(taking(1), taking(9))), None, "9 ms more are no trouble");
}

#[test]
fn few_requests_accuse_nobody() {
    let rare = |failing| move |second: u64| Second { requests: u32::from(second.is_multiple_of(5)), failing, ..WELL };
    let (before, after) = (rare(0.0), rare(1.0));
    assert_eq!(accused(1, |second| if second <= CHANGE { before(second) } else { after(second) }), None);
    // Nothing came before: there is nothing to compare with.
    let silent = Second { requests: 0, ..WELL };
    assert_eq!(accused(1, step(silent, failing(1.0))), None);
}

#[test]
fn steady_noise_accuses_nobody_in_thousands_of_changes() {
    for seed in 0..3_000 {
        let failing = [0.001, 0.005, 0.01, 0.02, 0.05][seed as usize % 5];
        let requests = [2, 10, 50][seed as usize % 3];
        let second = Second { requests, failing, ..WELL };
        assert_eq!(
            accused_at(seed, 62, AFTER.as_secs(), |_| second),
            None,
            "seed {seed}: {failing} of {requests} a second"
        );
    }
}

#[test]
fn a_few_failures_more_than_usual_are_chance_however_often_one_looks() {
    let of = |failed, all: u32| {
        let mut tick = Tick::default();
        tick.requests.add(Ending::Error, failed);
        tick.requests.add(Ending::Success, all - failed);
        tick
    };
    // Seen in a simulation of steady noise of 2 %.
    let eves = EVES.map(|seconds| of(seconds as u32, 50 * seconds as u32));
    let mut baseline = Baseline { whole: of(37, 2_950), eves, bad_looks: 0 };
    for _ in 0..60 {
        assert_eq!(baseline.judge(&of(7, 100), &of(7, 100)), None);
    }
}

#[test]
fn bursts_and_lulls_of_noise_accuse_nobody() {
    for seed in 0..200 {
        let swing = |second: u64| if (second / 7).is_multiple_of(2) { 40 } else { 4 };
        assert_eq!(accused(seed, |second| Second { requests: swing(second), ..failing(0.01) }), None, "seed {seed}");
    }
}

#[test]
fn two_groups_of_latencies_of_equal_size_accuse_nobody() {
    for seed in 0..100 {
        let mut random = SplitMix::new(seed);
        let mut history = History::new(Instant::now());
        let (t0, change) = (Instant::now(), 100);
        let at = |second: u64| t0 + Duration::from_secs(second);
        let mut baseline = None;
        for now in 1..=change + 60 {
            let mut tick = Tick::default();
            tick.requests.add(Ending::Success, 10);
            for _ in 0..10 {
                let latency = if random.unit() < 0.5 { 5 } else { 100 };
                tick.latencies.0[latency_bucket(Duration::from_millis(latency))] += 1;
            }
            history.record(at(now), &tick);
            if now >= change {
                let take = || Baseline::take(at(change), |from, to| history.sum(from, to));
                let after = history.sum(at(change) + SETTLING, at(now));
                let recent = history.sum(at(now) - RECENT, at(now));
                assert_eq!(baseline.get_or_insert_with(take).judge(&after, &recent), None, "seed {seed}");
            }
        }
    }
}

#[test]
fn a_second_of_failures_right_after_the_change_is_no_verdict() {
    for share in [0.5, 1.0] {
        for blip in 101..110 {
            let course = |second| if second == blip { Second { requests: 50, ..failing(share) } } else { WELL };
            assert_eq!(accused(blip, course), None, "{share} in second {blip}");
        }
    }
}

#[test]
fn an_outage_that_had_begun_before_the_change_is_not_blamed_on_it() {
    let mut blamed = Vec::new();
    for began in 4..60 {
        for share in [0.3, 1.0] {
            let course = |second| if second < CHANGE - began { failing(0.001) } else { failing(share) };
            if accused(began, course).is_some() {
                blamed.push((began, share));
            }
        }
    }
    assert!(blamed.is_empty(), "seconds before the change: {blamed:?}");
}

#[test]
fn an_outage_that_grew_before_the_change_is_not_blamed_on_it() {
    // Another team's slow roll-out: more of its instances fail with every second.
    for (seed, (began, until)) in [(60, 160), (70, 130), (80, 120), (90, 110)].into_iter().enumerate() {
        let share = |second: u64| second.saturating_sub(began) as f64 / (until - began) as f64;
        assert_eq!(accused(seed as u64, |second| failing(share(second).min(1.0))), None, "from {began} to {until}");
    }
}

#[test]
fn requests_that_hung_before_the_change_and_fail_after_it_are_not_blamed_on_it() {
    // Nothing ends for 15 s, the limit of a request; then all that hung has run out of time.
    let course = |second| match second {
        ..95 => WELL,
        95..110 => Second { requests: 0, ..WELL },
        _ => Second { failing: 1.0, how: Ending::TimedOut, ..WELL },
    };
    assert_eq!(accused(1, course), None);
}

#[test]
fn a_change_that_takes_effect_slowly_is_named_in_the_end() {
    let share = |second: u64| second.saturating_sub(CHANGE + 5) as f64 / 50.0;
    let (after, _) = accused(1, |second| failing(share(second).clamp(0.0, 1.0))).unwrap();
    assert!((8..40).contains(&after), "{after}");
}

#[test]
fn trouble_that_is_over_when_enough_is_known_is_not_told() {
    // 4 s of failures at a rate at which that is not enough to be sure.
    let slow = |failing| Second { requests: 2, failing, ..WELL };
    assert_eq!(accused(1, |second| if (103..107).contains(&second) { slow(1.0) } else { slow(0.0) }), None);
}

#[test]
fn a_change_that_ends_an_outage_is_no_regression() {
    assert_eq!(accused(1, step(failing(1.0), failing(0.0))), None);
    assert_eq!(accused(1, step(failing(0.9), failing(0.9))), None);
}
