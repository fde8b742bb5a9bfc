//! One letter sent again.

use std::time::Duration;

use super::{Open, Place, failed, judged};
use crate::admin::api::ReplayEnd;
use crate::admin::control::Refused;
use crate::admin::control::letters::{Replayed, refused};
use crate::admin::letters::view::why_not;
use crate::dead_letters::letter::{Change, Deed, Letter, LetterId};
use crate::dead_letters::seal::Contents;
use crate::idempotency::store::{Command, Rider, Shown};
use crate::policy::idempotency::StoreKind;
use crate::proxy::replay::{Again, Ended};
use crate::reliability::dead_letters::{Class, Judgement, LetterState};
use crate::reliability::idempotency::{Op, Reply};
use crate::sabotage::{Point, crash_point};

/// So long an operator waits for one; it goes on without her.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// Who wants which letter sent again.
#[derive(Clone, Debug)]
pub struct Wish {
    pub id: LetterId,
    pub version: Option<u64>,
    pub accept_duplicate_risk: bool,
    pub reason: String,
    pub author: String,
}

impl Wish {
    fn deed(&self, action: &str, detail: String) -> Deed {
        Deed { actor: self.author.clone(), action: action.to_owned(), reason: self.reason.clone(), detail }
    }
}

/// What a replay needs of it.
pub async fn unsealed(open: &Open, letter: &Letter) -> Result<Contents, Refused> {
    let impossible =
        |why: String| Refused::NotReplayable(format!("of the letter {} there is no body: {why}", letter.id));
    if let Some(why) = &letter.words.captured.not_replayable {
        return Err(impossible(why.clone()));
    }
    let sealed = open.letters.store.sealed(letter.id).await.map_err(failed)?;
    let sealed = sealed.ok_or_else(|| impossible("it was not kept".to_owned()))?;
    open.letters.keys.open(letter.id, &sealed).map_err(|error| impossible(error.to_string()))
}

/// Sends it again if nothing speaks against it.
///
/// # Errors
/// What speaks against it; nothing was sent then.
pub async fn replay(open: &Open, wish: &Wish) -> Result<Replayed, Refused> {
    let letter = open.letter(wish.id).await?;
    if wish.version.is_some_and(|version| version != letter.version) {
        let stale = crate::dead_letters::letter::Refusal::Stale { version: letter.version, state: letter.state };
        return Err(refused(letter.id, stale));
    }
    let (place, shown) = open.record(&letter).await?;
    let risky = match judged(&letter, place.as_ref(), shown.as_ref()) {
        Judgement::Safe => false,
        Judgement::Superseded => return superseded(open, &letter, place.as_ref(), wish).await,
        Judgement::Risky if wish.accept_duplicate_risk => true,
        judgement => return Err(objection(&letter, judgement)),
    };
    let contents = unsealed(open, &letter).await?;
    let detail = if risky { "is sent again, and may happen twice" } else { "is sent again" };
    let begun = open
        .letters
        .store
        .change_letter(
            letter.id,
            Some(letter.version),
            (Change::Begin, format!("sent again by {}", wish.author)),
            Some(wish.deed("replay", detail.to_owned())),
        )
        .await;
    let letter = begun.map_err(failed)?.map_err(|refusal| refused(letter.id, refusal))?;
    if risky && let (Some(place), Some(shown)) = (&place, &shown) {
        free(open, &letter, place, shown, wish).await;
    }
    let captured = &letter.words.captured;
    let again = Again {
        upstream: captured.upstream.clone(),
        route: captured.route.clone(),
        letter: letter.id,
        number: letter.replays,
        origin: captured.key_origin,
        contents,
        trace_id: captured.trace_id.clone(),
    };
    crash_point(Point::AfterReplayStart);
    let ended = open.proxy.replay(again).await;
    crash_point(Point::AfterReplaySent);
    finish(open, &letter, place.as_ref(), wish, ended).await
}

fn objection(letter: &Letter, judgement: Judgement) -> Refused {
    let id = letter.id;
    match judgement {
        Judgement::Risky => Refused::Risky(format!(
            "the request of the letter {id} may have been executed ({}): to send it again could make it happen twice",
            letter.class.as_str()
        )),
        Judgement::Impossible => {
            let why = why_not(letter).unwrap_or_default();
            Refused::NotReplayable(format!("the letter {id} cannot be sent again: {why}"))
        }
        Judgement::Busy => Refused::Conflict(format!("a request with the key of the letter {id} is under way")),
        Judgement::Safe | Judgement::Superseded | Judgement::Closed => {
            Refused::Changed(format!("the letter {id} is now `{}` (version {})", letter.state.as_str(), letter.version))
        }
    }
}

/// An operator takes it upon herself: for its record nothing was executed.
async fn free(open: &Open, letter: &Letter, place: &Place, shown: &Shown, wish: &Wish) {
    let deed = wish.deed("accept-duplicate-risk", format!("its key was {}", shown.record.state.as_str()));
    let op = Op::ResolveNotExecuted { nonce: shown.record.nonce };
    let mut command = Command::new(place.id, op);
    if place.kind == StoreKind::Embedded {
        command.letter = Some(Box::new(Rider::Deed(Some(letter.id), deed)));
    } else {
        // If this is lost, the row of the replay says the same.
        let _ = open.letters.store.audit(Some(letter.id), deed).await;
    }
    // If it fails, the claim is refused, and the letter stays open.
    let _ = place.store.apply(command).await;
}

async fn superseded(open: &Open, letter: &Letter, place: Option<&Place>, wish: &Wish) -> Result<Replayed, Refused> {
    let note = "a later request with its key was answered";
    let deed = wish.deed("replay", format!("nothing was sent: {note}"));
    let change = (Change::Close(LetterState::Superseded), note.to_owned());
    let closed = open.letters.store.change_letter(letter.id, Some(letter.version), change, Some(deed)).await;
    let letter = closed.map_err(failed)?.map_err(|refusal| refused(letter.id, refusal))?;
    unpin(place).await;
    Ok(Replayed { end: ReplayEnd::Superseded, status: None, failure: None, letter })
}

/// The embedded store lets go of a record together with its letter; another store has to be told.
pub async fn unpin(place: Option<&Place>) {
    if let Some(place) = place.filter(|place| place.kind == StoreKind::Redis) {
        // If it is lost, the record is kept longer than needed, which harms nobody.
        let told = place.store.apply(Command::new(place.id, Op::Unpin)).await;
        debug_assert!(!matches!(told.map(|answered| answered.reply), Ok(Reply::Busy { .. })));
    }
}

async fn finish(
    open: &Open,
    letter: &Letter,
    place: Option<&Place>,
    wish: &Wish,
    ended: Ended,
) -> Result<Replayed, Refused> {
    let (end, change, status, failure, words) = match ended {
        Ended::Answered { status } => {
            let words = format!("answered {status}");
            (ReplayEnd::Replayed, Change::Close(LetterState::Replayed), Some(status), None, words)
        }
        Ended::AnsweredBefore => {
            let words = "a later request with its key was answered".to_owned();
            (ReplayEnd::Superseded, Change::Close(LetterState::Superseded), None, None, words)
        }
        Ended::Failed { status, reason, class } => {
            let class = class.unwrap_or(letter.class);
            let words = format!("failed again: {reason}, {}", known(class));
            (ReplayEnd::Failed, Change::Reopen { class }, status, Some(reason), words)
        }
    };
    let store = &open.letters.store;
    let closes = matches!(change, Change::Close(_));
    let deed = wish.deed("replay", words.clone());
    let changed = store.change_letter(letter.id, None, (change, words), Some(deed.clone())).await.map_err(failed)?;
    let letter = match changed {
        Ok(letter) => letter,
        // Closed by its record's own transaction, as it should be.
        Err(_) => {
            store.audit(Some(letter.id), deed).await.map_err(failed)?;
            open.letter(letter.id).await?
        }
    };
    if closes {
        unpin(place).await;
    }
    Ok(Replayed { end, status, failure, letter })
}

const fn known(class: Class) -> &'static str {
    match class {
        Class::NotExecuted => "and it was not executed",
        Class::Unknown => "and nobody knows whether it was executed",
        Class::FailedResponse => "and it may have been executed in part",
    }
}
