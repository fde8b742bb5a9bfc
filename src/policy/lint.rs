//! What is valid and still looks wrong. Runs on the compiled policy, on every load; errors that need no
//! second look are found while compiling.

mod admin;
mod code;
mod dead_letter;
mod endpoints;
mod hedge;
mod idempotency;
mod inheritance;
mod overload;
mod tls;

use std::collections::HashSet;
use std::time::Duration;

use http::Method;

pub use code::{Code, Page};
pub(super) use hedge::may_be_hedged;

use super::diagnostic::Diagnostic;
use super::origin::{Origins, PROCESS};
use super::raw::scalar::Position;
use super::{Direction, Policy, RoutePolicy, Target, UpstreamPolicy, duration, effective};
use crate::reliability::classify::Contract;

/// More attempts per request than this are reported.
const AMPLIFICATION_MAX: u32 = 4;
/// A breaker that needs more attempts per second than this is reported.
const BREAKER_RATE_MAX: f64 = 50.0;

/// All lints that need nothing but the policy.
pub(super) fn policy(policy: &Policy, origins: &Origins, findings: &mut Vec<Diagnostic>) {
    let known = findings.iter().map(|finding| (finding.code, finding.position)).collect();
    let mut lint = Lint { origins, findings, known };
    lint.process(policy);
    lint.stores(policy);
    lint.dead_letters(policy);
    lint.encryption(policy);
    lint.inheritance(policy);
    for (index, upstream) in policy.upstreams.iter().enumerate() {
        lint.upstream(index as u32, upstream);
        lint.overload(index as u32, upstream);
        lint.endpoints(index as u32, upstream);
        // The default route first: what is inherited is reported there, once.
        for (number, route) in upstream.routes.iter().enumerate().rev() {
            lint.route(index as u32, upstream, number as u32, route);
            lint.idempotency(index as u32, upstream, number as u32, route);
            lint.hedge(index as u32, upstream, number as u32, route);
        }
    }
    for entry in policy.listeners.iter().flat_map(|listener| listener.table.entries()) {
        let Some(upstream) = policy.upstreams.get(entry.upstream as usize) else { continue };
        for (number, (wanted, route)) in entry.routes.iter().zip(&upstream.routes).enumerate() {
            let place = (entry.upstream, number as u32);
            if let Some(position) = origins.position(place.0, Some(place.1), "retry") {
                lint.unsafe_methods(position, &format!("{}/{}", upstream.name, route.name), &wanted.methods, route);
            }
            lint.keyed_methods(place, upstream, &wanted.methods, route);
            lint.letters_of_route(place, upstream, &wanted.methods, route);
            lint.hedged_methods(place, upstream, &wanted.methods, route);
        }
    }
}

/// Whether draining fits into the pod's grace period, where that is known.
pub fn grace_period(policy: &Policy, origins: &Origins, grace: Duration) -> Option<Diagnostic> {
    let inbound = policy.upstreams.iter().any(|upstream| upstream.direction == Direction::Inbound);
    let delay = if inbound { policy.drain.delay } else { Duration::ZERO };
    let needed = delay + policy.drain.timeout;
    let position = origins.position(PROCESS, None, "drain.timeout").unwrap_or_default();
    let (needed_text, grace_text) = (duration::print(needed), duration::print(grace));
    (needed > grace).then(|| {
        let message = format!("draining may take {needed_text}, and the grace period is {grace_text}");
        Diagnostic::new(Code::DrainExceedsGrace, position, message)
    })
}

struct Lint<'a> {
    origins: &'a Origins,
    findings: &'a mut Vec<Diagnostic>,
    /// What has been found where: one value that several routes inherit is one finding.
    known: HashSet<(Code, Position)>,
}

impl Lint<'_> {
    fn report(&mut self, code: Code, position: Option<Position>, message: String) {
        let position = position.unwrap_or_default();
        if self.known.insert((code, position)) || position.line == 0 {
            self.findings.push(Diagnostic::new(code, position, message));
        }
    }

    fn process(&mut self, policy: &Policy) {
        self.admin(policy);
        for listener in policy.listeners.iter().filter(|listener| listener.direction == Direction::Outbound) {
            if !listener.addr.ip().is_loopback() {
                // A listener of an upstream's own has that upstream alone; the shared one is nobody's.
                let alone = listener.table.entries().first().map_or(PROCESS, |entry| entry.upstream);
                let owners = [alone, PROCESS].into_iter();
                let position = owners.filter_map(|owner| self.origins.position(owner, None, "listen")).next();
                let message = format!("the outbound listener {} is not loopback", listener.addr);
                self.report(Code::OutboundExposed, position, message);
            }
        }
    }

    fn upstream(&mut self, index: u32, upstream: &UpstreamPolicy) {
        let at = |key| self.origins.position(index, None, key);
        let name = &upstream.name;
        let mut found: Vec<(Code, Option<Position>, String)> = Vec::new();
        if let Some(breaker) = &upstream.dependency.breaker {
            let rate = f64::from(breaker.min_requests) / breaker.window.as_secs_f64();
            if rate > BREAKER_RATE_MAX {
                let message = format!("the breaker of `{name}` never opens below {rate:.0} attempts per second");
                found.push((Code::BreakerNeedsMuchTraffic, at("circuitBreaker.minRequests"), message));
            }
            let longest = upstream.routes.iter().map(attempt).max().unwrap_or_default();
            if let Some(slow) = breaker.slow_call.filter(|slow| slow.threshold >= longest) {
                let (threshold, longest) = (duration::print(slow.threshold), duration::print(longest));
                let message = format!("no attempt lasts {threshold}: the longest is cut off after {longest}");
                found.push((Code::SlowCallUnreachable, at("circuitBreaker.slowCall.threshold"), message));
            }
        }
        if upstream.limits.pending > upstream.limits.requests {
            let (pending, requests) = (upstream.limits.pending, upstream.limits.requests);
            let message = format!("{pending} requests of `{name}` may wait while only {requests} may run");
            found.push((Code::QueueLongerThanLimit, at("limits.pending"), message));
        }
        let single = matches!(&upstream.target, Target::Fixed(endpoints) if endpoints.len() == 1);
        let own_balance = matches!(self.origins.of(index, None, "balance.by"), super::origin::Origin::File(_));
        if single && own_balance {
            found.push((Code::BalanceWithoutChoice, at("balance.by"), format!("`{name}` has a single endpoint")));
        }
        for (code, position, message) in found {
            self.report(code, position, message);
        }
    }

    fn route(&mut self, index: u32, upstream: &UpstreamPolicy, number: u32, route: &RoutePolicy) {
        let at = |key| self.origins.position(index, Some(number), key);
        let label = format!("{}/{}", upstream.name, route.name);
        let retries = route.retry.retries;
        let mut found: Vec<(Code, Option<Position>, String)> = Vec::new();
        let near = |keys: &[&'static str]| keys.iter().find_map(|key| at(key));
        if let Some(one) = route.timeouts.backend_request.filter(|_| retries > 0) {
            let (needed, request) = (one * (retries + 1), route.timeouts.request);
            if needed > request {
                let (one, needed, request) = (duration::print(one), duration::print(needed), duration::print(request));
                let message =
                    format!("{label}: {} tries of {one} need {needed}, and request is {request}", retries + 1);
                let keys = ["timeouts.backendRequest", "retry.attempts", "timeouts.request"];
                found.push((Code::TriesDoNotFit, near(&keys), message));
            }
        }
        let budget = &upstream.dependency.budget;
        if retries > 0 && budget.ratio == 0.0 && budget.floor_per_second == 0.0 {
            let position = self.origins.position(index, None, "retryBudget.percent");
            found.push((Code::RetriesWithoutBudget, position, format!("{label}: the budget denies every retry")));
        }
        if retries + 1 > AMPLIFICATION_MAX {
            let load = effective::worst_case(upstream, route).load;
            let message = format!("{label}: one request is sent up to {load} times");
            found.push((Code::HighAmplification, at("retry.attempts"), message));
        }
        let longest = attempt(route);
        if route.timeouts.connect >= longest {
            let (connect, longest) = (duration::print(route.timeouts.connect), duration::print(longest));
            let message = format!("{label}: connecting may take {connect}, and an attempt ends after {longest}");
            found.push((
                Code::ConnectExceedsAttempt,
                near(&["timeouts.connect", "timeouts.backendRequest", "timeouts.request"]),
                message,
            ));
        }
        if route.deadline.propagate && route.deadline.margin >= route.timeouts.request {
            let message = format!("{label}: nothing is left of the deadline that is handed on");
            found.push((Code::MarginExceedsRequest, near(&["deadline.margin", "timeouts.request"]), message));
        }
        for (code, position, message) in found {
            self.report(code, position, message);
        }
    }

    /// A retry block of the route's own for methods that are never repeated after sending.
    fn unsafe_methods(&mut self, own_retry: Position, label: &str, methods: &[Method], route: &RoutePolicy) {
        let unsafe_only = !methods.is_empty() && !methods.iter().any(Method::is_idempotent);
        let nothing_said = route.retry.contract == Contract::Opaque && !route.retry.all_methods;
        if unsafe_only && route.retry.retries > 0 && nothing_said {
            let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let message = format!("{label}: {} is retried only if nothing was sent: no contract", list.join(", "));
            self.report(Code::UnsafeWithoutContract, Some(own_retry), message);
        }
    }
}

/// The longest that one attempt may take.
fn attempt(route: &RoutePolicy) -> Duration {
    route.timeouts.backend_request.unwrap_or(route.timeouts.request)
}

#[cfg(test)]
mod tests;
