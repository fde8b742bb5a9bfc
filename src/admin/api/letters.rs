//! Dead letters, as JSON.

mod replays;

use serde::{Deserialize, Serialize};

pub use replays::*;

use super::{KeyResponse, KeyView, ResolveAs};

/// Which letters, in the words of the command line. Several words stand in one text, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LetterFilter {
    /// Ids, or ends of them of at least 8 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `open`, `replaying`, `replayed`, `superseded`, `dropped`, `resolved`, `expired`, or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// `not-executed`, `unknown`, `failed-response`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// `retries-exhausted`, `deadline`, `circuit-open`, `server-error`, `outcome-unknown`, `process-ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// `UPSTREAM` or `UPSTREAM/ROUTE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Captured in this last time, such as `2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Captured longer ago than this, such as `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Query of `GET /dead-letters` and `GET /dead-letters/export`: a [`LetterFilter`], and which part of what it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LettersQuery {
    pub id: Option<String>,
    pub state: Option<String>,
    pub class: Option<String>,
    pub cause: Option<String>,
    pub route: Option<String>,
    pub queue: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    /// Continue behind this letter: its whole id.
    pub after: Option<String>,
    /// At most this many: 1 to 500. Default 50; an export has all unless it is stated.
    pub limit: Option<usize>,
}

/// `GET /dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letters {
    /// Newest first.
    pub letters: Vec<LetterView>,
    /// All that the filter matches, also on other pages.
    pub total: u64,
    /// There are more: ask again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What may be done about a letter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// It may be sent again; no effect can happen twice by that.
    Safe,
    /// It may have been executed: somebody has to find out, or to accept the risk.
    NeedsDecision,
    /// It is open, but can never be sent again.
    Impossible,
    /// It is being sent again.
    Underway,
    /// It is closed.
    Closed,
}

/// A letter in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterView {
    pub id: String,
    /// Counts its changes; a change may name the one that was seen.
    pub version: u64,
    pub state: String,
    pub class: String,
    pub cause: String,
    /// What the client was told: a failure's token or `status-503`.
    pub reason: String,
    /// `opaque`, `atomic5xx` or `dedupes`.
    pub contract: String,
    pub repair: Repair,
    /// Why it can never be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_replayable: Option<String>,
    pub queue: String,
    pub upstream: String,
    pub route: String,
    pub direction: String,
    pub method: String,
    pub host: String,
    /// Redacted.
    pub target: String,
    pub created_at: String,
    pub age_seconds: u64,
    pub updated_at: String,
    /// When it is closed as expired; of a closed one, when it is forgotten.
    pub expires_at: String,
    pub expires_in_seconds: u64,
    pub size_bytes: u64,
    /// Attempts of the request itself.
    pub attempts: u64,
    /// How often it was sent again.
    pub replays: u32,
    /// What became of it the last time, or who closed it and why.
    pub note: String,
    /// Where it stands and what may be done about it, in a sentence or two.
    #[serde(default)]
    pub standing: String,
}

/// `GET /dead-letters/{id}`, and a line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterDetail {
    #[serde(flatten)]
    pub letter: LetterView,
    /// Lines `name: value`, redacted.
    pub fields: Vec<String>,
    pub body_bytes: u64,
    pub body_sha256: String,
    /// What a replay needs was kept, sealed.
    pub sealed: bool,
    /// Who gave the request its key: `client`, `generated` or `none`.
    pub key_origin: String,
    /// The key is deduplicated: there is or was a record of it.
    pub deduplicated: bool,
    /// Its record. Absent in an export, without a key, and if the record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyView>,
    pub trace_id: String,
    pub policy_revision: u64,
    pub tried: Vec<AttemptView>,
    /// Of the upstream's last answer, if there was one.
    pub status: Option<u16>,
    /// Redacted.
    pub answer_fields: Vec<String>,
    /// The first 4 KiB.
    pub answer_text: String,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Empty if no endpoint was chosen.
    pub endpoint: String,
    pub duration_ms: u64,
    /// A status, a failure's token, or `cancelled`.
    pub end: String,
}

/// `GET /dead-letters/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterStats {
    /// All that are kept, closed ones included.
    pub letters: u64,
    pub letters_max: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    /// What one queue may take of both bounds.
    pub share_max_percent: u8,
    pub retention_seconds: u64,
    /// Refused since the start, because a bound was reached or the disk failed.
    pub lost: u64,
    pub queues: Vec<TallyView>,
}

/// How many letters of one queue are in one state and class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyView {
    pub queue: String,
    pub state: String,
    pub class: String,
    pub letters: u64,
    pub bytes: u64,
    pub oldest_at: String,
    pub oldest_age_seconds: u64,
}

/// Body of `POST /dead-letters/{id}/body`. A POST, because reading it is noted in the audit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LetterBodyRequest {
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Body of `POST /dead-letters/{id}/replay`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayLetterRequest {
    /// It may be executed twice.
    #[serde(default)]
    pub accept_duplicate_risk: bool,
    pub reason: String,
    /// The version that was looked at; another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// How a replay of one letter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayEnd {
    /// It was sent and answered.
    Replayed,
    /// The client's own next try has succeeded: nothing was sent.
    Superseded,
    /// It was not served this time either, and stays open.
    Failed,
    /// It is still being sent.
    Underway,
}

/// Answer to `POST /dead-letters/{id}/replay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedLetter {
    pub end: ReplayEnd,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// What happened, if it is no answer: a failure's token.
    pub failure: Option<String>,
    /// As it is now.
    pub letter: LetterView,
    /// What became of it, in a sentence.
    #[serde(default)]
    pub text: String,
}

/// Body of `POST /dead-letters/{id}/drop`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropLetterRequest {
    pub reason: String,
    /// The version that was looked at; another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Body of `POST /dead-letters/drop`. Only open letters are dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropLettersRequest {
    pub filter: LetterFilter,
    /// How many there are as far as the caller knows; if there are more or fewer, nothing is dropped.
    pub expect_count: u64,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Answer to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    pub dropped: u64,
}

/// Body of `POST /dead-letters/{id}/resolve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveLetterRequest {
    #[serde(rename = "as")]
    pub outcome: ResolveAs,
    pub reason: String,
    /// What repetitions with its key get; with `executed` only. 200 without a body unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<KeyResponse>,
    /// The version that was looked at; another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}
