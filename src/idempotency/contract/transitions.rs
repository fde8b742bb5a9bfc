//! One case for each row of the table of transitions.

use super::{Fixture, Key, LONG, PASSES, SHORT, answer, claim, granted};
use crate::idempotency::answer::StoredAnswer;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Op, Reply, State};

pub(crate) async fn a_free_key_is_granted_once(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.claim(claim(1)).await, granted(1, 1));
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { sent: false, left } if left > 0 && left <= LONG));
    assert_eq!(key.state().await, Some(State::Claimed));
}

pub(crate) async fn a_claim_is_repeated_without_harm(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.claim(claim(1)).await, granted(1, 1));
    assert_eq!(key.claim(claim(1)).await, granted(1, 1), "its first answer was lost");
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Done);
    assert!(matches!(key.claim(claim(1)).await, Reply::Busy { sent: true, .. }), "not after it was sent");
}

pub(crate) async fn nothing_leaves_before_the_owner_has_won_mark_sent(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Fenced, "nothing was claimed");
    key.claim(claim(1)).await;
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Fenced);
    assert_eq!(key.complete(1).await, Reply::Fenced, "nothing was sent");
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Done);
    assert_eq!(key.state().await, Some(State::Sent));
    assert!(matches!(key.claim(claim(2)).await, Reply::Busy { sent: true, .. }));
}

pub(crate) async fn a_claim_is_released_to_nothing(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert_eq!(key.release(1).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.shown().await, None);
    assert_eq!(key.release(1).await, Reply::Fenced, "it is gone");
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
}

pub(crate) async fn a_pinned_claim_is_released_to_retryable(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    assert_eq!(key.op(Op::Pin).await, Reply::Done);
    assert_eq!(key.release(1).await, Reply::Done);
    assert_eq!(key.state().await, Some(State::Retryable));
    assert_eq!(key.claim(claim(2)).await, granted(2, 2), "nothing was executed, so under any contract");
    assert_eq!(key.op(Op::Unpin).await, Reply::Done);
    assert_eq!(key.release(2).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Absent);
}

pub(crate) async fn a_claim_whose_lease_is_over_is_taken_over(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(Claim { lease: SHORT, ..claim(1) }).await;
    fixture.advance(PASSES).await;
    assert_eq!(key.lookup().await, Reply::Absent, "nothing stands in the way");
    assert_eq!(key.claim(claim(2)).await, granted(1, 2), "nothing was sent, so it is the first attempt still");
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Fenced);
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Done);
}

pub(crate) async fn an_answer_is_replayed_byte_for_byte(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    assert_eq!(key.complete(1).await, Reply::Done);
    for nonce in [2, 3, 1] {
        let replayed = key.try_claim(claim(nonce)).await.unwrap();
        assert_eq!(replayed.reply, Reply::Replay { ambiguous: false });
        assert_eq!(replayed.answer, Some(answer(1)));
    }
}

pub(crate) async fn a_body_that_was_not_kept_is_told_from_an_empty_one(fixture: &impl Fixture) {
    for (number, body) in [(1, None), (2, Some(bytes::Bytes::new())), (3, Some(vec![7; 100_000].into()))] {
        let (key, kept) = (Key::of(fixture, number), StoredAnswer { body, ..answer(1) });
        key.sent(claim(1), LONG).await;
        assert_eq!(key.complete_with(1, false, LONG, kept.clone()).await, Reply::Done);
        assert_eq!(key.try_claim(claim(2)).await.unwrap().answer, Some(kept));
    }
}

pub(crate) async fn what_was_provably_not_processed_is_free_again(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    assert_eq!(key.release(1).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.complete(1).await, Reply::Fenced, "a released owner owns nothing");
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
}

pub(crate) async fn an_unknown_end_is_unknown_under_opaque_and_atomic(fixture: &impl Fixture) {
    for (number, contract) in [(1, Contract::Opaque), (2, Contract::Atomic5xx)] {
        let key = Key::of(fixture, number);
        key.lost(Claim { contract, ..claim(1) }).await;
        assert_eq!(key.state().await, Some(State::Unknown));
        assert_eq!(key.lookup().await, Reply::Unknown);
        assert_eq!(key.claim(Claim { contract, ..claim(2) }).await, Reply::Unknown);
        let trusting = Claim { contract: Contract::Dedupes, ..claim(2) };
        assert_eq!(key.claim(trusting).await, Reply::Unknown, "the contract of then, not of now");
        assert_eq!(key.fail(1).await, Reply::Done, "said twice is said once");
    }
}

pub(crate) async fn an_unknown_end_is_retryable_under_dedupes(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.lost(Claim { contract: Contract::Dedupes, ..claim(1) }).await;
    assert_eq!(key.state().await, Some(State::Retryable));
    assert_eq!(key.claim(claim(2)).await, Reply::Unknown, "the stricter contract applies");
    assert_eq!(key.claim(Claim { contract: Contract::Dedupes, ..claim(2) }).await, granted(2, 2));
}

pub(crate) async fn a_lease_that_ends_after_sending_is_an_unknown_end(fixture: &impl Fixture) {
    let (opaque, dedupes) = (Key::of(fixture, 1), Key::of(fixture, 2));
    let trusting = |nonce| Claim { contract: Contract::Dedupes, ..claim(nonce) };
    opaque.sent(claim(1), SHORT).await;
    dedupes.sent(trusting(1), SHORT).await;
    fixture.advance(PASSES).await;
    assert_eq!(opaque.claim(claim(2)).await, Reply::Unknown);
    assert_eq!(opaque.state().await, Some(State::Unknown));
    assert_eq!(dedupes.lookup().await, Reply::Absent);
    assert_eq!(dedupes.claim(trusting(2)).await, granted(2, 2));
}

pub(crate) async fn a_retryable_key_is_claimed_as_a_further_attempt(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    for nonce in 1..=4 {
        let trusting = Claim { contract: Contract::Dedupes, ..claim(nonce) };
        assert_eq!(key.claim(trusting).await, granted(u16::from(nonce), u32::from(nonce)));
        assert_eq!(key.mark_sent(nonce, LONG).await, Reply::Done);
        assert_eq!(key.fail(nonce).await, Reply::Done);
    }
}

pub(crate) async fn a_late_answer_heals(fixture: &impl Fixture) {
    let keys = [(1, Contract::Opaque), (2, Contract::Dedupes)];
    for (number, contract) in keys {
        let key = Key::of(fixture, number);
        key.lost(Claim { contract, ..claim(1) }).await;
        assert_eq!(key.complete(2).await, Reply::Fenced, "not anybody's");
        assert_eq!(key.complete(1).await, Reply::Done);
        assert_eq!(key.try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
    }
    let key = Key::of(fixture, 3);
    key.sent(claim(1), SHORT).await;
    fixture.advance(PASSES).await;
    assert_eq!(key.complete(1).await, Reply::Done, "nobody had noticed that its lease was over");
    assert_eq!(key.lookup().await, Reply::Replay { ambiguous: false });
}

pub(crate) async fn an_operator_says_executed(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.lost(claim(1)).await;
    assert_eq!(key.resolve_executed(2).await, Reply::Fenced, "not the attempt that the operator saw");
    assert_eq!(key.resolve_executed(1).await, Reply::Done);
    let replayed = key.try_claim(claim(2)).await.unwrap();
    assert_eq!((replayed.reply, replayed.answer), (Reply::Replay { ambiguous: false }, Some(answer(1))));
    assert_eq!(key.resolve_executed(1).await, Reply::Fenced, "no question is open");
}

pub(crate) async fn an_operator_says_not_executed(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.lost(claim(1)).await;
    assert_eq!(key.resolve_not_executed(2).await, Reply::Fenced);
    assert_eq!(key.resolve_not_executed(1).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
    assert_eq!(key.resolve_not_executed(2).await, Reply::Fenced, "it is at it");
}

pub(crate) async fn a_stored_error_is_an_open_question(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    let error = StoredAnswer { status: 500, ..answer(1) };
    assert_eq!(key.complete_with(1, true, LONG, error.clone()).await, Reply::Done);
    let replayed = key.try_claim(claim(2)).await.unwrap();
    assert_eq!((replayed.reply, replayed.answer), (Reply::Replay { ambiguous: true }, Some(error)));
    assert_eq!(key.resolve_not_executed(1).await, Reply::Done);
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
}

pub(crate) async fn an_answer_is_forgotten_after_its_retention(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    assert_eq!(key.complete_with(1, false, SHORT, answer(1)).await, Reply::Done);
    fixture.advance(PASSES).await;
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.shown().await, None);
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
    key.mark_sent(2, LONG).await;
    assert_eq!(key.complete(2).await, Reply::Done);
    assert_eq!(key.try_claim(claim(3)).await.unwrap().answer, Some(answer(2)), "nothing of the old answer is left");
}

pub(crate) async fn an_unknown_end_is_forgotten_after_its_retention(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(Claim { lease: SHORT, keep: SHORT, ..claim(1) }, SHORT).await;
    let op = Op::Fail { nonce: claim(1).nonce, keep: SHORT };
    assert_eq!(key.op(op).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Unknown);
    fixture.advance(PASSES).await;
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.complete(1).await, Reply::Fenced, "too late");
}

pub(crate) async fn what_is_pinned_is_not_forgotten(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.sent(claim(1), LONG).await;
    assert_eq!(key.complete_with(1, false, SHORT, answer(1)).await, Reply::Done);
    assert_eq!(key.op(Op::Pin).await, Reply::Done);
    fixture.advance(PASSES).await;
    assert_eq!(key.try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
    assert!(key.shown().await.unwrap().record.pinned);
    assert_eq!(key.op(Op::Unpin).await, Reply::Done);
    assert_eq!(key.lookup().await, Reply::Absent);
}

pub(crate) async fn a_renewed_lease_lasts(fixture: &impl Fixture) {
    let (claimed, sent) = (Key::of(fixture, 1), Key::of(fixture, 2));
    claimed.claim(Claim { lease: SHORT, ..claim(1) }).await;
    sent.sent(claim(1), SHORT).await;
    assert_eq!(claimed.renew(1).await, Reply::Done);
    assert_eq!(sent.renew(1).await, Reply::Done);
    assert_eq!(sent.renew(2).await, Reply::Fenced);
    fixture.advance(PASSES).await;
    assert!(matches!(claimed.claim(claim(2)).await, Reply::Busy { sent: false, .. }));
    assert!(matches!(sent.claim(claim(2)).await, Reply::Busy { sent: true, .. }));
}

pub(crate) async fn a_lookup_changes_nothing(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.lookup().await, Reply::Absent);
    assert_eq!(key.shown().await, None);
    key.claim(claim(1)).await;
    let before = key.shown().await;
    assert!(matches!(key.lookup().await, Reply::Busy { .. }));
    assert_eq!(key.shown().await, before);
    key.mark_sent(1, LONG).await;
    key.complete(1).await;
    assert_eq!(key.lookup().await, Reply::Replay { ambiguous: false });
    assert_eq!(key.state().await, Some(State::Complete));
}

pub(crate) async fn what_is_absent_is_fenced_or_absent(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    assert_eq!(key.mark_sent(1, LONG).await, Reply::Fenced);
    assert_eq!(key.renew(1).await, Reply::Fenced);
    assert_eq!(key.complete(1).await, Reply::Fenced);
    assert_eq!(key.fail(1).await, Reply::Fenced);
    assert_eq!(key.release(1).await, Reply::Fenced);
    assert_eq!(key.resolve_executed(1).await, Reply::Fenced);
    assert_eq!(key.resolve_not_executed(1).await, Reply::Fenced);
    assert_eq!(key.op(Op::Pin).await, Reply::Absent);
    assert_eq!(key.op(Op::Unpin).await, Reply::Absent);
    assert_eq!(key.shown().await, None, "none of it has made a record");
}

pub(crate) async fn a_record_shows_its_route_and_answer(fixture: &impl Fixture) {
    let key = Key::of(fixture, 1);
    key.claim(claim(1)).await;
    let shown = key.shown().await.unwrap();
    assert_eq!((&*shown.route, shown.answer), ("payments/create", None));
    key.mark_sent(1, LONG).await;
    key.complete(1).await;
    let shown = key.shown().await.unwrap();
    assert_eq!((&*shown.route, shown.answer), ("payments/create", Some(answer(1))));
    assert_eq!((shown.record.nonce, shown.record.attempt), (claim(1).nonce, 1));
}
