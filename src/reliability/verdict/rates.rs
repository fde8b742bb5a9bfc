//! Whether what was counted is more than chance.

use crate::reliability::ending::{Ending, Endings};
use crate::reliability::statistics::{Z95, Z999, wilson};

/// Below this share of failures nothing is said.
const DEGRADED: f64 = 0.05;
/// Failures that any service has now and then: what is assumed where nothing better is known.
const USUAL_LEAST: f64 = 0.01;
/// Nothing is said of fewer failures.
const BAD_LEAST: u64 = 3;
/// Chance may do it once in e^16, nine million, looks (Chernoff's bound): a sidecar looks 86,400 times a day.
const EVIDENCE: f64 = 16.0;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub bad: u64,
    pub all: u64,
}

impl Counted {
    pub fn share(self) -> f64 {
        self.bad as f64 / self.all.max(1) as f64
    }

    /// Between which the true share lies with 95 %.
    pub fn bounds95(self) -> (f64, f64) {
        wilson(self.bad, self.all, Z95)
    }

    /// With 99.9 %.
    pub fn above(self, limit: f64) -> bool {
        wilson(self.bad, self.all, Z999).0 > limit
    }

    /// Whether it is more than `usual` makes now and then.
    pub fn unusual(self, usual: f64) -> bool {
        self.bad >= BAD_LEAST && self.share() > usual && self.all as f64 * divergence(self.share(), usual) > EVIDENCE
    }

    /// Whether more fails than should, and more than usual.
    pub fn too_many(self, usual: f64) -> bool {
        self.unusual(usual) && self.above(limit(usual))
    }
}

/// The share of failures that is still called normal where `usual` is the usual one.
pub(super) fn limit(usual: f64) -> f64 {
    DEGRADED.max(usual * 1.5 + 0.02)
}

/// The usual share by what was counted while all was well.
pub(super) fn usual(bad: f64, all: f64) -> f64 {
    // A hundred good ones are assumed: a few samples must not pass off failures as usual.
    ((bad + 1.0) / (all + 100.0)).clamp(USUAL_LEAST, 0.95)
}

/// Kullback and Leibler's, of two shares: how badly `usual` explains `share`, per sample.
fn divergence(share: f64, usual: f64) -> f64 {
    let part = |p: f64, q: f64| if p <= 0.0 { 0.0 } else { p * (p / q).ln() };
    part(share, usual) + part(1.0 - share, 1.0 - usual)
}

/// Requests that did not get what they came for, of those that say something.
pub(super) fn of_requests(endings: &Endings) -> Counted {
    let own = u64::from(endings.get(Ending::OwnLimit)) + u64::from(endings.get(Ending::OwnFault));
    Counted { bad: endings.failed() + own, all: endings.counted() }
}

/// Attempts that failed. What was refused unsent was no attempt.
pub(super) fn of_attempts(endings: &Endings) -> Counted {
    let unsent: u64 =
        [Ending::Shed, Ending::OwnLimit, Ending::OwnFault].iter().map(|e| u64::from(endings.get(*e))).sum();
    let shed = u64::from(endings.get(Ending::Shed));
    Counted { bad: endings.failed() - shed, all: endings.counted() - unsent }
}

/// Requests that their client ended, of all.
pub(super) fn of_aborts(endings: &Endings) -> Counted {
    let left = u64::from(endings.get(Ending::Cancelled));
    Counted { bad: left, all: endings.counted() + left }
}

/// The most frequent way to fail, and its part of all failures; what follows from other failures does not count.
pub(super) fn dominating(endings: &Endings) -> Option<(Ending, f64)> {
    let failures = Ending::ALL.into_iter().filter(|e| e.is_upstreams_failure() && *e != Ending::Shed);
    let (most, count) = failures.map(|e| (e, endings.get(e))).max_by_key(|(_, count)| *count)?;
    let all = endings.failed() - u64::from(endings.get(Ending::Shed));
    (count > 0).then(|| (most, f64::from(count) / all.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bad: u64, all: u64) -> Counted {
        Counted { bad, all }
    }

    #[test]
    fn a_few_failures_among_few_say_nothing_and_a_row_of_them_does() {
        for (bad, all) in [(0, 0), (1, 1), (2, 2), (3, 3), (3, 10), (4, 20), (8, 200)] {
            assert!(!of(bad, all).too_many(USUAL_LEAST), "{bad} of {all}");
        }
        for (bad, all) in [(4, 4), (6, 10), (10, 20), (60, 600), (400, 5_000)] {
            assert!(of(bad, all).too_many(USUAL_LEAST), "{bad} of {all}");
        }
    }

    #[test]
    fn where_failures_are_usual_more_of_them_are_needed() {
        assert!(of(100, 1_000).too_many(USUAL_LEAST));
        assert!(!of(100, 1_000).too_many(0.1));
        assert!(of(300, 1_000).too_many(0.1));
        assert_eq!(usual(0.0, 0.0), USUAL_LEAST);
        assert!((usual(100.0, 900.0) - 0.101).abs() < 1e-9);
    }

    #[test]
    fn what_follows_from_failures_is_not_their_cause() {
        let mut endings = Endings::default();
        endings.add(Ending::Shed, 100);
        assert_eq!(dominating(&endings), None);
        endings.add(Ending::Refused, 3);
        endings.add(Ending::Error, 1);
        assert_eq!(dominating(&endings), Some((Ending::Refused, 0.75)));
        assert_eq!(of_attempts(&endings), of(4, 4));
        assert_eq!(of_requests(&endings), of(104, 104));
    }
}
