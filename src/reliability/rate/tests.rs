use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(requests: u32, burst: u32) -> RatePolicy {
    RatePolicy { requests, per: SECOND, burst }
}

/// One caller that is counted exactly.
struct Caller {
    policy: RatePolicy,
    window: u128,
    current: u64,
    before: u64,
}

impl Caller {
    fn new(policy: RatePolicy) -> Self {
        Caller { policy, window: 0, current: 0, before: 0 }
    }

    fn ask(&mut self, at: Duration) -> Judged {
        let per = self.policy.per.as_nanos();
        let window = at.as_nanos() / per;
        if window > self.window {
            self.before = if window == self.window + 1 { self.current } else { 0 };
            (self.window, self.current) = (window, 0);
        }
        let elapsed = Duration::from_nanos((at.as_nanos() % per) as u64);
        let counts = Counts { current: self.current + 1, before: self.before, elapsed };
        let judged = self.policy.judge(counts);
        self.current += u64::from(passes(judged));
        judged
    }

    fn burst(&mut self, at: Duration, requests: u32) -> u32 {
        (0..requests).map(|_| u32::from(passes(self.ask(at)))).sum()
    }
}

fn passes(judged: Judged) -> bool {
    matches!(judged, Judged::Passes { .. })
}

#[test]
fn a_caller_gets_what_it_may_in_a_window_and_no_more() {
    let mut caller = Caller::new(policy(100, 0));
    assert_eq!(caller.burst(Duration::ZERO, 500), 100);
    assert_eq!(caller.burst(Duration::from_millis(999), 500), 0);
    assert_eq!(caller.burst(Duration::from_secs(10), 500), 100);
}

#[test]
fn around_the_border_of_two_windows_it_does_not_get_twice_as_much() {
    let mut caller = Caller::new(policy(100, 0));
    assert_eq!(caller.burst(Duration::from_millis(999), 500), 100);
    assert_eq!(caller.burst(Duration::from_millis(1_000), 500), 0);
    assert_eq!(caller.burst(Duration::from_millis(1_250), 500), 25);
    assert_eq!(caller.burst(Duration::from_millis(1_990), 500), 74);
}

#[test]
fn who_sends_too_much_gets_what_it_may_and_not_nothing() {
    let mut caller = Caller::new(policy(100, 0));
    let passed: u32 = (0..50_000u64).map(|n| caller.burst(Duration::from_micros(n * 200), 1)).sum();
    assert!((950..=1_010).contains(&passed), "{passed} in 10 s at 50 times the rate");
}

#[test]
fn a_burst_is_what_the_window_before_left_unused() {
    let mut caller = Caller::new(policy(100, 20));
    assert_eq!(caller.burst(Duration::from_secs(10), 500), 120, "after a quiet window");
    assert_eq!(caller.burst(Duration::from_millis(11_999), 500), 79, "and the window after pays for it");
    let mut caller = Caller::new(policy(100, 20));
    caller.burst(Duration::from_secs(10), 90);
    assert_eq!(caller.burst(Duration::from_millis(11_999), 500), 109, "10 were left");
}

#[test]
fn what_is_left_is_told_and_when_the_window_ends() {
    let mut caller = Caller::new(policy(3, 0));
    let at = Duration::from_millis(400);
    let resets = Duration::from_millis(600);
    assert_eq!(caller.ask(at), Judged::Passes { left: 2, resets });
    assert_eq!(caller.ask(at), Judged::Passes { left: 1, resets });
    assert_eq!(caller.ask(at), Judged::Passes { left: 0, resets });
    assert!(!passes(caller.ask(at)));
}

proptest! {
    /// The promise behind Retry-After: who obeys is not refused again, and who comes much earlier is.
    #[test]
    fn who_waits_as_long_as_it_was_told_passes(
        requests in 1u32..200,
        burst in (0u32..100),
        gaps in prop::collection::vec(0u64..400_000_000, 1..400),
    ) {
        let burst = burst.min(requests);
        let mut caller = Caller::new(policy(requests, burst));
        let mut now = Duration::ZERO;
        for gap in gaps {
            now += Duration::from_nanos(gap);
            for _ in 0..40 {
                let Judged::Refused { wait } = caller.ask(now) else { continue };
                prop_assert!(wait <= 2 * SECOND, "{wait:?}");
                if wait > Duration::from_nanos(2) {
                    let (window, current, before) = (caller.window, caller.current, caller.before);
                    prop_assert!(!passes(caller.ask(now + wait / 2)), "half of {wait:?} was enough");
                    (caller.window, caller.current, caller.before) = (window, current, before);
                }
                now += wait;
                prop_assert!(passes(caller.ask(now)), "refused after {wait:?}");
            }
        }
    }

    #[test]
    fn in_no_window_does_more_pass_than_the_policy_says(
        requests in 1u32..100,
        burst in (0u32..50),
        gaps in prop::collection::vec(0u64..200_000_000, 1..600),
    ) {
        let burst = burst.min(requests);
        let mut caller = Caller::new(policy(requests, burst));
        let (mut now, mut passed) = (Duration::ZERO, Vec::<Duration>::new());
        for gap in gaps {
            now += Duration::from_nanos(gap);
            for _ in 0..8 {
                if passes(caller.ask(now)) {
                    passed.push(now);
                }
            }
        }
        for window in 0..=now.as_secs() {
            let within = |from: u64, to: u64| passed.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
            prop_assert!(within(window, window + 1) <= (requests + burst) as usize);
            prop_assert!(within(window, window + 2) <= 2 * requests as usize, "two windows in a row");
        }
    }
}
