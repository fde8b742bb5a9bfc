//! A letter, as it is captured, kept and shown.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Fingerprint, Millis, RecordId};

/// Which letter: a UUID of version 7 (RFC 9562), so that letters sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub [u8; 16]);

impl LetterId {
    /// A fresh one. `random`: 128 bits of it.
    pub fn new(now: Millis, random: u128) -> LetterId {
        let mut bytes = random.to_be_bytes();
        bytes[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        LetterId(bytes)
    }

    /// Reads what [`fmt::Display`] writes. `None`: it is no UUID.
    pub fn parse(text: &str) -> Option<LetterId> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        if digits.len() != 32 || text.len() > 36 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(LetterId(bytes))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Who gave the request its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyOrigin {
    /// The client.
    Client,
    /// We did, for an upstream that recognises keys; the client does not know it.
    Generated,
    /// It has none.
    None,
}

/// The request, as far as it may be shown. Secrets are `[redacted:…]` here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Captured {
    /// `deadLetter.queue`, or `UPSTREAM/ROUTE`.
    pub queue: String,
    pub upstream: String,
    pub route: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    pub method: String,
    pub host: String,
    /// With its query, redacted.
    pub target: String,
    /// Lines `name: value`, redacted.
    pub fields: Vec<String>,
    pub body_bytes: u64,
    /// SHA-256 in hex.
    pub body_sha256: String,
    /// Why it can never be sent again; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_replayable: Option<String>,
    pub key_origin: KeyOrigin,
    pub trace_id: String,
    pub policy_revision: u64,
    /// `opaque`, `atomic5xx` or `dedupes`, when it was captured.
    pub contract: String,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// Empty if no endpoint was chosen.
    pub endpoint: String,
    pub duration_ms: u64,
    /// A status, a failure's token, or `cancelled`.
    pub end: String,
}

/// How the request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// What the client was told: a failure's token or `status-503`.
    pub reason: String,
    pub status: Option<u16>,
    pub attempts: Vec<Tried>,
    /// Of the upstream's answer: fields, redacted, and the first 4 KiB of its body as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer_fields: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer_text: String,
}

/// What of a letter is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    pub captured: Captured,
    pub ended: Ended,
}

/// What a replay needs and nobody may read: sealed with a key that is not in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key: the first bytes of its SHA-256.
    pub key: [u8; 4],
    /// Nonce, ciphertext, tag; the letter's id is bound to it.
    pub bytes: Bytes,
}

/// A letter to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLetter {
    pub id: LetterId,
    pub class: Class,
    pub cause: Cause,
    pub contract: Contract,
    /// The record of its key, if the key is deduplicated.
    pub record: Option<(RecordId, Fingerprint)>,
    pub words: Words,
    /// `None`: nothing that would make a replay possible was kept.
    pub sealed: Option<Sealed>,
}

/// What of a request is noted when it is sent, so that its letter can be written should this process end before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stub {
    pub id: LetterId,
    pub captured: Captured,
    pub sealed: Option<Sealed>,
}

/// A letter that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub id: LetterId,
    /// Counts its changes: whoever changes it names the one that was seen.
    pub version: u64,
    pub state: LetterState,
    pub class: Class,
    pub cause: Cause,
    pub contract: Contract,
    pub record: Option<(RecordId, Fingerprint)>,
    pub created: Millis,
    pub updated: Millis,
    /// When it is closed as expired; of a closed one, when it is forgotten.
    pub expires: Millis,
    /// Bytes that it takes.
    pub size: u64,
    /// How often it was sent again.
    pub replays: u32,
    /// What became of it the last time, or who closed it and why. Empty while nothing happened.
    pub note: String,
    pub words: Words,
    /// Whether what a replay needs was kept.
    pub is_sealed: bool,
}

/// Which letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Exactly these; empty = all.
    pub ids: Vec<LetterId>,
    /// Any of these; empty = all.
    pub states: Vec<LetterState>,
    pub classes: Vec<Class>,
    pub causes: Vec<Cause>,
    pub queue: Option<String>,
    pub upstream: Option<String>,
    pub route: Option<String>,
    /// Captured at or after, and before.
    pub since: Option<Millis>,
    pub until: Option<Millis>,
}

/// How many letters of one kind there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub queue: String,
    pub state: LetterState,
    pub class: Class,
    pub letters: u64,
    pub bytes: u64,
    /// Of the oldest one.
    pub oldest: Millis,
}

/// What happens to a letter by hand or by a replay. Only from the states that are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Open: it is about to be sent again. It stays so until [`Change::Reopen`] or [`Change::Close`]; a restart opens it
    /// again, and then nobody knows what became of it.
    Begin,
    /// Replaying: it was not served this time either, and this is known of it now.
    Reopen { class: Class },
    /// Open, or replaying: nothing more will happen to it.
    Close(LetterState),
}

/// Who did something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub actor: String,
    /// `replay`, `drop`, `resolve`, `body`, …
    pub action: String,
    pub reason: String,
    /// What came of it, or what it was done to, in words.
    pub detail: String,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    pub number: u64,
    pub at: Millis,
    pub letter: Option<LetterId>,
    pub deed: Deed,
    /// Its hash fits its words and the row before.
    pub intact: bool,
}

/// Why a letter was not changed or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such letter.
    Absent,
    /// It has changed since it was looked at, or is in no state for this. As it is now.
    Stale { version: u64, state: LetterState },
    /// A bound is reached; which, in words.
    Full(String),
}

/// Bounds on what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open letters are closed as expired after this, and closed ones forgotten.
    pub retention: Duration,
    /// Letters, open and closed.
    pub letters_max: u64,
    /// Bytes of all letters.
    pub bytes_max: u64,
    /// Of both bounds, what one queue may take, in percent.
    pub share_max: u8,
}
