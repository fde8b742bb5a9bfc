//! What is wrong at this moment, if anything is proven.

use super::endpoints::Endpoints;
use super::finding::{Seen, Symptom};
use super::history::Tick;
use super::rates::{self, Counted, of_aborts, of_attempts, of_requests};
use super::routes::Routes;
use super::usual::{Usual, slower};
use super::windows::Windows;
use super::{Cause, Condition};
use crate::reliability::breaker::{Hold, State};
use crate::reliability::ending::{Ending, Endings};
use crate::reliability::statistics::Z95;
use std::time::Duration;

/// Requests fail mostly from here on.
const FAILING: f64 = 0.5;
/// Failed attempts that tell what the failure is.
const TELLING: u64 = 3;
/// Looks in a row before a fact of the moment counts: a name that is just looked up, a queue that is just emptied.
const LOOKS: u32 = 3;
/// Slow is what takes this many times as long as usual, and this much longer.
const SLOW_RATIO: u32 = 3;
const SLOW_MORE: Duration = Duration::from_millis(20);
/// Share of answers above three times the usual median, or above three times the usual 90th percentile.
const SLOW_HALF: f64 = 0.5;
const SLOW_TENTH: f64 = 0.1;
/// Clients that leave.
const ABORTS: f64 = 0.3;
/// Requests that come in while none ends.
const PILE: u32 = 10;
/// Answers that usually come in that time.
const PILE_USUAL: f64 = 20.0;

/// What is judged.
pub(super) struct Scene<'a> {
    pub seen: &'a Seen<'a>,
    pub windows: &'a Windows,
    pub usual: &'a Usual,
    pub endpoints: &'a Endpoints,
    pub routes: &'a Routes,
    pub looks: Looks,
}

/// For how many looks in a row something has been so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    pub no_endpoint: u32,
    pub unresolved: u32,
    pub waiting: u32,
    /// By how many requests in flight grew within five looks.
    pub pile: u32,
}

/// The judgement of one look.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub condition: Condition,
    pub symptom: Symptom,
    pub endpoints: Vec<String>,
    pub route: Option<String>,
    /// Share of traffic, where the share of failed requests does not tell it.
    pub share: Option<f64>,
    pub latencies: Option<(Duration, Duration)>,
}

impl Raw {
    pub fn new(condition: Condition, symptom: Symptom) -> Raw {
        Raw { condition, symptom, endpoints: Vec::new(), route: None, share: None, latencies: None }
    }
}

impl Scene<'_> {
    /// The worst that can be said; of equals, the one that explains more.
    pub fn judge(&self) -> Option<Raw> {
        if self.seen.held == Some(Hold::Open) {
            return Some(Raw::new(Condition::Failing, Symptom::Held(Hold::Open)));
        }
        let found = self
            .no_endpoint()
            .or_else(|| self.fails())
            .or_else(|| self.stalls())
            .or_else(|| self.slow())
            .or_else(|| self.endpoint())
            .or_else(|| self.ours())
            .or_else(|| self.facts())
            .or_else(|| self.route())
            .or_else(|| self.aborts())?;
        Some(found)
    }

    fn no_endpoint(&self) -> Option<Raw> {
        (self.looks.no_endpoint >= LOOKS).then(|| Raw::new(Condition::Failing, Symptom::NoEndpoint))
    }

    fn fails(&self) -> Option<Raw> {
        let attempts = |tick: &&Tick| of_attempts(&tick.attempts).too_many(self.usual.attempts());
        let requests = |tick: &&Tick| of_upstream(&tick.requests).too_many(self.usual.requests());
        let each = self.windows.each();
        let open = self.seen.circuit == Some(State::Open);
        if !open && !each.iter().any(|tick| attempts(tick) || requests(tick)) {
            return None;
        }
        let symptom = self.symptom();
        let mut raw = Raw::new(if open { Condition::Failing } else { self.condition() }, symptom);
        // The breaker's probes alone may all have gone to one of them.
        let blamed = self.endpoints.failing(self.usual.attempts()).filter(|blamed| blamed.others > 0);
        if let Some(blamed) = blamed {
            raw.symptom = blamed.symptom;
            raw.endpoints = blamed.names;
        }
        if symptom == Symptom::Slow {
            raw.latencies = self.latencies();
        }
        raw.route = self.routes.to_blame(self.usual.requests()).map(str::to_owned);
        Some(raw)
    }

    /// How it fails: what attempts met lately, or met before the breaker opened.
    fn symptom(&self) -> Symptom {
        if self.called_slow(&self.windows.reach) && of_attempts(&self.windows.reach.attempts).share() < FAILING {
            return Symptom::Slow;
        }
        let last = &self.windows.last_failures;
        let told = (of_attempts(last).bad >= TELLING).then(|| rates::dominating(last)).flatten();
        let any = || rates::dominating(&self.windows.reach.attempts);
        let requests = || rates::dominating(&self.windows.window.requests);
        let ending = told.or_else(requests).or_else(any).map(|(ending, _)| ending);
        Symptom::Fails(ending.or(self.endpoints.last_failure()).unwrap_or(Ending::Unreachable))
    }

    /// By what clients get.
    fn condition(&self) -> Condition {
        let most = |tick: &Tick| {
            let counted = of_requests(&tick.requests);
            counted.unusual(self.usual.requests()) && counted.bounds95().0 > FAILING
        };
        if most(&self.windows.sudden) || most(&self.windows.now) || most(&self.windows.window) {
            Condition::Failing
        } else {
            Condition::Degraded
        }
    }

    fn stalls(&self) -> Option<Raw> {
        let usual = self.usual.successes_per_second()? * super::windows::NOW.as_secs_f64();
        let silent = self.windows.now.latencies.total() == 0;
        (silent && usual >= PILE_USUAL && self.looks.pile >= PILE)
            .then(|| Raw::new(Condition::Failing, Symptom::Stalls))
    }

    fn slow(&self) -> Option<Raw> {
        let called = self.called_slow(&self.windows.window) && self.called_slow(&self.windows.now);
        if !called && !self.slower_than_usual() {
            return None;
        }
        let mut raw = Raw::new(self.condition(), Symptom::Slow);
        raw.latencies = self.latencies();
        raw.share = Some(self.slow_share());
        if let Some(blamed) = self.endpoints.slow() {
            raw.endpoints = blamed.names;
            raw.latencies = blamed.latencies;
        }
        Some(raw)
    }

    /// Most answers take longer than the policy allows.
    fn called_slow(&self, tick: &Tick) -> bool {
        self.seen.slow_call.is_some_and(|limit| {
            let counted = slower(&tick.latencies, limit);
            counted.unusual(self.usual.slower(limit)) && counted.bounds95().0 > SLOW_HALF
        })
    }

    /// Over the whole window, and in both of its halves: a pause of a collector is over sooner.
    fn slower_than_usual(&self) -> bool {
        let before = self.windows.before_now();
        let moved = |q: f64, share: f64| {
            self.usual.latency(q).is_some_and(|usual| {
                let limit = slow_limit(usual);
                let half = |tick: &Tick| slower(&tick.latencies, limit).bounds95().0 > share;
                let whole = slower(&self.windows.window.latencies, limit);
                whole.unusual(self.usual.slower(limit))
                    && whole.above(share)
                    && half(&self.windows.now)
                    && half(&before)
            })
        };
        moved(0.9, SLOW_TENTH) || moved(0.5, SLOW_HALF)
    }

    /// Share of answers that are slow.
    fn slow_share(&self) -> f64 {
        let usual = self.usual.latency(0.9).map(slow_limit);
        let limit = [usual, self.seen.slow_call].into_iter().flatten().min();
        limit.map_or(1.0, |limit| slower(&self.windows.now.latencies, limit).share())
    }

    /// The median now and usually; the 90th percentile, if only that has moved.
    fn latencies(&self) -> Option<(Duration, Duration)> {
        let at = |q: f64| self.windows.now.latencies.quantile(q).or(self.windows.reach.latencies.quantile(q));
        let usual = |q: f64| self.usual.latency(q).unwrap_or_default();
        let (median, tail) = (at(0.5)?, at(0.9)?);
        Some(if median > slow_limit(usual(0.5)) { (median, usual(0.5)) } else { (tail, usual(0.9)) })
    }

    fn endpoint(&self) -> Option<Raw> {
        let failing = self.endpoints.failing(self.usual.attempts()).filter(|blamed| blamed.proven);
        let blamed = failing.or_else(|| self.endpoints.slow())?;
        let mut raw = Raw::new(Condition::Degraded, blamed.symptom);
        raw.endpoints = blamed.names;
        raw.latencies = blamed.latencies;
        raw.share = (blamed.symptom == Symptom::Slow).then_some(blamed.share);
        Some(raw)
    }

    fn ours(&self) -> Option<Raw> {
        let of = |tick: &Tick, ending| Counted {
            bad: u64::from(tick.requests.get(ending)),
            all: of_requests(&tick.requests).all,
        };
        let proven = |ending| self.windows.each().iter().any(|tick| of(tick, ending).too_many(self.usual.requests()));
        if proven(Ending::OwnFault) {
            return Some(Raw::new(self.condition(), Symptom::Fails(Ending::OwnFault)));
        }
        (proven(Ending::OwnLimit) || self.looks.waiting >= LOOKS + 2).then(|| Raw::new(self.condition(), Symptom::Full))
    }

    fn facts(&self) -> Option<Raw> {
        if self.looks.unresolved >= LOOKS {
            return Some(Raw::new(Condition::Degraded, Symptom::Unresolved));
        }
        let held = self.seen.held?;
        Some(Raw::new(Condition::Degraded, Symptom::Held(held)))
    }

    fn route(&self) -> Option<Raw> {
        let (name, ending, counted) = self.routes.failing()?;
        let mut raw = Raw::new(Condition::Degraded, Symptom::Fails(ending));
        raw.route = Some(name.to_owned());
        raw.share = Some(Counted { bad: counted.bad, all: of_requests(&self.windows.window.requests).all }.share());
        Some(raw)
    }

    fn aborts(&self) -> Option<Raw> {
        let leave = |tick: &Tick| {
            let counted = of_aborts(&tick.requests);
            counted.unusual(self.usual.aborts()) && counted.above(ABORTS.max(self.usual.aborts() * 1.5))
        };
        if !leave(&self.windows.now) && !leave(&self.windows.window) {
            return None;
        }
        let mut raw = Raw::new(Condition::Degraded, Symptom::Aborts);
        raw.share = Some(of_aborts(&self.windows.now.requests).share());
        Some(raw)
    }
}

/// Requests that the upstream failed, without those that we did.
pub(super) fn of_upstream(endings: &Endings) -> Counted {
    Counted { bad: endings.failed(), all: endings.counted() }
}

fn slow_limit(usual: Duration) -> Duration {
    (usual * SLOW_RATIO).max(usual + SLOW_MORE)
}

/// How slow the answers of one second were, for the onset.
pub(super) fn slow_in(tick: &Tick, usual: Option<Duration>, slow_call: Option<Duration>) -> Counted {
    match [usual.map(slow_limit), slow_call].into_iter().flatten().min() {
        Some(limit) => slower(&tick.latencies, limit),
        None => Counted::default(),
    }
}

/// The class of a symptom.
pub(super) fn cause(symptom: Symptom, unresolved: bool, of_some_endpoints: bool) -> Cause {
    if of_some_endpoints {
        return Cause::OneEndpoint;
    }
    match symptom {
        Symptom::Fails(ending) => of_ending(ending),
        Symptom::Stalls => Cause::TimingOut,
        Symptom::Slow => Cause::Slow,
        Symptom::NoEndpoint if unresolved => Cause::Dns,
        Symptom::NoEndpoint => Cause::Down,
        Symptom::Unresolved => Cause::Dns,
        Symptom::Held(_) => Cause::Held,
        Symptom::Full => Cause::OurLimit,
        Symptom::Aborts => Cause::ClientAborts,
        Symptom::Recovering => Cause::Recovering,
    }
}

fn of_ending(ending: Ending) -> Cause {
    match ending {
        Ending::Refused => Cause::Refusing,
        Ending::Unreachable | Ending::Shed => Cause::Down,
        Ending::TimedOut => Cause::TimingOut,
        Ending::Broken => Cause::Breaking,
        Ending::Error => Cause::Erroring,
        Ending::Overload => Cause::Overloaded,
        Ending::Tls => Cause::Tls,
        Ending::Dns => Cause::Dns,
        Ending::OwnLimit => Cause::OurLimit,
        Ending::OwnFault => Cause::Ourselves,
        Ending::Cancelled | Ending::CallerFault | Ending::Success => Cause::ClientAborts,
    }
}

/// For the condition's hysteresis: whether most requests may still fail.
pub(super) fn may_still_fail(tick: &Tick) -> bool {
    let counted = of_requests(&tick.requests);
    let (_, high) = crate::reliability::statistics::wilson(counted.bad, counted.all, Z95);
    high > FAILING
}
