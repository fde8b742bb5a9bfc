//! What changed just before the trouble.

use super::finding::{Change, ChangeKind, Finding, Suspicion, Symptom};
use super::history::{History, Tick};
use super::windows::failures;
use std::time::{Duration, Instant};

/// How long before the onset a change is still a suspect.
const WITHIN: Duration = Duration::from_secs(60);
/// And how long after it: seconds are counted whole, and journals are written a little late.
const SLACK: Duration = Duration::from_secs(2);
/// Attempts or requests that make a time before.
const BEFORE_LEAST: u64 = 5;

/// The likeliest change: one that names the upstream before one of the whole process, the latest of these.
pub(super) fn suspect(name: &str, finding: &Finding, history: &History, changes: &[Change]) -> Option<Suspicion> {
    let since = finding.since;
    let before = before(history, since);
    let seen = before.requests.counted().max(before.attempts.counted());
    // A process that has worked well did not start wrong; one that has failed from the start did.
    let worked = seen >= BEFORE_LEAST && failures(&before).share() < 0.5;
    let candidate = |change: &&Change| {
        let near = change.at <= since + SLACK && since.saturating_duration_since(change.at) <= WITHIN;
        near && match change.kind {
            ChangeKind::Start => !worked,
            ChangeKind::Policy | ChangeKind::Certificate | ChangeKind::Manual => concerns(change, name),
            ChangeKind::Endpoints => names(change, name) && !follows(change, name, changes),
        }
    };
    let rank = |change: &&Change| (change.kind != ChangeKind::Start, names(change, name), change.at);
    let change = changes.iter().filter(candidate).max_by_key(rank)?;
    let after = after(history, since);
    let latencies = (finding.symptom == Symptom::Slow)
        .then(|| before.latencies.quantile(0.5).zip(after.latencies.quantile(0.5)))
        .flatten();
    Some(Suspicion {
        change: change.clone(),
        before: since.saturating_duration_since(change.at),
        rates: (failures(&before).share(), failures(&after).share()),
        latencies,
    })
}

/// A policy that names other addresses changes the set at once: then the policy is the change.
fn follows(change: &Change, name: &str, changes: &[Change]) -> bool {
    changes.iter().any(|other| {
        let soon = change.at >= other.at && change.at.saturating_duration_since(other.at) <= SLACK;
        other.kind == ChangeKind::Policy && concerns(other, name) && soon
    })
}

fn names(change: &Change, name: &str) -> bool {
    change.upstreams.iter().any(|upstream| upstream == name)
}

fn concerns(change: &Change, name: &str) -> bool {
    change.upstreams.is_empty() || names(change, name)
}

fn before(history: &History, since: Instant) -> Tick {
    history.sum(since.checked_sub(WITHIN).unwrap_or(since), since)
}

/// From the onset on, as far as the last half minute goes.
fn after(history: &History, since: Instant) -> Tick {
    history.sum(since, since + WITHIN / 2)
}
