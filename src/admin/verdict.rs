//! One sentence per dependency: how it does, what fails, what the proxy does about it.
//!
//! The condition follows from what is true now (windows, breaker, endpoints, limits), never from totals: an outage of
//! last night must not colour this morning. Totals only say what retries achieved.

use std::time::Duration;

use super::api::{Condition, PolicySummary, Readiness, Verdict};
use super::words;
use crate::upstreams::view::{CircuitView, EndpointView, TotalsView, UpstreamView};

/// Fewer attempts than this in the window prove nothing.
const SAMPLES_MIN: u32 = 10;
/// Failure rates, in percent, from which a dependency counts as degraded and as failing.
const DEGRADED_PERCENT: f64 = 5.0;
const FAILING_PERCENT: f64 = 50.0;
/// Below this share of its cap a retry budget counts as spent.
const BUDGET_SPENT_RATIO: f64 = 0.01;

/// Longest error text repeated in a sentence, in characters.
const ERROR_CHARS_MAX: usize = 160;

type Clause = (Condition, String);

/// What is to be said of one dependency.
pub(super) fn of(view: &UpstreamView) -> Verdict {
    let mut clauses = Vec::new();
    match &view.circuit {
        Some(circuit) => clauses.extend(of_circuit(circuit, &view.endpoints)),
        None => clauses.extend(of_failures(&view.endpoints)),
    }
    clauses.extend(of_endpoints(view));
    clauses.extend(of_admission(view));
    // Stable: the worst first, else in the order above.
    clauses.sort_by_key(|(condition, _)| std::cmp::Reverse(*condition));

    let condition = clauses.first().map_or(Condition::Healthy, |(condition, _)| *condition);
    let said = match condition {
        Condition::Healthy => traffic(&view.totals),
        Condition::Degraded | Condition::Failing => {
            clauses.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ")
        }
    };
    let name = words::plain(&view.name, ERROR_CHARS_MAX);
    let mut text = if condition == Condition::Healthy && view.totals.requests_failed > 0 && samples(view) < SAMPLES_MIN
    {
        // "Healthy" beside a poor share of successes would be believed by nobody.
        format!("{name} has too little traffic lately to be judged: {said}.")
    } else {
        format!("{name} is {}: {said}.", condition.as_str())
    };
    if let Some(retries) = retries(&view.totals) {
        text.push_str(&retries);
    }
    plainly(Some(view), condition, text)
}

fn plainly(view: Option<&UpstreamView>, condition: Condition, text: String) -> Verdict {
    Verdict {
        upstream: view.map(|view| view.name.clone()),
        direction: view.map(|view| view.direction.clone()),
        route: None,
        condition,
        cause: None,
        text,
        since: None,
        since_seconds: None,
        share: None,
        confidence: None,
        evidence: Vec::new(),
        suspect: None,
    }
}

/// Attempts in the windows that the condition is judged by.
fn samples(view: &UpstreamView) -> u32 {
    match &view.circuit {
        Some(circuit) => circuit.samples,
        None => view.endpoints.iter().map(|endpoint| endpoint.samples).fold(0, u32::saturating_add),
    }
}

/// What is to be said of the process itself; nothing when all is well.
pub(super) fn of_process(readiness: &Readiness, draining: bool, policy: &PolicySummary) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut degraded = |text| verdicts.push(plainly(None, Condition::Degraded, text));
    if draining {
        degraded("The process is draining: requests in flight finish, new ones are not accepted.".to_owned());
    } else if !readiness.ready {
        degraded(format!("The process is not ready: {}.", readiness.reasons.join("; ")));
    }
    if policy.reload.failed {
        let error = policy.reload.error.as_deref().unwrap_or("no reason was kept");
        let error = shortened(error);
        let end = if error.ends_with('?') { "" } else { "." };
        degraded(format!("The policy file is refused, revision {} stays in force: {error}{end}", policy.revision));
    }
    verdicts
}

/// The first finding on one line: without the list of keys that may stand there, but with what was probably meant.
fn shortened(error: &str) -> String {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let first = match first.split_once(", expected one of ") {
        Some((said, list)) => format!("{said}{}", list.rfind(" [").map_or("", |code| &list[code..])),
        None => first.to_owned(),
    };
    let mut text = words::plain(&first, ERROR_CHARS_MAX);
    // The caret's line belongs to the first finding: the source line stands between.
    let hint = lines.nth(1).and_then(|caret| Some(caret.split_once("^ ")?.1));
    if let Some(hint) = hint {
        text.push_str("; ");
        text.push_str(&words::plain(hint, ERROR_CHARS_MAX));
    }
    text
}

fn of_circuit(circuit: &CircuitView, endpoints: &[EndpointView]) -> Vec<Clause> {
    let mut clauses = Vec::new();
    match circuit.held.as_deref() {
        Some("open") => {
            clauses
                .push((Condition::Failing, "an operator holds its circuit open, every request is refused".to_owned()));
        }
        Some(held) => {
            clauses
                .push((Condition::Degraded, format!("an operator holds its circuit {held}, the breaker cannot act")));
        }
        None => {}
    }
    match circuit.state.as_str() {
        "open" if circuit.held.is_none() => {
            let probe = circuit.retry_after_ms.map_or_else(String::new, |ms| {
                format!(", the next probe is in {}", words::span(Duration::from_millis(ms)))
            });
            clauses.push((Condition::Failing, format!("its circuit is open and requests are refused at once{probe}")));
        }
        "half-open" => clauses.push((Condition::Degraded, "its circuit is half-open, probes decide".to_owned())),
        _ => {}
    }
    clauses.extend(failing(circuit.failure_percent, circuit.samples, endpoints));
    if circuit.samples >= SAMPLES_MIN && circuit.slow_percent >= FAILING_PERCENT {
        let slow = words::percent(circuit.slow_percent);
        clauses.push((Condition::Degraded, format!("{slow} of the last {} attempts were slow", circuit.samples)));
    }
    if circuit.throttle_rejection >= 0.01 {
        let rejected = words::percent(circuit.throttle_rejection * 100.0);
        clauses
            .push((Condition::Degraded, format!("the throttle refuses {rejected} of requests before they are sent")));
    }
    clauses
}

/// Without a breaker the endpoints' own windows tell.
fn of_failures(endpoints: &[EndpointView]) -> Option<Clause> {
    let samples: u32 = endpoints.iter().map(|endpoint| endpoint.samples).fold(0, u32::saturating_add);
    let failures: f64 = endpoints.iter().map(|endpoint| endpoint.failure_percent * f64::from(endpoint.samples)).sum();
    failing(failures / f64::from(samples.max(1)), samples, endpoints)
}

fn failing(percent: f64, samples: u32, endpoints: &[EndpointView]) -> Option<Clause> {
    if samples < SAMPLES_MIN || percent < DEGRADED_PERCENT {
        return None;
    }
    let condition = if percent >= FAILING_PERCENT { Condition::Failing } else { Condition::Degraded };
    let worst = endpoints
        .iter()
        .filter(|endpoint| endpoint.failure_percent > 0.0)
        .max_by(|a, b| a.failure_percent.total_cmp(&b.failure_percent));
    let mostly = worst.and_then(|endpoint| {
        let cause = endpoint.last_failure.as_deref()?;
        Some(format!(", worst {} ({})", words::plain(&endpoint.address, 80), words::plain(cause, ERROR_CHARS_MAX)))
    });
    let percent = words::percent(percent);
    Some((condition, format!("{percent} of the last {samples} attempts failed{}", mostly.unwrap_or_default())))
}

fn of_endpoints(view: &UpstreamView) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let total = view.endpoints.len();
    let unresolved = view.resolve_error.as_deref().map(|error| words::plain(error, ERROR_CHARS_MAX));
    match (total, unresolved) {
        (0, Some(error)) => {
            clauses.push((Condition::Failing, format!("it has no endpoint, its name does not resolve ({error})")));
        }
        (0, None) => clauses.push((Condition::Failing, "it has no endpoint".to_owned())),
        (_, Some(error)) => clauses.push((
            Condition::Degraded,
            format!("its name no longer resolves ({error}), the last good endpoints are kept"),
        )),
        (_, None) => {}
    }
    let ejected: Vec<&EndpointView> =
        view.endpoints.iter().filter(|endpoint| endpoint.ejected_for_ms.is_some()).collect();
    if view.panic {
        let text = format!("{} of {total} endpoints are tripped, so ejection is ignored", ejected.len());
        clauses.push((Condition::Failing, text));
    } else if let Some(first) = ejected.first() {
        let cause =
            first.last_failure.as_deref().map_or_else(String::new, |cause| format!(", {}", words::plain(cause, 80)));
        let (verb, address) = (if ejected.len() == 1 { "sits" } else { "sit" }, words::plain(&first.address, 80));
        let text = format!("{} of {total} endpoints {verb} out ({address}{cause})", ejected.len());
        clauses.push((Condition::Degraded, text));
    }
    clauses
}

fn of_admission(view: &UpstreamView) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let limits = &view.limits;
    if limits.in_flight_max > 0 && limits.in_flight >= limits.in_flight_max {
        let text = format!("all {} request slots are taken and {} wait", limits.in_flight_max, limits.pending);
        clauses.push((Condition::Degraded, text));
    }
    if view.budget.gated {
        clauses.push((Condition::Degraded, "retries are held to probes because they do not rescue".to_owned()));
    } else if view.budget.remaining_ratio < BUDGET_SPENT_RATIO {
        clauses.push((Condition::Degraded, "its retry budget is spent".to_owned()));
    }
    clauses
}

fn traffic(totals: &TotalsView) -> String {
    match totals.requests {
        0 => "no requests yet".to_owned(),
        requests => {
            let succeeded = words::share(requests.saturating_sub(totals.requests_failed), requests);
            let s = if requests == 1 { "" } else { "s" };
            format!("{} request{s} since the start, {succeeded} succeeded", words::grouped(requests))
        }
    }
}

/// What retries did since the start, if there were any.
fn retries(totals: &TotalsView) -> Option<String> {
    let denied: u64 = totals.denied.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
    if totals.retries == 0 && denied == 0 {
        return None;
    }
    let mut text = String::new();
    if totals.retries > 0 {
        let load = totals.attempts as f64 / totals.requests.max(1) as f64;
        let (rescued, retries) = (words::grouped(totals.rescued), words::grouped(totals.retries));
        let (many, of) =
            (if totals.retries == 1 { "retry" } else { "retries" }, if totals.rescued == 1 { "" } else { "s" });
        text.push_str(&format!(" {retries} {many} rescued {rescued} request{of}"));
        // Below 1 most requests were refused unsent; what retries added cannot be read from it.
        if load >= 1.0 {
            text.push_str(&format!(" at {load:.2}x load"));
        }
        text.push('.');
    }
    if denied > 0 {
        let reasons: Vec<String> = totals
            .denied
            .iter()
            .map(|(reason, count)| format!("{} {}", words::plain(reason, 40), words::grouped(*count)))
            .collect();
        let were = if denied == 1 { "retry was" } else { "retries were" };
        text.push_str(&format!(" {} {were} denied ({}).", words::grouped(denied), reasons.join(", ")));
    }
    Some(text)
}

#[cfg(test)]
mod tests;
