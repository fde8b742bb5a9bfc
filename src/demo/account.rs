//! What was measured: tallies of both ways, what they add up to, and whether it is what Outrigger owes.

use std::time::Duration;

use super::script::{Dependency, Phase, TAIL, Trouble};
use super::sidecar::Story;
use super::traffic::{Sample, Way};
use crate::upstreams::view::TotalsView;

/// What the clients of one way met at one dependency.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    succeeded: u64,
    /// How long each client waited, in the order in which they ended.
    waits: Vec<Duration>,
}

impl Tally {
    /// Adds a request.
    pub fn add(&mut self, succeeded: bool, took: Duration) {
        self.succeeded += u64::from(succeeded);
        self.waits.push(took);
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.waits.len() as u64
    }

    /// Requests without a success.
    pub fn failed(&self) -> u64 {
        self.requests() - self.succeeded
    }

    /// Successes, percent; None without requests.
    pub fn success_percent(&self) -> Option<f64> {
        ratio(self.succeeded, self.requests()).map(|share| 100.0 * share)
    }

    /// How long this share (0.0 to 1.0) of the clients waited at most, whatever came of it: nearest rank.
    pub fn wait(&self, share: f64) -> Option<Duration> {
        let mut sorted = self.waits.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// `part / whole`; None if there is no whole.
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Clients of both ways, by dependency.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    direct: [Tally; 2],
    outrigger: [Tally; 2],
}

impl Tallies {
    /// Adds a request.
    pub fn add(&mut self, sample: &Sample) {
        let way = match sample.way {
            Way::Direct => &mut self.direct,
            Way::Outrigger => &mut self.outrigger,
        };
        way[sample.dependency.index()].add(sample.succeeded, sample.took);
    }

    /// One way, one dependency.
    pub fn of(&self, way: Way, dependency: Dependency) -> &Tally {
        match way {
            Way::Direct => &self.direct[dependency.index()],
            Way::Outrigger => &self.outrigger[dependency.index()],
        }
    }

    /// (requests, failed) of one way over both dependencies.
    pub fn all(&self, way: Way) -> (u64, u64) {
        let both = Dependency::ALL.map(|dependency| self.of(way, dependency));
        (both.iter().map(|t| t.requests()).sum(), both.iter().map(|t| t.failed()).sum())
    }
}

/// Counters that only grow, read at the beginning and at the end of a phase: of the dependency it is about.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What Outrigger counted.
    pub totals: TotalsView,
    /// Requests that reached the upstreams asked directly.
    pub reached_direct: u64,
    /// Requests that reached the upstreams behind Outrigger.
    pub reached_outrigger: u64,
}

/// A phase, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which.
    pub phase: Phase,
    /// What clients met.
    pub tallies: Tallies,
    /// Attempts per request that Outrigger made, refused requests included.
    pub attempts: Option<f64>,
    /// Requests rescued by a retry.
    pub rescued: u64,
    /// Requests refused without an attempt: breaker, throttle.
    pub refused: u64,
    /// Requests the dependency got per request of a client, asked directly.
    pub load_direct: Option<f64>,
    /// The same through Outrigger.
    pub load_outrigger: Option<f64>,
    /// What Outrigger noticed.
    pub story: Story,
}

impl Measured {
    /// From the readings at both ends.
    pub fn new(phase: Phase, tallies: Tallies, before: &Reading, after: &Reading, story: Story) -> Measured {
        let grown = |of: fn(&Reading) -> u64| of(after).saturating_sub(of(before));
        let requests = grown(|r| r.totals.requests);
        let asked = |way| tallies.of(way, phase.about).requests();
        Measured {
            attempts: ratio(grown(|r| r.totals.attempts), requests),
            rescued: grown(|r| r.totals.rescued),
            refused: grown(|r| r.totals.refused),
            load_direct: ratio(grown(|r| r.reached_direct), asked(Way::Direct)),
            load_outrigger: ratio(grown(|r| r.reached_outrigger), asked(Way::Outrigger)),
            phase,
            tallies,
            story,
        }
    }

    /// The clients of one way who asked the dependency that the phase is about.
    pub fn tally(&self, way: Way) -> &Tally {
        self.tallies.of(way, self.phase.about)
    }

    fn success(&self, way: Way) -> f64 {
        self.tally(way).success_percent().unwrap_or(0.0)
    }

    /// In a short phase it may be that nobody meets the tail.
    fn tail_is_left(&self) -> bool {
        let p99 = |way| self.tally(way).wait(0.99).unwrap_or_default();
        p99(Way::Direct) >= TAIL && p99(Way::Outrigger) >= TAIL
    }

    /// What Outrigger owes in this phase and did not do.
    pub fn missed(&self) -> Option<&'static str> {
        let (direct, outrigger) = (self.success(Way::Direct), self.success(Way::Outrigger));
        let kept = match self.phase.trouble {
            // What is owed here is told by `broken_promise` and by the phases around it.
            Trouble::Calm | Trouble::BadPolicy => return None,
            Trouble::Tail if self.tail_is_left() => "requests waited as long for the slow answers as directly",
            Trouble::Back if self.story.closed.is_none() => "the circuit did not close again",
            Trouble::OneDead | Trouble::Slow if outrigger <= direct => {
                "requests did not succeed more often than directly"
            }
            Trouble::Down if outrigger < direct => "requests succeeded less often than directly",
            Trouble::Down if self.load_outrigger >= self.load_direct => "the failing dependency was not spared",
            Trouble::RolledBack if self.story.revision_after <= self.story.revision_before => {
                "the rollback did not come into force"
            }
            Trouble::RolledBack if self.story.refusal.is_none() => "the policy with the typing error was not refused",
            Trouble::Tail | Trouble::OneDead | Trouble::Slow | Trouble::Down | Trouble::Back | Trouble::RolledBack => {
                return None;
            }
        };
        Some(kept)
    }
}

/// The first thing that Outrigger owes and did not do, as a sentence.
pub fn broken_promise(measured: &[Measured]) -> Option<String> {
    let missed = measured.iter().find_map(|m| m.missed().map(|missed| format!("{}: {missed}.", m.phase.name)));
    missed.or_else(|| {
        let of = |trouble| measured.iter().find(|it| it.phase.trouble == trouble);
        let (bad, good) = (of(Trouble::BadPolicy)?, of(Trouble::RolledBack)?);
        let better = good.success(Way::Outrigger) >= bad.success(Way::Outrigger) && good.attempts < bad.attempts;
        (!better).then(|| "rolled back: things are no better than under the bad policy.".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::script::PHASES;
    use super::*;

    fn tally(succeeded: u64, failed: u64) -> Tally {
        let mut tally = Tally::default();
        for number in 0..succeeded + failed {
            tally.add(number < succeeded, Duration::from_millis(number + 1));
        }
        tally
    }

    #[test]
    fn shares_and_waits_are_exact() {
        let tally = tally(66, 34);
        assert_eq!((tally.requests(), tally.failed(), tally.success_percent()), (100, 34, Some(66.0)));
        let wait = |share| tally.wait(share).map(|wait| wait.as_millis());
        assert_eq!([wait(0.0), wait(0.5), wait(0.99), wait(1.0)], [Some(1), Some(50), Some(99), Some(100)]);
    }

    #[test]
    fn nothing_measured_is_nothing_claimed() {
        let tally = Tally::default();
        assert_eq!((tally.success_percent(), tally.wait(0.99), ratio(1, 0)), (None, None, None));
    }

    fn phase(trouble: Trouble) -> Phase {
        *PHASES.iter().find(|phase| phase.trouble == trouble).unwrap()
    }

    fn reading(requests: u64, attempts: u64, reached: [u64; 2]) -> Reading {
        let totals = TotalsView { requests, attempts, rescued: attempts - requests, ..TotalsView::default() };
        Reading { totals, reached_direct: reached[0], reached_outrigger: reached[1] }
    }

    fn measured(trouble: Trouble, direct: Tally, outrigger: Tally, reached: [u64; 2]) -> Measured {
        let about = phase(trouble).about;
        let mut tallies = Tallies::default();
        tallies.direct[about.index()] = direct;
        tallies.outrigger[about.index()] = outrigger;
        let (before, after) = (reading(50, 60, [10, 20]), reading(150, 163, [10 + reached[0], 20 + reached[1]]));
        Measured::new(phase(trouble), tallies, &before, &after, Story::default())
    }

    #[test]
    fn a_phase_counts_what_grew_during_it() {
        let it = measured(Trouble::OneDead, tally(66, 34), tally(100, 0), [66, 100]);
        assert_eq!((it.attempts, it.rescued), (Some(1.03), 3));
        assert_eq!((it.load_direct, it.load_outrigger), (Some(0.66), Some(1.0)));
        assert_eq!(it.tallies.all(Way::Direct), (100, 34));
    }

    #[test]
    fn it_must_do_better_where_it_can() {
        let better = measured(Trouble::Slow, tally(80, 20), tally(99, 1), [100, 120]);
        let equal = measured(Trouble::Slow, tally(80, 20), tally(80, 20), [100, 120]);
        assert_eq!(better.missed(), None);
        assert!(equal.missed().is_some());
        let sentence = broken_promise(&[better, equal]).unwrap();
        assert!(sentence.starts_with("dependency slow: ") && sentence.ends_with('.'), "{sentence}");
    }

    #[test]
    fn it_must_not_wait_for_the_tail() {
        let waits = |longest| {
            let mut tally = tally(90, 0);
            (0..10).for_each(|_| tally.add(true, longest));
            tally
        };
        let cut = measured(Trouble::Tail, waits(TAIL), waits(TAIL / 2), [100, 104]);
        let left = measured(Trouble::Tail, waits(TAIL), waits(TAIL), [100, 104]);
        let nobody_met_it = measured(Trouble::Tail, tally(90, 0), tally(90, 0), [90, 90]);
        assert!(left.missed().is_some() && cut.missed().is_none() && nobody_met_it.missed().is_none());
    }

    #[test]
    fn it_must_spare_what_is_down() {
        let sparing = measured(Trouble::Down, tally(0, 100), tally(0, 100), [100, 6]);
        let pestering = measured(Trouble::Down, tally(0, 100), tally(0, 100), [100, 120]);
        assert_eq!(sparing.missed(), None);
        assert!(pestering.missed().is_some());
    }

    #[test]
    fn a_rollback_and_a_refusal_must_have_happened() {
        let story = |revision_after, refusal: Option<&str>| Story {
            revision_before: 2,
            revision_after,
            refusal: refusal.map(str::to_owned),
            ..Story::default()
        };
        let mut it = measured(Trouble::RolledBack, tally(100, 0), tally(100, 0), [100, 100]);
        for (story, kept) in [(story(3, Some("7:1")), true), (story(2, Some("7:1")), false), (story(3, None), false)] {
            it.story = story;
            assert_eq!(it.missed().is_none(), kept);
        }
    }
}
