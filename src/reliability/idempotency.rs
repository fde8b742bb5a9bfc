//! Idempotency keys: which request may be executed, and what a repeated one is told.
//!
//! A [`Record`] is what is known of one key. [`apply`] is the only way in which it changes: a plain function of
//! record, operation and time. Every store is this function with storage around it, and is tested against it.
//!
//! What holds for any order of operations, crashes and pauses of owners, unless the contract is
//! [`Contract::Dedupes`](super::classify::Contract::Dedupes) or an operator says otherwise:
//!
//! * At most one owner gets `Done` for [`Op::MarkSent`], and only who has got it sends a byte.
//! * Once it may have been sent, a key is never free again within its retention: it ends COMPLETE or UNKNOWN.
//! * What is stored is changed only by its owner (the nonce), or by time.
//!
//! A lease protects nothing upstream: the upstream looks at no fence. Safety comes from never sending again after
//! SENT, and the lease only says when to stop waiting for an owner.

mod ending;
mod key;
mod machine;
mod record;
mod status;

pub use ending::{Ending, ending, is_refusal};
pub use key::{KEY_BYTES_MAX, KeyError, KeySyntax, parse_key};
pub use machine::{Claim, Op, Reply, apply};
pub use record::{Fingerprint, Millis, Nonce, Record, RecordId, State, stricter};
pub use status::KeyStatus;

#[cfg(test)]
mod tests;
