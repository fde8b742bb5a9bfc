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

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Policy;
use super::journal::{Change, ChangeKind, Journal, JournalStatus, KeptRevision, bounded_effect};

#[cfg(test)]
pub(super) mod tests;

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

/// SHA-256 in lower-case hex: what `sha256sum` prints.
pub fn content_hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a candidate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The policy file.
    File(PathBuf),
    /// The admin API.
    Api,
    /// The text of an earlier revision.
    Rollback(u64),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Api => f.write_str("api"),
            Source::Rollback(revision) => write!(f, "rollback to {revision}"),
        }
    }
}

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

/// The policy in force. A request holds on to it.
#[derive(Debug)]
pub struct Applied {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its number; rises by one per applied policy, also over restarts if there is a state directory.
    pub revision: u64,
    /// When it came into force.
    pub applied_at: Timestamp,
    /// Who asked for it.
    pub author: String,
    /// Where it came from.
    pub source: Source,
}

/// What `apply` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The revision in force now.
    pub revision: u64,
    /// Its hash.
    pub hash: String,
    /// False: that policy was in force already.
    pub changed: bool,
    /// What changed for requests, as many lines as the journal keeps.
    pub effect: Vec<String>,
}

/// Why a candidate was not applied. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// The file cannot be read.
    Unreadable(String),
    /// More than [`POLICY_BYTES_MAX`] bytes.
    TooLarge,
    /// `if_match` is not the hash of the policy in force, which is this one.
    Conflict { revision: u64, hash: String },
    /// It does not compile; rendered diagnostics.
    Invalid(String),
    /// It is right and cannot be brought into force (an address is taken, say).
    NotInstalled(String),
    /// Its text is not kept (any more).
    UnknownRevision(u64),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Unreadable(error) => write!(f, "the policy cannot be read: {error}"),
            ApplyError::TooLarge => write!(f, "the policy is larger than {POLICY_BYTES_MAX} bytes"),
            ApplyError::Conflict { revision, hash } => {
                write!(f, "the policy has changed meanwhile: revision {revision}, hash {hash}")
            }
            ApplyError::Invalid(diagnostics) => f.write_str(diagnostics),
            ApplyError::NotInstalled(error) => {
                write!(f, "the policy is valid and cannot be brought into force: {error}")
            }
            ApplyError::UnknownRevision(revision) => write!(f, "the text of revision {revision} is not kept"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// What the store did, told to [`Observe`].
#[derive(Clone, Copy, Debug)]
pub enum StoreEvent<'a> {
    /// A policy is in force.
    Applied { applied: &'a Applied, effect: &'a [String] },
    /// A candidate was refused; the last good policy stays.
    Rejected { source: &'a Source, author: &'a str, error: &'a ApplyError },
    /// The file, refused before, holds the policy in force again.
    Recovered,
    /// A change was made and could not be written down.
    JournalLost { error: &'a str },
}

/// How the policy file stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadStatus {
    /// The file's content was refused, or it cannot be read.
    pub failed: bool,
    /// Why.
    pub error: Option<String>,
    /// When that was noticed; RFC 3339.
    pub at: Option<String>,
    /// SHA-256 of the file when it was last read. Differs from the policy in force after a refusal, a rollback or
    /// a change through the API.
    pub file_hash: Option<String>,
}

/// For `outrigger status` and the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Revision in force.
    pub revision: u64,
    /// Its hash.
    pub hash: String,
    /// RFC 3339.
    pub applied_at: String,
    /// Who asked for it.
    pub author: String,
    /// Where it came from.
    pub source: String,
    /// How the file stands.
    pub reload: ReloadStatus,
    /// How well changes are written down.
    pub journal: JournalStatus,
}

/// The policy in force and the door to change it.
pub struct PolicyStore {
    parts: Parts,
    current: ArcSwap<Applied>,
    /// Held for the whole of a change: changes come one after another. Requests never take it.
    control: Mutex<ReloadStatus>,
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
        let before = parts.journal.texts().pop();
        let unchanged = before.as_ref().is_some_and(|kept| kept.revision == last && kept.hash == policy.hash);
        let revision = if unchanged { last } else { last + 1 };
        // What changed while the process was away; a text that no longer compiles cannot be compared.
        let before = before.filter(|_| !unchanged).and_then(|kept| (parts.compile)("", &kept.text).ok());
        let effect = before.map(|before| bounded_effect((parts.effect)(&before, &policy))).unwrap_or_default();
        (parts.install)(&policy, revision).map_err(ApplyError::NotInstalled)?;
        let applied_at = (parts.now)();
        let file_hash = matches!(source, Source::File(_)).then(|| content_hash(text));
        let applied = Arc::new(Applied { policy, revision, applied_at, author: author.to_owned(), source });
        let store = PolicyStore {
            current: ArcSwap::new(applied.clone()),
            control: Mutex::new(ReloadStatus { file_hash, ..ReloadStatus::default() }),
            parts,
        };
        store.write_down(&applied, ChangeKind::Start, &effect, !unchanged);
        (store.parts.observe)(&StoreEvent::Applied { applied: &applied, effect: &effect });
        Ok(store)
    }

    /// The policy in force. One load; take it once per request.
    pub fn snapshot(&self) -> Guard<Arc<Applied>> {
        self.current.load()
    }

    fn control(&self) -> MutexGuard<'_, ReloadStatus> {
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
        let mut reload = self.control();
        let now = self.snapshot();
        if if_match.is_some_and(|hash| hash != now.policy.hash) {
            return Err(ApplyError::Conflict { revision: now.revision, hash: now.policy.hash.clone() });
        }
        drop(now);
        if let Source::File(_) = source {
            return self.apply_content(&mut reload, Ok(candidate.to_owned()), &source, author, true);
        }
        let result = self.apply_locked(candidate, &source, author);
        if let Err(error) = &result {
            (self.parts.observe)(&StoreEvent::Rejected { source: &source, author, error });
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
        let mut reload = self.control();
        let source = Source::File(path.to_owned());
        self.apply_content(&mut reload, read_policy(path), &source, author, force)
    }

    fn apply_content(
        &self,
        reload: &mut ReloadStatus,
        content: Result<String, ApplyError>,
        source: &Source,
        author: &str,
        force: bool,
    ) -> Result<Revision, ApplyError> {
        let hash = content.as_deref().map(content_hash).ok();
        if !force && hash.is_some() && hash == reload.file_hash {
            return match &reload.error {
                // Known, and told when it was new.
                Some(error) => Err(ApplyError::Invalid(error.clone())),
                None => Ok(self.unchanged()),
            };
        }
        let result = content.and_then(|text| self.apply_locked(&text, source, author));
        // What is not the content's fault is tried again by the next poll.
        let settled = !matches!(result, Err(ApplyError::NotInstalled(_)));
        reload.file_hash = hash.filter(|_| settled);
        match &result {
            Ok(revision) => {
                let recovered = std::mem::take(&mut reload.failed) && !revision.changed;
                (reload.error, reload.at) = (None, None);
                if recovered {
                    (self.parts.observe)(&StoreEvent::Recovered);
                }
            }
            Err(error) => self.reject_content(reload, source, author, error, force),
        }
        result
    }

    fn reject_content(
        &self,
        reload: &mut ReloadStatus,
        source: &Source,
        author: &str,
        error: &ApplyError,
        force: bool,
    ) {
        let text = error.to_string();
        let known = reload.failed && reload.error.as_ref() == Some(&text);
        if !known || force {
            reload.failed = true;
            reload.error = Some(text);
            reload.at = Some((self.parts.now)().to_string());
            (self.parts.observe)(&StoreEvent::Rejected { source, author, error });
        }
    }

    /// Applies the text of an earlier revision as a new revision. The file stays as it is and is not applied again
    /// before its content changes.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; also if that text is not kept.
    pub fn rollback(&self, revision: u64, author: &str, if_match: Option<&str>) -> Result<Revision, ApplyError> {
        let kept = self.history().into_iter().find(|kept| kept.revision == revision);
        let kept = kept.ok_or(ApplyError::UnknownRevision(revision))?;
        self.apply(&kept.text, Source::Rollback(revision), author, if_match)
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
    pub fn record(&self, kind: ChangeKind, source: &str, author: &str, effect: Vec<String>) {
        let applied = self.snapshot();
        let change = Change {
            revision: applied.revision,
            time: (self.parts.now)().to_string(),
            kind,
            source: source.to_owned(),
            author: author.to_owned(),
            hash: applied.policy.hash.clone(),
            effect,
        };
        self.observe_loss(self.parts.journal.append(change));
    }

    /// For operators.
    pub fn status(&self) -> StoreStatus {
        let reload = self.control().clone();
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

    fn apply_locked(&self, candidate: &str, source: &Source, author: &str) -> Result<Revision, ApplyError> {
        let before = self.current.load_full();
        if content_hash(candidate) == before.policy.hash {
            return Ok(self.unchanged());
        }
        let policy = compile(&self.parts, candidate, source)?;
        let effect = bounded_effect((self.parts.effect)(&before.policy, &policy));
        let revision = before.revision + 1;
        (self.parts.install)(&policy, revision).map_err(ApplyError::NotInstalled)?;
        let applied_at = (self.parts.now)();
        let author = author.to_owned();
        let applied = Arc::new(Applied { policy, revision, applied_at, author, source: source.clone() });
        self.current.store(applied.clone());
        self.write_down(&applied, ChangeKind::Policy, &effect, true);
        (self.parts.observe)(&StoreEvent::Applied { applied: &applied, effect: &effect });
        Ok(Revision { revision, hash: applied.policy.hash.clone(), changed: true, effect })
    }

    fn unchanged(&self) -> Revision {
        let applied = self.snapshot();
        Revision { revision: applied.revision, hash: applied.policy.hash.clone(), changed: false, effect: Vec::new() }
    }

    fn write_down(&self, applied: &Applied, kind: ChangeKind, effect: &[String], keep_text: bool) {
        let (time, source) = (applied.applied_at.to_string(), applied.source.to_string());
        let (author, hash) = (applied.author.clone(), applied.policy.hash.clone());
        if keep_text {
            self.observe_loss(self.parts.journal.keep_text(KeptRevision {
                revision: applied.revision,
                time: time.clone(),
                source: source.clone(),
                author: author.clone(),
                hash: hash.clone(),
                text: applied.policy.text.clone(),
            }));
        }
        let effect = effect.to_vec();
        let change = Change { revision: applied.revision, time, kind, source, author, hash, effect };
        self.observe_loss(self.parts.journal.append(change));
    }

    fn observe_loss(&self, written: Result<(), String>) {
        if let Err(error) = written {
            (self.parts.observe)(&StoreEvent::JournalLost { error: &error });
        }
    }
}

fn compile(parts: &Parts, text: &str, source: &Source) -> Result<Arc<Policy>, ApplyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(ApplyError::TooLarge);
    }
    let name = source.to_string();
    (parts.compile)(&name, text).map(Arc::new).map_err(ApplyError::Invalid)
}

/// The policy file's text.
///
/// # Errors
///
/// [`ApplyError::Unreadable`] or [`ApplyError::TooLarge`].
pub fn read_policy(path: &Path) -> Result<String, ApplyError> {
    let unreadable = |error: std::io::Error| ApplyError::Unreadable(format!("{}: {error}", path.display()));
    // A pipe would keep us waiting for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ApplyError::Unreadable(format!("{}: not a regular file", path.display())));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(POLICY_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > POLICY_BYTES_MAX { Err(ApplyError::TooLarge) } else { Ok(text) }
}
