//! The journal as operators read it: what changed, and the revisions that there were.

use std::time::Duration;

use jiff::Timestamp;

use super::control::Sources;
use crate::admin::api::{Change, Revision, change_kind};
use crate::admin::control::ChangesFilter;
use crate::clock;
use crate::policy::journal::{self, ChangeKind};

/// Seconds since a moment of the past; 0 for one of the future.
pub fn age(rfc3339: &str) -> u64 {
    let wall = Timestamp::try_from(clock::wall()).unwrap_or_default();
    since(rfc3339, wall).map_or(0, |age| age.as_secs())
}

/// `None`: it lies in the future, because the clock was set back. Nobody knows when it was.
pub fn since(rfc3339: &str, wall: Timestamp) -> Option<Duration> {
    Duration::try_from(wall.duration_since(rfc3339.parse::<Timestamp>().ok()?)).ok()
}

/// The newest that match, newest first.
pub fn list(sources: &Sources, filter: &ChangesFilter) -> Vec<Change> {
    let newest_first = sources.store.changes().into_iter().rev();
    newest_first.map(told).filter(|change| wanted(filter, change)).take(filter.limit).collect()
}

fn wanted(filter: &ChangesFilter, change: &Change) -> bool {
    let ChangesFilter { since, limit: _, upstream, kind } = filter;
    since.is_none_or(|since| Duration::from_secs(change.age_seconds) <= since)
        && (upstream.is_none() || change.upstream == *upstream)
        && kind.as_ref().is_none_or(|kind| change_kind::matches(kind, &change.kind))
}

/// An entry of the journal in the words of the API.
fn told(entry: journal::Change) -> Change {
    let upstream = entry.upstream.clone().or_else(|| upstream_of_old(&entry));
    let kind = kind_word(&entry);
    let mut effects = entry.effect;
    let summary = match entry.kind {
        ChangeKind::Policy => format!("policy revision {} from {}", entry.revision, entry.source),
        ChangeKind::Rollback => format!("policy revision {}: {}", entry.revision, entry.source),
        ChangeKind::PolicyRefused => {
            format!("policy from {} refused, revision {} stays in force", entry.source, entry.revision)
        }
        ChangeKind::Start => {
            if let Some(before) = entry.version_before {
                effects.insert(0, format!("the version before was {before}"));
            }
            let version = entry.version.map(|version| format!("outrigger {version} ")).unwrap_or_default();
            format!("{version}started with policy revision {}", entry.revision)
        }
        ChangeKind::Stop => "stopped in order".to_owned(),
        ChangeKind::Guard
        | ChangeKind::Breaker
        | ChangeKind::Endpoints
        | ChangeKind::Ejection
        | ChangeKind::Resolution
        | ChangeKind::Retries
        | ChangeKind::Certificate
        | ChangeKind::Manual => {
            if effects.is_empty() {
                String::new()
            } else {
                effects.remove(0)
            }
        }
    };
    Change {
        age_seconds: age(&entry.time),
        at: entry.time,
        kind: kind.to_owned(),
        upstream,
        summary,
        effects,
        author: Some(entry.author),
        reason: entry.reason,
        revision: Some(entry.revision),
        hash: Some(entry.hash),
    }
}

/// Lines of the first versions have the upstream as their source.
fn upstream_of_old(entry: &journal::Change) -> Option<String> {
    let of_upstream = matches!(entry.kind, ChangeKind::Breaker | ChangeKind::Endpoints | ChangeKind::Manual);
    let named = !["policy", journal::ITSELF].contains(&entry.source.as_str());
    (of_upstream && named).then(|| entry.source.clone())
}

fn kind_word(entry: &journal::Change) -> &'static str {
    match entry.kind {
        ChangeKind::Policy => change_kind::POLICY_APPLIED,
        ChangeKind::PolicyRefused => change_kind::POLICY_REFUSED,
        ChangeKind::Rollback => change_kind::POLICY_ROLLED_BACK,
        ChangeKind::Guard => change_kind::POLICY_GUARD,
        ChangeKind::Breaker => change_kind::CIRCUIT,
        ChangeKind::Endpoints => change_kind::ENDPOINTS,
        ChangeKind::Ejection => change_kind::EJECTION,
        ChangeKind::Resolution => change_kind::DNS,
        ChangeKind::Retries => change_kind::RETRIES,
        ChangeKind::Certificate => change_kind::CERTIFICATE,
        ChangeKind::Start if entry.version_before.is_some() => change_kind::PROCESS_UPGRADED,
        ChangeKind::Start => change_kind::PROCESS_STARTED,
        ChangeKind::Stop => change_kind::PROCESS_STOPPED,
        ChangeKind::Manual => change_kind::MANUAL,
    }
}

/// The revisions that can be rolled back to, newest first.
pub fn history(sources: &Sources) -> Vec<Revision> {
    let current = sources.store.snapshot().revision;
    let changes = sources.store.changes();
    let applied = |change: &journal::Change| matches!(change.kind, ChangeKind::Policy | ChangeKind::Rollback);
    let effects = |revision: u64| {
        let told = changes.iter().find(|change| applied(change) && change.revision == revision);
        told.map_or_else(Vec::new, |change| change.effect.clone())
    };
    let newest_first = sources.store.history().into_iter().rev();
    newest_first
        .map(|kept| Revision {
            revision: kept.revision,
            applied_at: kept.time,
            author: kept.author,
            source: kept.source,
            hash: kept.hash,
            reason: kept.reason,
            effects: effects(kept.revision),
            current: kept.revision == current,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: ChangeKind) -> journal::Change {
        journal::Change {
            revision: 12,
            time: "2026-11-23T14:02:00Z".to_owned(),
            kind,
            source: "payments".to_owned(),
            author: "alice".to_owned(),
            hash: "h".to_owned(),
            effect: vec!["first".to_owned(), "second".to_owned()],
            upstream: Some("payments".to_owned()),
            reason: Some("INC-42".to_owned()),
            version: None,
            version_before: None,
        }
    }

    #[test]
    fn every_entry_says_who_what_when_why_and_under_which_revision() {
        let change = told(entry(ChangeKind::Breaker));
        assert_eq!(
            (change.kind.as_str(), change.summary.as_str(), change.effects),
            ("circuit", "first", vec!["second".to_owned()])
        );
        assert_eq!((change.author.as_deref(), change.reason.as_deref()), (Some("alice"), Some("INC-42")));
        assert_eq!((change.upstream.as_deref(), change.revision), (Some("payments"), Some(12)));
        assert_eq!(change.at, "2026-11-23T14:02:00Z");
    }

    #[test]
    fn the_upstream_of_lines_of_earlier_versions_is_their_source() {
        let old =
            |kind, source: &str| told(journal::Change { upstream: None, source: source.to_owned(), ..entry(kind) });
        assert_eq!(old(ChangeKind::Manual, "payments").upstream.as_deref(), Some("payments"));
        assert_eq!(old(ChangeKind::Manual, "policy").upstream, None);
        assert_eq!(old(ChangeKind::Policy, "/etc/policy.yaml").upstream, None);
    }

    #[test]
    fn a_start_says_the_version_and_the_one_before() {
        let version = Some("0.5.0".to_owned());
        let started = told(journal::Change { version: version.clone(), ..entry(ChangeKind::Start) });
        assert_eq!(
            (started.kind.as_str(), started.summary.as_str()),
            ("process-started", "outrigger 0.5.0 started with policy revision 12")
        );
        let version_before = Some("0.4.0".to_owned());
        let upgraded = told(journal::Change { version, version_before, ..entry(ChangeKind::Start) });
        assert_eq!(
            (upgraded.kind.as_str(), upgraded.effects[0].as_str()),
            ("process-upgraded", "the version before was 0.4.0")
        );
    }

    #[test]
    fn filters_are_kept_to_together() {
        let change = told(entry(ChangeKind::Breaker));
        let filter = |upstream: Option<&str>, kind: Option<&str>| ChangesFilter {
            since: None,
            limit: 1,
            upstream: upstream.map(str::to_owned),
            kind: kind.map(str::to_owned),
        };
        assert!(wanted(&filter(None, None), &change));
        assert!(wanted(&filter(Some("payments"), Some("circuit")), &change));
        assert!(!wanted(&filter(Some("ledger"), None), &change));
        assert!(!wanted(&filter(Some("payments"), Some("policy")), &change));
        assert!(wanted(&filter(None, Some("policy")), &told(entry(ChangeKind::Rollback))));
    }

    #[test]
    fn a_change_that_the_clock_has_not_come_to_yet_is_not_taken_for_one_of_this_moment() {
        let wall = "2026-11-23T14:00:00Z".parse().unwrap();
        assert_eq!(since("2026-11-23T13:59:56Z", wall), Some(Duration::from_secs(4)));
        assert_eq!(since("2026-11-23T14:30:00Z", wall), None);
        assert_eq!(since("no time", wall), None);
    }
}
