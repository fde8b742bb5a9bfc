//! The words of the store: where a candidate comes from, what became of it, and how things stand.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::POLICY_BYTES_MAX;
use crate::policy::Policy;
use crate::policy::journal::JournalStatus;

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
    /// Why, if that was said.
    pub reason: Option<String>,
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

/// What the store did, told to the observer of `Parts`.
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
