//! The policy store put together: what compiles, brings into force and is told of each revision, and who watches the
//! file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::notify::Notifier;
use super::{Core, StartError};
use crate::clock;
use crate::policy::Policy;
use crate::policy::journal::Journal;
use crate::policy::store::{self, ApplyError, Parts, PolicyStore, Source, StoreEvent};
use crate::policy::watch::{ReloadTrigger, Watcher};
use crate::telemetry::events::Event;

/// An empty policy file is looked at again after this time.
const HALF_WRITTEN: Duration = Duration::from_millis(200);

/// Brings the file's policy into force.
///
/// # Errors
/// It is wrong, or something that it needs is not to be had.
pub fn open_store(path: &Path, core: &Arc<Core>, journal: Arc<Journal>) -> Result<Arc<PolicyStore>, ApplyError> {
    let (installer, observer) = (Arc::clone(core), Arc::clone(core));
    let parts = Parts {
        compile,
        effect,
        now,
        install: Box::new(move |policy, revision| installer.install(policy, revision)),
        observe: Box::new(move |event| observe(&observer, event)),
        journal,
    };
    let text = store::read_policy(path)?;
    let source = Source::File(path.to_owned());
    PolicyStore::open(parts, &text, source, "start").map(Arc::new)
}

fn compile(name: &str, text: &str) -> Result<Policy, String> {
    match crate::policy::compile::load(name, text) {
        Ok(compiled) => Ok(compiled.policy),
        Err(diagnostics) => Err(diagnostics.to_string()),
    }
}

fn effect(old: &Policy, new: &Policy) -> Vec<String> {
    crate::policy::diff::diff(old, new).iter().map(ToString::to_string).collect()
}

fn now() -> Timestamp {
    Timestamp::try_from(clock::wall()).unwrap_or_default()
}

fn observe(core: &Core, event: &StoreEvent<'_>) {
    match event {
        StoreEvent::Applied { applied, effect } => {
            let at = applied.applied_at.as_millisecond() as f64 / 1e3;
            core.metrics.policy_applied(&applied.policy.hash, applied.revision, at);
            let (revision, hash) = (applied.revision, applied.policy.hash.as_str());
            let source = applied.source.to_string();
            Event::PolicyApplied { revision, hash, source: &source, author: &applied.author, effect }.emit();
            core.guard.applied(applied, clock::now());
        }
        StoreEvent::Rejected { source, author, error } => {
            core.metrics.policy_rejected();
            let (source, error) = (source.to_string(), error.to_string());
            Event::PolicyRejected { source: &source, author, error: &error }.emit();
        }
        StoreEvent::Recovered => core.metrics.policy_recovered(),
        StoreEvent::JournalLost { error } => {
            core.metrics.journal_record_lost();
            Event::JournalLost { error }.emit();
        }
    }
}

/// Watches the file from now on.
///
/// # Errors
/// A thread cannot be started.
pub fn watch(path: &Path, store: &Arc<PolicyStore>, notifier: Notifier) -> Result<Option<Watcher>, StartError> {
    let (watched, store) = (path.to_owned(), Arc::clone(store));
    let watcher = Watcher::start(path, move |trigger| {
        // A file that is written in place is empty for an instant; what it becomes is worth the wait.
        if trigger == ReloadTrigger::Changed && std::fs::metadata(&watched).is_ok_and(|m| m.len() == 0) {
            std::thread::sleep(HALF_WRITTEN);
        }
        // Who sent SIGHUP may wait for the end of it.
        if trigger.force() {
            notifier.reloading();
        }
        // Refusals are told by the store.
        let applied = store.apply_file(&watched, "file", trigger.force());
        if trigger.force() || applied.as_ref().is_ok_and(|applied| applied.changed) {
            let revision = store.snapshot().revision;
            let refused = if applied.is_err() { ", the file is refused" } else { "" };
            notifier.ready(&format!("policy revision {revision} is in force{refused}"));
        }
    })
    .map_err(|e| StartError::Process(format!("cannot watch {}: {e}", path.display())))?;
    if let Some(reason) = watcher.degraded() {
        tracing::warn!(event = "watch-degraded", reason, "the policy directory cannot be watched; it is polled");
    }
    Ok(Some(watcher))
}
