//! What an incident asks: what fails, what changed, whether retries help, what can be repaired, and one request's life.

use serde::{Deserialize, Serialize};

use super::Condition;

/// One sentence about a dependency, about the app, or about the process when `upstream` is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub upstream: Option<String>,
    /// `outbound` or `inbound`; absent for the process.
    pub direction: Option<String>,
    /// Set where a single route is concerned, and not the upstream as a whole.
    pub route: Option<String>,
    pub condition: Condition,
    /// The class of what is wrong, a word of `reliability::verdict::Cause`; absent while all is well.
    pub cause: Option<String>,
    /// The sentence.
    pub text: String,
    /// RFC 3339, and the same as an age.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    /// Share of the upstream's requests that are hit, 0 to 1.
    pub share: Option<f64>,
    /// `low`, `medium` or `high`.
    pub confidence: Option<String>,
    /// The numbers that it rests on.
    pub evidence: Vec<Evidence>,
    /// What changed just before.
    pub suspect: Option<Suspect>,
}

/// One number of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// `failed requests`, `worst endpoint`, …
    pub name: String,
    pub value: String,
}

/// A change that came shortly before the trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// As in [`super::Change::kind`].
    pub kind: String,
    /// What changed, in one line, such as `revision 12 (payments: retry.attempts 1 -> 3)`.
    pub summary: String,
    pub at: String,
    /// From the change to the first failure.
    pub before_seconds: u64,
    pub revision: Option<u64>,
    /// Failed requests before and after, in percent.
    pub before_percent: Option<f64>,
    pub after_percent: Option<f64>,
    /// The whole sentence: `error rate of payments rose from 0.1 % to 38 % 4 s after revision 12 (…)`.
    pub text: String,
}

/// Whether retries help: of one upstream and route, and of one class of failure or of all together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryReport {
    pub upstream: String,
    pub route: String,
    /// The first attempt's failure: `connect`, `reset`, `timeout`, `error`, `overload`; absent: all of them.
    pub class: Option<String>,
    /// `helping`, `not-helping`, `harmful`, `marginal` or `unknown`.
    pub verdict: String,
    /// One sentence with its numbers.
    pub text: String,
    /// The window that the numbers below are of; those of `lifetime` are of all time.
    pub window_seconds: u64,
    pub requests: u64,
    /// Requests whose first attempt failed in a way that the policy retries.
    pub first_failed: u64,
    pub retries: u64,
    /// Requests that a retry saved. `retries = rescued + wasted`.
    pub rescued: u64,
    pub wasted: u64,
    /// Rescued ones per retry, and between which bounds that is with 95 %.
    pub efficiency: Option<f64>,
    pub efficiency_low: f64,
    pub efficiency_high: f64,
    /// Rescued requests per request that was retried.
    pub rescue_rate: Option<f64>,
    /// Points of success bought, in percent of all requests.
    pub uplift_percent: f64,
    /// Attempts per request.
    pub amplification: f64,
    /// Retries per rescued request.
    pub price: Option<f64>,
    /// From the first failure to the end: what a retry costs in time, where it saved and where it did not.
    pub rescued_tax_p50_ms: Option<f64>,
    pub rescued_tax_p99_ms: Option<f64>,
    pub failed_tax_p50_ms: Option<f64>,
    pub failed_tax_p99_ms: Option<f64>,
    /// Efficiency on another endpoint, and on the same one.
    pub elsewhere_efficiency: Option<f64>,
    pub same_efficiency: Option<f64>,
    /// Retries by their place in the order of attempts; 5 stands for all later ones, too.
    pub by_attempt: Vec<ByAttempt>,
    /// Time that the upstream spent on wasted retries.
    pub wasted_seconds: f64,
    /// Retries that were not made, by reason.
    pub denied: Vec<(String, u64)>,
    /// Retries are held to probes because they do not help: these, or by the budget all of the upstream.
    pub gated: bool,
    /// The control group, if the policy keeps one; counted since the route was first seen, as it is small.
    pub holdout: Option<Holdout>,
    pub lifetime_retries: u64,
    pub lifetime_rescued: u64,
}

/// Retries at one place in the order of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByAttempt {
    /// 2 = the first retry.
    pub attempt: u32,
    pub retries: u64,
    /// With a good answer.
    pub good: u64,
}

/// Requests that would have been retried, and by lot were not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdout {
    pub percent: f64,
    pub treated: u64,
    pub treated_succeeded: u64,
    pub control: u64,
    pub control_succeeded: u64,
    /// Points of success that retries add among requests that need them, in percent, with 95 % bounds.
    pub effect_percent: Option<f64>,
    pub effect_low_percent: Option<f64>,
    pub effect_high_percent: Option<f64>,
}

/// `GET /retries`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    pub retries: Vec<RetryReport>,
}

/// What can be repaired at one upstream and route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repairable {
    pub upstream: String,
    pub route: String,
    /// Dead letters that are open.
    pub open: u64,
    /// Of these, requests of which nobody knows whether they were executed.
    pub unknown: u64,
    /// Of these, those that were not executed, so that nothing can happen twice; the plan of a replay says which can still
    /// be sent.
    pub replayable: u64,
    /// One sentence.
    pub text: String,
    /// What to type next.
    pub command: Option<String>,
}

/// The life of one request: `GET /requests/{trace id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub trace_id: String,
    /// `x-request-id` of the request.
    pub request_id: Option<String>,
    /// Whom its client's certificate names, which was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    pub at: String,
    pub age_seconds: u64,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub direction: String,
    pub upstream: Option<String>,
    pub route: Option<String>,
    /// As in the access log: `success`, `upstream_error`, `failed`, `refused`, `client_gone`.
    pub outcome: String,
    pub status: Option<u16>,
    /// The failure's token, side and phase, and how much was sent.
    pub reason: Option<String>,
    pub side: Option<String>,
    pub phase: Option<String>,
    pub sent: Option<String>,
    pub duration_ms: f64,
    pub deadline_ms: Option<f64>,
    /// Spent in the queue for a slot.
    pub queue_ms: Option<f64>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<StoryAttempt>,
    pub retry_denied: Option<String>,
    /// Why the attempts ended: `answered`, `attempts-spent`, `denied`, `deadline` or `refused`.
    pub stop: Option<String>,
    pub idempotency: Option<String>,
    pub dead_letter: Option<String>,
    pub policy_revision: u64,
    /// Why it is kept: `troubled`, `slow` or `sampled`; absent: only a tap saw it.
    pub kept: Option<String>,
    /// It in words, one sentence per step.
    pub sentences: Vec<String>,
    /// Other requests that the id fits: those of the same trace, or with the same `x-request-id`. Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Story>,
}

/// One attempt of a [`Story`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryAttempt {
    /// Since the request's start.
    pub at_ms: f64,
    pub duration_ms: f64,
    /// `first`, `retry`, `transparent` or `hedge`.
    pub kind: String,
    pub endpoint: Option<String>,
    pub status: Option<u16>,
    pub error: Option<String>,
    /// Waited before it.
    pub backoff_ms: Option<f64>,
    /// Left of the deadline at its launch.
    pub left_ms: f64,
}

/// `GET /requests`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Newest first.
    pub requests: Vec<RequestLine>,
    pub kept: StoriesKept,
}

/// A [`Story`] in one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLine {
    pub trace_id: String,
    pub at: String,
    pub age_seconds: u64,
    pub method: String,
    pub path: String,
    pub upstream: Option<String>,
    pub route: Option<String>,
    pub outcome: String,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub duration_ms: f64,
    pub attempts: u32,
    pub retry_denied: Option<String>,
    pub kept: Option<String>,
}

/// How many stories there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoriesKept {
    pub troubled: usize,
    pub troubled_max: usize,
    /// Slow ones, and those that the access log drew.
    pub others: usize,
    pub others_max: usize,
    pub bytes: usize,
    /// Stories that had to leave for newer ones.
    pub forgotten: u64,
    /// When the oldest of them began.
    pub oldest: Option<String>,
    /// When this process began to keep them.
    pub since: String,
}

/// Query of `GET /requests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestsQuery {
    pub upstream: Option<String>,
    /// `success`, `upstream_error`, `failed`, `refused`, `client_gone`; or `troubled`: not served at once.
    pub outcome: Option<String>,
    /// 1 to 1000, default 50.
    pub limit: Option<usize>,
}

/// Query of `GET /tap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TapQuery {
    pub upstream: Option<String>,
    /// `UPSTREAM/ROUTE`, or a route's name.
    pub route: Option<String>,
    /// Troubled requests only.
    pub errors: Option<bool>,
    /// The stream ends after so many: 1 to 100000; it ends after ten minutes in any case.
    pub limit: Option<u64>,
}

/// Data of the event `lost` of `GET /tap`: requests that were not shown since the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TapLost {
    /// The reader was too slow.
    pub slow: u64,
    /// There were more than the tap shows in a second.
    pub rate: u64,
}
