//! What every store offers, and how it can fail.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::answer::StoredAnswer;
use super::identity::Secret;
use crate::dead_letters::letter::{Deed, LetterId, NewLetter, Refusal, Stub};
use crate::reliability::idempotency::{Op, Record, RecordId, Reply};

/// A store's answer, when it is there.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One operation on one record.
#[derive(Clone, Debug)]
pub struct Command {
    /// Which record.
    pub id: RecordId,
    /// What.
    pub op: Op,
    /// `upstream/route`, for people. With [`Op::Claim`] only.
    pub route: Option<Arc<str>>,
    /// With [`Op::Complete`] and [`Op::ResolveExecuted`] only.
    pub answer: Option<StoredAnswer>,
    /// What is written together with the change, or not at all. Only the embedded store keeps letters.
    pub letter: Option<Box<Rider>>,
}

/// What a dead letter adds to an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Rider {
    /// With [`Op::MarkSent`]: becomes a letter if this process ends before the request does.
    Stub(Stub),
    /// With [`Op::Fail`], [`Op::Release`] and [`Op::Complete`]: the record is pinned for it.
    Letter(NewLetter),
    /// With [`Op::ResolveExecuted`] and [`Op::ResolveNotExecuted`]: who says so, for the audit.
    Deed(Option<LetterId>, Deed),
}

impl Command {
    /// An operation that needs nothing besides itself.
    pub fn new(id: RecordId, op: Op) -> Command {
        Command { id, op, route: None, answer: None, letter: None }
    }
}

/// What a store says.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The machine's word.
    pub reply: Reply,
    /// With [`Reply::Replay`] only.
    pub answer: Option<StoredAnswer>,
    /// Under which id the letter is kept that came with the command, or why it is not. A request that had an open letter
    /// already keeps that one. The command itself was carried out.
    pub letter: Option<Result<LetterId, Refusal>>,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Answered {
        Answered { reply, answer: None, letter: None }
    }
}

/// A record as an operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The record.
    pub record: Record,
    /// `upstream/route` of the first claim.
    pub route: Arc<str>,
    /// The stored answer, if there is one.
    pub answer: Option<StoredAnswer>,
}

/// Why a store did not do what was asked. Unless said otherwise nothing has changed, as far as can be known: a
/// command may have been applied and its answer lost, and every command may be repeated with the same nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Its bound is reached; unexpired records are never evicted.
    Full,
    /// More is asked of it than it can do at once.
    Busy,
    /// It cannot be reached, or does not work.
    Unavailable(String),
    /// No answer in time. It may have been applied.
    TimedOut,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full => f.write_str("the store is full"),
            StoreError::Busy => f.write_str("the store has too much to do"),
            StoreError::Unavailable(why) => write!(f, "the store is not available: {why}"),
            StoreError::TimedOut => f.write_str("the store did not answer in time"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Where records are kept. Every operation is atomic on its record; time is the store's own.
pub trait Store: Send + Sync + 'static {
    /// Applies a command. When it returns `Ok`, the change is as durable as the store promises.
    ///
    /// # Errors
    /// [`StoreError`]
    fn apply(&self, command: Command) -> Pending<'_, Answered>;

    /// The secret that keys are hashed with; the same for all who share the store.
    ///
    /// # Errors
    /// [`StoreError`]
    fn secret(&self) -> Pending<'_, Secret>;

    /// One record with everything that is kept of it. `None`: absent or expired.
    ///
    /// # Errors
    /// [`StoreError`]
    fn show(&self, id: RecordId) -> Pending<'_, Option<Shown>>;
}
