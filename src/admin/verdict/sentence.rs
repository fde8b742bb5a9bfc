//! The sentence of one upstream: the verdict first, then the numbers.

use std::time::Duration;

use super::clauses;
use crate::admin::api::Condition;
use crate::admin::words;
use crate::reliability::breaker::Hold;
use crate::reliability::ending::Ending;
use crate::reliability::verdict::Cause;
use crate::reliability::verdict::finding::{Finding, Symptom};
use crate::upstreams::view::{BREAKER, TotalsView, UpstreamView};

/// Longest error text repeated in a sentence, in characters.
pub(super) const ERROR_CHARS_MAX: usize = 160;
/// What an operator does to a circuit.
const HELD_OPEN: &str = "an operator holds its circuit open, every request is refused";
const HELD_CLOSED: &str = "an operator holds its circuit closed, the breaker cannot act";
/// Endpoints named in a sentence.
const ENDPOINTS_MAX: usize = 2;
/// Fewer attempts than this prove nothing.
const SAMPLES_MIN: u32 = 10;

pub(super) fn of(view: &UpstreamView, finding: &Finding, age: Duration) -> String {
    let said = headline(view, finding, age);
    let clauses = clauses::of(view, Some(finding));
    match (finding.cause, &finding.dependency) {
        (Cause::TheApp, _) => {
            joined(format!("The app itself is {}: {said}", Condition::from(finding.condition).as_str()), &clauses)
        }
        (Cause::AppsDependency, Some(dependency)) => {
            let dependency = words::plain(dependency, 80);
            let condition = Condition::from(finding.condition).as_str();
            joined(
                format!("The app is {condition} because its dependency {dependency} does not do well: {said}"),
                &clauses,
            )
        }
        _ => whole(view, Condition::from(finding.condition), &said, &clauses),
    }
}

/// `payments is failing: it is so; and so.`
pub(super) fn whole(view: &UpstreamView, condition: Condition, said: &str, clauses: &[String]) -> String {
    let name = words::plain(&view.name, 80);
    let name = if view.direction == "inbound" { format!("The app ({name})") } else { name };
    joined(format!("{name} is {}: {said}", condition.as_str()), clauses)
}

fn joined(begin: String, clauses: &[String]) -> String {
    let mut text = begin;
    for clause in clauses {
        text.push_str("; ");
        text.push_str(clause);
    }
    text.push('.');
    text
}

fn headline(view: &UpstreamView, finding: &Finding, age: Duration) -> String {
    let since = format!("(for {})", words::whole(age.as_secs().max(1)));
    let share = words::percent(finding.share * 100.0);
    let error = || view.resolve_error.as_deref().map(|error| words::plain(error, ERROR_CHARS_MAX));
    match finding.symptom {
        Symptom::Fails(Ending::OwnFault) => format!("{share} of requests fail in this proxy itself {since}"),
        Symptom::Fails(ending) if !finding.endpoints.is_empty() => of_some(finding, does(ending), &since),
        Symptom::Fails(ending) => fails(view, finding, ending, &since),
        Symptom::Stalls => {
            format!("nothing is answered {since} while {} requests wait for it", view.limits.in_flight)
        }
        Symptom::Slow => slow(finding, &since),
        Symptom::NoEndpoint => match error() {
            Some(error) => format!("it has no endpoint, its name does not resolve ({error})"),
            None => "it has no endpoint".to_owned(),
        },
        Symptom::Unresolved => {
            let error = error().unwrap_or_else(|| "no reason was kept".to_owned());
            format!("its name no longer resolves ({error}), the last good endpoints are kept")
        }
        Symptom::Held(Hold::Open) => HELD_OPEN.to_owned(),
        Symptom::Held(Hold::Closed) => HELD_CLOSED.to_owned(),
        Symptom::Full => full(view, finding, &since),
        Symptom::Recovering if finding.numbers.requests_failed > 0 => {
            format!("it answers again, and {share} of requests are still refused while traffic returns step by step")
        }
        Symptom::Recovering => "it answers again, and has done well for a few seconds".to_owned(),
        Symptom::Aborts => format!("{share} of requests are given up by their clients before the answer {since}"),
    }
}

fn fails(view: &UpstreamView, finding: &Finding, ending: Ending, since: &str) -> String {
    let numbers = &finding.numbers;
    let only = match view.endpoints.as_slice() {
        [only] => format!(" ({})", words::plain(&only.address, 80)),
        [] | [_, _, ..] => String::new(),
    };
    let route = finding
        .route
        .as_deref()
        .map_or_else(String::new, |route| format!(", all on route {}", words::plain(route, 80)));
    if numbers.requests_failed > 0 || numbers.attempts_failed == 0 {
        let share = words::percent(finding.share * 100.0);
        let rescued = match numbers.rescued {
            0 => String::new(),
            rescued => format!(", retries rescue {} more", words::grouped(rescued)),
        };
        return format!("{share} of requests fail {since}, {}{only}{route}{rescued}", met(ending));
    }
    let share = words::share(numbers.attempts_failed, numbers.attempts);
    format!("{share} of attempts fail {since}, {}{only}{route}; retries rescue the requests", met(ending))
}

/// Some of several endpoints.
fn of_some(finding: &Finding, does: (&str, &str), since: &str) -> String {
    let count = finding.endpoints.len();
    let mut names: Vec<String> =
        finding.endpoints.iter().take(ENDPOINTS_MAX).map(|name| words::plain(name, 80)).collect();
    if count > ENDPOINTS_MAX {
        names.push(format!("{} more", count - ENDPOINTS_MAX));
    }
    let total = finding.endpoints_total;
    let (who, does) = match count {
        1 => (format!("one of {total} endpoints, {},", names.join(" ")), does.0),
        _ => (format!("{count} of {total} endpoints, {},", names.join(" and ")), does.1),
    };
    let numbers = &finding.numbers;
    let effect = match (numbers.requests_failed, numbers.rescued) {
        (0, 0) => "; no request fails".to_owned(),
        (0, _) => "; retries rescue the requests".to_owned(),
        (failed, _) => format!("; {} of requests fail", words::share(failed, numbers.requests)),
    };
    format!("{who} {does} {since}{effect}")
}

fn slow(finding: &Finding, since: &str) -> String {
    let numbers = &finding.numbers;
    let latency = |latency: Option<Duration>| words::span(latency.unwrap_or_default());
    let now = latency(numbers.latency);
    if finding.endpoints.is_empty() {
        let usual = numbers.usual_latency.filter(|usual| !usual.is_zero());
        let usual = usual.map_or_else(String::new, |usual| format!(", usually {}", words::span(usual)));
        let failed = match numbers.requests_failed {
            0 => String::new(),
            failed => format!("; {} of requests fail", words::share(failed, numbers.requests)),
        };
        return format!("answers take {now} {since}{usual}{failed}");
    }
    let others = latency(numbers.usual_latency);
    let some = of_some(finding, ("is slow", "are slow"), since);
    if numbers.latency.is_some() { format!("{some}; it takes {now}, the others take {others}") } else { some }
}

fn full(view: &UpstreamView, finding: &Finding, since: &str) -> String {
    if let Some(overload) = super::overload::told(view, since) {
        return overload;
    }
    let limits = &view.limits;
    let slots = if limits.in_flight >= limits.in_flight_max && limits.in_flight_max > 0 {
        format!(": all {} request slots are taken and {} wait", limits.in_flight_max, limits.pending)
    } else {
        String::new()
    };
    if finding.numbers.requests_failed == 0 {
        return format!("requests wait for one of {} request slots of our own limit {since}", limits.in_flight_max);
    }
    format!("{} of requests are refused by our own limits {since}{slots}", words::percent(finding.share * 100.0))
}

/// What requests meet.
const fn met(ending: Ending) -> &'static str {
    match ending {
        Ending::Refused => "connections are refused",
        Ending::Unreachable | Ending::Shed => "no connection comes about",
        Ending::TimedOut => "answers do not come in time",
        Ending::Broken => "connections break or answers make no sense",
        Ending::Error => "answers are errors (5xx)",
        Ending::Overload => "it is overloaded and asks for less (429, or 503 with Retry-After)",
        Ending::Tls => "no TLS session comes about",
        Ending::Dns => "its name does not resolve",
        Ending::OwnLimit => "our own limits are reached",
        Ending::OwnFault => "this proxy is at fault",
        Ending::CallerFault => "requests are wrong",
        Ending::Cancelled => "clients leave",
        Ending::Success => "answers are good",
    }
}

/// What one endpoint does, and what several do.
const fn does(ending: Ending) -> (&'static str, &'static str) {
    match ending {
        Ending::Refused => ("refuses connections", "refuse connections"),
        Ending::Unreachable | Ending::Shed | Ending::Dns => ("cannot be reached", "cannot be reached"),
        Ending::TimedOut => ("does not answer in time", "do not answer in time"),
        Ending::Broken => ("breaks connections", "break connections"),
        Ending::Error => ("answers with errors (5xx)", "answer with errors (5xx)"),
        Ending::Overload => ("is overloaded and asks for less", "are overloaded and ask for less"),
        Ending::Tls => ("has no valid TLS", "have no valid TLS"),
        Ending::OwnLimit | Ending::OwnFault | Ending::CallerFault | Ending::Cancelled | Ending::Success => {
            ("fails", "fail")
        }
    }
}

/// For evidence.
pub(super) const fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Refused => "connection refused",
        Ending::Unreachable | Ending::Shed => "no connection",
        Ending::TimedOut => "timeout",
        Ending::Broken => "connection broken",
        Ending::Error => "5xx",
        Ending::Overload => "429, or 503 with Retry-After",
        Ending::Tls => "TLS",
        Ending::Dns => "DNS",
        Ending::OwnLimit => "own limit",
        Ending::OwnFault => "this proxy",
        Ending::CallerFault => "wrong request",
        Ending::Cancelled => "client gone",
        Ending::Success => "none",
    }
}

/// What the view knows before the next look does.
pub(super) fn at_this_moment(view: &UpstreamView) -> Option<(Condition, Cause, String)> {
    let circuit = view.circuit.as_ref()?;
    match (circuit.held.as_deref(), circuit.state.as_str()) {
        (Some("open"), _) => Some((Condition::Failing, Cause::Held, HELD_OPEN.to_owned())),
        (Some(_), _) => Some((Condition::Degraded, Cause::Held, HELD_CLOSED.to_owned())),
        // In mode observe it refuses nothing.
        (None, "open") if view.observed_count(BREAKER).is_none() => {
            let said = "its circuit is open and requests are refused at once";
            Some((Condition::Failing, Cause::Down, said.to_owned()))
        }
        (None, _) => None,
    }
}

pub(super) fn healthy(view: &UpstreamView) -> String {
    let name = words::plain(&view.name, 80);
    let said = traffic(&view.totals);
    // "Healthy" beside a poor share of successes would be believed by nobody.
    if view.totals.requests_failed > 0 && samples(view) < SAMPLES_MIN {
        return format!("{name} has too little traffic lately to be judged: {said}.");
    }
    joined(format!("{name} is healthy: {said}"), &clauses::of(view, None))
}

/// Attempts lately.
fn samples(view: &UpstreamView) -> u32 {
    match &view.circuit {
        Some(circuit) => circuit.samples,
        None => view.endpoints.iter().map(|endpoint| endpoint.samples).fold(0, u32::saturating_add),
    }
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
