//! What is known of a request that could not be served, and what may be done about it.
//!
//! A client has got an error already, and may ask again by itself: a replay must be safe against that. Whether it is
//! depends on what is known of the request's execution ([`Class`]) and on what the upstream promises.

mod judge;

pub use self::judge::{Judgement, Standing, judge};

use super::Failure;
use super::classify::{Contract, PeerMark};
use super::failure::Sent;
use super::idempotency::{Ending, ending};

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

/// Sorts an answer that goes to the client. `mark`: what a proxy of our kind says of it; `earlier`: what the attempts
/// before it may have done. `None`: nothing is left to repair.
pub fn of_answer(status: u16, mark: PeerMark, earlier: Sent, contract: Contract) -> Option<(Cause, Class)> {
    let refused = mark == PeerMark::Refused;
    match (ending(Some(status), mark, Sent::Yes, earlier, contract), status) {
        (Ending::Complete { ambiguous: false }, _) | (Ending::Release, ..500) => None,
        (Ending::Release, _) => Some((Cause::ServerError, Class::NotExecuted)),
        (Ending::Complete { ambiguous: true }, _) => Some((Cause::ServerError, Class::FailedResponse)),
        // It was refused this time, and nobody knows of the time before.
        (Ending::Fail, ..500) => Some((Cause::OutcomeUnknown, Class::Unknown)),
        (Ending::Fail, _) if contract == Contract::Dedupes && !refused => {
            Some((Cause::ServerError, Class::FailedResponse))
        }
        (Ending::Fail, _) => Some((Cause::ServerError, Class::Unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACTS: [Contract; 3] = [Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes];

    #[test]
    fn the_words_are_read_as_they_are_written() {
        assert!(Cause::ALL.into_iter().all(|cause| Cause::of(cause.as_str()) == Some(cause)));
        assert!(Class::ALL.into_iter().all(|class| Class::of(class.as_str()) == Some(class)));
        assert!(LetterState::ALL.into_iter().all(|state| LetterState::of(state.as_str()) == Some(state)));
        assert_eq!((Cause::of(""), Class::of("Unknown"), LetterState::of("shut")), (None, None, None));
    }

    #[test]
    fn what_may_have_left_is_unknown_whatever_failed_last() {
        for failure in Failure::ALL {
            for executed in [Sent::Maybe, Sent::Yes] {
                assert_eq!(of_failure(*failure, executed), Some((Cause::OutcomeUnknown, Class::Unknown)));
            }
        }
    }

    #[test]
    fn what_did_not_leave_is_a_letter_only_if_the_dependency_is_at_fault() {
        for (failure, cause) in [
            (Failure::CircuitOpen, Some(Cause::CircuitOpen)),
            (Failure::Throttled, Some(Cause::CircuitOpen)),
            (Failure::DeadlineExceeded, Some(Cause::Deadline)),
            (Failure::ConnectionRefused, Some(Cause::RetriesExhausted)),
            (Failure::NoEndpoint, Some(Cause::RetriesExhausted)),
            (Failure::DnsError, Some(Cause::RetriesExhausted)),
            (Failure::QueueFull, None),
            (Failure::Shed, None),
            (Failure::Draining, None),
            (Failure::StoreUnavailable, None),
            (Failure::RequestBodyTimeout, None),
            (Failure::ClientGone, None),
        ] {
            assert_eq!(of_failure(failure, Sent::No), cause.map(|cause| (cause, Class::NotExecuted)), "{failure:?}");
        }
    }

    #[test]
    fn a_good_answer_is_no_letter_and_a_refusal_only_after_an_attempt_that_nobody_knows_of() {
        for contract in CONTRACTS {
            for earlier in [Sent::No, Sent::Maybe, Sent::Yes] {
                assert_eq!(of_answer(201, PeerMark::None, earlier, contract), None);
                assert_eq!(of_answer(404, PeerMark::None, earlier, contract), None);
            }
            for status in [401, 429] {
                assert_eq!(of_answer(status, PeerMark::None, Sent::No, contract), None);
                let after = of_answer(status, PeerMark::None, Sent::Maybe, contract);
                assert_eq!(after, Some((Cause::OutcomeUnknown, Class::Unknown)), "{status} {contract:?}");
            }
        }
    }

    #[test]
    fn a_server_error_is_what_the_contract_makes_of_it() {
        let sorted = |mark, earlier, contract| {
            let (cause, class) = of_answer(503, mark, earlier, contract).expect("a letter");
            assert_eq!(cause, Cause::ServerError);
            class
        };
        let none = PeerMark::None;
        assert_eq!(sorted(none, Sent::No, Contract::Opaque), Class::FailedResponse);
        assert_eq!(sorted(none, Sent::No, Contract::Dedupes), Class::FailedResponse);
        assert_eq!(sorted(none, Sent::No, Contract::Atomic5xx), Class::NotExecuted);
        assert_eq!(sorted(none, Sent::Maybe, Contract::Atomic5xx), Class::Unknown);
        for contract in CONTRACTS {
            // A proxy of our kind says that it did not even try.
            assert_eq!(sorted(PeerMark::Refused, Sent::No, contract), Class::NotExecuted);
            assert_eq!(sorted(PeerMark::Refused, Sent::Maybe, contract), Class::Unknown);
        }
    }
}
