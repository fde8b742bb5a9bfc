//! Letters given up, and letters settled by what an operator found out.

use http::HeaderMap;

use super::one::unpin;
use super::{Open, Place, failed, judged};
use crate::admin::api::ReplayPlan;
use crate::admin::control::letters::{DropOrder, ResolveLetterOrder, ShownLetter, refused};
use crate::admin::control::{Outcome, Refused};
use crate::app::control::Sources;
use crate::app::keys;
use crate::dead_letters::letter::{Change, Deed, Letter, Refusal};
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::millis;
use crate::idempotency::store::{Command, Rider, Shown};
use crate::policy::idempotency::StoreKind;
use crate::reliability::dead_letters::{Judgement, LetterState};
use crate::reliability::idempotency::{Op, Reply};

/// Gives letters up.
pub fn drop(sources: &Sources, order: DropOrder) -> Result<u64, Refused> {
    let open = Open::of(&sources.core)?;
    let DropOrder { filter, expect_count, version, reason, author } = order;
    let deed = Deed { actor: author, action: "drop".to_owned(), reason, detail: "is given up".to_owned() };
    let store = &open.letters.store;
    match (version, filter.ids.as_slice()) {
        (Some(version), [id]) => sources.core.stores.wait_for(async {
            let note = format!("dropped by {}: {}", deed.actor, deed.reason);
            let change = (Change::Close(LetterState::Dropped), note);
            let changed = store.change_letter(*id, Some(version), change, Some(deed)).await.map_err(failed)?;
            let letter = changed.map_err(|refusal| refused(*id, refusal))?;
            unpin(open.place(&letter).ok().flatten().as_ref()).await;
            Ok(1)
        })?,
        (_, ids) => {
            let one = ids.first().copied().filter(|_| ids.len() == 1);
            let found = sources.core.stores.wait(store.drop_letters(filter, expect_count, deed)).map_err(failed)?;
            match (found == expect_count, one) {
                (true, _) => Ok(found),
                (false, Some(id)) => {
                    let letter = sources.core.stores.wait_for(open.letter(id))??;
                    Err(refused(id, Refusal::Stale { version: letter.version, state: letter.state }))
                }
                (false, None) => Err(Refused::Changed(format!(
                    "{found} open letters match now, not {expect_count}: nothing was dropped"
                ))),
            }
        }
    }
}

/// Settles a letter and the record of its key.
pub fn resolve(sources: &Sources, order: ResolveLetterOrder) -> Result<ShownLetter, Refused> {
    let open = Open::of(&sources.core)?;
    sources.core.stores.wait_for(async { settle(&open, order).await })?
}

async fn settle(open: &Open, order: ResolveLetterOrder) -> Result<ShownLetter, Refused> {
    let letter = open.letter(order.id).await?;
    let stale = || refused(letter.id, Refusal::Stale { version: letter.version, state: letter.state });
    if letter.state != LetterState::Open || order.version.is_some_and(|version| version != letter.version) {
        return Err(stale());
    }
    let (place, shown) = open.record(&letter).await?;
    let word = match &order.outcome {
        Outcome::Executed { .. } => "executed",
        Outcome::NotExecuted => "not executed",
    };
    let detail = format!("resolved as {word}");
    let deed = Deed { actor: order.author, action: "resolve".to_owned(), reason: order.reason, detail: detail.clone() };
    if let (Some(place), Some(shown)) = (&place, &shown) {
        settle_key(&letter, place, shown, &order.outcome, &deed).await?;
    }
    let change = (Change::Close(LetterState::Resolved), detail);
    let store = &open.letters.store;
    let changed = store.change_letter(letter.id, None, change, Some(deed)).await.map_err(failed)?;
    // Closed by the transaction of its record, it is what was wanted.
    let letter = match changed {
        Ok(letter) => letter,
        Err(_) => open.letter(letter.id).await?,
    };
    unpin(place.as_ref()).await;
    let (_, shown) = open.record(&letter).await.unwrap_or_default();
    Ok(ShownLetter { letter, key: shown.as_ref().map(keys::view) })
}

async fn settle_key(
    letter: &Letter,
    place: &Place,
    shown: &Shown,
    outcome: &Outcome,
    deed: &Deed,
) -> Result<(), Refused> {
    let nonce = shown.record.nonce;
    let mut command = match outcome {
        Outcome::NotExecuted => Command::new(place.id, Op::ResolveNotExecuted { nonce }),
        Outcome::Executed { status, body } => {
            let max = place.policy.max_stored_body;
            if body.len() > max {
                return Err(Refused::Invalid(format!("`body` is longer than the {max} bytes of `maxStoredBody`")));
            }
            let keep = millis(place.policy.ttl);
            let answer = StoredAnswer::new(*status, &HeaderMap::new(), Some(body.clone().into()));
            Command { answer: Some(answer), ..Command::new(place.id, Op::ResolveExecuted { nonce, keep }) }
        }
    };
    if place.kind == StoreKind::Embedded {
        command.letter = Some(Box::new(Rider::Deed(Some(letter.id), deed.clone())));
    }
    let told = place.store.apply(command).await.map_err(failed)?.reply;
    let is_open_question = judged(letter, Some(place), Some(shown)) == Judgement::Risky;
    match told {
        Reply::Done => Ok(()),
        // Free already, or answered: the letter alone is settled.
        _ if !is_open_question => Ok(()),
        _ => Err(Refused::Changed(format!("the key of the letter {} has changed meanwhile: look again", letter.id))),
    }
}

/// Counts what a replay would do with a letter.
pub async fn count(open: &Open, plan: &mut ReplayPlan, letter: &Letter) {
    match open.record(letter).await {
        Ok((place, shown)) => plan.count(letter, judged(letter, place.as_ref(), shown.as_ref())),
        Err(error) => plan.count_unjudged(error.text()),
    }
}
