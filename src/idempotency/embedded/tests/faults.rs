//! A disk that is full, slow or broken.

use std::pin::Pin;
use std::sync::Condvar;
use std::task::Poll;
use std::thread;

use super::*;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::contract::{LONG, answer, claim, granted};
use crate::reliability::idempotency::{Nonce, Op, Reply, State};

/// A clock at which the writer can be stopped.
#[derive(Default)]
struct Gate {
    at: Mutex<At>,
    moved: Condvar,
}

#[derive(Default)]
struct At {
    shut: bool,
    stopped: bool,
}

impl Gate {
    fn clock(self: &Arc<Gate>, inner: Clock) -> Clock {
        let gate = Arc::clone(self);
        Arc::new(move || {
            if thread::current().name() == Some("idempotency") {
                let mut at = gate.at.lock().unwrap();
                at.stopped = at.shut;
                gate.moved.notify_all();
                drop(gate.moved.wait_while(at, |at| at.shut).unwrap());
            }
            inner()
        })
    }

    fn shut(&self) {
        *self.at.lock().unwrap() = At { shut: true, stopped: false };
    }

    fn wait_for_the_writer(&self) {
        let patience = Duration::from_secs(10);
        let (at, _) = self.moved.wait_timeout_while(self.at.lock().unwrap(), patience, |at| !at.stopped).unwrap();
        assert!(at.stopped, "the writer has not come");
    }

    fn open(&self) {
        *self.at.lock().unwrap() = At::default();
        self.moved.notify_all();
    }
}

/// Asks, and stops at the first wait.
async fn asked_for<F: Future + Unpin>(asking: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *asking).poll(cx))).await
}

fn large(nonce: u8) -> StoredAnswer {
    StoredAnswer { body: Some(vec![nonce; 20_000].into()), ..answer(nonce) }
}

#[tokio::test]
async fn a_full_file_refuses_new_keys_and_loses_nothing() {
    let fixture = InFile::new(|settings| settings.bytes_max = 512 * 1024);
    let mut kept = 0;
    let refused = loop {
        let key = fixture.key(kept);
        match key.try_claim(claim(1)).await {
            Err(error) => break error,
            Ok(answered) => assert_eq!(answered.reply, granted(1, 1)),
        }
        assert_eq!(key.mark_sent(1, LONG).await, Reply::Done);
        assert_eq!(key.complete_with(1, false, LONG, large(1)).await, Reply::Done, "there is room for its answer");
        kept += 1;
        assert!(kept < 50, "it never gets full");
    };
    assert_eq!(refused, StoreError::Full);
    assert!(kept > 10, "only {kept} answers of 20 kB in 512 kB");
    for round in 0..2 {
        for number in 0..kept {
            let told = fixture.key(number).try_claim(claim(2)).await.unwrap();
            assert_eq!(told.answer, Some(large(1)), "round {round}");
        }
        fixture.reopen();
    }
    assert_eq!(fixture.key(kept).try_claim(claim(1)).await, Err(StoreError::Full), "still, after a restart");
    fixture.hands.advance(2 * LONG);
    fixture.embedded();
    assert_eq!(fixture.key(kept).claim(claim(1)).await, granted(1, 1), "what has expired makes room");
}

#[tokio::test]
async fn without_room_a_command_is_undone_and_its_neighbours_are_not() {
    let fixture = InFile::new(|settings| settings.bytes_max = 256 * 1024);
    let gate = Arc::new(Gate::default());
    let fixture = {
        let settings = EmbeddedSettings { clock: gate.clock(fixture.hands.clock()), ..fixture.settings.clone() };
        fixture.close();
        let fixture = InFile { settings, ..fixture };
        fixture.open();
        fixture
    };
    for number in 1..=3 {
        fixture.key(number).sent(claim(number), LONG).await;
    }
    fixture.key(4).claim(claim(4)).await;
    gate.shut();
    let store = fixture.embedded();
    let huge = StoredAnswer { body: Some(vec![1; 400_000].into()), ..answer(1) };
    let complete = |number: u8, answer| {
        let op = Op::Complete { nonce: Nonce([number; 16]), ambiguous: false, keep: LONG };
        Command { answer: Some(answer), ..Command::new(fixture.key(number).id, op) }
    };
    let mark_sent = Op::MarkSent { nonce: Nonce([4; 16]), lease: LONG };
    let mut alone = store.apply(complete(3, answer(3)));
    assert!(asked_for(&mut alone).await.is_pending());
    gate.wait_for_the_writer();
    let mut first = store.apply(complete(1, huge));
    let mut second = store.apply(complete(2, answer(2)));
    let mut third = store.apply(Command::new(fixture.key(4).id, mark_sent));
    assert!(asked_for(&mut first).await.is_pending());
    assert!(asked_for(&mut second).await.is_pending());
    assert!(asked_for(&mut third).await.is_pending());
    gate.open();
    let (alone, first, second, third) = (alone.await, first.await, second.await, third.await);
    assert_eq!(alone.unwrap().reply, Reply::Done);
    assert_eq!(first, Err(StoreError::Full));
    assert_eq!((second.unwrap().reply, third.unwrap().reply), (Reply::Done, Reply::Done));
    assert_eq!(fixture.key(1).state().await, Some(State::Sent), "its owner may try again with less");
    let less = StoredAnswer { body: None, ..answer(1) };
    assert_eq!(fixture.key(1).complete_with(1, false, LONG, less.clone()).await, Reply::Done);
    fixture.reopen();
    assert_eq!(fixture.key(1).try_claim(claim(9)).await.unwrap().answer, Some(less));
    assert_eq!(fixture.key(2).try_claim(claim(9)).await.unwrap().answer, Some(answer(2)));
    assert_eq!(fixture.key(4).claim(claim(9)).await, Reply::Unknown);
}

#[tokio::test]
async fn a_queue_that_is_full_is_busy_and_changes_nothing() {
    let gate = Arc::new(Gate::default());
    let fixture = InFile::new(|settings| {
        settings.queue_max = 2;
        settings.clock = gate.clock(Arc::clone(&settings.clock));
    });
    for number in 1..=9 {
        fixture.key(number).claim(claim(1)).await;
    }
    gate.shut();
    let store = fixture.embedded();
    let mark_sent = |number: u8| {
        let op = Op::MarkSent { nonce: Nonce([1; 16]), lease: LONG };
        store.apply(Command::new(fixture.key(number).id, op))
    };
    let (mut first, mut second, mut third) = (mark_sent(1), mark_sent(2), mark_sent(3));
    assert!(asked_for(&mut first).await.is_pending());
    gate.wait_for_the_writer();
    assert!(asked_for(&mut second).await.is_pending());
    assert!(asked_for(&mut third).await.is_pending());
    assert_eq!(mark_sent(4).await, Err(StoreError::Busy), "two are queued, and no more");
    assert!(matches!(fixture.key(4).lookup().await, Reply::Busy { sent: false, .. }), "claims go on in memory");
    gate.open();
    for told in [first.await, second.await, third.await] {
        assert_eq!(told.unwrap().reply, Reply::Done);
    }
    assert_eq!(fixture.key(4).mark_sent(1, LONG).await, Reply::Done, "and it may be asked again");
}

/// Waits until it works again.
pub(super) async fn recovered(fixture: &InFile) {
    let patience = crate::clock::now() + Duration::from_secs(20);
    while fixture.embedded().shared.refusal().is_some() {
        assert!(crate::clock::now() < patience, "it never works again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_broken_disk_fails_closed_until_the_file_is_verified() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).claim(claim(1)).await;
    fixture.key(2).sent(claim(2), LONG).await;
    // The commit, and two attempts to open the file again.
    fixture.embedded().shared.trips.0.store(3, Ordering::SeqCst);
    let op = Op::MarkSent { nonce: Nonce([1; 16]), lease: LONG };
    let refused = fixture.key(1).ask(Command::new(fixture.key(1).id, op)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.starts_with("writing failed")), "{refused}");
    let refused = fixture.key(3).try_claim(claim(3)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "not even what needs no disk");
    recovered(&fixture).await;
    assert_eq!(fixture.key(1).state().await, Some(State::Claimed), "its owner has sent nothing");
    assert_eq!(fixture.key(1).mark_sent(1, LONG).await, Reply::Done);
    assert_eq!(fixture.key(2).complete(2).await, Reply::Done, "the index was there all the time");
    let opened = fixture.reopen();
    assert_eq!((opened.live, opened.unknown), (2, 1));
}

#[tokio::test]
async fn a_commit_of_which_nobody_knows_is_made_what_the_index_says() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.embedded().shared.trips.0.store(1, Ordering::SeqCst);
    let op = Op::Complete { nonce: Nonce([1; 16]), ambiguous: false, keep: LONG };
    let command = Command { answer: Some(answer(1)), ..Command::new(fixture.key(1).id, op) };
    assert!(fixture.key(1).ask(command).await.is_err());
    recovered(&fixture).await;
    assert_eq!(fixture.key(1).state().await, Some(State::Sent));
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done, "said again");
    fixture.reopen();
    assert_eq!(fixture.key(1).try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
}
