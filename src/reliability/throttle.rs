//! Adaptive throttling of a dependency (Google SRE book, chapter 21).
//!
//! Proportional where the breaker is binary: with `p = max(0, (requests − K·accepts) / (requests + 1))` a
//! sidecar sends at most about K times what the dependency accepts, and never stops probing.
//!
//! * Requests are counted when they are sent, and those refused here count too: otherwise refusing would
//!   lower `p` at once and the rate would swing.
//! * A request that is not answered yet is no evidence: in a burst after a quiet time (or at start) everything
//!   is in flight and nothing accepted, and the plain formula would refuse most of it. It counts once it ends,
//!   at the latest with its timeout. (The published defect is the opposite, requests that are forgotten until
//!   they end because timeouts outlast the window; ours is at least twice the total timeout.)
//! * What was refused during an outage must not be held against a dependency that is back: when the breaker
//!   closes, the throttle starts anew, and the breaker's ramp lets the traffic return.
//! * Retries go first: five times as many of them are refused, all from `p` = 20 % on. (All from zero on would make a
//!   dependency that accepts about one in K lose every second rescue to the noise of the window.) A refused retry is not
//!   counted. It is a shadow of a request that is counted already; counted twice, a dependency that accepts 60 % would
//!   hold the throttle at its maximum although K = 2 tolerates 50 %.

use super::entropy::Entropy;
use super::window::Window;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// How much sooner a retry is refused than a first attempt.
const RETRIES_FIRST: f64 = 5.0;

/// Below this rate a share means nothing and a refusal relieves nobody.
const ACTIVE_PER_SECOND: f64 = 2.0;

/// `throttle` of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottlePolicy {
    /// requests sent per request accepted; at least 1; default 2.0
    pub k: f64,
    /// default 10 s, or twice the total timeout if that is longer
    pub window: Duration,
    /// highest refused share, 0 to 1; default 0.9
    pub max_rejection: f64,
    /// requests in the window below which nothing is refused; default 20
    pub min_requests: u32,
    /// report only: computed, never enforced
    pub observe: bool,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        ThrottlePolicy { k: 2.0, window: Duration::from_secs(10), max_rejection: 0.9, min_requests: 20, observe: false }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u32,
    accepts: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.accepts = self.accepts.saturating_add(other.accepts);
    }
}

/// Throttle of one dependency.
#[derive(Clone, Debug)]
pub struct Throttle {
    policy: ThrottlePolicy,
    window: Window<Tally>,
    /// Sent and not ended yet.
    unanswered: u32,
    suspended: Option<Instant>,
    /// Requests and retries let through in observe mode that would have been refused.
    observed: u64,
}

impl Throttle {
    /// With an empty window.
    pub fn new(policy: ThrottlePolicy, now: Instant) -> Self {
        Throttle { window: Window::new(now, policy.window), policy, unanswered: 0, suspended: None, observed: 0 }
    }

    /// Takes a new policy; a new window length starts an empty window.
    pub fn reconfigure(&mut self, policy: ThrottlePolicy, now: Instant) {
        if policy.window != self.policy.window {
            self.window = Window::new(now, policy.window);
        }
        self.policy = policy;
    }

    /// Counts the request, also when it is refused; false = refuse. `retry`: refused first, see the module.
    pub fn admit(&mut self, now: Instant, retry: bool, entropy: &mut impl Entropy) -> bool {
        let share = self.rejection(now);
        let refused = if retry { share * RETRIES_FIRST } else { share };
        let wanted = share == 0.0 || entropy.unit() >= refused;
        self.observed += u64::from(!wanted && self.policy.observe);
        let admitted = wanted || self.policy.observe;
        if admitted || !retry {
            let slot = self.window.record(now);
            slot.requests = slot.requests.saturating_add(1);
        }
        self.unanswered = self.unanswered.saturating_add(u32::from(admitted));
        admitted
    }

    /// In observe mode: requests and retries so far that would have been refused.
    pub fn observed(&self) -> Option<u64> {
        self.policy.observe.then_some(self.observed)
    }

    /// A refused request is sent all the same: a probe of the breaker.
    pub fn let_through(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// What was sent failed, or was refused by the dependency.
    pub fn on_reject(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Forgets what ended so far: the breaker has closed, so the outage says nothing of what comes now.
    pub fn forget(&mut self, now: Instant) {
        self.window = Window::new(now, self.policy.window);
    }

    /// Forgets what ended so far and refuses nothing until `until`.
    pub fn suspend(&mut self, now: Instant, until: Instant) {
        self.forget(now);
        self.suspended = Some(until);
    }

    /// The dependency took the request on, whatever it answered, except overload and failure.
    pub fn on_accept(&mut self, now: Instant) {
        self.unanswered = self.unanswered.saturating_sub(1);
        let slot = self.window.record(now);
        slot.accepts = slot.accepts.saturating_add(1);
    }

    /// Share of first attempts refused now, 0 to `max_rejection`; in observe mode, that would be.
    pub fn rejection(&self, now: Instant) -> f64 {
        if self.suspended.is_some_and(|until| now < until) {
            return 0.0;
        }
        let Tally { requests, accepts } = self.window.read(now);
        let requests = requests.saturating_sub(self.unanswered);
        let per_second = f64::from(requests) / self.policy.window.as_secs_f64();
        if requests < self.policy.min_requests || per_second < ACTIVE_PER_SECOND {
            return 0.0;
        }
        share(requests, accepts, self.policy.k).min(self.policy.max_rejection)
    }
}

fn share(requests: u32, accepts: u32, k: f64) -> f64 {
    ((f64::from(requests) - k * f64::from(accepts)) / (f64::from(requests) + 1.0)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::entropy::SplitMix;
    use super::*;

    fn throttle(policy: ThrottlePolicy, requests: u32, accepts: u32) -> (Throttle, Instant) {
        let t0 = Instant::now();
        let mut throttle = Throttle::new(policy, t0);
        throttle.window.record(t0).requests = requests;
        (0..accepts).for_each(|_| throttle.on_accept(t0));
        (throttle, t0)
    }

    #[test]
    fn t1_share_by_the_sre_formula_with_k_2() {
        let expected = [(100, 0.0), (50, 0.0), (40, 0.198), (25, 0.495), (10, 0.792), (0, 0.9)];
        for (accepts, share) in expected {
            let (throttle, now) = throttle(ThrottlePolicy::default(), 100, accepts);
            assert!((throttle.rejection(now) - share).abs() < 1e-3, "{accepts} accepts");
        }
    }

    #[test]
    fn t2_share_of_failsafe_go_which_is_k_1_over_the_success_rate() {
        let k = 1.0 / 0.9;
        for (requests, accepts, expected) in [(100, 95, 0.0), (120, 90, 0.1653), (200, 50, 0.7186), (1, 0, 0.5)] {
            assert!((share(requests, accepts, k) - expected).abs() < 1e-4, "{accepts} of {requests}");
        }
        let policy = ThrottlePolicy { k, max_rejection: 0.8, ..ThrottlePolicy::default() };
        let (throttle, now) = throttle(policy, 1_000, 10);
        assert_eq!(throttle.rejection(now), 0.8);
    }

    #[test]
    fn t4_a_dependency_that_accepts_nothing_still_gets_a_tenth() {
        let (mut throttle, now) = throttle(ThrottlePolicy::default(), 20, 0);
        let mut entropy = SplitMix::new(1);
        let sent = (0..1_000).filter(|_| throttle.admit(now, false, &mut entropy)).count();
        assert!((70..=130).contains(&sent), "{sent} sent");
    }

    #[test]
    fn a_burst_that_is_not_answered_yet_is_no_reason_to_refuse() {
        let t0 = Instant::now();
        let mut throttle = Throttle::new(ThrottlePolicy::default(), t0);
        let mut entropy = SplitMix::new(6);
        assert!((0..1_000).all(|_| throttle.admit(t0, false, &mut entropy)));
        (0..1_000).for_each(|_| throttle.on_accept(t0));
        assert!((0..1_000).all(|_| throttle.admit(t0, false, &mut entropy)));
        (0..1_000).for_each(|_| throttle.on_reject());
        assert_eq!(throttle.rejection(t0), 0.0, "half was accepted");
        assert!((0..20).all(|_| throttle.admit(t0, false, &mut entropy)));
        (0..20).for_each(|_| throttle.on_reject());
        assert!(throttle.rejection(t0) > 0.0);
    }

    #[test]
    fn suspended_it_refuses_nothing_and_what_was_before_is_forgotten() {
        let (mut throttle, now) = throttle(ThrottlePolicy::default(), 100, 0);
        let until = now + Duration::from_secs(60);
        throttle.suspend(now, until);
        throttle.window.record(now).requests = 100;
        assert_eq!(throttle.rejection(now), 0.0);
        throttle.window.record(until).requests = 100;
        assert!(throttle.rejection(until) > 0.0);
        throttle.suspend(until, until);
        assert_eq!(throttle.rejection(until), 0.0);
    }

    #[test]
    fn a_probe_that_is_let_through_is_no_evidence_before_it_ends_and_a_new_policy_is_in_force_at_once() {
        let (mut throttle, now) = throttle(ThrottlePolicy::default(), 20, 0);
        assert!(throttle.rejection(now) > 0.0);
        throttle.let_through();
        assert_eq!(throttle.rejection(now), 0.0, "19 have ended");
        throttle.on_reject();
        throttle.reconfigure(ThrottlePolicy { max_rejection: 0.5, ..ThrottlePolicy::default() }, now);
        assert_eq!(throttle.rejection(now), 0.5);
    }

    #[test]
    fn nothing_is_refused_below_min_requests_or_two_per_second() {
        let (idle, now) = throttle(ThrottlePolicy::default(), 19, 0);
        assert_eq!(idle.rejection(now), 0.0);
        let slow = ThrottlePolicy { window: Duration::from_secs(60), ..ThrottlePolicy::default() };
        let (below, now) = throttle(slow.clone(), 119, 0);
        assert_eq!(below.rejection(now), 0.0);
        let (at, now) = throttle(slow, 120, 0);
        assert!(at.rejection(now) > 0.0);
    }

    #[test]
    fn retries_are_refused_first_and_then_leave_the_share_alone() {
        let (mut throttle, now) = throttle(ThrottlePolicy::default(), 100, 39);
        let mut entropy = SplitMix::new(2);
        let before = throttle.rejection(now);
        assert!((0..1_000).all(|_| !throttle.admit(now, true, &mut entropy)));
        assert_eq!(throttle.rejection(now), before);
        assert!((0..100).any(|_| throttle.admit(now, false, &mut entropy)));
    }

    #[test]
    fn a_share_that_may_be_noise_stops_few_retries() {
        let (throttle, now) = throttle(ThrottlePolicy::default(), 1_000, 495);
        let mut entropy = SplitMix::new(7);
        let sent = (0..1_000).filter(|_| throttle.clone().admit(now, true, &mut entropy)).count();
        assert!((920..=980).contains(&sent), "{sent} of 1,000 at a share of 1 %");
    }

    #[test]
    fn refused_requests_count_so_that_refusing_does_not_lower_the_share() {
        let (mut throttle, now) = throttle(ThrottlePolicy::default(), 100, 25);
        let before = throttle.rejection(now);
        let mut entropy = SplitMix::new(3);
        while throttle.admit(now, false, &mut entropy) {}
        assert!(throttle.rejection(now) > before);
    }

    #[test]
    fn observing_reports_the_share_and_refuses_nothing() {
        let policy = ThrottlePolicy { observe: true, ..ThrottlePolicy::default() };
        let (mut throttle, now) = throttle(policy, 100, 0);
        let mut entropy = SplitMix::new(4);
        assert!((0..100).all(|n| throttle.admit(now, n % 2 == 0, &mut entropy)));
        assert_eq!(throttle.rejection(now), 0.9);
        // Every retry, and nine in ten of the others.
        assert!(throttle.observed().is_some_and(|count| (90..=100).contains(&count)), "{:?}", throttle.observed());
    }

    #[test]
    fn after_a_full_outage_the_refusals_fade_within_three_windows() {
        let (mut throttle, t0) = throttle(ThrottlePolicy::default(), 500, 0);
        let mut entropy = SplitMix::new(5);
        // 50 rps, everything that is sent is accepted. With K = 2 what passes grows by e in 0.63 windows.
        let mut shares = Vec::new();
        for step in 0..1_500 {
            let now = t0 + Duration::from_millis(20 * step);
            if throttle.admit(now, false, &mut entropy) {
                throttle.on_accept(now);
            }
            shares.push(throttle.rejection(now));
        }
        assert!(shares[0] == 0.9 && shares[500] < 0.87 && shares[1_000] < 0.5, "{} {}", shares[500], shares[1_000]);
        assert_eq!(shares[1_499], 0.0);
    }
}
