//! Replays of many dead letters, and the audit, as JSON.

use serde::{Deserialize, Serialize};

use super::LetterFilter;

/// Body of `POST /replays`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReplayRequest {
    pub filter: LetterFilter,
    /// Requests per second: 1 to 100, default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// At most this many letters, the oldest ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Ends after so many failures: 1 to 1000, default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u32>,
    /// Also those that may be executed twice.
    pub accept_duplicate_risk: bool,
    /// Answer the plan and send nothing.
    pub dry_run: bool,
    /// Needed unless `dryRun`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Answer to `POST /replays` with `dryRun`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayPlan {
    /// All that the filter matches.
    pub letters: u64,
    /// May be sent again without risk.
    pub safe: u64,
    /// May be executed twice: sent only with `acceptDuplicateRisk`.
    pub needs_decision: u64,
    /// Cannot be sent again.
    pub excluded: Vec<Excluded>,
    /// What the same order without `dryRun` would send.
    pub sends: u64,
}

/// Letters that cannot be replayed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    pub why: String,
    pub letters: u64,
}

/// Where a replay of many letters stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayState {
    Running,
    /// It has come to its end, whatever became of the letters.
    Finished,
    /// It ended early: `why` says so. What it did not come to is open; the same order goes on with it.
    Stopped,
    /// An operator ended it.
    Cancelled,
}

/// A replay of many letters; also the answer to starting and cancelling one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayJob {
    pub id: String,
    pub state: ReplayState,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub author: String,
    pub reason: String,
    pub started_at: String,
    pub age_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Requests per second.
    pub rate: u32,
    pub accept_duplicate_risk: bool,
    /// How many it set out to send.
    pub letters: u64,
    /// Sent and answered.
    pub replayed: u64,
    /// The client's own next try had succeeded.
    pub superseded: u64,
    /// Not served this time either.
    pub failed: u64,
    /// Closed or taken by somebody else meanwhile.
    pub skipped: u64,
}

impl ReplayJob {
    /// How many it has not come to.
    pub fn left(&self) -> u64 {
        let done = [self.superseded, self.failed, self.skipped].into_iter().fold(self.replayed, u64::saturating_add);
        self.letters.saturating_sub(done)
    }
}

/// `GET /replays`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replays {
    /// Newest first.
    pub replays: Vec<ReplayJob>,
}

/// Body of `POST /replays/{id}/cancel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelReplayRequest {
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Query of `GET /audit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuditQuery {
    /// How far back, as a policy duration (`24h`).
    pub since: Option<String>,
    /// At most this many, newest first: 1 to 1000, default 100.
    pub limit: Option<usize>,
}

/// `GET /audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Newest first.
    pub rows: Vec<AuditRow>,
    /// The hash of each row fits its words and the row before.
    pub intact: bool,
}

/// Who did what to which letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    pub number: u64,
    pub at: String,
    pub age_seconds: u64,
    pub actor: String,
    /// `replay`, `drop`, `resolve`, `body`, …
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<String>,
    pub reason: String,
    /// What came of it.
    pub outcome: String,
    pub intact: bool,
}
