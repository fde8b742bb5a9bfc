//! Clocks that step, and what goes with time.

use super::*;
use crate::idempotency::contract::{LONG, PASSES, SHORT, answer, claim, granted};
use crate::reliability::idempotency::{Claim, Reply};

const HOUR: Millis = 3_600_000;

#[tokio::test]
async fn a_clock_that_jumps_ahead_expires_nothing_at_once() {
    let fixture = InFile::new(|_| {});
    let (sent, complete) = (fixture.key(1), fixture.key(2));
    sent.sent(claim(1), LONG).await;
    complete.sent(claim(1), LONG).await;
    assert_eq!(complete.complete_with(1, false, HOUR / 2, answer(1)).await, Reply::Done);
    fixture.hands.jump(HOUR);
    for _ in 0..5 {
        assert!(matches!(sent.lookup().await, Reply::Busy { sent: true, .. }));
        assert_eq!(complete.lookup().await, Reply::Replay { ambiguous: false });
        fixture.hands.advance(10_000);
    }
    fixture.hands.advance(15_000);
    assert_eq!(sent.lookup().await, Reply::Absent, "after a minute it is believed");
    assert_eq!(complete.lookup().await, Reply::Absent);
}

#[tokio::test]
async fn a_jump_that_is_taken_back_never_happened() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(1).complete_with(1, false, HOUR / 2, answer(1)).await;
    for _ in 0..20 {
        fixture.hands.jump(HOUR);
        assert_eq!(fixture.key(1).lookup().await, Reply::Replay { ambiguous: false });
        fixture.hands.advance(30_000);
        assert_eq!(fixture.key(1).lookup().await, Reply::Replay { ambiguous: false });
        fixture.hands.wall.fetch_sub(HOUR, Ordering::SeqCst);
        assert_eq!(fixture.key(1).lookup().await, Reply::Replay { ambiguous: false });
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_wedges_nothing() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), SHORT).await;
    fixture.hands.wall.fetch_sub(HOUR, Ordering::SeqCst);
    assert!(matches!(fixture.key(1).lookup().await, Reply::Busy { sent: true, .. }));
    fixture.hands.advance(PASSES);
    assert_eq!(fixture.key(1).lookup().await, Reply::Unknown, "the lease ends when it should");
    fixture.key(2).claim(claim(1)).await;
    assert_eq!(fixture.key(2).mark_sent(1, LONG).await, Reply::Done);
}

#[tokio::test]
async fn small_corrections_of_the_clock_are_followed() {
    let keeper = |hands: &Hands| Timekeeper::new(hands.clock());
    let hands = Hands::new();
    let time = keeper(&hands);
    hands.jump(59_000);
    assert_eq!(time.now(), START + 59_000);
    hands.jump(59_000);
    assert_eq!(time.now(), START + 118_000);
    hands.wall.fetch_sub(18_000, Ordering::SeqCst);
    assert_eq!(time.now(), START + 118_000, "not back");
    hands.advance(20_000);
    assert_eq!(time.now(), START + 138_000);
}

#[tokio::test]
async fn expired_records_leave_the_file_and_the_index() {
    let fixture = InFile::new(|settings| settings.records_max = 2000);
    for number in 0..200 {
        let key = fixture.key(number);
        let keep = if number < 150 { SHORT } else { LONG };
        key.sent(Claim { lease: SHORT, keep: SHORT, ..claim(1) }, SHORT).await;
        assert_eq!(key.complete_with(1, false, keep, answer(1)).await, Reply::Done);
    }
    assert_eq!(fixture.embedded().records(), 200);
    fixture.hands.advance(PASSES);
    let store = fixture.embedded();
    let (done, swept) = oneshot::channel();
    store.orders.try_send(Order::Sweep(done)).unwrap();
    swept.await.unwrap();
    assert_eq!(store.records(), 50);
    drop(store);
    fixture.close();
    assert_eq!(asked::<i64>(&fixture.settings.path, "SELECT count(*) FROM idem"), 50);
}

#[tokio::test]
async fn the_sweeper_spares_a_key_that_was_claimed_again() {
    let fixture = InFile::new(|_| {});
    let key = fixture.key(1);
    let short = Claim { lease: SHORT, keep: SHORT, ..claim(1) };
    key.sent(short, SHORT).await;
    assert_eq!(key.complete_with(1, false, SHORT, answer(1)).await, Reply::Done);
    fixture.hands.advance(PASSES);
    assert_eq!(key.claim(claim(2)).await, granted(1, 1));
    let store = fixture.embedded();
    let (done, swept) = oneshot::channel();
    store.orders.try_send(Order::Sweep(done)).unwrap();
    swept.await.unwrap();
    assert_eq!(key.mark_sent(2, LONG).await, Reply::Done);
    assert_eq!(key.complete(2).await, Reply::Done);
    drop((store, key));
    fixture.reopen();
    assert_eq!(fixture.key(1).try_claim(claim(3)).await.unwrap().answer, Some(answer(2)));
}
