//! The transitions of a record.

use super::super::classify::Contract;
use super::record::{Fingerprint, Millis, Nonce, Record, State, stricter};

/// The wish to execute a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of the request.
    pub fingerprint: Fingerprint,
    /// Fresh.
    pub nonce: Nonce,
    /// How long its owner is believed to be alive without a sign, in ms.
    pub lease: Millis,
    /// How long the record is kept if nothing more is heard, in ms: not less than an unknown outcome is kept.
    pub keep: Millis,
    /// What the upstream promises now.
    pub contract: Contract,
}

/// What is asked of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// May this request be executed?
    Claim(Claim),
    /// What would a claim be told? Changes nothing.
    Lookup {
        /// Of the request.
        fingerprint: Fingerprint,
    },
    /// The owner is about to send the first byte. Nothing may leave before this is acknowledged.
    MarkSent {
        /// The owner's.
        nonce: Nonce,
        /// From now, in ms.
        lease: Millis,
    },
    /// The owner is alive.
    Renew {
        /// The owner's.
        nonce: Nonce,
        /// From now, in ms.
        lease: Millis,
    },
    /// There is an answer.
    Complete {
        /// The owner's.
        nonce: Nonce,
        /// The answer leaves open whether there was an effect.
        ambiguous: bool,
        /// How long it is replayed, in ms.
        keep: Millis,
    },
    /// It was not executed: provably, or by the contract's word.
    Release {
        /// The owner's.
        nonce: Nonce,
    },
    /// It was sent, and its end is not known.
    Fail {
        /// The owner's.
        nonce: Nonce,
        /// How long that is remembered, in ms.
        keep: Millis,
    },
    /// An operator knows: it was executed. The answer to replay comes with it.
    ResolveExecuted {
        /// As the operator saw it.
        nonce: Nonce,
        /// How long the answer is replayed, in ms.
        keep: Millis,
    },
    /// An operator knows, or takes the risk: it was not executed.
    ResolveNotExecuted {
        /// As the operator saw it.
        nonce: Nonce,
    },
    /// A dead letter is open: do not forget.
    Pin,
    /// No dead letter is open any more.
    Unpin,
}

/// The answer to an [`Op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The claim is granted.
    Granted {
        /// Claims that may have led to an execution, this one included.
        attempt: u16,
        /// For logs.
        fence: u32,
    },
    /// There is an answer: replay it.
    Replay {
        /// The stored answer leaves open whether there was an effect.
        ambiguous: bool,
    },
    /// The key belongs to another request.
    Mismatch,
    /// Somebody is at it.
    Busy {
        /// Time left of its owner's lease, in ms.
        left: Millis,
        /// The request may have left.
        sent: bool,
    },
    /// It may have been executed, and nobody knows.
    Unknown,
    /// There is no record, or none that stands in the way.
    Absent,
    /// As asked.
    Done,
    /// Not the owner (any more), or not in a state in which this makes sense. Nothing changed.
    Fenced,
}

/// Applies one operation at `now`. Returns the record as it is afterwards (`None` = absent) and the answer.
pub fn apply(record: Option<Record>, op: &Op, now: Millis) -> (Option<Record>, Reply) {
    let record = record.and_then(|record| by_time(record, now));
    match *op {
        Op::Claim(claim) => match record {
            None => granted(fresh(&claim, now)),
            Some(record) => claim_again(record, &claim, now),
        },
        Op::Lookup { fingerprint } => {
            (record, record.map_or(Reply::Absent, |r| looked_up(&r, fingerprint, r.contract, now)))
        }
        Op::Pin => changed(record, |record| {
            record.pinned = true;
            true
        }),
        Op::Unpin => changed(record, |record| {
            record.pinned = false;
            true
        }),
        Op::MarkSent { nonce, lease } => owned(record, nonce, |record| {
            let fits = matches!(record.state, State::Claimed | State::Sent);
            if record.state == State::Claimed {
                record.state = State::Sent;
                record.lease_until = now.saturating_add(lease);
            }
            fits
        }),
        Op::Renew { nonce, lease } => owned(record, nonce, |record| {
            let fits = matches!(record.state, State::Claimed | State::Sent);
            if fits {
                record.lease_until = now.saturating_add(lease);
            }
            fits
        }),
        Op::Complete { nonce, ambiguous, keep } => owned(record, nonce, |record| match record.state {
            // A late answer heals what was given up. A repeated report of the same is no mistake.
            State::Sent | State::Unknown | State::Retryable => {
                complete(record, ambiguous, now.saturating_add(keep));
                true
            }
            State::Complete => true,
            State::Claimed => false,
        }),
        Op::Fail { nonce, keep } => owned(record, nonce, |record| match record.state {
            State::Sent => {
                record.expires = record.expires.max(now.saturating_add(keep));
                lose_sight(record);
                true
            }
            State::Unknown | State::Retryable => true,
            State::Claimed | State::Complete => false,
        }),
        Op::Release { nonce } => release(record, nonce),
        Op::ResolveExecuted { nonce, keep } => owned(record, nonce, |record| {
            let open = is_open_question(record);
            if open {
                complete(record, false, now.saturating_add(keep));
            }
            open
        }),
        Op::ResolveNotExecuted { nonce } => match record {
            Some(record) if record.nonce == nonce && is_open_question(&record) => {
                (let_go(Record { ambiguous: false, ..record }), Reply::Done)
            }
            other => (other, Reply::Fenced),
        },
    }
}

/// What time alone has changed.
fn by_time(mut record: Record, now: Millis) -> Option<Record> {
    if record.state == State::Sent && record.lease_until < now {
        lose_sight(&mut record);
    }
    // A request that somebody is at is not forgotten, whatever the retention says.
    let at_it = matches!(record.state, State::Claimed | State::Sent) && now <= record.lease_until;
    (record.pinned || at_it || now < record.expires).then_some(record)
}

/// It was sent, and its owner knows no end or is gone.
fn lose_sight(record: &mut Record) {
    record.ambiguous = true;
    record.state = match record.contract {
        Contract::Opaque | Contract::Atomic5xx => State::Unknown,
        Contract::Dedupes => State::Retryable,
    };
}

fn complete(record: &mut Record, ambiguous: bool, expires: Millis) {
    record.state = State::Complete;
    record.ambiguous = ambiguous;
    record.expires = expires;
}

/// Only an operator can tell whether there was an effect.
fn is_open_question(record: &Record) -> bool {
    match record.state {
        State::Unknown => true,
        State::Complete | State::Retryable => record.ambiguous,
        State::Claimed | State::Sent => false,
    }
}

fn fresh(claim: &Claim, now: Millis) -> Record {
    Record {
        state: State::Claimed,
        fingerprint: claim.fingerprint,
        nonce: claim.nonce,
        fence: 1,
        attempt: 1,
        contract: claim.contract,
        ambiguous: false,
        pinned: false,
        lease_until: now.saturating_add(claim.lease),
        expires: now.saturating_add(claim.keep.max(claim.lease)),
    }
}

fn granted(record: Record) -> (Option<Record>, Reply) {
    (Some(record), Reply::Granted { attempt: record.attempt, fence: record.fence })
}

fn claim_again(record: Record, claim: &Claim, now: Millis) -> (Option<Record>, Reply) {
    if record.nonce == claim.nonce && record.state == State::Claimed {
        // The first answer to this very claim was lost.
        return granted(record);
    }
    let contract = stricter(record.contract, claim.contract);
    let takeover = match record.state {
        // Before everything else that a claim can be told: whoever asks is wrong about the key.
        _ if record.fingerprint != claim.fingerprint => return (Some(record), Reply::Mismatch),
        State::Claimed => record.lease_until < now,
        State::Retryable => !record.ambiguous || contract == Contract::Dedupes,
        State::Sent | State::Complete | State::Unknown => false,
    };
    if !takeover {
        return (Some(record), looked_up(&record, claim.fingerprint, contract, now));
    }
    granted(Record {
        state: State::Claimed,
        nonce: claim.nonce,
        fence: record.fence.saturating_add(1),
        attempt: record.attempt.saturating_add(u16::from(record.state == State::Retryable)),
        // Nothing was sent under the old claim of a CLAIMED record, so nothing has to be kept to.
        contract: if record.ambiguous { contract } else { claim.contract },
        lease_until: now.saturating_add(claim.lease),
        expires: record.expires.max(now.saturating_add(claim.keep.max(claim.lease))),
        ..record
    })
}

fn looked_up(record: &Record, fingerprint: Fingerprint, contract: Contract, now: Millis) -> Reply {
    if record.fingerprint != fingerprint {
        return Reply::Mismatch;
    }
    let left = record.lease_until.saturating_sub(now);
    match record.state {
        State::Claimed if record.lease_until < now => Reply::Absent,
        State::Claimed => Reply::Busy { left, sent: false },
        State::Sent => Reply::Busy { left, sent: true },
        State::Complete => Reply::Replay { ambiguous: record.ambiguous },
        State::Unknown => Reply::Unknown,
        State::Retryable if record.ambiguous && contract != Contract::Dedupes => Reply::Unknown,
        State::Retryable => Reply::Absent,
    }
}

fn release(record: Option<Record>, nonce: Nonce) -> (Option<Record>, Reply) {
    match record {
        Some(record) if record.nonce == nonce && matches!(record.state, State::Claimed | State::Sent) => {
            (let_go(record), Reply::Done)
        }
        other => (other, Reply::Fenced),
    }
}

/// Free again, as far as what happened before permits.
fn let_go(mut record: Record) -> Option<Record> {
    if record.ambiguous {
        lose_sight(&mut record);
        return Some(record);
    }
    if record.pinned {
        record.state = State::Retryable;
        return Some(record);
    }
    None
}

fn owned(record: Option<Record>, nonce: Nonce, act: impl FnOnce(&mut Record) -> bool) -> (Option<Record>, Reply) {
    match record {
        Some(record) if record.nonce == nonce => changed(Some(record), act),
        other => (other, Reply::Fenced),
    }
}

fn changed(record: Option<Record>, act: impl FnOnce(&mut Record) -> bool) -> (Option<Record>, Reply) {
    let Some(mut record) = record else { return (None, Reply::Absent) };
    let done = act(&mut record);
    (Some(record), if done { Reply::Done } else { Reply::Fenced })
}
