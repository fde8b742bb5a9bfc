//! Mistakes that others have made and published, as far as a store can make them. Our stores do not. The rest is in
//! `tests/idempotency/published_bugs.rs`, with a count of all.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Fixture, Key, LONG, PASSES, SHORT, answer, claim, granted};
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::store::{Command, StoreError};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Fingerprint, Nonce, Op, RecordId, Reply, State};

/// Claims of one key by so many at once.
async fn race(key: &Key, claimers: u8, fingerprint: impl Fn(u8) -> Fingerprint) -> Vec<Reply> {
    let (start, mut tasks) = (Arc::new(tokio::sync::Barrier::new(usize::from(claimers))), JoinSet::new());
    for nonce in 1..=claimers {
        let (start, store, id) = (Arc::clone(&start), Arc::clone(&key.store), key.id);
        let claim = Claim { fingerprint: fingerprint(nonce), ..claim(nonce) };
        tasks.spawn(async move {
            start.wait().await;
            store.apply(Command::new(id, Op::Claim(claim))).await.expect("the store works").reply
        });
    }
    tasks.join_all().await
}

fn grants(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| matches!(reply, Reply::Granted { .. })).count()
}

/// Bug 1 (grape-idempotency #10): check, then set.
pub(crate) async fn two_racing_claims_are_one_grant(fixture: &impl Fixture) {
    for number in 1..=50 {
        let replies = race(&Key::of(fixture, number), 2, |_| Fingerprint([1; 16])).await;
        assert_eq!(grants(&replies), 1, "{replies:?}");
    }
}

/// Bug 1, with a crowd; bugs 4 and 5: what the losers are told.
pub(crate) async fn of_64_concurrent_claims_one_is_granted(fixture: &impl Fixture) {
    for number in 1..=5 {
        let replies = race(&Key::of(fixture, number), 64, |_| Fingerprint([1; 16])).await;
        assert_eq!(grants(&replies), 1, "{replies:?}");
        assert_eq!(replies.iter().filter(|reply| matches!(reply, Reply::Busy { sent: false, .. })).count(), 63);
    }
    let replies = race(&Key::of(fixture, 9), 64, |nonce| Fingerprint([nonce; 16])).await;
    assert_eq!(grants(&replies), 1, "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| matches!(reply, Reply::Mismatch)).count(), 63);
}

/// Bug 2 (idempot-js #182): a claim that is a plain SET.
pub(crate) async fn a_claim_does_not_overwrite_one_in_flight(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { sent: true, .. }));
    let record = key.shown().await.unwrap().record;
    assert_eq!((record.nonce, record.fence, record.state), (claim(1).nonce, 1, State::Sent));
    assert_eq!(key.complete(1).await, Reply::Done);
}

/// Bug 3 (hono-idempotency #91): ownership read back from the fingerprint, which both have.
pub(crate) async fn two_claims_of_one_request_do_not_both_win(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.claim(claim(1)).await, granted(1, 1));
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { .. }));
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Fenced);
}

/// Bug 4 (idempot-js #181): a lost insert is an error, which is retried and trips a breaker.
pub(crate) async fn a_lost_race_is_busy_and_no_error(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert!(matches!(key.try_claim(claim(2)).await, Ok(answered) if matches!(answered.reply, Reply::Busy { .. })));
}

/// Bug 5 (idempot-js PR #191): 409 before 422.
pub(crate) async fn another_request_is_a_mismatch_before_it_is_busy(fixture: &impl Fixture) {
    let other = |nonce| Claim { fingerprint: Fingerprint([2; 16]), ..claim(nonce) };
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert_eq!(key.claim(other(2)).await, Reply::Mismatch, "claimed");
    key.mark_sent(1, LONG).await;
    assert_eq!(key.claim(other(2)).await, Reply::Mismatch, "sent");
    key.fail(1).await;
    assert_eq!(key.claim(other(2)).await, Reply::Mismatch, "unknown");
    key.complete(1).await;
    assert_eq!(key.claim(other(2)).await, Reply::Mismatch, "complete");
    assert_eq!(key.op(Op::Lookup { fingerprint: Fingerprint([2; 16]) }).await, Reply::Mismatch);
    let retryable = Key::of(fixture, 2);
    retryable.lost(Claim { contract: Contract::Dedupes, ..claim(1) }).await;
    assert_eq!(retryable.claim(Claim { contract: Contract::Dedupes, ..other(2) }).await, Reply::Mismatch);
}

/// Bug 6 (Truxify #5846): the lease is shorter than the handler.
pub(crate) async fn a_renewed_owner_outlasts_its_first_lease(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), SHORT).await;
    assert_eq!(key.renew(1).await, Reply::Done);
    fixture.advance(PASSES).await;
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { sent: true, .. }));
    assert_eq!(key.complete(1).await, Reply::Done);
}

/// Bug 7 (Truxify #4623): release and complete without an owner's token.
pub(crate) async fn a_foreign_nonce_changes_nothing(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert_eq!(key.release(2).await, Reply::Fenced);
    assert_eq!(key.renew(2).await, Reply::Fenced);
    key.mark_sent(1, LONG).await;
    for reply in [key.mark_sent(2, LONG).await, key.complete(2).await, key.fail(2).await, key.release(2).await] {
        assert_eq!(reply, Reply::Fenced);
    }
    assert_eq!(key.state().await, Some(State::Sent));
    assert_eq!(key.complete(1).await, Reply::Done);
    for reply in [key.complete(2).await, key.fail(2).await, key.release(2).await, key.resolve_executed(2).await] {
        assert_eq!(reply, Reply::Fenced);
    }
    assert_eq!(key.try_claim(claim(3)).await.unwrap().answer, Some(answer(1)));
}

/// Bug 8 (Truxify #6898): a waiter sees the lock gone and runs without reading again.
pub(crate) async fn a_waiter_that_sees_the_key_free_must_claim_it(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    key.release(1).await;
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Fenced, "seen is not claimed");
    let replies = race(&key, 8, |_| Fingerprint([1; 16])).await;
    assert_eq!(grants(&replies), 1, "{replies:?}");
}

/// Bug 9 (actor-ts #984): one time to live for the lease and the record; a crash wedges the key for a day.
pub(crate) async fn a_dead_claim_blocks_for_its_lease_and_not_for_its_retention(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(Claim { lease: SHORT, keep: LONG, ..claim(1) }).await;
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { .. }));
    fixture.advance(PASSES).await;
    assert_eq!(key.claim(claim(2)).await, granted(1, 2));
}

/// Bug 10 (actor-ts #984): a failure deletes the claim after a partial effect, and the next one executes again.
pub(crate) async fn a_failure_does_not_free_the_key(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.lost(claim(1)).await;
    assert_eq!(key.release(1).await, Reply::Fenced);
    assert_eq!(key.claim(claim(2)).await, Reply::Unknown);
}

/// Bug 11 (powertools-typescript #5678): an owner whose deadline cannot be read is taken for dead. Bug 6 from the other
/// side.
pub(crate) async fn a_record_without_a_sign_of_life_is_not_an_orphan_before_its_lease_ends(fixture: &impl Fixture) {
    let (claimed, sent) = (Key::of(fixture, 1), Key::of(fixture, 2));
    claimed.claim(claim(1)).await;
    sent.sent(claim(1), LONG).await;
    fixture.advance(PASSES).await;
    assert!(matches!(claimed.claim(claim(2)).await, Reply::Busy { sent: false, left } if left > LONG / 2));
    assert!(matches!(sent.claim(claim(2)).await, Reply::Busy { sent: true, left } if left > LONG / 2));
}

/// Bug 12 (powertools-typescript #5705): completion drops the hash of the payload, so that every repetition is a
/// mismatch.
pub(crate) async fn completion_keeps_the_fingerprint(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    key.complete(1).await;
    assert_eq!(key.shown().await.unwrap().record.fingerprint, Fingerprint([1; 16]));
    assert_eq!(key.claim(claim(2)).await, Reply::Replay { ambiguous: false });
}

/// Bug 13 (powertools-typescript #5715): the key is computed again from a changed payload, and another record is
/// completed.
pub(crate) async fn only_the_record_that_was_claimed_is_completed(fixture: &impl Fixture) {
    let (mine, other) = (Key::of(fixture, 1), Key::of(fixture, 2));
    mine.sent(claim(1), LONG).await;
    other.sent(claim(2), LONG).await;
    assert_eq!(other.complete(1).await, Reply::Fenced);
    assert_eq!(mine.complete(1).await, Reply::Done);
    assert_eq!(other.state().await, Some(State::Sent));
}

/// Bug 14 (powertools-python #3821): the stored answer comes before the fingerprint is compared.
pub(crate) async fn a_replay_is_checked_against_the_fingerprint(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    key.complete(1).await;
    let refused = key.try_claim(Claim { fingerprint: Fingerprint([2; 16]), ..claim(2) }).await.unwrap();
    assert_eq!((refused.reply, refused.answer), (Reply::Mismatch, None));
}

/// As bug 20: identifiers that share a beginning are two.
pub(crate) async fn keys_that_differ_in_one_byte_are_two_records(fixture: &impl Fixture) {
    let first = RecordId([0; 16]);
    for at in 0..16 {
        let mut id = first;
        id.0[at] = 1;
        let key = Key { store: fixture.store(), id };
        assert_eq!(key.claim(claim(1)).await, granted(1, 1));
    }
    assert_eq!(Key { store: fixture.store(), id: first }.claim(claim(1)).await, granted(1, 1));
}

/// Bug 21 (remitlend #1329): a transient 5xx is pinned for a day. Where it had no effect, it is released; where that is
/// not known, it is kept, and an operator may say so.
pub(crate) async fn a_transient_error_is_not_kept_where_the_contract_allows_it(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(Claim { contract: Contract::Atomic5xx, ..claim(1) }, LONG).await;
    assert_eq!(key.release(1).await, Reply::Done);
    assert_eq!(key.claim(Claim { contract: Contract::Atomic5xx, ..claim(2) }).await, granted(1, 1));
}

/// Bugs 10 and 21 together: an attempt that had no effect says nothing about the one before it.
pub(crate) async fn ambiguity_is_sticky_over_a_release(fixture: &impl Fixture) {
    let trusting = |nonce| Claim { contract: Contract::Dedupes, ..claim(nonce) };
    let key = Key::of(fixture, 1);
    key.lost(trusting(1)).await;
    assert_eq!(key.claim(trusting(2)).await, granted(2, 2));
    assert_eq!(key.release(2).await, Reply::Done);
    assert_eq!(key.state().await, Some(State::Retryable));
    assert_eq!(key.claim(claim(3)).await, Reply::Unknown, "the first attempt is as unknown as it was");
    key.sent(trusting(3), LONG).await;
    assert_eq!(key.release(3).await, Reply::Done);
    let record = key.shown().await.unwrap().record;
    assert_eq!((record.state, record.ambiguous, record.attempt), (State::Retryable, true, 3));
}

/// A reply that was lost is asked for again; one lost reply must not strand a key.
pub(crate) async fn lost_replies_are_asked_for_again(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Done);
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Done);
    assert_eq!(key.complete(1).await, Reply::Done);
    assert_eq!(key.complete(1).await, Reply::Done);
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Fenced, "but not what is over");
    assert_eq!(key.try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
}

/// An owner that was stopped, while its lease ended.
pub(crate) async fn an_owner_that_was_paused_over_its_lease_is_fenced(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(Claim { lease: SHORT, ..claim(1) }).await;
    fixture.advance(PASSES).await;
    assert_eq!(key.claim(claim(2)).await, granted(1, 2));
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Fenced);
    assert_eq!(key.release(1).await, Reply::Fenced);
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Done);
    let alone = Key::of(fixture, 2);
    alone.claim(Claim { lease: SHORT, ..claim(1) }).await;
    fixture.advance(PASSES).await;
    assert_eq!(alone.mark_sent(1, LONG).await, Reply::Done, "nobody has taken it over: it is the only sender");
}

fn numbered(number: usize) -> RecordId {
    RecordId((number as u128).to_be_bytes())
}

/// Bug 25 (adcp-client #1857): a flood of keys evicts what others rely on.
pub(crate) async fn a_full_store_refuses_and_keeps_everything(fixture: &impl Fixture) {
    let Some(most) = fixture.records_max() else { return };
    let key = |number| Key { store: fixture.store(), id: numbered(number) };
    for number in 0..most {
        key(number).sent(claim(1), LONG).await;
        assert_eq!(key(number).complete(1).await, Reply::Done);
    }
    assert_eq!(key(most).try_claim(claim(2)).await, Err(StoreError::Full));
    assert_eq!(key(most).lookup().await, Reply::Absent, "asking costs no room");
    for number in 0..most {
        assert_eq!(key(number).try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
    }
    assert_eq!(key(0).resolve_not_executed(1).await, Reply::Fenced, "a definite answer is no question");
}

/// …and what has expired makes room.
pub(crate) async fn a_full_store_takes_keys_again_when_others_expire(fixture: &impl Fixture) {
    let Some(most) = fixture.records_max() else { return };
    let key = |number| Key { store: fixture.store(), id: numbered(number) };
    for number in 0..most {
        let keep = if number % 2 == 0 { SHORT } else { LONG };
        let short = Claim { lease: SHORT, keep: SHORT, ..claim(1) };
        if number % 3 == 0 {
            key(number).claim(Claim { keep, ..short }).await;
        } else {
            key(number).sent(short, LONG).await;
            let kept = StoredAnswer { body: None, ..answer(1) };
            assert_eq!(key(number).complete_with(1, false, keep, kept).await, Reply::Done);
        }
    }
    assert_eq!(key(most).try_claim(claim(2)).await, Err(StoreError::Full));
    fixture.advance(PASSES).await;
    for number in most..most + most / 2 {
        assert_eq!(key(number).claim(claim(2)).await, granted(1, 1));
    }
    assert_eq!(key(most + most / 2).try_claim(claim(2)).await, Err(StoreError::Full));
    assert_eq!(key(1).lookup().await, Reply::Replay { ambiguous: false });
    assert_eq!(key(most).op(Op::Release { nonce: Nonce([2; 16]) }).await, Reply::Done);
    assert_eq!(key(most + most / 2).claim(claim(2)).await, granted(1, 1), "a released key makes room, too");
}
