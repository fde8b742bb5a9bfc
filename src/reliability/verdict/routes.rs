//! Whether one route alone is hit.

use super::finding::RouteSeen;
use super::rates::{self, Counted, of_requests};
use crate::reliability::ending::{Ending, Endings};
use std::collections::BTreeMap;

/// Seconds that are kept of each route.
const SECONDS: usize = 10;
/// Routes with traffic that are watched at a time, at most: 700 bytes each.
const WATCHED_MAX: usize = 1_000;
/// Its part of all failures, from which on it is that route.
const BLAME: f64 = 0.9;
/// Requests of the other routes, at least, before it is said that they do well.
const OTHERS_LEAST: u64 = 10;
/// As in `usual`.
const KEEP: f64 = 0.997;

#[derive(Clone, Debug)]
struct Watched {
    /// The last look that saw it.
    look: u64,
    read: Endings,
    seconds: [Endings; SECONDS],
    usual: (f64, f64),
}

/// The routes of one upstream that have traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    watched: BTreeMap<String, Watched>,
    second: usize,
    looks: u64,
}

impl Routes {
    /// Takes in a look. `learn`: nothing is wrong.
    pub fn look(&mut self, seen: &[RouteSeen<'_>], learn: bool) {
        self.second = (self.second + 1) % SECONDS;
        self.looks += 1;
        for seen in seen {
            if let Some(watched) = self.watched.get_mut(seen.name) {
                watched.take_in(self.second, seen.endings, learn);
                watched.look = self.looks;
            } else if self.watched.len() < WATCHED_MAX && seen.endings.total() > 0 {
                self.watched.insert(seen.name.to_owned(), Watched::new(seen, self.looks));
            }
        }
        let looks = self.looks;
        self.watched.retain(|_, watched| watched.look == looks);
    }

    /// The route that all failures come from, while others do well.
    pub fn to_blame(&self, usual: f64) -> Option<&str> {
        let sums = || self.watched.iter().map(|(name, watched)| (name, of_requests(&watched.sum())));
        let all = sums().fold(Counted::default(), |all, (_, c)| Counted { bad: all.bad + c.bad, all: all.all + c.all });
        let (name, worst) = sums().max_by_key(|(_, counted)| counted.bad)?;
        let others = Counted { bad: all.bad - worst.bad, all: all.all - worst.all };
        let most = Counted { bad: worst.bad, all: all.bad }.share() >= BLAME;
        let well = others.all >= OTHERS_LEAST && others.share() <= rates::limit(usual);
        (worst.bad > 0 && most && well).then_some(name.as_str())
    }

    /// A route that fails although the upstream as a whole hardly shows it: which, how, and how much.
    pub fn failing(&self) -> Option<(&str, Ending, Counted)> {
        let mut busy = self.watched.values().filter(|watched| watched.sum().counted() > 0);
        if busy.by_ref().take(2).count() < 2 {
            return None;
        }
        self.watched.iter().find_map(|(name, watched)| {
            let sum = watched.sum();
            let counted = of_requests(&sum);
            let (ending, _) = rates::dominating(&sum)?;
            let usual = rates::usual(watched.usual.0, watched.usual.1);
            counted.too_many(usual).then_some((name.as_str(), ending, counted))
        })
    }
}

impl Watched {
    fn new(seen: &RouteSeen<'_>, look: u64) -> Watched {
        let seconds = [Endings::default(); SECONDS];
        Watched { look, read: seen.endings, seconds, usual: (0.0, 0.0) }
    }

    fn take_in(&mut self, second: usize, read: Endings, learn: bool) {
        if let Some(slot) = self.seconds.get_mut(second) {
            // What falls out of the window while nothing is wrong is what is usual.
            if learn {
                let old = of_requests(slot);
                self.usual.0 = self.usual.0 * KEEP + old.bad as f64;
                self.usual.1 = self.usual.1 * KEEP + old.all as f64;
            }
            *slot = read.since(&self.read);
        }
        self.read = read;
    }

    fn sum(&self) -> Endings {
        self.seconds.iter().fold(Endings::default(), |mut sum, second| {
            sum += *second;
            sum
        })
    }
}
