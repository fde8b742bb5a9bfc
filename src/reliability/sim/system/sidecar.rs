//! One sidecar: the machines of an upstream, and of its endpoints what `crate::upstreams` keeps behind its locks.

use super::plan::SidecarPlan;
use super::tally::{Outcome, SPANS_MAX};
use crate::reliability::balance::{self, Balance, Company, View};
use crate::reliability::breaker::State;
use crate::reliability::classify::{self, Outcome as Ending};
use crate::reliability::dependency::Dependency;
use crate::reliability::efficacy::RouteNumber;
use crate::reliability::ejection::{self, Ejection, EjectionPolicy, EndpointSignal, SetState};
use crate::reliability::entropy::SplitMix;
use crate::reliability::hedge::Standby;
use crate::reliability::latency::PeakEwma;
use crate::reliability::limit::{Limit, Limits};
use std::time::{Duration, Instant};

/// An endpoint nobody has measured is assumed to answer in this time.
const EWMA_START: Duration = Duration::from_millis(30);
/// A latency peak is forgotten over this time.
const EWMA_DECAY: Duration = Duration::from_secs(10);
/// Every endpoint must have been tripped for this long before that alone opens the breaker.
const ALL_DOWN_OPENS_AFTER: Duration = Duration::from_secs(1);

/// An endpoint as its sidecar sees it.
#[derive(Debug)]
pub(super) struct Member {
    health: Ejection,
    ewma: PeakEwma,
    ejected: bool,
    /// Since when it starts slowly.
    warms: Option<Instant>,
    /// Part of the set.
    pub present: bool,
    /// Attempts in flight.
    pub pending: u32,
    /// Connections that wait to be used again.
    pub idle: u32,
}

/// What is known of the endpoints together.
#[derive(Debug, Default)]
struct Trips {
    /// When a trip ends next.
    recount_at: Option<Instant>,
    all_down_since: Option<Instant>,
}

/// One sidecar.
#[derive(Debug)]
pub(super) struct Sidecar<'p> {
    pub plan: SidecarPlan<'p>,
    pub dependency: Dependency,
    /// Who waits is known by the number of its request.
    pub limit: Limit<u32>,
    pub limits: Limits,
    pub members: Vec<Member>,
    /// Indices of members that are present.
    present: Vec<usize>,
    trips: Trips,
    turn: usize,
    /// Some member starts slowly.
    warming: bool,
    /// Since when its breaker is not closed.
    open_since: Option<Instant>,
}

impl<'p> Sidecar<'p> {
    pub fn new(plan: &SidecarPlan<'p>, endpoints: usize, now: Instant) -> Self {
        let member = || Member {
            health: Ejection::new(now),
            ewma: PeakEwma::new(now, EWMA_START, EWMA_DECAY),
            ejected: false,
            warms: None,
            present: true,
            pending: 0,
            idle: 0,
        };
        let mut dependency = Dependency::new(plan.dependency, now);
        let retrying = plan.routes.iter().enumerate().filter(|(_, route)| route.retry.retries > 0);
        dependency.efficacy.keep(now, retrying.map(|(number, _)| ledger(number)));
        let hedging = plan.routes.iter().enumerate().filter(|(_, route)| route.hedge.is_some());
        dependency.hedges.keep(now, hedging.map(|(number, _)| ledger(number)));
        let mut sidecar = Sidecar {
            dependency,
            limit: Limit::default(),
            limits: plan.limits,
            members: std::iter::repeat_with(member).take(endpoints).collect(),
            present: (0..endpoints).collect(),
            trips: Trips::default(),
            turn: 0,
            warming: false,
            open_since: None,
            plan: plan.clone(),
        };
        sidecar.bound(now);
        sidecar
    }

    /// Endpoints there are.
    pub fn size(&self) -> usize {
        self.present.len()
    }

    /// Without sharing, a request needs a connection of its own.
    fn bound(&mut self, now: Instant) {
        self.limits = self.plan.limits;
        if !self.plan.shared {
            let endpoints = u32::try_from(self.present.len().max(1)).unwrap_or(u32::MAX);
            self.limits.requests = self.limits.requests.min(self.limits.connections.saturating_mul(endpoints));
        }
        self.limit.reconfigure(&self.limits, now);
    }

    /// An endpoint is added or removed.
    pub fn set_present(&mut self, number: usize, present: bool, now: Instant) {
        let Some(member) = self.members.get_mut(number).filter(|member| member.present != present) else { return };
        member.present = present;
        if present {
            // Another process at an address that may be the same: nothing is known of it.
            *member = Member {
                health: Ejection::new(now),
                ewma: PeakEwma::new(now, EWMA_START, EWMA_DECAY),
                ejected: false,
                warms: self.plan.slow_start.map(|_| now),
                present,
                pending: member.pending,
                idle: 0,
            };
        }
        self.present = (0..self.members.len()).filter(|at| self.members[*at].present).collect();
        self.warming |= present && self.plan.slow_start.is_some();
        self.bound(now);
        self.recount(now);
    }

    /// The endpoint of the next attempt. None = there is none.
    pub fn pick(&mut self, used: &[u16], now: Instant, entropy: &mut SplitMix) -> Option<usize> {
        if self.trips.recount_at.is_some_and(|at| now >= at) {
            self.recount(now);
        }
        let company = self.company(now);
        let view = |at: usize| {
            let number = self.present[at];
            let member = &self.members[number];
            View {
                available: !member.ejected,
                used: used.contains(&(number as u16)),
                pending: member.pending,
                ewma: member.ewma.value(now),
                weight: company.map_or(1.0, |company| company.weight(self.ramp(member, now))),
            }
        };
        // Nobody knows the keys that would be hashed.
        let by = if self.plan.balance == Balance::Hash { Balance::PeakEwma } else { self.plan.balance };
        let chosen = balance::pick(by, self.present.len(), self.turn, view, entropy)?;
        self.turn = self.turn.wrapping_add(1);
        self.present.get(chosen).copied()
    }

    /// Where a hedge could go, besides this endpoint.
    pub fn standby(&self, first: usize, now: Instant) -> Standby {
        let tripped = self.present.iter().filter(|at| self.members[**at].health.tripped_until(now).is_some()).count();
        if ejection::set_state(tripped, self.present.len()) == SetState::Panic {
            return Standby::Panic;
        }
        let well = |at: &usize| *at != first && !self.members[*at].ejected;
        if self.present.iter().any(well) { Standby::Other } else { Standby::Alone }
    }

    /// An attempt to it was given up for one that was faster: it takes at least so long.
    pub fn outlasted(&mut self, number: usize, elapsed: Duration, now: Instant) {
        let Some(member) = self.members.get_mut(number) else { return };
        if elapsed.as_secs_f64() > member.ewma.value(now) {
            member.ewma.record(now, elapsed);
        }
    }

    fn ramp(&self, member: &Member, now: Instant) -> f64 {
        match (member.warms, self.plan.slow_start) {
            (Some(since), Some(window)) => balance::ramp(now.saturating_duration_since(since), window),
            _ => 1.0,
        }
    }

    /// None = all weigh the same.
    fn company(&mut self, now: Instant) -> Option<Company> {
        if !self.warming {
            return None;
        }
        let members = self.present.iter().map(|at| &self.members[*at]).filter(|member| !member.ejected);
        let ramps = members.map(|member| self.ramp(member, now));
        let (company, warming) = (Company::of(ramps.clone()), ramps.clone().any(|ramp| ramp < 1.0));
        self.warming = warming;
        company
    }

    /// Takes in how an attempt ended, as `Upstream::record_attempt` does.
    pub fn settle(
        &mut self,
        number: usize,
        ending: &Ending,
        elapsed: Duration,
        now: Instant,
        entropy: &mut SplitMix,
        tally: &mut Outcome,
    ) {
        let signal = classify::endpoint_signal(ending);
        match signal {
            EndpointSignal::Ignored => return,
            EndpointSignal::Success => {
                self.trips.all_down_since = None;
                let Some(member) = self.members.get_mut(number) else { return };
                member.ewma.record(now, elapsed);
                member.health.record(now, signal, self.plan.ejection, None, entropy);
                return;
            }
            // It answers; what is behind it does not.
            EndpointSignal::Refused => self.trips.all_down_since = None,
            EndpointSignal::Hard | EndpointSignal::Soft | EndpointSignal::Overload => {}
        }
        let penalty = self.dependency.latency.p99(now);
        let peers = self.peer_failure_percent(number, now);
        let Some(member) = self.members.get_mut(number) else { return };
        member.ewma.record_failure(now, elapsed, penalty);
        if member.health.record(now, signal, self.plan.ejection, peers, entropy).is_some() {
            self.recount(now);
            tally.ejections += u64::from(self.members.get(number).is_some_and(|member| member.ejected));
        }
        let down = self.trips.all_down_since.map(|since| now.saturating_duration_since(since));
        if down.is_some_and(|down| down > ALL_DOWN_OPENS_AFTER)
            && let Some(breaker) = &mut self.dependency.breaker
        {
            breaker.on_all_endpoints_down(now, entropy);
        }
    }

    /// Decides anew which of the tripped endpoints sit out.
    fn recount(&mut self, now: Instant) {
        let until = |number: &usize| self.members[*number].health.tripped_until(now);
        let tripped = self.present.iter().filter_map(until);
        let (count, next) = (tripped.clone().count(), tripped.min());
        let policy: &EjectionPolicy = self.plan.ejection;
        let total = self.present.len();
        let mut places = if policy.observe { 0 } else { ejection::enforced(count, total, policy.max_ejected_percent) };
        for number in &self.present {
            let member = &mut self.members[*number];
            let (tripped, was) = (member.health.tripped_until(now).is_some(), member.ejected);
            member.ejected = tripped && places > 0;
            places -= usize::from(member.ejected);
            if was && !tripped && self.plan.slow_start.is_some() {
                (member.warms, self.warming) = (Some(now), true);
            }
        }
        self.trips.recount_at = next;
        if count < total || total == 0 {
            self.trips.all_down_since = None;
        } else if self.trips.all_down_since.is_none() {
            self.trips.all_down_since = Some(now);
        }
    }

    /// Median failure percent of the other endpoints; None below three.
    fn peer_failure_percent(&self, except: usize, now: Instant) -> Option<f64> {
        if self.present.len() < 3 {
            return None;
        }
        let others = self.present.iter().filter(|number| **number != except);
        ejection::peer_median(others.map(|at| self.members[*at].health.failure_percent(now)))
    }

    /// Notes what the breaker has done, and what else would pile up.
    pub fn watch(&mut self, now: Instant, begin: Instant, keep_spans: bool, tally: &mut Outcome) {
        let _ = self.dependency.efficacy.take_changes();
        let Some(breaker) = &mut self.dependency.breaker else { return };
        if !breaker.has_transitions() {
            return;
        }
        for transition in breaker.take_transitions() {
            if transition.from == State::Closed {
                self.open_since = Some(now);
            }
            if transition.to == State::Closed {
                close(&mut self.open_since, now, begin, keep_spans, tally);
            }
        }
    }

    /// The counted part is over.
    pub fn end(&mut self, now: Instant, begin: Instant, keep_spans: bool, tally: &mut Outcome) {
        close(&mut self.open_since, now, begin, keep_spans, tally);
    }
}

fn close(since: &mut Option<Instant>, now: Instant, begin: Instant, keep: bool, tally: &mut Outcome) {
    let Some(since) = since.take() else { return };
    let since = since.max(begin);
    let span = now.saturating_duration_since(since);
    tally.open = tally.open.saturating_add(span);
    if keep && !span.is_zero() && tally.open_spans.len() < SPANS_MAX {
        let from = since.saturating_duration_since(begin);
        tally.open_spans.push((from, from + span));
    }
}

/// The ledger of a route.
pub(super) fn ledger(route: usize) -> RouteNumber {
    RouteNumber(u32::try_from(route).unwrap_or(u32::MAX))
}
