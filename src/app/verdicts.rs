//! Findings in the words of the admin API, of the log and of the metrics; and the changes that may be their reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Core;
use crate::admin::api::Verdict;
use crate::admin::verdict;
use crate::clock;
use crate::policy::journal::{self, ChangeKind as Journaled};
use crate::policy::store::PolicyStore;
use crate::policy::{Direction, Policy};
use crate::reliability::verdict::Condition;
use crate::reliability::verdict::finding::{Change, ChangeKind, Finding};
use crate::telemetry::events::Event;
use crate::telemetry::metrics::VerdictGauge;
use crate::upstreams::view::UpstreamView;

/// Older changes explain nothing.
const RECENT: Duration = Duration::from_secs(600);
/// The set of addresses that a process begins with is no change.
const BEGINNING: Duration = Duration::from_secs(10);

/// One verdict for each upstream, in the order of the policy.
pub fn all(core: &Core) -> Vec<Verdict> {
    let views = core.views();
    let now = clock::now();
    let findings = core.observer.findings();
    let findings: HashMap<(&str, &str), &Finding> = findings
        .iter()
        .filter_map(|(direction, name, found)| Some(((direction.as_str(), &**name), found.as_ref()?)))
        .collect();
    let of = |view: &UpstreamView| findings.get(&(view.direction.as_str(), view.name.as_str())).copied();
    views.iter().map(|view| verdict::of(view, of(view), now)).collect()
}

/// Tells the metrics.
pub fn measure(core: &Core) {
    let gauge = |(direction, name, found): (Direction, Arc<str>, Option<Finding>)| VerdictGauge {
        direction: direction.as_str(),
        upstream: name.to_string(),
        condition: found.as_ref().map_or(Condition::Healthy, |found| found.condition) as u8,
        cause: found.map(|found| found.cause.token()),
    };
    core.metrics.verdicts(core.observer.findings().into_iter().map(gauge).collect());
}

/// Writes down what is said anew. May wait for who reads the log.
pub fn tell(core: &Core, news: &[(Direction, Arc<str>)]) {
    let verdicts = all(core);
    for (direction, name) in news {
        let of = |verdict: &&Verdict| {
            verdict.upstream.as_deref() == Some(&**name) && verdict.direction.as_deref() == Some(direction.as_str())
        };
        let Some(verdict) = verdicts.iter().find(of) else { continue };
        Event::Verdict {
            upstream: name,
            direction: direction.as_str(),
            condition: verdict.condition.as_str(),
            cause: verdict.cause.as_deref().unwrap_or(""),
            route: verdict.route.as_deref().unwrap_or(""),
            text: &verdict.text,
            suspect: verdict.suspect.as_ref().map_or("", |suspect| suspect.text.as_str()),
        }
        .emit();
    }
}

/// The changes of the last minutes that can be a reason for something.
pub fn changes(core: &Core, store: &PolicyStore, policy: &Policy) -> Vec<Change> {
    let (now, wall) = (clock::now(), Timestamp::try_from(clock::wall()).unwrap_or_default());
    let began = now.saturating_duration_since(core.started);
    let read = |change: journal::Change| {
        let age = super::changes::since(&change.time, wall)?;
        if age > RECENT {
            return None;
        }
        let (kind, upstreams) = classify(&change, policy)?;
        if kind == ChangeKind::Endpoints && age + BEGINNING > began {
            return None;
        }
        let at = now.checked_sub(age)?;
        let revision = matches!(kind, ChangeKind::Policy | ChangeKind::Start).then_some(change.revision);
        let mut effects = change.effect;
        let summary = match kind {
            ChangeKind::Policy => format!("revision {}", change.revision),
            ChangeKind::Start => format!("the start with revision {}", change.revision),
            ChangeKind::Endpoints | ChangeKind::Certificate | ChangeKind::Manual if !effects.is_empty() => {
                effects.remove(0)
            }
            ChangeKind::Endpoints | ChangeKind::Certificate | ChangeKind::Manual => "a change".to_owned(),
        };
        Some(Change { at, kind, upstreams, summary, effects, revision })
    };
    store.changes().into_iter().filter_map(read).collect()
}

/// What kind of reason it can be, and for which upstreams; none: for all. `None`: it is a consequence, not a reason.
fn classify(change: &journal::Change, policy: &Policy) -> Option<(ChangeKind, Vec<String>)> {
    let own = || change.upstream.iter().cloned().collect();
    match change.kind {
        Journaled::Policy | Journaled::Rollback => {
            named(&change.effect, policy).map(|upstreams| (ChangeKind::Policy, upstreams))
        }
        Journaled::Start => Some((ChangeKind::Start, Vec::new())),
        Journaled::Manual => Some((ChangeKind::Manual, own())),
        Journaled::Certificate => Some((ChangeKind::Certificate, own())),
        Journaled::Endpoints => Some((ChangeKind::Endpoints, own())),
        // They follow from something, or change nothing.
        Journaled::Breaker
        | Journaled::Ejection
        | Journaled::Resolution
        | Journaled::Retries
        | Journaled::PolicyRefused
        | Journaled::Guard
        | Journaled::Stop => None,
    }
}

/// The upstreams that an effect names; none of them if it names something that concerns all. `None`: it concerns nobody
/// any more.
fn named(effect: &[String], policy: &Policy) -> Option<Vec<String>> {
    let mut named: Vec<String> = Vec::new();
    for line in effect {
        // What is gone cannot fail.
        if line.ends_with(": removed") {
            continue;
        }
        let subject = line.split(": ").next().unwrap_or_default();
        let name = subject.split('/').next().unwrap_or_default();
        if !policy.upstreams.iter().any(|upstream| *upstream.name == *name) {
            return Some(Vec::new());
        }
        if !named.iter().any(|known| known == name) {
            named.push(name.to_owned());
        }
    }
    (!named.is_empty() || effect.is_empty()).then_some(named)
}
