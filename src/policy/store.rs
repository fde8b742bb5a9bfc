//! One door for change: file watcher, admin API and rollback all end in [`PolicyStore::apply`].
//!
//! In this order: compile, state the effect, install (bind listeners, reconcile upstreams), make it current,
//! write it down. Whatever fails before "current" changes nothing. Requests read [`PolicyStore::snapshot`] once
//! and keep it to their end.
//!
//! **Content decides.** A candidate whose hash is that of the policy in force changes nothing. A file is offered
//! anew only when its content differs from what it held when it was last looked at, whether that was applied or
//! refused. So a rollback stays in force while the bad file lies unchanged on disk, however often the slow poll
//! looks, and ends when the file gets *new* content, when someone forces a reload (SIGHUP, `POST
//! /policy/reload`), or when the process restarts: at start the file is the truth.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;

use super::Policy;
use super::journal::{Change, ChangeKind, Entry, ITSELF, Journal, KeptRevision, Predecessor, bounded_effect};
pub use content::{content_hash, read_policy};
pub use words::{Applied, ApplyError, ReloadStatus, Revision, Source, StoreEvent, StoreStatus};

mod content;
#[cfg(test)]
pub(super) mod tests;
mod words;

#[cfg(test)]
pub(crate) use tests::of_texts;

/// Largest policy accepted: what `check` passes can be run.
pub const POLICY_BYTES_MAX: usize = super::compile::FILE_BYTES_MAX;

/// Compiles `(name, text)`; the error is what `outrigger check` prints.
pub type Compile = fn(&str, &str) -> Result<Policy, String>;
/// States what a change of policy means for requests, a line each.
pub type Effect = fn(&Policy, &Policy) -> Vec<String>;
/// Brings a policy with its revision into force: binds listeners, reconciles upstreams. On an error it has
/// changed nothing. It must not call back into the store.
pub type Install = Box<dyn Fn(&Arc<Policy>, u64) -> Result<(), String> + Send + Sync>;
/// Learns what the store did, for metrics and events. It must not call back into the store.
pub type Observe = Box<dyn Fn(&StoreEvent<'_>) + Send + Sync>;

/// What the store is built from.
pub struct Parts {
    /// The compiler.
    pub compile: Compile,
    /// The comparison.
    pub effect: Effect,
    /// The wall clock.
    pub now: fn() -> Timestamp,
    /// Brings a policy into force.
    pub install: Install,
    /// Metrics and events.
    pub observe: Observe,
    /// Where changes are written.
    pub journal: Arc<Journal>,
}

/// The policy in force and the door to change it.
pub struct PolicyStore {
    parts: Parts,
    current: ArcSwap<Applied>,
    /// Held for the whole of a change: changes come one after another. Requests never take it.
    control: Mutex<Standing>,
}

/// How the candidates fared that came last.
#[derive(Debug, Default)]
struct Standing {
    reload: ReloadStatus,
    /// Where the one came from that was refused last, and why: the journal has the same refusal once.
    refused: Option<(Source, String)>,
}

/// Who wants a candidate, and why.
#[derive(Clone, Copy)]
struct Order<'a> {
    source: &'a Source,
    author: &'a str,
    reason: Option<&'a str>,
}

impl PolicyStore {
    /// Applies the first policy. The revision number goes on from the journal's; it stays the same if the text is
    /// the one recorded last.
    ///
    /// # Errors
    ///
    /// As [`PolicyStore::apply`]. At start a bad policy is fatal: there is no last good one.
    pub fn open(parts: Parts, text: &str, source: Source, author: &str) -> Result<PolicyStore, ApplyError> {
        let policy = compile(&parts, text, &source)?;
        let last = parts.journal.last_revision();
        let predecessor = Predecessor::of(&parts.journal.changes());
        let before = parts.journal.texts().pop();
        let unchanged = before.as_ref().is_some_and(|kept| kept.revision == last && kept.hash == policy.hash);
        let revision = if unchanged { last } else { last + 1 };
        // What changed while the process was away; a text that no longer compiles cannot be compared.
        let before = before.filter(|_| !unchanged).and_then(|kept| (parts.compile)("", &kept.text).ok());
        let effect = before.map(|before| bounded_effect((parts.effect)(&before, &policy))).unwrap_or_default();
        (parts.install)(&policy, revision).map_err(ApplyError::NotInstalled)?;
        let applied_at = (parts.now)();
        let file_hash = matches!(source, Source::File(_)).then(|| content_hash(text));
        let author = author.to_owned();
        let applied = Arc::new(Applied { policy, revision, applied_at, author, source, reason: None });
        let reload = ReloadStatus { file_hash, ..ReloadStatus::default() };
        let store = PolicyStore {
            current: ArcSwap::new(applied.clone()),
            control: Mutex::new(Standing { reload, refused: None }),
            parts,
        };
        store.keep_text(&applied, !unchanged);
        store.write(start(&applied, &effect, predecessor));
        (store.parts.observe)(&StoreEvent::Applied { applied: &applied, effect: &effect });
        Ok(store)
    }

    /// The policy in force. One load; take it once per request.
    pub fn snapshot(&self) -> Guard<Arc<Applied>> {
        self.current.load()
    }

    fn control(&self) -> MutexGuard<'_, Standing> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `candidate` the policy in force. With `if_match`, only if that is the hash in force now. Blocks: not
    /// for the data plane's threads.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; nothing has changed then.
    pub fn apply(
        &self,
        candidate: &str,
        source: Source,
        author: &str,
        if_match: Option<&str>,
    ) -> Result<Revision, ApplyError> {
        self.apply_order(candidate, Order { source: &source, author, reason: None }, if_match)
    }

    fn apply_order(&self, candidate: &str, order: Order<'_>, if_match: Option<&str>) -> Result<Revision, ApplyError> {
        let mut standing = self.control();
        let now = self.snapshot();
        if if_match.is_some_and(|hash| hash != now.policy.hash) {
            return Err(ApplyError::Conflict { revision: now.revision, hash: now.policy.hash.clone() });
        }
        drop(now);
        if let Source::File(_) = order.source {
            return self.apply_content(&mut standing, Ok(candidate.to_owned()), order, true);
        }
        let result = self.apply_locked(candidate, order);
        match &result {
            Ok(_) => standing.refused = None,
            Err(error) => self.refuse(&mut standing, order, error),
        }
        result
    }

    /// Reads the policy file and applies it if its content is new since it was last read, or if `force` is set.
    /// A file that is missing, unreadable or wrong marks the reload as failed; the same failure found again by
    /// the poll is not told again.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; the last good policy stays in force.
    pub fn apply_file(&self, path: &Path, author: &str, force: bool) -> Result<Revision, ApplyError> {
        let mut standing = self.control();
        let source = Source::File(path.to_owned());
        let order = Order { source: &source, author, reason: None };
        self.apply_content(&mut standing, read_policy(path), order, force)
    }

    fn apply_content(
        &self,
        standing: &mut Standing,
        content: Result<String, ApplyError>,
        order: Order<'_>,
        force: bool,
    ) -> Result<Revision, ApplyError> {
        let hash = content.as_deref().map(content_hash).ok();
        if !force && hash.is_some() && hash == standing.reload.file_hash {
            return match &standing.reload.error {
                // Known, and told when it was new.
                Some(error) => Err(ApplyError::Invalid(error.clone())),
                None => Ok(self.unchanged()),
            };
        }
        let result = content.and_then(|text| self.apply_locked(&text, order));
        // What is not the content's fault is tried again by the next poll.
        let settled = !matches!(result, Err(ApplyError::NotInstalled(_)));
        standing.reload.file_hash = hash.filter(|_| settled);
        match &result {
            Ok(revision) => {
                let recovered = std::mem::take(&mut standing.reload.failed) && !revision.changed;
                (standing.reload.error, standing.reload.at, standing.refused) = (None, None, None);
                if recovered {
                    (self.parts.observe)(&StoreEvent::Recovered);
                }
            }
            Err(error) => self.reject_content(standing, order, error, force),
        }
        result
    }

    fn reject_content(&self, standing: &mut Standing, order: Order<'_>, error: &ApplyError, force: bool) {
        let text = error.to_string();
        let known = standing.reload.failed && standing.reload.error.as_ref() == Some(&text);
        if !known || force {
            let reload = &mut standing.reload;
            (reload.failed, reload.error, reload.at) = (true, Some(text), Some((self.parts.now)().to_string()));
            self.refuse(standing, order, error);
        }
    }

    /// Tells and writes down that a candidate was refused; the same refusal is written once.
    fn refuse(&self, standing: &mut Standing, order: Order<'_>, error: &ApplyError) {
        let Order { source, author, reason: _ } = order;
        let text = error.to_string();
        let known = standing.refused.as_ref().is_some_and(|(from, why)| from == source && *why == text);
        if !known {
            let mut lines = text.lines();
            let entry = Entry {
                kind: ChangeKind::PolicyRefused,
                upstream: None,
                author: author.to_owned(),
                reason: lines.next().map(str::to_owned),
                // The excerpt with the mark below it, and what else is wrong.
                effect: lines.map(str::to_owned).collect(),
            };
            self.record_from(source.to_string(), entry);
            standing.refused = Some((source.clone(), text));
        }
        (self.parts.observe)(&StoreEvent::Rejected { source, author, error });
    }

    /// Applies the text of an earlier revision as a new revision. The file stays as it is and is not applied again
    /// before its content changes.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; also if that text is not kept.
    pub fn rollback(
        &self,
        revision: u64,
        author: &str,
        reason: Option<&str>,
        if_match: Option<&str>,
    ) -> Result<Revision, ApplyError> {
        let kept = self.history().into_iter().find(|kept| kept.revision == revision);
        let kept = kept.ok_or(ApplyError::UnknownRevision(revision))?;
        self.apply_order(&kept.text, Order { source: &Source::Rollback(revision), author, reason }, if_match)
    }

    /// The revisions that can be rolled back to, with the one in force, oldest first.
    pub fn history(&self) -> Vec<KeptRevision> {
        self.parts.journal.texts()
    }

    /// The last changes of any kind, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.parts.journal.changes()
    }

    /// Writes down a change that is none of the policy's: a breaker, endpoints, an operator's hand, the end.
    /// Waits for the disk: not for the data plane's threads.
    pub fn record(&self, entry: Entry) {
        self.record_from(entry.upstream.clone().unwrap_or_else(|| ITSELF.to_owned()), entry);
    }

    fn record_from(&self, source: String, entry: Entry) {
        let Entry { kind, upstream, author, reason, effect } = entry;
        let applied = self.snapshot();
        self.write(Change {
            revision: applied.revision,
            time: (self.parts.now)().to_string(),
            kind,
            source,
            author,
            hash: applied.policy.hash.clone(),
            effect,
            upstream,
            reason,
            version: None,
            version_before: None,
        });
    }

    /// For operators.
    pub fn status(&self) -> StoreStatus {
        let reload = self.control().reload.clone();
        let applied = self.snapshot();
        StoreStatus {
            revision: applied.revision,
            hash: applied.policy.hash.clone(),
            applied_at: applied.applied_at.to_string(),
            author: applied.author.clone(),
            source: applied.source.to_string(),
            reload,
            journal: self.parts.journal.status(),
        }
    }

    fn apply_locked(&self, candidate: &str, order: Order<'_>) -> Result<Revision, ApplyError> {
        let before = self.current.load_full();
        if content_hash(candidate) == before.policy.hash {
            return Ok(self.unchanged());
        }
        let Order { source, author, reason } = order;
        let policy = compile(&self.parts, candidate, source)?;
        let effect = bounded_effect((self.parts.effect)(&before.policy, &policy));
        let revision = before.revision + 1;
        (self.parts.install)(&policy, revision).map_err(ApplyError::NotInstalled)?;
        let applied_at = (self.parts.now)();
        let (author, reason, source) = (author.to_owned(), reason.map(str::to_owned), source.clone());
        let applied = Arc::new(Applied { policy, revision, applied_at, author, source, reason });
        self.current.store(applied.clone());
        self.keep_text(&applied, true);
        let kind = match applied.source {
            Source::Rollback(_) => ChangeKind::Rollback,
            Source::File(_) | Source::Api => ChangeKind::Policy,
        };
        self.write(change_of(&applied, kind, &effect));
        (self.parts.observe)(&StoreEvent::Applied { applied: &applied, effect: &effect });
        Ok(Revision { revision, hash: applied.policy.hash.clone(), changed: true, effect })
    }

    fn unchanged(&self) -> Revision {
        let applied = self.snapshot();
        Revision { revision: applied.revision, hash: applied.policy.hash.clone(), changed: false, effect: Vec::new() }
    }

    fn keep_text(&self, applied: &Applied, wanted: bool) {
        if wanted {
            self.observe_loss(self.parts.journal.keep_text(KeptRevision {
                revision: applied.revision,
                time: applied.applied_at.to_string(),
                source: applied.source.to_string(),
                author: applied.author.clone(),
                hash: applied.policy.hash.clone(),
                text: applied.policy.text.clone(),
                reason: applied.reason.clone(),
            }));
        }
    }

    fn write(&self, change: Change) {
        self.observe_loss(self.parts.journal.append(change));
    }

    fn observe_loss(&self, written: Result<(), String>) {
        if let Err(error) = written {
            (self.parts.observe)(&StoreEvent::JournalLost { error: &error });
        }
    }
}

fn change_of(applied: &Applied, kind: ChangeKind, effect: &[String]) -> Change {
    Change {
        revision: applied.revision,
        time: applied.applied_at.to_string(),
        kind,
        source: applied.source.to_string(),
        author: applied.author.clone(),
        hash: applied.policy.hash.clone(),
        effect: effect.to_vec(),
        upstream: None,
        reason: applied.reason.clone(),
        version: None,
        version_before: None,
    }
}

/// The start, and what became of the process before.
fn start(applied: &Applied, effect: &[String], predecessor: Predecessor) -> Change {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let reason = predecessor.vanished_after.map(|time| {
        format!("the process before ended without saying goodbye, at {time} or later: a crash or a SIGKILL")
    });
    let version_before = predecessor.version.filter(|before| *before != version);
    Change { reason, version: Some(version), version_before, ..change_of(applied, ChangeKind::Start, effect) }
}

fn compile(parts: &Parts, text: &str, source: &Source) -> Result<Arc<Policy>, ApplyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(ApplyError::TooLarge);
    }
    let name = source.to_string();
    (parts.compile)(&name, text).map(Arc::new).map_err(ApplyError::Invalid)
}
