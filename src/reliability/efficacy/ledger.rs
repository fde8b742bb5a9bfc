//! The ledgers of all routes of one dependency.

use super::counts::Tries;
use super::harm::Harm;
use super::route::{Report, Route};
use super::{FailureClass, Helpfulness, PLACES};
use crate::reliability::attempts::Denied;
use crate::reliability::entropy::Entropy;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Routes that have a ledger; the rest is neither counted nor held.
const ROUTES_MAX: usize = 1_000;
/// Changes of verdicts that wait to be told; beyond it the oldest is dropped.
const CHANGES_MAX: usize = 64;

/// Names a route within its dependency; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteNumber(pub u32);

/// A verdict has changed, and on what grounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// On which route.
    pub route: RouteNumber,
    /// After which failures.
    pub class: FailureClass,
    /// What it was.
    pub from: Helpfulness,
    /// What it is.
    pub to: Helpfulness,
    /// Retries of the window.
    pub tries: Tries,
}

/// A good answer that is on its way to the client, after its first attempt had failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// On which route.
    pub route: RouteNumber,
    /// After which failure.
    pub class: FailureClass,
    /// No retry has done it: the request was held out, and its attempt came round.
    pub held_out: bool,
    /// The request is one of the two groups that are compared.
    pub compared: bool,
}

/// How a request ended whose first attempt had failed.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// There was a retry.
    pub retried: bool,
    /// With a good answer.
    pub rescued: bool,
    /// From the first failure to the end.
    pub tax: Duration,
    /// Why a further retry was not made.
    pub denied: Option<Denied>,
    /// Whether it belongs to the groups that are compared, and then whether it was held out.
    pub group: Option<bool>,
}

/// A retry that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Retried {
    /// 1 = the first retry of its request.
    pub place: u32,
    /// On an endpoint that was not tried before; None = not known.
    pub elsewhere: Option<bool>,
    /// Its answer was good.
    pub good: bool,
    /// From its launch to its end.
    pub took: Duration,
}

/// Of one dependency.
#[derive(Clone, Debug, Default)]
pub struct Ledgers {
    routes: BTreeMap<RouteNumber, Route>,
    changes: Vec<Change>,
}

impl Ledgers {
    /// Keeps the ledgers of these routes, begins those that are new, and forgets all others.
    pub fn keep(&mut self, now: Instant, routes: impl IntoIterator<Item = RouteNumber>) {
        let mut before = std::mem::take(&mut self.routes);
        for number in routes.into_iter().take(ROUTES_MAX) {
            self.routes.insert(number, before.remove(&number).unwrap_or_else(|| Route::new(now)));
        }
    }

    /// A request's first attempt is sent.
    pub fn on_request(&mut self, now: Instant, route: RouteNumber) {
        if let Some(route) = self.routes.get_mut(&route) {
            let count = route.requests.record(now);
            *count = count.saturating_add(1);
        }
    }

    /// A first attempt failed in a way that the policy retries.
    pub fn on_failed(&mut self, now: Instant, route: RouteNumber, class: FailureClass) {
        if let Some(route) = self.routes.get_mut(&route) {
            route.class_mut(now, class).count(now, |counts| counts.first_failed += 1);
        }
    }

    /// Whether a retry may be made.
    pub fn allows(&mut self, now: Instant, route: RouteNumber, class: FailureClass) -> bool {
        self.judge(now, route, class);
        self.routes.get(&route).and_then(|route| route.class(class)).is_none_or(|class| class.allows(now))
    }

    /// A retry will be made.
    pub fn on_allowed(&mut self, now: Instant, route: RouteNumber, class: FailureClass, entropy: &mut impl Entropy) {
        if let Some(route) = self.routes.get_mut(&route) {
            route.class_mut(now, class).probe(now, entropy);
        }
    }

    /// A retry has ended.
    pub fn on_retried(&mut self, now: Instant, route: RouteNumber, class: FailureClass, retried: Retried) {
        let Some(ledger) = self.routes.get_mut(&route) else { return };
        let Retried { place, elsewhere, good, took } = retried;
        let ledger = ledger.class_mut(now, class);
        ledger.count(now, |counts| {
            counts.by_place[(place.max(1) as usize - 1).min(PLACES - 1)].add(good);
            match elsewhere {
                Some(true) => counts.elsewhere.add(good),
                Some(false) => counts.same.add(good),
                None => {}
            }
            if !good {
                counts.wasted_time += took;
            }
        });
        ledger.ended(now, good);
        self.judge(now, route, class);
    }

    /// A request whose first attempt had failed is over.
    pub fn on_ended(&mut self, now: Instant, route: RouteNumber, class: FailureClass, ended: Ended) {
        let Some(route) = self.routes.get_mut(&route) else { return };
        let ledger = route.class_mut(now, class);
        ledger.count(now, |counts| {
            if ended.retried {
                counts.retried += 1;
                counts.add_tax(ended.rescued, ended.tax);
            }
            if let Some(reason) = ended.denied {
                counts.deny(reason);
            }
        });
        if let Some(held_out) = ended.group {
            ledger.control.add(held_out, ended.rescued);
        }
    }

    /// The client had gone before the answer was delivered: what looked like a rescue was wasted.
    pub fn on_late(&mut self, now: Instant, rescue: Rescue) {
        let Some(route) = self.routes.get_mut(&rescue.route) else { return };
        let ledger = route.class_mut(now, rescue.class);
        if !rescue.held_out {
            ledger.late(now);
        }
        if rescue.compared {
            ledger.control.take_back(rescue.held_out);
        }
        self.judge(now, rescue.route, rescue.class);
    }

    /// Whether [`Ledgers::review`] would find anything.
    pub fn is_quiet(&self) -> bool {
        self.routes.values().all(|route| route.classes().all(|(_, class)| class.verdict() == Helpfulness::Unknown))
    }

    /// Judges all anew: evidence ages, and harm comes and goes. To be called about once a second.
    pub fn review(&mut self, now: Instant, harm: Harm) {
        for (number, route) in &mut self.routes {
            for (class, ledger) in route.classes_mut() {
                if let (to, Some(from)) = ledger.judge(now, harm) {
                    tell(&mut self.changes, Change { route: *number, class, from, to, tries: ledger.tries(now) });
                }
            }
        }
    }

    /// Between two reviews a harm that was found stays.
    fn judge(&mut self, now: Instant, route: RouteNumber, class: FailureClass) {
        let Some(ledger) = self.routes.get_mut(&route) else { return };
        let Some((_, ledger)) = ledger.classes_mut().find(|(of, _)| *of == class) else { return };
        let harm = match ledger.verdict() {
            Helpfulness::Harmful => Harm { rising: true, amplification: f64::INFINITY },
            _ => Harm::default(),
        };
        if let (to, Some(from)) = ledger.judge(now, harm) {
            tell(&mut self.changes, Change { route, class, from, to, tries: ledger.tries(now) });
        }
    }

    /// Changes since they were last taken. Allocates nothing if there are none.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What is known of a route; empty if nothing ever failed on it.
    pub fn reports(&self, now: Instant, route: RouteNumber) -> Vec<Report> {
        self.routes.get(&route).map_or_else(Vec::new, |route| route.reports(now))
    }
}

fn tell(changes: &mut Vec<Change>, change: Change) {
    if changes.len() >= CHANGES_MAX {
        changes.remove(0);
    }
    changes.push(change);
}
