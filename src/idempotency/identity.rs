//! Which record, and which request: hashes over length-framed parts, so that no two ways to split the same bytes
//! look alike.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::policy::Direction;
use crate::reliability::idempotency::{Fingerprint, RecordId};

/// Secret of a store. Keys are hashed with it: what stands in a store, a log or a metric cannot be guessed back.
pub type Secret = [u8; 32];

/// Whose key it is.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Direction and upstream: the same key at two services is two keys.
    pub service: &'a [&'a [u8]],
    /// The caller, as the policy tells callers apart; empty if it does not.
    pub principal: &'a [u8],
    /// The key.
    pub key: &'a [u8],
}

/// The record of a key at an upstream: the one that requests claim is the one that operators name.
pub fn record_of(secret: &Secret, (direction, upstream): (Direction, &str), principal: &[u8], key: &[u8]) -> RecordId {
    let direction: &[u8] = match direction {
        Direction::Outbound => b"outbound",
        Direction::Inbound => b"inbound",
    };
    record_id(secret, Scope { service: &[direction, upstream.as_bytes()], principal, key })
}

/// The record of a key.
pub fn record_id(secret: &Secret, scope: Scope<'_>) -> RecordId {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return RecordId([0; 16]) };
    for part in scope.service.iter().copied().chain([scope.principal, scope.key]) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    RecordId(first_half(&mac.finalize().into_bytes()))
}

/// The fingerprint of a request: method, path, query, media type, encoding, body.
pub fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Fingerprint(first_half(&hash.finalize()))
}

fn first_half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(secret: u8, service: &str, principal: &str, key: &str) -> RecordId {
        let scope = Scope { service: &[service.as_bytes()], principal: principal.as_bytes(), key: key.as_bytes() };
        record_id(&[secret; 32], scope)
    }

    #[test]
    fn a_record_belongs_to_one_service_one_caller_and_one_key() {
        let all = [
            id(1, "payments", "alice", "k"),
            id(2, "payments", "alice", "k"),
            id(1, "ledger", "alice", "k"),
            id(1, "payments", "bob", "k"),
            id(1, "payments", "alice", "k2"),
            // The same bytes, split elsewhere.
            id(1, "paymentsa", "lice", "k"),
            id(1, "payments", "alicek", ""),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{i}");
        }
        assert_eq!(all[0], id(1, "payments", "alice", "k"));
    }

    #[test]
    fn parts_of_a_request_cannot_run_into_each_other() {
        // Trellis PR #549: `?a=&a=b&c=` collided with `?a=&b=c&b=`.
        let print = |parts: [&str; 3]| fingerprint(&parts.map(str::as_bytes));
        assert_ne!(print(["ab", "c", ""]), print(["a", "bc", ""]));
        assert_ne!(print(["", "abc", ""]), print(["abc", "", ""]));
        assert_ne!(fingerprint(&[b"a"]), fingerprint(&[b"a", b""]));
    }
}
