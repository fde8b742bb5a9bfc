//! The API's JSON. The server writes these types and the command line reads the very same ones, so they cannot drift.
//!
//! Names are camelCase and stable. Durations are whole seconds or milliseconds with the unit in the name, moments are
//! RFC 3339 in UTC. Answers may gain fields; requests refuse fields they do not know.

mod certificates;
pub mod change_kind;
mod incident;
mod letters;
mod recording;

use serde::{Deserialize, Serialize};

pub use certificates::*;
pub use incident::*;
pub use letters::*;
pub use recording::*;

use crate::upstreams::view::{BudgetView, CircuitView, EndpointView, TotalsView, UpstreamView};

/// `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `name` of the policy, or `outrigger`.
    pub name: String,
    pub version: String,
    pub pid: u32,
    pub uptime_seconds: u64,
    /// The worst of all verdicts.
    pub condition: Condition,
    pub readiness: Readiness,
    pub draining: bool,
    /// Four answers, a line each: which dependency, what changed, whether retries help, what can be repaired.
    #[serde(default)]
    pub summary: Vec<String>,
    /// Worst first, in words.
    pub verdicts: Vec<Verdict>,
    pub policy: PolicySummary,
    pub upstreams: Vec<UpstreamView>,
    /// Of listeners and upstreams that are encrypted.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
    /// The last few changes, newest first.
    pub changes: Vec<Change>,
    /// Whether retries help.
    #[serde(default)]
    pub retries: Vec<RetryReport>,
    /// What can be repaired; those with most to repair first.
    #[serde(default)]
    pub repairs: Vec<Repairable>,
}

/// How well something does. Ordered: the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    Healthy,
    /// Requests are served, but something needs a look.
    Degraded,
    /// Most requests fail or are refused.
    Failing,
}

impl Condition {
    pub const fn as_str(self) -> &'static str {
        match self {
            Condition::Healthy => "healthy",
            Condition::Degraded => "degraded",
            Condition::Failing => "failing",
        }
    }
}

/// `GET /readyz` with `Accept: application/json`. Never depends on a dependency's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    pub ready: bool,
    /// Why not; empty when ready.
    pub reasons: Vec<String>,
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// Counts up by one with each applied policy.
    pub revision: u64,
    /// sha-256 of the text, lower-case hex: what `sha256sum policy.yaml` prints.
    pub hash: String,
    pub applied_at: String,
    pub age_seconds: u64,
    pub author: String,
    /// The file it came from.
    pub source: String,
    pub reload: Reload,
}

/// How the last attempt to apply a policy ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// The file on disk is refused; the policy in force is older than it.
    pub failed: bool,
    /// The exact finding, with line and column.
    pub error: Option<String>,
}

/// `GET /policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDocument {
    pub policy: PolicySummary,
    pub text: String,
}

/// One applied policy that a rollback can name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    pub revision: u64,
    pub hash: String,
    pub applied_at: String,
    pub author: String,
    pub source: String,
    pub reason: Option<String>,
    /// What it changed, in words, one effect each.
    pub effects: Vec<String>,
    /// It is the one in force.
    pub current: bool,
}

/// One line of the change journal: who, what, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub at: String,
    pub age_seconds: u64,
    /// A word of [`change_kind`].
    pub kind: String,
    /// The dependency concerned, if it is one.
    pub upstream: Option<String>,
    /// What happened, in one line. Of several alike within a minute the last line says how many they were.
    pub summary: String,
    /// What it means, one line each; of a policy what it changes for requests.
    pub effects: Vec<String>,
    /// Who: `outrigger` for what happens by itself, `guard` for the policy's guard.
    pub author: Option<String>,
    /// Why: what the author said, or what it follows from.
    pub reason: Option<String>,
    /// Of the policy in force after it, and the hash of that.
    pub revision: Option<u64>,
    pub hash: Option<String>,
}

/// `GET /upstreams`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstreams {
    pub upstreams: Vec<UpstreamView>,
}

/// `GET /curves`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Curves {
    pub step_seconds: u64,
    pub curves: Vec<Curve>,
}

/// What was counted of one dependency, step by step: the oldest first, the last one is not over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Curve {
    pub upstream: String,
    pub direction: String,
    pub requests: Vec<u64>,
    pub failed: Vec<u64>,
    pub rescued: Vec<u64>,
}

/// `GET /endpoints`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    pub upstreams: Vec<UpstreamEndpoints>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamEndpoints {
    pub upstream: String,
    pub direction: String,
    pub panic: bool,
    pub resolve_error: Option<String>,
    pub endpoints: Vec<EndpointView>,
}

/// `GET /circuits`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Circuits {
    pub circuits: Vec<UpstreamCircuit>,
}

/// A dependency and its breaker; also the answer to `POST /circuits/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamCircuit {
    pub upstream: String,
    /// Absent: its policy has no `circuitBreaker`.
    pub circuit: Option<CircuitView>,
}

/// `GET /budgets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    pub budgets: Vec<UpstreamBudget>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamBudget {
    pub upstream: String,
    pub budget: BudgetView,
    pub totals: TotalsView,
}

/// `GET /policy/history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub revisions: Vec<Revision>,
}

/// `GET /changes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub changes: Vec<Change>,
}

/// Query of `GET /changes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangesQuery {
    /// How far back, as a policy duration (`30m`); absent = as far as is kept.
    pub since: Option<String>,
    /// At most this many, newest first: 1 to 1000, default 100.
    pub limit: Option<usize>,
    /// Only those that concern this dependency.
    pub upstream: Option<String>,
    /// Only those of this kind: a word of [`change_kind`], or `policy` or `process` for all that begin so.
    pub kind: Option<String>,
}

/// Body of `POST /policy/reload`; may be `{}` or empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReloadRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Body of `POST /policy/rollback`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackRequest {
    pub revision: u64,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Answer to a reload or a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The revision in force now.
    pub revision: u64,
    pub hash: String,
    /// False: the text was the one in force already, nothing happened.
    pub changed: bool,
    pub effects: Vec<String>,
}

/// Body of `POST /circuits/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CircuitRequest {
    pub action: CircuitAction,
    /// How long the hold lasts, 1 s to 24 h, default 10 m. Not with `reset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// What an operator may do to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CircuitAction {
    /// Hold it open: every request is refused at once.
    Open,
    /// Hold it closed: requests pass whatever the failures.
    Close,
    /// End a hold, close it and forget what was learned.
    Reset,
}

/// Body of `POST /idempotency/show`. A POST, because a key must not stand in URLs: they are logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShowKeyRequest {
    pub upstream: String,
    pub route: String,
    /// As in the header, with quotes or without.
    pub key: String,
    /// Whose key it is; where the policy tells callers apart, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// One idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// `claimed`, `sent`, `complete`, `unknown` or `retryable`.
    pub state: String,
    /// Claims that may have led to an execution.
    pub attempt: u16,
    /// Grows with every claim.
    pub fence: u32,
    /// `opaque`, `atomic5xx` or `dedupes`.
    pub contract: String,
    /// It may have been executed, and no definite answer is known.
    pub ambiguous: bool,
    /// It is not forgotten: a dead letter needs it.
    pub pinned: bool,
    /// Time until it is forgotten; absent if pinned.
    pub expires_in_ms: Option<u64>,
    /// How long its owner is still believed to be alive; absent if it has none.
    pub lease_left_ms: Option<u64>,
    /// `upstream/route` of the first request with it.
    pub route: String,
    /// What repetitions get.
    pub answer: Option<KeyAnswer>,
}

/// An answer to replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyAnswer {
    pub status: u16,
    /// Absent: it was too large to keep.
    pub body_bytes: Option<u64>,
}

/// Body of `POST /idempotency/resolve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveKeyRequest {
    pub upstream: String,
    pub route: String,
    /// As in the header, with quotes or without.
    pub key: String,
    /// Whose key it is; where the policy tells callers apart, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(rename = "as")]
    pub outcome: ResolveAs,
    pub reason: String,
    /// What repetitions get; with `executed` only. 200 without a body unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<KeyResponse>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// What an operator has found out about an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolveAs {
    /// It took effect: repetitions get an answer and are not executed.
    Executed,
    /// It did not: the next request with the key is executed.
    NotExecuted,
}

/// An answer to replay, as an operator states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyResponse {
    /// 200 to 599, default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Default empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Answer to `POST /idempotency/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedKey {
    #[serde(rename = "as")]
    pub outcome: ResolveAs,
    /// The state that it was in.
    pub was: String,
    /// `upstream/route` as in the request.
    pub route: String,
    /// First digits of the record's id, as in the change journal, where the key itself does not stand.
    pub record: String,
    /// What repetitions get from now on; absent if the key is free.
    pub answer: Option<KeyAnswer>,
}

/// RFC 9457 body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// What to do next.
    pub next: String,
    /// The paths there are, when the one asked for is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}
