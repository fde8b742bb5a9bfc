//! What a client is told of its key.

/// Value of `Idempotency-Status`, label of the metric, word of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// Executed, and the answer is kept for repetitions.
    Stored,
    /// Not executed, or an answer that is not kept: the key is free.
    NotStored,
    /// Executed, but the answer could not be kept: a repetition will be told that the outcome is unknown.
    StoreFailed,
    /// The answer of an earlier request.
    Replayed,
    /// Somebody is at it.
    InFlight,
    /// It may have been executed, and nobody knows.
    Unknown,
    /// The key belongs to another request.
    Mismatch,
    /// Not deduplicated: the policy lets it through.
    Bypassed,
    /// This method needs no key.
    Ignored,
}

impl KeyStatus {
    /// All, in the order of their discriminants.
    pub const ALL: [KeyStatus; 9] = [
        KeyStatus::Stored,
        KeyStatus::NotStored,
        KeyStatus::StoreFailed,
        KeyStatus::Replayed,
        KeyStatus::InFlight,
        KeyStatus::Unknown,
        KeyStatus::Mismatch,
        KeyStatus::Bypassed,
        KeyStatus::Ignored,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyStatus::Stored => "stored",
            KeyStatus::NotStored => "not-stored",
            KeyStatus::StoreFailed => "store-failed",
            KeyStatus::Replayed => "replayed",
            KeyStatus::InFlight => "in-flight",
            KeyStatus::Unknown => "unknown",
            KeyStatus::Mismatch => "mismatch",
            KeyStatus::Bypassed => "bypassed",
            KeyStatus::Ignored => "ignored",
        }
    }
}
