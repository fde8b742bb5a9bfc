//! Dead letters as operators want them: of which failures, within which bounds, and what of a request is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::reliability::dead_letters::Cause;

/// Fields whose values are shown to nobody, whatever the policy says.
pub const ALWAYS_REDACTED: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

/// `deadLetter` of a route that keeps what failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPolicy {
    /// `queue`. Default `UPSTREAM/ROUTE`.
    pub queue: Arc<str>,
    /// `when`: the failures of which letters are kept. Never empty, each once.
    pub when: Vec<Cause>,
    /// `capture`.
    pub capture: CaptureAt,
}

/// When a request is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureAt {
    /// When it has failed.
    Failure,
    /// When it is sent. Then a record of its key is kept in the embedded store: the policy is refused otherwise.
    Send,
}

impl CaptureAt {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            CaptureAt::Failure => "failure",
            CaptureAt::Send => "send",
        }
    }
}

/// `deadLetter` at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterBounds {
    /// `retention`: open letters are closed as expired after it, closed ones forgotten. Default 7 days.
    pub retention: Duration,
    /// `maxBytes`: all letters together; part of `stores.embedded.maxBytes`. Default half of it.
    pub max_bytes: u64,
    /// `maxLetters`: open and closed ones. Default 10,000.
    pub max_letters: u32,
    /// `maxShare`: of both bounds, what one queue may take, in percent. Default 100.
    pub max_share: u8,
    /// `keyFile`. None = a key is made beside the file of the store.
    pub key_file: Option<PathBuf>,
    /// `capture.maxBody`: larger bodies are not kept. Default 1 MiB.
    pub max_body: usize,
    /// `capture.redactHeaders`, and before them [`ALWAYS_REDACTED`]. Lower-case, each once.
    pub redact_headers: Vec<HeaderName>,
    /// `capture.redactQuery`: names of parameters, as they are written in a query, whose values are shown by a digest; those
    /// of all others are not shown at all. Each once.
    pub redact_query: Vec<String>,
    /// `capture.credentials`.
    pub credentials: Credentials,
}

/// What becomes of the redacted fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They are kept, sealed, so that a replay can authenticate.
    Seal,
    /// They are not kept.
    Drop,
}

impl Credentials {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Credentials::Seal => "seal",
            Credentials::Drop => "drop",
        }
    }
}
