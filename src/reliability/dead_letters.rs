//! What is known of a request that could not be served, and what may be done about it.
//!
//! A client has got an error already, and may ask again by itself: a replay must be safe against that. Whether it is
//! depends on what is known of the request's execution ([`Class`]) and on what the upstream promises.

use super::Failure;
use super::classify::Contract;
use super::failure::Sent;
use super::idempotency::State;

/// Why a request became a dead letter; the words of `deadLetter.when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No attempt got through, and no further one was made.
    RetriesExhausted,
    /// Its time was over before anything was sent.
    Deadline,
    /// The breaker was open: nothing was tried.
    CircuitOpen,
    /// The upstream answered 500 or above, and that went to the client.
    ServerError,
    /// It was sent, and no answer came.
    OutcomeUnknown,
    /// It was sent, and this process ended before the answer.
    ProcessEnded,
}

impl Cause {
    /// All, in the order of the documentation.
    pub const ALL: [Cause; 6] = [
        Cause::RetriesExhausted,
        Cause::Deadline,
        Cause::CircuitOpen,
        Cause::ServerError,
        Cause::OutcomeUnknown,
        Cause::ProcessEnded,
    ];

    /// The word in the policy, the command line and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::RetriesExhausted => "retries-exhausted",
            Cause::Deadline => "deadline",
            Cause::CircuitOpen => "circuit-open",
            Cause::ServerError => "server-error",
            Cause::OutcomeUnknown => "outcome-unknown",
            Cause::ProcessEnded => "process-ended",
        }
    }

    /// The cause with this word.
    pub fn of(word: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// What is known of its execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It was not executed: nothing was sent, or the contract says so.
    NotExecuted,
    /// It may have been executed.
    Unknown,
    /// The upstream answered 500 or above: it may have been executed in part.
    FailedResponse,
}

impl Class {
    /// All.
    pub const ALL: [Class; 3] = [Class::NotExecuted, Class::Unknown, Class::FailedResponse];

    /// The word in the command line and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::NotExecuted => "not-executed",
            Class::Unknown => "unknown",
            Class::FailedResponse => "failed-response",
        }
    }

    /// The class with this word.
    pub fn of(word: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// Whether a replay could make an effect happen twice, as far as anyone knows.
    pub const fn is_risky(self, contract: Contract) -> bool {
        match (self, contract) {
            (Class::NotExecuted, _) | (_, Contract::Dedupes) => false,
            // A received 5xx had no effect: that is the contract.
            (Class::FailedResponse, Contract::Atomic5xx) => false,
            (Class::Unknown, _) | (Class::FailedResponse, Contract::Opaque) => true,
        }
    }
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LetterState {
    /// Somebody has to decide.
    Open,
    /// It is being sent again.
    Replaying,
    /// It was sent again, and answered.
    Replayed,
    /// The client's own next try succeeded.
    Superseded,
    /// An operator gave it up.
    Dropped,
    /// An operator found out what had become of it.
    Resolved,
    /// Nobody decided in time.
    Expired,
}

impl LetterState {
    /// All.
    pub const ALL: [LetterState; 7] = [
        LetterState::Open,
        LetterState::Replaying,
        LetterState::Replayed,
        LetterState::Superseded,
        LetterState::Dropped,
        LetterState::Resolved,
        LetterState::Expired,
    ];

    /// The word in the command line and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            LetterState::Open => "open",
            LetterState::Replaying => "replaying",
            LetterState::Replayed => "replayed",
            LetterState::Superseded => "superseded",
            LetterState::Dropped => "dropped",
            LetterState::Resolved => "resolved",
            LetterState::Expired => "expired",
        }
    }

    /// The state with this word.
    pub fn of(word: &str) -> Option<LetterState> {
        LetterState::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Nothing more will happen to it.
    pub const fn is_closed(self) -> bool {
        !matches!(self, LetterState::Open | LetterState::Replaying)
    }
}

/// Sorts a request that ended without an answer. `executed`: of all attempts, less what the contract excludes.
/// `None`: nobody has to repair it, because the caller was at fault or was refused on purpose.
pub fn of_failure(failure: Failure, executed: Sent) -> Option<(Cause, Class)> {
    use super::failure::Side;
    if executed != Sent::No {
        return Some((Cause::OutcomeUnknown, Class::Unknown));
    }
    let cause = match failure {
        Failure::CircuitOpen | Failure::Throttled => Cause::CircuitOpen,
        Failure::DeadlineExceeded => Cause::Deadline,
        failure if failure.side() == Side::Upstream => Cause::RetriesExhausted,
        _ => return None,
    };
    Some((cause, Class::NotExecuted))
}

/// Sorts an answer of 500 or above. `earlier`: what the attempts before it may have done.
pub const fn of_answer(status: u16, earlier: Sent, contract: Contract) -> Option<(Cause, Class)> {
    match (status, contract, earlier) {
        (..500, ..) => None,
        (_, Contract::Atomic5xx, Sent::No) => Some((Cause::ServerError, Class::NotExecuted)),
        (_, Contract::Atomic5xx, _) => Some((Cause::ServerError, Class::Unknown)),
        (_, Contract::Opaque | Contract::Dedupes, _) => Some((Cause::ServerError, Class::FailedResponse)),
    }
}

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
    fn words_are_read_as_they_are_written() {
        assert!(Cause::ALL.iter().all(|cause| Cause::of(cause.as_str()) == Some(*cause)));
        assert!(Class::ALL.iter().all(|class| Class::of(class.as_str()) == Some(*class)));
        assert!(LetterState::ALL.iter().all(|state| LetterState::of(state.as_str()) == Some(*state)));
        assert_eq!((Cause::of("Deadline"), Class::of(""), LetterState::of("closed")), (None, None, None));
    }

    #[test]
    fn what_nobody_has_to_repair_is_no_letter() {
        for failure in Failure::ALL {
            let found = of_failure(*failure, Sent::No);
            let is_upstreams = failure.side() == super::super::Side::Upstream;
            assert_eq!(found.is_some(), is_upstreams, "{}", failure.token());
            assert!(found.is_none_or(|(_, class)| class == Class::NotExecuted));
            // Whatever is said of it: what may have been executed is unknown.
            assert_eq!(of_failure(*failure, Sent::Maybe), Some((Cause::OutcomeUnknown, Class::Unknown)));
        }
        assert_eq!(of_failure(Failure::CircuitOpen, Sent::No), Some((Cause::CircuitOpen, Class::NotExecuted)));
        assert_eq!(of_failure(Failure::DeadlineExceeded, Sent::No), Some((Cause::Deadline, Class::NotExecuted)));
    }

    #[test]
    fn an_error_that_the_contract_calls_harmless_was_no_execution() {
        assert_eq!(of_answer(499, Sent::No, Contract::Opaque), None);
        let of = |earlier, contract| of_answer(503, earlier, contract).map(|(_, class)| class);
        assert_eq!(of(Sent::No, Contract::Opaque), Some(Class::FailedResponse));
        assert_eq!(of(Sent::No, Contract::Dedupes), Some(Class::FailedResponse));
        assert_eq!(of(Sent::No, Contract::Atomic5xx), Some(Class::NotExecuted));
        assert_eq!(of(Sent::Maybe, Contract::Atomic5xx), Some(Class::Unknown), "the attempt before may have done it");
    }

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
