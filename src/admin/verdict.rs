//! Findings in words: one sentence per dependency, for a reader who is tired.
//!
//! What is wrong is judged in `reliability::verdict`; here is only how it is said. What a view shows at this moment (an
//! open circuit, full slots, an endpoint that sits out) is added as clauses.

mod certificates;
mod clauses;
mod overload;
mod process;
mod sentence;
mod suspect;

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::api::{Condition, Evidence, Verdict};
use super::words;
use crate::clock;
use crate::reliability::breaker::Hold;
use crate::reliability::verdict::finding::{Finding, Symptom};
use crate::reliability::verdict::{self, Cause};
use crate::upstreams::view::UpstreamView;

pub(super) use certificates::of_certificates;
pub(super) use clauses::rate_limited;
pub(super) use process::of_process;

impl From<verdict::Condition> for Condition {
    fn from(condition: verdict::Condition) -> Condition {
        match condition {
            verdict::Condition::Healthy => Condition::Healthy,
            verdict::Condition::Degraded => Condition::Degraded,
            verdict::Condition::Failing => Condition::Failing,
        }
    }
}

/// What is to be said of one upstream now. `finding`: what is wrong with it.
pub fn of(view: &UpstreamView, finding: Option<&Finding>, now: Instant) -> Verdict {
    let Some(finding) = finding else { return without(view) };
    let condition = Condition::from(finding.condition);
    let age = now.saturating_duration_since(finding.since);
    let mut verdict = blank(Some(view), condition, sentence::of(view, finding, age));
    verdict.route = finding.route.clone();
    verdict.cause = Some(finding.cause.token().to_owned());
    verdict.since = Some(timestamp(age));
    verdict.since_seconds = Some(age.as_secs());
    let told = finding.numbers.requests > 0 || finding.numbers.attempts > 0;
    verdict.share = told.then_some((finding.share * 1e4).round() / 1e4).filter(|share| share.is_finite());
    verdict.confidence = Some(finding.confidence.as_str().to_owned());
    verdict.evidence = evidence(view, finding);
    verdict.suspect = finding.suspect.as_ref().map(|suspicion| suspect::of(&view.name, suspicion, now));
    verdict
}

/// Without a finding it is well, unless the view knows something that the next look will find.
fn without(view: &UpstreamView) -> Verdict {
    let (condition, cause, text) = match sentence::at_this_moment(view) {
        Some((condition, cause, said)) => {
            (condition, Some(cause), sentence::whole(view, condition, &said, &clauses::of(view, None)))
        }
        None => (Condition::Healthy, None, sentence::healthy(view)),
    };
    let mut verdict = blank(Some(view), condition, text);
    verdict.cause = cause.map(|cause| cause.token().to_owned());
    verdict
}

fn blank(view: Option<&UpstreamView>, condition: Condition, text: String) -> Verdict {
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

fn timestamp(age: Duration) -> String {
    let wall = clock::wall().checked_sub(age).and_then(|at| Timestamp::try_from(at).ok());
    wall.unwrap_or_default().to_string()
}

fn evidence(view: &UpstreamView, finding: &Finding) -> Vec<Evidence> {
    let numbers = &finding.numbers;
    let mut evidence = Vec::new();
    let mut say = |name: &str, value: String| evidence.push(Evidence { name: name.to_owned(), value });
    let of = |part: u64, whole: u64| format!("{} of {}", words::grouped(part), words::grouped(whole));
    say("window", words::span(numbers.window));
    say("failed requests", of(numbers.requests_failed, numbers.requests));
    say("failed attempts", of(numbers.attempts_failed, numbers.attempts));
    if numbers.rescued > 0 {
        say("rescued by retries", words::grouped(numbers.rescued));
    }
    if numbers.cancelled > 0 {
        say("ended by clients", words::grouped(numbers.cancelled));
    }
    if let (Some(now), Some(usual)) = (numbers.latency, numbers.usual_latency) {
        say("latency", words::span(now));
        say(if finding.endpoints.is_empty() { "usual latency" } else { "latency of the others" }, words::span(usual));
    }
    match finding.symptom {
        Symptom::Fails(ending) => say("failure", sentence::word(ending).to_owned()),
        Symptom::Held(Hold::Open) => say("circuit", "held open".to_owned()),
        Symptom::Held(Hold::Closed) => say("circuit", "held closed".to_owned()),
        Symptom::Stalls
        | Symptom::Slow
        | Symptom::NoEndpoint
        | Symptom::Unresolved
        | Symptom::Full
        | Symptom::Aborts
        | Symptom::Recovering => {}
    }
    for endpoint in &finding.endpoints {
        say("endpoint", words::plain(endpoint, 80));
    }
    if let Some(circuit) = view.circuit.as_ref().filter(|circuit| circuit.state != "closed") {
        say("circuit", circuit.state.clone());
    }
    if let (Cause::AppsDependency, Some(dependency)) = (finding.cause, &finding.dependency) {
        say("dependency", dependency.clone());
    }
    evidence
}

#[cfg(test)]
mod tests;
