//! What is known of a request that could not be served, and what may be done about it.
//!
//! A client has got an error already, and may ask again by itself: a replay must be safe against that. Whether it is
//! depends on what is known of the request's execution ([`Class`]) and on what the upstream promises.

use super::Failure;
use super::classify::Contract;
use super::failure::Sent;

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
