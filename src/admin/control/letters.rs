//! What operators may ask and order about dead letters.

use bytes::Bytes;

use super::{Ask, AskWith, Outcome, Refused};
use crate::admin::api::{KeyView, ReplayEnd, ReplayJob, ReplayPlan};
use crate::admin::words;
use crate::dead_letters::letter::{Audited, Bounds, Filter, Letter, LetterId, Refusal, Tally};
use crate::reliability::idempotency::Millis;

/// Handles to the letters, their replays, and the audit. All may block.
pub struct LetterControl {
    /// Newest first.
    pub list: AskWith<LetterList, Result<LetterPage, Refused>>,
    /// Letters whose id begins or ends with these hex digits (8 to 31 of them, lower case). A handful is enough: more
    /// than one is told as an ambiguity.
    pub find: AskWith<String, Result<Vec<LetterId>, Refused>>,
    /// How many there are.
    pub stats: Ask<Result<LetterStock, Refused>>,
    /// One, with the record of its key.
    pub show: AskWith<LetterId, Result<ShownLetter, Refused>>,
    /// The body of its request, unsealed. Reading it leaves a row in the audit.
    pub body: AskWith<BodyOrder, Result<Bytes, Refused>>,
    /// Sends one again and waits for what becomes of it, 25 s at most: the listener cuts answers off after 30.
    pub replay: AskWith<ReplayOrder, Result<Replayed, Refused>>,
    /// Closes open letters as dropped and says how many; all that match, or none.
    pub drop: AskWith<DropOrder, Result<u64, Refused>>,
    /// Closes one as resolved and settles the record of its key.
    pub resolve: AskWith<ResolveLetterOrder, Result<ShownLetter, Refused>>,
    /// What [`LetterControl::start`] would do.
    pub plan: AskWith<PlanOrder, Result<ReplayPlan, Refused>>,
    /// Begins to send many again, oldest first, and does not wait for it.
    pub start: AskWith<StartOrder, Result<ReplayJob, Refused>>,
    /// Those that run, and the last ones that ended. Newest first.
    pub replays: Ask<Result<Vec<ReplayJob>, Refused>>,
    /// Ends one; what it is sending at this moment is finished.
    pub cancel: AskWith<CancelOrder, Result<ReplayJob, Refused>>,
    /// What was done, newest first.
    pub audit: AskWith<AuditList, Result<Vec<Audited>, Refused>>,
}

impl LetterControl {
    /// Where there is no store of letters: everything is refused with [`Refused::NoLetters`].
    pub fn without_store() -> LetterControl {
        fn none<A: 'static, T: 'static>() -> AskWith<A, Result<T, Refused>> {
            Box::new(|_| Err(Refused::NoLetters))
        }
        LetterControl {
            list: none(),
            find: none(),
            stats: Box::new(|| Err(Refused::NoLetters)),
            show: none(),
            body: none(),
            replay: none(),
            drop: none(),
            resolve: none(),
            plan: none(),
            start: none(),
            replays: Box::new(|| Err(Refused::NoLetters)),
            cancel: none(),
            audit: none(),
        }
    }
}

/// Which letters to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterList {
    /// Which ones.
    pub filter: Filter,
    /// Only those older than this one.
    pub after: Option<LetterId>,
    /// At most this many.
    pub limit: usize,
}

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LetterPage {
    /// Newest first.
    pub letters: Vec<Letter>,
    /// All that match the filter, wherever the page begins and ends.
    pub total: u64,
    /// There are older ones.
    pub more: bool,
}

/// How many letters there are, and how full that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterStock {
    /// Of all queues, states and classes.
    pub tallies: Vec<Tally>,
    /// What is kept at most.
    pub bounds: Bounds,
    /// Letters that were refused since the start.
    pub lost: u64,
}

/// A letter and the record of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownLetter {
    /// As it is now.
    pub letter: Letter,
    /// Absent: it has no deduplicated key, or the record is gone.
    pub key: Option<KeyView>,
}

/// Read the body of a letter's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyOrder {
    /// Which letter.
    pub id: LetterId,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// Send one again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOrder {
    /// Which letter.
    pub id: LetterId,
    /// Refuse if it has another one.
    pub version: Option<u64>,
    /// It may be executed twice.
    pub accept_duplicate_risk: bool,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// What became of a replay of one letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// In a word.
    pub end: ReplayEnd,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// What happened instead of an answer: a failure's token.
    pub failure: Option<String>,
    /// As it is now.
    pub letter: Letter,
}

/// Give letters up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropOrder {
    /// Which ones.
    pub filter: Filter,
    /// How many there must be, or nothing is done.
    pub expect_count: u64,
    /// Of the only letter that is named: refuse if it has another one.
    pub version: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// Say what became of a letter's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveLetterOrder {
    /// Which letter.
    pub id: LetterId,
    /// Refuse if it has another one.
    pub version: Option<u64>,
    /// What was found out.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// Say what a replay would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOrder {
    /// Which letters.
    pub filter: Filter,
    /// At most this many, the oldest ones.
    pub max: Option<u64>,
    /// Also those that may be executed twice.
    pub accept_duplicate_risk: bool,
}

/// Send many again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOrder {
    /// Which letters, and whether with risk.
    pub plan: PlanOrder,
    /// Requests per second.
    pub rate: u32,
    /// Failures after which it ends.
    pub stop_after: u32,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// End a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelOrder {
    /// As [`ReplayJob::id`] has it.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// Which rows of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditList {
    /// At or after this.
    pub since: Option<Millis>,
    /// At most this many, the newest ones.
    pub limit: usize,
}

/// A refusal of the store in words.
pub fn refused(id: LetterId, refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Absent => Refused::UnknownLetter(format!("there is no dead letter {id}: it may have been forgotten")),
        Refusal::Stale { version, state } => {
            Refused::Changed(format!("the letter {id} is now `{}` (version {version})", state.as_str()))
        }
        Refusal::Full(bound) => Refused::Conflict(words::plain(&bound, 500)),
    }
}
