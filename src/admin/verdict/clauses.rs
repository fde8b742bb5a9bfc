//! What else is so at this moment, and helps to understand a verdict.

use std::time::Duration;

use super::sentence::ERROR_CHARS_MAX;
use crate::admin::words;
use crate::reliability::verdict::finding::{Finding, Symptom};
use crate::upstreams::view::{BREAKER, CircuitView, EndpointView, RateLimitView, THROTTLE, UpstreamView};

/// Below this share of its cap a retry budget counts as spent.
const BUDGET_SPENT_RATIO: f64 = 0.01;
/// A caller that has not been refused for so many seconds is no news.
const LIMITED_RECENTLY: u64 = 60;
/// From this share of requests on the throttle is worth a word.
const THROTTLED_LEAST: f64 = 0.01;

/// Without what `finding` says already.
pub(super) fn of(view: &UpstreamView, finding: Option<&Finding>) -> Vec<String> {
    let symptom = finding.map(|finding| finding.symptom);
    let mut clauses = Vec::new();
    if let Some(circuit) = &view.circuit {
        clauses.extend(of_circuit(view, circuit, symptom));
    }
    if let Some(error) = &view.resolve_error
        && !matches!(symptom, Some(Symptom::NoEndpoint | Symptom::Unresolved))
        && !view.endpoints.is_empty()
    {
        let error = words::plain(error, ERROR_CHARS_MAX);
        clauses.push(format!("its name no longer resolves ({error}), the last good endpoints are kept"));
    }
    clauses.extend(of_endpoints(view, finding));
    clauses.extend(of_checks(view));
    let limits = &view.limits;
    if limits.in_flight_max > 0 && limits.in_flight >= limits.in_flight_max && symptom != Some(Symptom::Full) {
        clauses.push(format!("all {} request slots are taken and {} wait", limits.in_flight_max, limits.pending));
    }
    clauses.extend(view.rate_limits.iter().filter_map(|limit| {
        Some(format!("callers of its route {} {}", words::plain(&limit.route, 80), rate_limited(limit)?))
    }));
    // Beside a finding the third answer tells of retries.
    if view.budget.gated {
        if finding.is_none() {
            clauses.push("retries are held to probes because they do not rescue".to_owned());
        }
    } else if view.budget.remaining_ratio < BUDGET_SPENT_RATIO {
        clauses.push("its retry budget is spent".to_owned());
    }
    clauses.extend(view.hedges.iter().find(|hedges| hedges.is_wasteful()).map(|hedges| {
        let (route, sent) = (words::plain(&hedges.route, 80), words::grouped(hedges.won + hedges.lost));
        let load = hedges.load_percent();
        format!("only {} of {sent} hedges of route {route} won, for {load:.1}% more load", words::grouped(hedges.won))
    }));
    clauses
}

/// What callers of a route do that send more than they may; nothing if none has lately.
pub(in crate::admin) fn rate_limited(limit: &RateLimitView) -> Option<String> {
    limit.last_seconds_ago.filter(|ago| *ago < LIMITED_RECENTLY)?;
    let (many, refused) = match limit.mode.as_str() {
        "observe" => (limit.would_refuse, "would have been refused"),
        _ => (limit.refused, "were refused"),
    };
    let (allowed, many) = (words::grouped(u64::from(limit.requests)), words::grouped(many));
    Some(format!("send more than {allowed} requests per {}: {many} {refused} since the start", limit.per))
}

fn of_circuit(view: &UpstreamView, circuit: &CircuitView, symptom: Option<Symptom>) -> Vec<String> {
    let mut clauses = Vec::new();
    let attempts = view.observed_count(BREAKER);
    match (circuit.held.as_deref(), circuit.state.as_str()) {
        (Some(held), _) if !matches!(symptom, None | Some(Symptom::Held(_))) => {
            clauses.push(format!("an operator holds its circuit {held}, the breaker cannot act"));
        }
        (Some(_), _) => {}
        (None, "open") if attempts.is_some() => clauses.push(format!(
            "its circuit breaker only observes, else it would be open ({} attempts would have been refused)",
            words::grouped(attempts.unwrap_or(0))
        )),
        (None, "open") if symptom.is_some() => {
            let probe = circuit.retry_after_ms.filter(|ms| *ms > 0).map_or_else(String::new, |ms| {
                format!(", the next probe is in {}", words::span(Duration::from_millis(ms)))
            });
            clauses.push(format!("the circuit is open, requests are refused at once{probe}"));
        }
        (None, "half-open") if attempts.is_none() => clauses.push("the circuit is half-open, probes decide".to_owned()),
        (None, _) => {}
    }
    if circuit.throttle_rejection >= THROTTLED_LEAST && circuit.state != "open" {
        let rejected = words::percent(circuit.throttle_rejection * 100.0);
        clauses.push(match view.observed_count(THROTTLE) {
            None => format!("the throttle refuses {rejected} of requests before they are sent"),
            Some(_) => format!("the throttle only observes, else it would refuse {rejected} of requests"),
        });
    }
    clauses
}

/// `2 of 3 endpoints fail their health check: connection refused`.
fn of_checks(view: &UpstreamView) -> Option<String> {
    let failing: Vec<&EndpointView> = view.endpoints.iter().filter(|e| e.fails_checks()).collect();
    let total = view.endpoints.len();
    let cause = failing.iter().find_map(|e| e.health.as_ref()?.cause.as_deref());
    let cause = cause.map_or_else(String::new, |cause| format!(": {}", words::plain(cause, 80)));
    let said = match (failing.len(), total) {
        (0, _) => return None,
        (1, 1) => format!("it fails its health check{cause}"),
        (1, total) => format!("1 of {total} endpoints fails its health check{cause}"),
        (count, total) => format!("{count} of {total} endpoints fail their health check{cause}"),
    };
    // Of a single endpoint it says nothing: it is never out.
    Some(if view.checks_ignored && total > 1 { format!("{said} (most do, so checks are ignored)") } else { said })
}

fn of_endpoints(view: &UpstreamView, finding: Option<&Finding>) -> Option<String> {
    let total = view.endpoints.len();
    let ejected: Vec<&EndpointView> = view.endpoints.iter().filter(|e| e.sits_out()).collect();
    if view.panic {
        // Of a single endpoint it says nothing: it is never out.
        return (total > 1).then(|| format!("most of {total} endpoints are tripped, so ejection is ignored"));
    }
    let first = ejected.first()?;
    if finding.is_some_and(|finding| ejected.iter().all(|e| finding.endpoints.contains(&e.address))) {
        return Some(if ejected.len() == 1 { "it sits out" } else { "they sit out" }.to_owned());
    }
    let cause =
        first.last_failure.as_deref().map_or_else(String::new, |cause| format!(", {}", words::plain(cause, 80)));
    if ejected.iter().all(|e| e.ejected_for_ms.is_none()) {
        // Said of their checks.
        return None;
    }
    let verb = if ejected.len() == 1 { "sits" } else { "sit" };
    Some(format!("{} of {total} endpoints {verb} out ({}{cause})", ejected.len(), words::plain(&first.address, 80)))
}
