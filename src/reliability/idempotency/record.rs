//! What is known of one key.

use super::super::classify::Contract;

/// Milliseconds since 1970 on the clock of the store. Wall time, because a record outlives the process.
pub type Millis = u64;

/// Which record: a keyed hash over service, principal and key. The key itself is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

/// Which request: a hash over method, target, media type, encoding and body. Another request under the same key is
/// a mistake of the caller, and never executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// Random for each claim: proof of being its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// Where a key stands. A key without a record is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Somebody is about to send the request. Nothing was sent.
    Claimed,
    /// It may have been sent, and its owner is at it.
    Sent,
    /// There is an answer to replay.
    Complete,
    /// It may have been executed, and nobody knows. Not executed again.
    Unknown,
    /// It may be sent again under the same key: it was not executed, or the upstream recognises the key.
    Retryable,
}

impl State {
    /// The word in the command line, metrics and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Claimed => "claimed",
            State::Sent => "sent",
            State::Complete => "complete",
            State::Unknown => "unknown",
            State::Retryable => "retryable",
        }
    }
}

/// The state of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub state: State,
    /// Of the request that claimed it.
    pub fingerprint: Fingerprint,
    /// Of its latest owner.
    pub nonce: Nonce,
    /// Grows with every claim; for logs. Ownership is the nonce's: this number repeats after a record was deleted.
    pub fence: u32,
    /// Claims that may have led to an execution, this one included.
    pub attempt: u16,
    /// What the upstream promised when it was claimed; only ever becomes stricter.
    pub contract: Contract,
    /// It may have been executed at least once, and that answer is not known. Stays until a definite answer.
    /// Of a COMPLETE record: its stored answer leaves open whether there was an effect (5xx of an opaque upstream).
    pub ambiguous: bool,
    /// An open dead letter needs it: it does not expire.
    pub pinned: bool,
    /// Until when its owner is believed to be alive (CLAIMED, SENT).
    pub lease_until: Millis,
    /// When it is forgotten, unless pinned.
    pub expires: Millis,
}

/// The contract that permits less.
pub const fn stricter(a: Contract, b: Contract) -> Contract {
    match (a, b) {
        (Contract::Opaque, _) | (_, Contract::Opaque) => Contract::Opaque,
        (Contract::Atomic5xx, _) | (_, Contract::Atomic5xx) => Contract::Atomic5xx,
        (Contract::Dedupes, Contract::Dedupes) => Contract::Dedupes,
    }
}
