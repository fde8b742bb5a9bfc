//! The four answers of an incident, a line each: which dependency, what changed, whether retries help, what can be
//! repaired.

use super::api::{Change, Condition, Repairable, RetryReport, Verdict, change_kind};
use super::control::letters::LetterStock;
use super::verdict::rate_limited;
use super::words;
use crate::reliability::dead_letters::{Class, LetterState};
use crate::upstreams::view::UpstreamView;

/// Verdicts told beside the worst one.
const OTHERS_MAX: usize = 5;
/// Effects told of a change.
const EFFECTS_MAX: usize = 2;
/// Longest line, in characters.
const LINE_CHARS_MAX: usize = 400;

/// What the lines are made from.
pub(super) struct Parts<'a> {
    /// Worst first.
    pub verdicts: &'a [Verdict],
    pub upstreams: &'a [UpstreamView],
    /// Those of the last ten minutes, newest first.
    pub changes: &'a [Change],
    pub retries: &'a [RetryReport],
    pub repairs: &'a [Repairable],
}

/// Always four lines, in the order of the questions.
pub(super) fn lines(parts: &Parts<'_>) -> Vec<String> {
    let lines = [which(parts), changed(parts), helping(parts), repairable(parts.repairs)];
    lines.into_iter().map(|line| words::plain(&line, LINE_CHARS_MAX)).collect()
}

/// Which dependency fails.
fn which(parts: &Parts<'_>) -> String {
    let bad: Vec<&Verdict> = parts.verdicts.iter().filter(|v| v.condition != Condition::Healthy).collect();
    let Some((worst, others)) = bad.split_first() else {
        return format!("{}{}", healthy(parts.upstreams), limited(parts.upstreams));
    };
    if others.is_empty() {
        return worst.text.clone();
    }
    let name = |verdict: &&Verdict| match (&verdict.upstream, &verdict.cause) {
        (None, _) => "the process".to_owned(),
        (Some(upstream), None) => format!("{upstream} ({})", verdict.condition.as_str()),
        (Some(upstream), Some(cause)) => format!("{upstream} ({}, {cause})", verdict.condition.as_str()),
    };
    let mut names: Vec<String> = others.iter().take(OTHERS_MAX).map(name).collect();
    if others.len() > OTHERS_MAX {
        names.push(format!("{} more", others.len() - OTHERS_MAX));
    }
    format!("{} Also not well: {}.", worst.text, names.join(", "))
}

fn healthy(upstreams: &[UpstreamView]) -> String {
    let sum = |of: fn(&UpstreamView) -> u64| upstreams.iter().map(of).fold(0, u64::saturating_add);
    let (requests, failed) = (sum(|view| view.totals.requests), sum(|view| view.totals.requests_failed));
    let many = if upstreams.len() == 1 { "upstream" } else { "upstreams" };
    let told = match requests {
        0 => "no requests yet".to_owned(),
        _ => {
            let good = words::share(requests.saturating_sub(failed), requests);
            let s = if requests == 1 { "" } else { "s" };
            format!("{} request{s} since the start, {good} succeeded", words::grouped(requests))
        }
    };
    format!("Everything is healthy: {} {many}, {told}.", upstreams.len())
}

/// Callers that have sent more than they may in the last minute: no fault of anybody here, and worth knowing.
fn limited(upstreams: &[UpstreamView]) -> String {
    let routes = upstreams.iter().flat_map(|view| view.rate_limits.iter().map(move |limit| (view, limit)));
    let recent = routes.filter_map(|(view, limit)| Some((view, limit, rate_limited(limit)?)));
    let Some((view, limit, said)) = recent.max_by_key(|(_, limit, _)| limit.refused.max(limit.would_refuse)) else {
        return String::new();
    };
    format!(" Callers of {}/{} {said}.", words::plain(&view.name, 80), words::plain(&limit.route, 80))
}

/// What changed.
fn changed(parts: &Parts<'_>) -> String {
    if let Some(suspect) = parts.verdicts.iter().find_map(|verdict| verdict.suspect.as_ref()) {
        return sentence(&suspect.text);
    }
    match parts.changes.iter().find(|change| is_a_reason(change)) {
        None => "Nothing changed in the last 10 min.".to_owned(),
        Some(change) => {
            // What the process does by itself has no author worth a word, and a refusal is told above.
            let author = change.author.as_deref().filter(|author| !["start", "outrigger"].contains(author));
            let by = author.map_or_else(String::new, |author| format!(", by {author}"));
            let told = if change.kind == change_kind::POLICY_REFUSED { 0 } else { EFFECTS_MAX };
            let effects: Vec<&str> = change.effects.iter().take(told).map(String::as_str).collect();
            let effects = if effects.is_empty() { String::new() } else { format!(" ({})", effects.join("; ")) };
            format!("Last change {}: {}{effects}{by}.", words::ago(change.age_seconds), change.summary)
        }
    }
}

/// What breakers and ejection do is no change: it follows from something.
fn is_a_reason(change: &Change) -> bool {
    let follows = [change_kind::CIRCUIT, change_kind::EJECTION, change_kind::DNS, change_kind::RETRIES];
    !follows.contains(&change.kind.as_str())
}

/// Whether retries help: the reports' word for the worst dependency, else what the totals say.
fn helping(parts: &Parts<'_>) -> String {
    let worst = parts.verdicts.iter().filter(|v| v.condition != Condition::Healthy).find_map(|v| v.upstream.as_deref());
    let concerned = |report: &&RetryReport| worst.is_none_or(|name| report.upstream == name);
    let told = parts.retries.iter().filter(|report| report.class.is_none() && report.retries > 0).filter(concerned);
    if let Some(report) = told.max_by_key(|report| report.retries) {
        return sentence(&report.text) + &hedges(parts.upstreams, worst);
    }
    let mut wanted: Vec<&UpstreamView> =
        parts.upstreams.iter().filter(|view| worst.is_none_or(|name| view.name == name)).collect();
    if worst.is_some() && wanted.iter().all(|view| view.direction == "inbound") {
        wanted = parts.upstreams.iter().collect();
    }
    by_totals(&wanted) + &hedges(parts.upstreams, worst)
}

/// What hedges have come to, where any were sent.
fn hedges(views: &[UpstreamView], worst: Option<&str>) -> String {
    let concerned = views.iter().filter(|view| worst.is_none_or(|name| view.name == name));
    let (won, sent) = concerned.flat_map(|view| &view.hedges).fold((0u64, 0u64), |(won, sent), hedges| {
        (won.saturating_add(hedges.won), sent.saturating_add(hedges.won).saturating_add(hedges.lost))
    });
    match sent {
        0 => String::new(),
        _ => format!(" Hedges: {} of {} won.", words::grouped(won), words::grouped(sent)),
    }
}

fn by_totals(views: &[&UpstreamView]) -> String {
    let sum = |of: fn(&UpstreamView) -> u64| views.iter().map(|view| of(view)).fold(0, u64::saturating_add);
    let (retries, rescued) = (sum(|v| v.totals.retries), sum(|v| v.totals.rescued));
    let (requests, attempts) = (sum(|v| v.totals.requests), sum(|v| v.totals.attempts));
    let denied = sum(|v| v.totals.denied.iter().map(|(_, count)| *count).fold(0, u64::saturating_add));
    let held = match denied {
        0 => String::new(),
        1 => "; 1 retry was not made".to_owned(),
        denied => format!("; {} retries were not made", words::grouped(denied)),
    };
    let whose = match views {
        [only] => format!("Retries of {}", words::plain(&only.name, 80)),
        [] | [_, _, ..] => "Retries".to_owned(),
    };
    if retries == 0 {
        return format!("{whose}: none since the start{held}.");
    }
    let load = attempts as f64 / requests.max(1) as f64;
    // Below 1 most requests were refused unsent; what retries added cannot be read from it.
    let load = if load >= 1.0 { format!(" at {load:.2}x load") } else { String::new() };
    let (rescued, s) = (words::grouped(rescued), if rescued == 1 { "" } else { "s" });
    let tries = if retries == 1 { "1 retry".to_owned() } else { format!("{} retries", words::grouped(retries)) };
    format!("{whose}: {tries} rescued {rescued} request{s}{load}{held}.")
}

/// What can be repaired.
fn repairable(repairs: &[Repairable]) -> String {
    let sum = |of: fn(&Repairable) -> u64| repairs.iter().map(of).fold(0, u64::saturating_add);
    let (open, unknown, safe) = (sum(|r| r.open), sum(|r| r.unknown), sum(|r| r.replayable));
    if open == 0 {
        return "Nothing to repair: no dead letter is open.".to_owned();
    }
    let letters =
        if open == 1 { "1 dead letter is".to_owned() } else { format!("{} dead letters are", words::grouped(open)) };
    let parts = [
        (safe > 0).then(|| format!("{} not executed", words::grouped(safe))),
        (unknown > 0).then(|| format!("{} of unknown outcome", words::grouped(unknown))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let parts = if parts.is_empty() { String::new() } else { format!(", {}", parts.join(", ")) };
    let next = repairs.iter().find(|repair| repair.replayable > 0).or(repairs.first());
    let next = next.and_then(|repair| repair.command.as_deref());
    format!("{letters} open{parts}{}", next.map_or_else(|| ".".to_owned(), |command| format!(": {command}")))
}

/// What can be repaired, by queue: `upstream/route`, unless the policy names it otherwise.
pub(super) fn repairs(stock: &LetterStock) -> Vec<Repairable> {
    let mut repairs: Vec<Repairable> = Vec::new();
    for tally in stock.tallies.iter().filter(|tally| tally.state == LetterState::Open && tally.letters > 0) {
        let (upstream, route) = tally.queue.split_once('/').unwrap_or((&tally.queue, ""));
        let at = repairs.iter().position(|repair| repair.upstream == upstream && repair.route == route);
        let at = at.unwrap_or_else(|| {
            let (upstream, route) = (upstream.to_owned(), route.to_owned());
            let blank =
                Repairable { upstream, route, open: 0, unknown: 0, replayable: 0, text: String::new(), command: None };
            repairs.push(blank);
            repairs.len() - 1
        });
        let Some(repair) = repairs.get_mut(at) else { continue };
        repair.open = repair.open.saturating_add(tally.letters);
        match tally.class {
            Class::NotExecuted => repair.replayable = repair.replayable.saturating_add(tally.letters),
            Class::Unknown => repair.unknown = repair.unknown.saturating_add(tally.letters),
            Class::FailedResponse => {}
        }
        let queue = words::plain(&tally.queue, 120);
        repair.command = Some(if repair.replayable > 0 {
            format!("outrigger dlq replay --queue {queue} --dry-run")
        } else {
            format!("outrigger dlq ls --queue {queue}")
        });
        repair.text = format!(
            "{queue}: {} open, {} not executed, {} of unknown outcome.",
            words::grouped(repair.open),
            words::grouped(repair.replayable),
            words::grouped(repair.unknown)
        );
    }
    repairs.sort_by_key(|repair| std::cmp::Reverse(repair.open));
    repairs
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map_or_else(String::new, |first| first.to_uppercase().to_string());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

#[cfg(test)]
mod tests;
