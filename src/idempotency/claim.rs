//! The owner's side of a record: from a granted claim to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::answer::StoredAnswer;
use super::store::{Command, Store, StoreError};
use crate::reliability::Failure;
use crate::reliability::idempotency::{Millis, Nonce, Op, RecordId, Reply};
use crate::sabotage::{Defect, Point, crash_point, is_broken};

/// How long an owner is believed to be alive without a sign.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often it gives one.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Repetitions of a report that the store did not take, and the first wait between them; it doubles.
const REPORTS_MAX: u32 = 6;
const REPORT_AGAIN: Duration = Duration::from_millis(100);

/// A claim that was granted. Cheap to share; the store knows it by its nonce.
pub struct Claim {
    store: Arc<dyn Store>,
    id: RecordId,
    nonce: Nonce,
    /// How long an answer is replayed, and how long an unknown outcome is remembered.
    keep: Millis,
    keep_unknown: Millis,
    sent: OnceCell<()>,
}

impl Claim {
    /// Of a claim that the store has granted.
    pub fn new(store: Arc<dyn Store>, id: RecordId, nonce: Nonce, keep: Duration, keep_unknown: Duration) -> Claim {
        Claim { store, id, nonce, keep: millis(keep), keep_unknown: millis(keep_unknown), sent: OnceCell::new() }
    }

    /// Which record.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Asks the store for leave to send, once for all attempts. Not a byte may leave before it returns `Ok`.
    ///
    /// # Errors
    /// [`Failure::KeyInProgress`] if somebody else has taken the key over, [`Failure::StoreFull`] or
    /// [`Failure::StoreUnavailable`].
    pub async fn before_first_byte(&self) -> Result<(), Failure> {
        let mark = async || {
            crash_point(Point::BeforeSent);
            match self.tell(Op::MarkSent { nonce: self.nonce, lease: millis(LEASE) }, None).await {
                Ok(Reply::Done) => {
                    crash_point(Point::AfterSent);
                    Ok(())
                }
                Ok(_) => Err(Failure::KeyInProgress),
                Err(error) => Err(failure_of(&error)),
            }
        };
        let ask = async || if is_broken(Defect::UnmarkedSend) { Ok(()) } else { mark().await };
        self.sent.get_or_try_init(ask).await.copied()
    }

    /// Whether the store has given leave to send.
    pub fn may_have_sent(&self) -> bool {
        self.sent.initialized()
    }

    /// A sign of life. Its failure changes nothing: the next one may get through, and a lease that runs out loses
    /// no answer.
    pub async fn renew(&self) {
        let _ = self.tell(Op::Renew { nonce: self.nonce, lease: millis(LEASE) }, None).await;
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// [`StoreError`]; a claim that was lost meanwhile is [`StoreError::Unavailable`], too: nothing is kept.
    pub async fn report(&self, report: Report) -> Result<(), StoreError> {
        let (op, answer) = match report {
            Report::Complete { answer, ambiguous } => {
                (Op::Complete { nonce: self.nonce, ambiguous, keep: self.keep }, Some(answer))
            }
            // What the store gave no leave for was not sent, and what it gave leave for and ended so neither.
            Report::Release => (Op::Release { nonce: self.nonce }, None),
            Report::Fail => (Op::Fail { nonce: self.nonce, keep: self.keep_unknown }, None),
        };
        let told = match (self.tell(op, answer.clone()).await, answer) {
            // That it was executed is worth more than its words.
            (Err(StoreError::Full), Some(answer)) if answer.body.is_some() => {
                self.tell(op, Some(StoredAnswer { body: None, ..answer })).await
            }
            (told, _) => told,
        };
        match told? {
            Reply::Done => Ok(()),
            _ => Err(StoreError::Unavailable("the claim was lost meanwhile".to_owned())),
        }
    }

    /// Repeats a report that did not get through, for a while. If none does, the lease runs out, and the record says
    /// what is true then: the outcome is unknown.
    pub async fn insist(&self, report: Report) {
        let mut wait = REPORT_AGAIN;
        for _ in 0..REPORTS_MAX {
            match self.report(report.clone()).await {
                Ok(()) => return,
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
    }

    async fn tell(&self, op: Op, answer: Option<StoredAnswer>) -> Result<Reply, StoreError> {
        self.store
            .apply(Command { id: self.id, op, route: None, answer, letter: None })
            .await
            .map(|answered| answered.reply)
    }
}

/// How an execution ended.
#[derive(Clone, Debug)]
pub enum Report {
    /// There is an answer.
    Complete {
        /// To keep.
        answer: StoredAnswer,
        /// It leaves open whether there was an effect.
        ambiguous: bool,
    },
    /// It was not executed.
    Release,
    /// It may have been executed, and nobody knows.
    Fail,
}

/// What a client is told of a store that does not do its part.
pub fn failure_of(error: &StoreError) -> Failure {
    match error {
        StoreError::Full => Failure::StoreFull,
        StoreError::Busy | StoreError::Unavailable(_) | StoreError::TimedOut => Failure::StoreUnavailable,
    }
}

/// In milliseconds, as stores count.
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
