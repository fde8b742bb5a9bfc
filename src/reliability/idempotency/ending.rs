//! What the end of a keyed request means for its record.

use super::super::classify::{Contract, PeerMark};
use super::super::failure::Sent;

/// What is told to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Keep the answer and replay it.
    Complete {
        /// It leaves open whether there was an effect.
        ambiguous: bool,
    },
    /// It was not executed; the key is free. An answer is passed on and not kept.
    Release,
    /// It may have been executed. UNKNOWN, or RETRYABLE where the upstream recognises the key.
    Fail,
}

/// Decides about a request that has ended. `status`: of the answer that goes to the client, `None` = none came.
/// `sent`: how much of the request left, over all attempts; an answer alone does not tell that an attempt before it
/// had no effect.
pub fn ending(status: Option<u16>, mark: PeerMark, sent: Sent, earlier: Sent, contract: Contract) -> Ending {
    let Some(status) = status else {
        return if sent == Sent::No && earlier == Sent::No { Ending::Release } else { Ending::Fail };
    };
    // A proxy of our kind behind us says that it did not even try, or the answer itself says so.
    let refused = mark == PeerMark::Refused || is_refusal(status);
    match (refused, earlier) {
        (true, Sent::No) => return Ending::Release,
        // Refused this time; what became of the attempt before is as unknown as it was.
        (true, Sent::Maybe | Sent::Yes) => return Ending::Fail,
        (false, _) => {}
    }
    match (status, contract) {
        (500.., Contract::Opaque) => Ending::Complete { ambiguous: true },
        (500.., Contract::Atomic5xx) if earlier == Sent::No => Ending::Release,
        (500.., Contract::Atomic5xx | Contract::Dedupes) => Ending::Fail,
        _ => Ending::Complete { ambiguous: false },
    }
}

/// Answers that come instead of an execution: who asks is not let in, comes too often or too early.
pub const fn is_refusal(status: u16) -> bool {
    matches!(status, 401 | 403 | 407 | 408 | 421 | 425 | 429 | 431)
}
