//! All that the admin API knows of the process: plain questions and orders that the composition root answers.

pub mod letters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use letters::LetterControl;

use super::access::{Access, Stranger};
use super::api::{
    Applied, CertificateStatus, Change, CircuitAction, Curves, KeyView, PolicyDocument, Readiness, ResolvedKey,
    RetryReport, Revision, Verdict,
};
use crate::telemetry::stories::Stories;
use crate::upstreams::view::{CircuitView, UpstreamView};

/// A question without arguments.
pub type Ask<T> = Box<dyn Fn() -> T + Send + Sync>;
/// A question or an order with arguments.
pub type AskWith<A, T> = Box<dyn Fn(A) -> T + Send + Sync>;

/// Handles into the running process. Each may be called from any thread and at the same time as any other.
///
/// `render_metrics`, `changes`, `history`, `reload`, `rollback`, `circuit`, `show_key`, `resolve_key` and all of
/// `letters` may read and write files or wait for a store; they are called where blocking is allowed. All others must
/// answer from memory.
pub struct Control {
    /// `name` of the policy, or `outrigger`.
    pub name: Ask<String>,
    /// The address the admin listener is bound to: what a Host header may name besides loopback.
    pub listen: SocketAddr,
    /// Who is let in.
    pub access: Access,
    /// Somebody was not let in: to be counted.
    pub refused: AskWith<Stranger, ()>,
    /// Time since the process started.
    pub uptime: Ask<Duration>,
    /// Shutdown has begun: what is in flight finishes, nothing new is accepted.
    pub draining: Ask<bool>,
    pub readiness: Ask<Readiness>,
    /// Outbound dependencies in file order, then the app behind `inbound`.
    pub views: Ask<Vec<UpstreamView>>,
    /// What is to be said of each of them, in the same order.
    pub verdicts: Ask<Vec<Verdict>>,
    /// What was counted of each lately.
    pub curves: Ask<Curves>,
    /// Prometheus text.
    pub render_metrics: Ask<String>,
    pub policy: Ask<PolicyDocument>,
    /// Newest first.
    pub changes: AskWith<ChangesFilter, Result<Vec<Change>, Refused>>,
    /// Newest first.
    pub history: Ask<Result<Vec<Revision>, Refused>>,
    pub reload: AskWith<ReloadOrder, Result<Applied, Refused>>,
    pub rollback: AskWith<RollbackOrder, Result<Applied, Refused>>,
    pub circuit: AskWith<CircuitOrder, Result<CircuitView, Refused>>,
    pub show_key: AskWith<KeyName, Result<KeyView, Refused>>,
    pub resolve_key: AskWith<ResolveOrder, Result<ResolvedKey, Refused>>,
    /// Whether retries help: of each upstream and route all failures together, then each class.
    pub retries: Ask<Vec<RetryReport>>,
    /// Certificates in use.
    pub certificates: Ask<Vec<CertificateStatus>>,
    /// Dead letters, their replays, and the audit.
    pub letters: LetterControl,
    /// The last requests that are worth a story, and who watches live.
    pub stories: Arc<Stories>,
}

/// Which changes to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesFilter {
    /// Not older than this; `None` = as far as is kept.
    pub since: Option<Duration>,
    /// At most this many, the newest ones.
    pub limit: usize,
    /// Only those of this dependency.
    pub upstream: Option<String>,
    /// Only those that this word means, see [`super::api::change_kind`].
    pub kind: Option<String>,
}

/// Read the policy file now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadOrder {
    pub author: String,
}

/// Apply an earlier revision again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackOrder {
    pub revision: u64,
    pub reason: String,
    pub author: String,
}

/// Hold a circuit open or closed for a while, or reset it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitOrder {
    pub upstream: String,
    pub action: CircuitAction,
    /// How long a hold lasts; without meaning for `Reset`.
    pub ttl: Duration,
    pub reason: String,
    pub author: String,
}

/// Which idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    pub upstream: String,
    pub route: String,
    /// Unquoted.
    pub key: Vec<u8>,
    /// Whose; where the policy tells callers apart.
    pub principal: Option<String>,
}

/// Settle an outcome that nobody but the operator knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveOrder {
    pub name: KeyName,
    pub outcome: Outcome,
    pub reason: String,
    pub author: String,
}

/// What the operator has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed; repetitions get this answer.
    Executed { status: u16, body: String },
    /// It was not; the key is free.
    NotExecuted,
}

/// Why an order was not carried out. Nothing changed, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It names something that does not exist; the text says what does. 404
    Unknown(String),
    /// It cannot be done in the present state. 409
    Conflict(String),
    /// There is no record of this key; the text says where. 404
    UnknownKey(String),
    /// The key is no open question; the text says where it stands. 409
    Settled(String),
    /// No route keeps dead letters. 404
    NoLetters,
    /// There is no such letter. 404
    UnknownLetter(String),
    /// A letter, or how many there are, is no longer what the order says; the text says how it is now. 409
    Changed(String),
    /// Sending it again could make an effect happen twice, and the order does not accept that. 409
    Risky(String),
    /// It can never be sent again; the text says why. 409
    NotReplayable(String),
    /// It contradicts the policy. 400
    Invalid(String),
    /// The store of the keys did not do its part; whether the order took effect is not known. 503
    Store(String),
    /// The policy has errors; the text holds each with line and column. 422
    Policy(String),
    /// The disk or the process failed. 500
    Failed(String),
}

impl Refused {
    /// The text alone.
    pub fn text(&self) -> &str {
        match self {
            Refused::NoLetters => "no route keeps dead letters",
            Refused::Unknown(text)
            | Refused::Conflict(text)
            | Refused::UnknownKey(text)
            | Refused::Settled(text)
            | Refused::UnknownLetter(text)
            | Refused::Changed(text)
            | Refused::Risky(text)
            | Refused::NotReplayable(text)
            | Refused::Invalid(text)
            | Refused::Store(text)
            | Refused::Policy(text)
            | Refused::Failed(text) => text,
        }
    }
}
