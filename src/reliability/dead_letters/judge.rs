//! Whether a letter may be sent again.

use super::{Class, LetterState};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::State;

/// Where the key of a letter stands, and whether it may have been executed without a definite answer.
pub type Standing = (State, bool);

/// What a replay of a letter would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    /// Safe, as far as anyone can know.
    Safe,
    /// It could make an effect happen twice: an operator has to take that upon herself, or find out.
    Risky,
    /// Not needed: its key has a definite answer by now.
    Superseded,
    /// Not now: a request with its key, or a replay of it, is under way.
    Busy,
    /// Not possible: what it needs was not kept.
    Impossible,
    /// It is closed.
    Closed,
}

/// Judges a letter. `kept`: what a replay needs is there. `key`: the letter's key is deduplicated; inside, where its
/// record stands, `None` = there is none.
pub fn judge(
    state: LetterState,
    (class, contract): (Class, Contract),
    kept: bool,
    key: Option<Option<Standing>>,
) -> Judgement {
    let by_class = if class.is_risky(contract) { Judgement::Risky } else { Judgement::Safe };
    match (state, kept, key) {
        (LetterState::Replaying, ..) => Judgement::Busy,
        (state, ..) if state.is_closed() => Judgement::Closed,
        // Known also of a letter that can never be sent.
        (_, _, Some(Some((State::Complete, false)))) => Judgement::Superseded,
        (_, false, _) => Judgement::Impossible,
        (_, _, Some(Some((State::Claimed | State::Sent, _)))) => Judgement::Busy,
        (_, _, Some(Some((State::Retryable, false)))) => Judgement::Safe,
        (_, _, Some(Some((State::Retryable, true)))) if matches!(contract, Contract::Dedupes) => Judgement::Safe,
        (_, _, Some(Some((State::Unknown | State::Complete | State::Retryable, _)))) => Judgement::Risky,
        // Without its record (never deduplicated, or lost by a store that should not have), the letter's own word counts.
        (_, _, None | Some(None)) => by_class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_safe_only_if_nothing_can_happen_twice() {
        let of = |class, contract, key| judge(LetterState::Open, (class, contract), true, key);
        for class in Class::ALL {
            for key in [None, Some(None), Some(Some((State::Unknown, true)))] {
                let safe = class == Class::NotExecuted && key.flatten().is_none();
                let wanted = if safe { Judgement::Safe } else { Judgement::Risky };
                assert_eq!(of(class, Contract::Opaque, key), wanted, "{class:?} {key:?}");
            }
            // The record knows better than the letter.
            assert_eq!(of(class, Contract::Opaque, Some(Some((State::Complete, false)))), Judgement::Superseded);
            assert_eq!(of(class, Contract::Opaque, Some(Some((State::Complete, true)))), Judgement::Risky);
            assert_eq!(of(class, Contract::Opaque, Some(Some((State::Retryable, false)))), Judgement::Safe);
            assert_eq!(of(class, Contract::Opaque, Some(Some((State::Retryable, true)))), Judgement::Risky);
            assert_eq!(of(class, Contract::Dedupes, Some(Some((State::Retryable, true)))), Judgement::Safe);
            assert_eq!(of(class, Contract::Dedupes, None), Judgement::Safe);
            for state in [State::Claimed, State::Sent] {
                assert_eq!(of(class, Contract::Dedupes, Some(Some((state, false)))), Judgement::Busy);
            }
        }
        assert_eq!(of(Class::FailedResponse, Contract::Atomic5xx, None), Judgement::Safe);
        assert_eq!(of(Class::Unknown, Contract::Atomic5xx, None), Judgement::Risky);
    }

    #[test]
    fn what_was_not_kept_cannot_be_sent_again_but_may_be_superseded() {
        let of = |state, key| judge(state, (Class::NotExecuted, Contract::Dedupes), false, key);
        assert_eq!(of(LetterState::Open, None), Judgement::Impossible);
        assert_eq!(of(LetterState::Open, Some(Some((State::Complete, false)))), Judgement::Superseded);
        assert_eq!(of(LetterState::Replaying, None), Judgement::Busy);
        for state in LetterState::ALL.into_iter().filter(|state| state.is_closed()) {
            assert_eq!(of(state, None), Judgement::Closed);
        }
    }
}
