//! The owner's side of a record: from a granted claim to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::answer::StoredAnswer;
use super::embedded::EmbeddedStore;
use super::store::{Answered, Command, Rider, Store, StoreError};
use crate::dead_letters::letter::{LetterId, NewLetter, Refusal, Stub};
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
    /// What becomes its letter should this process end before the request does.
    stub: Option<Box<Rider>>,
    /// Where its letter is kept, if that is not the store of its record.
    apart: Option<Arc<EmbeddedStore>>,
}

impl Claim {
    /// Of a claim that the store has granted.
    pub fn new(store: Arc<dyn Store>, id: RecordId, nonce: Nonce, keep: Duration, keep_unknown: Duration) -> Claim {
        Claim {
            store,
            id,
            nonce,
            keep: millis(keep),
            keep_unknown: millis(keep_unknown),
            sent: OnceCell::new(),
            stub: None,
            apart: None,
        }
    }

    /// With what its letter needs: a stub that is written when it is sent, and where letters are kept if that is not
    /// the store of its record.
    #[must_use]
    pub fn with_letters(self, stub: Option<Stub>, apart: Option<Arc<EmbeddedStore>>) -> Claim {
        Claim { stub: stub.map(|stub| Box::new(Rider::Stub(stub))), apart, ..self }
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
            let op = Op::MarkSent { nonce: self.nonce, lease: millis(LEASE) };
            match self.tell(op, None, self.stub.clone()).await.map(|answered| answered.reply) {
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
        let _ = self.tell(Op::Renew { nonce: self.nonce, lease: millis(LEASE) }, None, None).await;
    }

    /// Tells how it ended. The letter travels with it: either both are kept or only the end.
    pub async fn report(&self, report: Report, letter: Option<&NewLetter>) -> Reported {
        let answered = matches!(report, Report::Complete { ambiguous: false, .. });
        let (letter, mut kept) = match (letter, &self.apart) {
            (Some(letter), Some(store)) => (None, self.keep_apart(store, letter).await),
            (letter, _) => (letter, Ok(None)),
        };
        let record = match self.end(report, letter).await {
            Ok(Answered { reply: Reply::Done, letter, .. }) => {
                kept = match letter {
                    Some(Ok(id)) => Ok(Some(id)),
                    Some(Err(refusal)) => Err(NotKept::Refused(refusal)),
                    None => kept,
                };
                Ok(())
            }
            Ok(_) => Err(StoreError::Unavailable("the claim was lost meanwhile".to_owned())),
            Err(error) => Err(error),
        };
        if let (Err(error), Some(_)) = (&record, letter) {
            kept = Err(NotKept::Store(error.clone()));
        }
        if let (true, Ok(()), Some(store)) = (answered, &record, &self.apart) {
            self.supersede_apart(store).await;
        }
        Reported { record, letter: kept }
    }

    /// The record is elsewhere, and no transaction covers both: first the letter, then the pin, then the end. A crash
    /// after the letter leaves a record that is not pinned: it is forgotten by its own retention, and the letter is
    /// open all the same. A crash after the pin leaves a record that was sent and not ended: its lease runs out, its
    /// outcome is unknown, and the letter's replay will be told so. Neither loses the letter, and neither lets anything
    /// be sent twice; the other way round a crash would lose the letter.
    async fn keep_apart(&self, store: &EmbeddedStore, letter: &NewLetter) -> Result<Option<LetterId>, NotKept> {
        let id = match store.keep_letter(letter.clone()).await {
            Ok(Ok(id)) => id,
            Ok(Err(refusal)) => return Err(NotKept::Refused(refusal)),
            Err(error) => return Err(NotKept::Store(error)),
        };
        // Without the pin the letter is worth nearly as much.
        let _ = self.tell(Op::Pin, None, None).await;
        Ok(Some(id))
    }

    /// An earlier request with this key may have left a letter here. If this fails, or a crash comes before it, its
    /// replay finds the answer and sends nothing.
    async fn supersede_apart(&self, store: &EmbeddedStore) {
        if store.supersede(self.id).await.is_ok_and(|closed| closed > 0) {
            let _ = self.tell(Op::Unpin, None, None).await;
        }
    }

    async fn end(&self, report: Report, letter: Option<&NewLetter>) -> Result<Answered, StoreError> {
        let (op, answer) = match report {
            Report::Complete { answer, ambiguous } => {
                (Op::Complete { nonce: self.nonce, ambiguous, keep: self.keep }, Some(answer))
            }
            // What the store gave no leave for was not sent, and what it gave leave for and ended so neither.
            Report::Release => (Op::Release { nonce: self.nonce }, None),
            Report::Fail => (Op::Fail { nonce: self.nonce, keep: self.keep_unknown }, None),
        };
        let rider = || letter.map(|letter| Box::new(Rider::Letter(letter.clone())));
        match (self.tell(op, answer.clone(), rider()).await, answer) {
            // That it was executed is worth more than its words.
            (Err(StoreError::Full), Some(answer)) if answer.body.is_some() => {
                self.tell(op, Some(StoredAnswer { body: None, ..answer }), rider()).await
            }
            (told, _) => told,
        }
    }

    /// Repeats a report that did not get through, for a while. If none does, the lease runs out, and the record says
    /// what is true then: the outcome is unknown. What became of the letter is what the last report says.
    pub async fn insist(&self, report: Report, letter: Option<&NewLetter>) -> Result<Option<LetterId>, NotKept> {
        let mut wait = REPORT_AGAIN;
        for _ in 1..REPORTS_MAX {
            let reported = self.report(report.clone(), letter).await;
            if reported.record.is_ok() {
                return reported.letter;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.report(report, letter).await.letter
    }

    async fn tell(
        &self,
        op: Op,
        answer: Option<StoredAnswer>,
        letter: Option<Box<Rider>>,
    ) -> Result<Answered, StoreError> {
        self.store.apply(Command { id: self.id, op, route: None, answer, letter }).await
    }
}

/// What became of a report.
#[derive(Debug)]
pub struct Reported {
    /// Whether the record says it. A claim that was lost meanwhile is [`StoreError::Unavailable`], too.
    pub record: Result<(), StoreError>,
    /// Under which id the letter is kept; `None` if there was none.
    pub letter: Result<Option<LetterId>, NotKept>,
}

/// Why a letter is not kept.
#[derive(Clone, Debug, PartialEq)]
pub enum NotKept {
    /// The store works, and does not take it.
    Refused(Refusal),
    /// The store does not work.
    Store(StoreError),
}

impl NotKept {
    /// A word for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            NotKept::Refused(Refusal::Full(_)) => "full",
            NotKept::Refused(Refusal::Absent | Refusal::Stale { .. }) => "refused",
            NotKept::Store(StoreError::Full) => "store-full",
            NotKept::Store(StoreError::Busy) => "store-busy",
            NotKept::Store(StoreError::Unavailable(_)) => "store-unavailable",
            NotKept::Store(StoreError::TimedOut) => "store-timeout",
        }
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

#[cfg(test)]
mod tests;
