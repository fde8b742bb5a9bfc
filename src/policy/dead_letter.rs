//! Which requests become dead letters, and what may be kept of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::reliability::dead_letters::Cause;

/// `deadLetter` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPolicy {
    /// `queue`, or `UPSTREAM/ROUTE`.
    pub queue: Arc<str>,
    /// `when`: other ends are no letters.
    pub when: Vec<Cause>,
    /// `capture`: when the request is written down.
    pub capture: CaptureAt,
}

/// When a request is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureAt {
    /// When it has failed.
    Failure,
    /// Before it is sent, so that it is not lost if this process ends first.
    Send,
}

/// `deadLetter`: what holds for all routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterBounds {
    /// How long a letter stays open.
    pub retention: Duration,
    /// Bytes of all letters.
    pub max_bytes: u64,
    /// Letters, open and closed.
    pub max_letters: u32,
    /// Of both bounds, what one queue may take, in percent.
    pub max_share: u8,
    /// Where the keys are that letters are sealed with; None = beside the store.
    pub key_file: Option<PathBuf>,
    /// Bodies up to this can be sent again.
    pub max_body: usize,
    /// Fields that are shown redacted, besides the usual ones.
    pub redact_headers: Vec<HeaderName>,
    /// Parameters of the query that are shown redacted.
    pub redact_query: Vec<String>,
    /// What becomes of credentials.
    pub credentials: Credentials,
}

/// What becomes of a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They are sealed with the rest.
    Seal,
    /// They are not kept: a replay goes without.
    Drop,
}
