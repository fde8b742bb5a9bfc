//! One upstream under watch: a finding begins when it is proven and ends when it has been calm for a while.

use std::time::{Duration, Instant};

use super::correlate;
use super::endpoints::Endpoints;
use super::finding::{Change, Finding, Numbers, Seen, Symptom};
use super::history::{History, Tick};
use super::judge::{Looks, Raw, Scene, cause, may_still_fail, slow_in};
use super::onset::onset;
use super::rates::{Counted, limit, of_aborts, of_attempts, of_requests};
use super::routes::Routes;
use super::usual::Usual;
use super::windows::{NOW, REACH, WINDOW, Windows, failures, seconds};
use super::{Cause, Condition, Confidence};
use crate::reliability::breaker::State;
use crate::reliability::ending::Ending;

/// A second is learnt as usual when it is so old that a fault in it would have been found.
const LEARNT_AFTER: Duration = Duration::from_secs(11);
/// So long after the onset a change is looked for: a creeping fault is found late, and journals are a little late too.
const SUSPECTED_WITHIN: Duration = Duration::from_secs(60);
/// Successes after which it is calm.
const CALM_SUCCESSES: u64 = 3;
/// Share of slow answers, and of clients that leave, from which on it is not calm.
const CALM_SLOW: f64 = 0.1;
const CALM_ABORTS: f64 = 0.3;
/// Who is slow for so long is so usually.
const SLOW_IS_USUAL: Duration = Duration::from_secs(1_800);
/// A finding that turns into another one keeps its onset unless that of the other is this much later.
const SAME_TROUBLE: Duration = Duration::from_secs(15);
/// Failures that would have come, if it still failed.
const CONVINCING: f64 = 5.0;
/// Looks in a row before another symptom takes over.
const TAKES_OVER: u32 = 2;
/// Requests from which on the last seconds tell their share of failures.
const TELLING_REQUESTS: u64 = 20;
/// Looks over which requests in flight are compared.
const PILE_LOOKS: usize = 6;

/// A symptom, and whether all endpoints show it.
type Said = (Symptom, bool);

/// About 40 KiB, 1 KiB for each endpoint and 700 bytes for each route with traffic.
#[derive(Clone, Debug)]
pub struct Watch {
    history: History,
    usual: Usual,
    endpoints: Endpoints,
    routes: Routes,
    looks: Looks,
    in_flight: [u32; PILE_LOOKS],
    /// What was before this has been judged: it makes no new finding.
    floor: Instant,
    finding: Option<Finding>,
    /// What would be said instead, and for how many looks.
    other: Option<(Said, u32)>,
}

impl Watch {
    /// Nothing happened yet.
    pub fn new(now: Instant) -> Watch {
        Watch {
            history: History::new(now),
            usual: Usual::default(),
            endpoints: Endpoints::default(),
            routes: Routes::default(),
            looks: Looks::default(),
            in_flight: [0; PILE_LOOKS],
            floor: now,
            finding: None,
            other: None,
        }
    }

    /// What was counted.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// What is wrong, as of the last look.
    pub const fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// One look, about once a second. `changes`: those of the last minutes.
    pub fn look(&mut self, now: Instant, name: &str, seen: &Seen<'_>, changes: &[Change]) -> Option<&Finding> {
        self.take_in(now, seen);
        let mut windows = Windows::of(&self.history, now, self.floor);
        if self.finding.is_some() && self.is_over(now, &windows, seen) {
            self.floor = now.checked_sub(NOW).unwrap_or(now).max(self.floor);
            windows = Windows::of(&self.history, now, self.floor);
            if self.judge(&windows, seen).is_none() {
                self.finding = None;
            }
        }
        let raw = self.judge(&windows, seen);
        let mut finding = match (self.finding.take(), raw) {
            (None, None) => return None,
            (None, Some(raw)) => self.begin(now, seen, raw),
            (Some(finding), raw) => self.go_on(now, seen, finding, raw, &windows),
        };
        self.count(now, &mut finding);
        if now.saturating_duration_since(finding.since) < SUSPECTED_WITHIN {
            finding.suspect = correlate::suspect(name, &finding, &self.history, changes).or(finding.suspect);
        }
        self.finding = Some(finding);
        self.finding.as_ref()
    }

    fn take_in(&mut self, now: Instant, seen: &Seen<'_>) {
        self.history.record(now, seen.tick);
        self.endpoints.look(now, seen.endpoints);
        let well = self.finding.is_none();
        self.routes.look(seen.routes, well);
        if well && let Some(old) = now.checked_sub(LEARNT_AFTER) {
            let second = seconds(&self.history, old, super::history::FINE).last();
            if let Some((_, tick)) = second.filter(|(begins, _)| *begins >= self.floor) {
                self.usual.learn(&tick.clone());
            }
        }
        let count = |so: bool, looks: u32| if so { looks.saturating_add(1) } else { 0 };
        self.looks.no_endpoint = count(seen.endpoints.is_empty(), self.looks.no_endpoint);
        self.looks.unresolved = count(seen.unresolved, self.looks.unresolved);
        self.looks.waiting = count(seen.waiting > 0, self.looks.waiting);
        self.in_flight.rotate_right(1);
        let [newest, .., oldest] = &mut self.in_flight;
        *newest = seen.in_flight;
        self.looks.pile = newest.saturating_sub(*oldest);
    }

    fn judge(&self, windows: &Windows, seen: &Seen<'_>) -> Option<Raw> {
        let (usual, endpoints, routes) = (&self.usual, &self.endpoints, &self.routes);
        Scene { seen, windows, usual, endpoints, routes, looks: self.looks }.judge()
    }

    fn begin(&self, now: Instant, seen: &Seen<'_>, raw: Raw) -> Finding {
        let since = self.onset(now, seen, raw.symptom);
        let mut finding = Finding {
            condition: raw.condition,
            cause: Cause::Ourselves,
            symptom: raw.symptom,
            since,
            share: 0.0,
            confidence: Confidence::High,
            endpoints: Vec::new(),
            endpoints_total: 0,
            route: None,
            dependency: None,
            numbers: Numbers::default(),
            suspect: None,
        };
        self.adopt(&mut finding, seen, raw);
        finding
    }

    /// A finding lasts. What is said of it follows what is seen, but not each look's whim.
    fn go_on(
        &mut self,
        now: Instant,
        seen: &Seen<'_>,
        mut finding: Finding,
        raw: Option<Raw>,
        windows: &Windows,
    ) -> Finding {
        let raw = if self.recovers(&finding, raw.as_ref(), windows, seen) {
            Some(Raw::new(Condition::Degraded, Symptom::Recovering))
        } else {
            raw
        };
        let Some(mut raw) = raw else {
            if !may_still_fail(&windows.now) {
                finding.condition = Condition::Degraded;
            }
            return finding;
        };
        let open = seen.circuit == Some(State::Open);
        if finding.condition == Condition::Failing && (open || may_still_fail(&windows.now)) {
            raw.condition = Condition::Failing;
        }
        // While nothing is attempted nobody can tell the endpoints apart: what was known of them stays.
        if raw.endpoints.is_empty() && of_attempts(&windows.now.attempts).all == 0 {
            raw.endpoints.clone_from(&finding.endpoints);
        }
        let said = (raw.symptom, raw.endpoints.is_empty());
        if said == (finding.symptom, finding.endpoints.is_empty()) {
            self.other = None;
        } else if self.takes_over(&finding, said, windows) {
            self.other = None;
            let since = self.onset(now, seen, raw.symptom);
            if since.saturating_duration_since(finding.since) > SAME_TROUBLE {
                finding.since = since;
                finding.suspect = None;
            }
        } else {
            finding.condition = raw.condition;
            return finding;
        }
        self.adopt(&mut finding, seen, raw);
        finding
    }

    /// Whether what failed has stopped to fail, though not for long enough to be forgotten: no attempt failed lately
    /// where several would have, and what clients are still refused is the breaker's caution.
    fn recovers(&self, finding: &Finding, raw: Option<&Raw>, windows: &Windows, seen: &Seen<'_>) -> bool {
        let failing = matches!(finding.symptom, Symptom::Fails(_) | Symptom::Stalls | Symptom::Recovering);
        let of_all = finding.endpoints.is_empty() && raw.is_none_or(|raw| raw.endpoints.is_empty());
        let lets_through = seen.held.is_none() && !matches!(seen.circuit, Some(State::Open | State::HalfOpen));
        if !failing || !of_all || !lets_through {
            return false;
        }
        let (attempts, requests) = (of_attempts(&windows.sudden.attempts), of_requests(&windows.sudden.requests));
        let shed = u64::from(windows.sudden.requests.get(Ending::Shed));
        let share = of_attempts(&windows.window.attempts).share().max(of_requests(&windows.window.requests).share());
        let convinced = finding.symptom == Symptom::Recovering || attempts.all as f64 * share >= CONVINCING;
        attempts.all > 0 && attempts.bad == 0 && requests.bad == shed && convinced
    }

    fn takes_over(&mut self, finding: &Finding, said: Said, windows: &Windows) -> bool {
        let (symptom, _) = said;
        // A fact is one at once; so is its end.
        let fact = |symptom| matches!(symptom, Symptom::Held(_) | Symptom::NoEndpoint);
        if fact(symptom) || fact(finding.symptom) {
            return true;
        }
        // Endpoints that refuse, or are not to be found, sit out; that nobody is left follows from it.
        if let (Symptom::Fails(known), Symptom::Fails(Ending::Unreachable)) = (finding.symptom, symptom)
            && windows.window.attempts.get(known) > 0
        {
            return false;
        }
        let looks = self.other.filter(|(other, _)| *other == said).map_or(1, |(_, looks)| looks + 1);
        self.other = Some((said, looks));
        looks >= TAKES_OVER
    }

    fn adopt(&self, finding: &mut Finding, seen: &Seen<'_>, raw: Raw) {
        finding.condition = raw.condition;
        finding.symptom = raw.symptom;
        finding.endpoints_total = self.endpoints.total();
        finding.cause = cause(raw.symptom, seen.unresolved, !raw.endpoints.is_empty());
        let behind = !matches!(finding.cause, Cause::Held | Cause::OurLimit | Cause::ClientAborts | Cause::Ourselves);
        if seen.inbound && behind {
            finding.cause = Cause::TheApp;
        }
        finding.endpoints = raw.endpoints;
        finding.route = raw.route;
        finding.share = raw.share.unwrap_or(f64::NAN);
        (finding.numbers.latency, finding.numbers.usual_latency) = raw.latencies.unzip();
    }

    /// Brings the numbers up to date: since the onset, and not more than the window.
    fn count(&self, now: Instant, finding: &mut Finding) {
        let within = |length: Duration| {
            let window = now.saturating_duration_since(finding.since).clamp(super::history::FINE, length);
            let mut sum = Tick::default();
            seconds(&self.history, now, window).for_each(|(_, tick)| sum += *tick);
            (window, sum)
        };
        // As fresh as there is traffic to tell.
        let fresh = within(NOW);
        let (window, sum) = if fresh.1.requests.counted() >= TELLING_REQUESTS { fresh } else { within(WINDOW) };
        let (requests, attempts) = (of_requests(&sum.requests), of_attempts(&sum.attempts));
        finding.numbers = Numbers {
            window,
            requests: requests.all,
            requests_failed: requests.bad,
            cancelled: of_aborts(&sum.requests).bad,
            attempts: attempts.all,
            attempts_failed: attempts.bad,
            rescued: u64::from(sum.rescued),
            ..finding.numbers
        };
        let by_requests =
            matches!(finding.symptom, Symptom::Fails(_) | Symptom::Full | Symptom::Held(_) | Symptom::Recovering);
        if finding.share.is_nan() || by_requests && finding.route.is_none() {
            finding.share = requests.share();
        }
        let waits = finding.symptom == Symptom::Full && self.looks.waiting > 0;
        let fact = waits || matches!(finding.symptom, Symptom::Held(_) | Symptom::NoEndpoint | Symptom::Unresolved);
        let evidence = match finding.symptom {
            Symptom::Slow => sum.latencies.total() / 4,
            Symptom::Aborts => finding.numbers.cancelled,
            _ => requests.bad.max(attempts.bad),
        };
        finding.confidence = match evidence {
            _ if fact => Confidence::High,
            10.. if finding.symptom != Symptom::Stalls => Confidence::High,
            1.. => Confidence::Medium,
            _ => Confidence::Low,
        };
    }

    /// When it began.
    fn onset(&self, now: Instant, seen: &Seen<'_>, symptom: Symptom) -> Instant {
        let usual = self.usual.latency(0.9);
        let counted = |tick: &Tick| -> Counted {
            match symptom {
                Symptom::Slow => slow_in(tick, usual, seen.slow_call),
                Symptom::Aborts => of_aborts(&tick.requests),
                Symptom::Stalls => Counted { bad: u64::from(tick.latencies.total() == 0), all: 1 },
                Symptom::Fails(_) | Symptom::Full | Symptom::Recovering => failures(tick),
                Symptom::Held(_) | Symptom::NoEndpoint | Symptom::Unresolved => Counted::default(),
            }
        };
        let all = seconds(&self.history, now, REACH).filter(|(begins, _)| *begins >= self.floor);
        let all: Vec<(Instant, Counted)> = all.map(|(begins, tick)| (begins, counted(tick))).collect();
        let looks = match symptom {
            Symptom::Full => self.looks.waiting,
            Symptom::NoEndpoint => self.looks.no_endpoint,
            Symptom::Unresolved => self.looks.unresolved,
            Symptom::Fails(_)
            | Symptom::Stalls
            | Symptom::Slow
            | Symptom::Held(_)
            | Symptom::Aborts
            | Symptom::Recovering => 0,
        };
        let counted_looks = now.checked_sub(super::history::FINE * looks).unwrap_or(now).max(self.floor);
        onset(&all).unwrap_or(counted_looks)
    }

    fn is_over(&mut self, now: Instant, windows: &Windows, seen: &Seen<'_>) -> bool {
        let Some(finding) = &self.finding else { return false };
        if seen.held.is_some() || matches!(seen.circuit, Some(State::Open | State::HalfOpen)) {
            return false;
        }
        if finding.symptom == Symptom::Slow
            && finding.endpoints.is_empty()
            && now.saturating_duration_since(finding.since) > SLOW_IS_USUAL
        {
            self.usual = Usual::default();
            return true;
        }
        if of_aborts(&windows.reach.requests).all == 0 && of_attempts(&windows.reach.attempts).all == 0 {
            return true;
        }
        self.is_quiet(windows) && !self.is_slow(windows, seen) && self.has_succeeded(now, windows)
    }

    fn is_quiet(&self, windows: &Windows) -> bool {
        let quiet = |counted: fn(&Tick) -> Counted, usual: f64| {
            let (now, window) = (counted(&windows.now), counted(&windows.window));
            // Well below what begins a finding, or it would come and go.
            let calm = (limit(usual) / 2.0).max(usual * 1.2);
            (now.bad <= 1 || now.share() <= calm) && (window.bad <= 1 || window.share() <= limit(usual))
        };
        quiet(|tick| of_requests(&tick.requests), self.usual.requests())
            && quiet(|tick| of_attempts(&tick.attempts), self.usual.attempts())
            && of_aborts(&windows.now.requests).share() <= CALM_ABORTS.max(self.usual.aborts() * 1.5)
    }

    fn is_slow(&self, windows: &Windows, seen: &Seen<'_>) -> bool {
        slow_in(&windows.now, self.usual.latency(0.9), seen.slow_call).share() > CALM_SLOW
    }

    /// Enough of them now, or since the last failure where there is little traffic.
    fn has_succeeded(&self, now: Instant, windows: &Windows) -> bool {
        let good = |tick: &Tick| tick.requests.get(Ending::Success).max(tick.attempts.get(Ending::Success));
        if u64::from(good(&windows.now)) >= CALM_SUCCESSES {
            return true;
        }
        let since = seconds(&self.history, now, REACH)
            .fold(0, |sum, (_, tick)| if failures(tick).bad > 0 { 0 } else { sum + u64::from(good(tick)) });
        since >= CALM_SUCCESSES
    }
}
