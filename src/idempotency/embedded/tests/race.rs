//! Many requests at once, on a disk that fails now and then.

use std::sync::atomic::AtomicUsize;

use tokio::task::JoinSet;

use super::*;
use crate::idempotency::contract::{LONG, answer, claim};
use crate::reliability::idempotency::{Nonce, Op, Reply};

const KEYS: u8 = 20;
const CLIENTS: u8 = 8;

/// A client that repeats its request until it has an answer. Counts what it sends, and returns the answer's
/// nonce.
async fn client(key: Key, nonce: u8, sent: Arc<AtomicUsize>) -> u8 {
    let owner = Nonce([nonce; 16]);
    loop {
        match key.try_claim(claim(nonce)).await.map(|answered| (answered.reply, answered.answer)) {
            Ok((Reply::Replay { .. }, Some(kept))) => return kept.body.unwrap()[3],
            Ok((Reply::Granted { .. }, _)) => {}
            Ok((Reply::Busy { .. }, _)) | Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
            Ok(other) => panic!("{other:?}"),
        }
        let mark_sent = Op::MarkSent { nonce: owner, lease: LONG };
        match key.ask(Command::new(key.id, mark_sent)).await {
            Ok(answered) if answered.reply == Reply::Done => sent.fetch_add(1, Ordering::SeqCst),
            // Nothing has left.
            _ => {
                let _ = key.ask(Command::new(key.id, Op::Release { nonce: owner })).await;
                continue;
            }
        };
        let complete = Op::Complete { nonce: owner, ambiguous: false, keep: LONG };
        let complete = Command { answer: Some(answer(nonce)), ..Command::new(key.id, complete) };
        while key.ask(complete.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
        return nonce;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_executed_once_over_a_failing_disk_and_a_restart() {
    let fixture = InFile::new(|settings| settings.queue_max = 64);
    let store = fixture.embedded();
    let sent: Vec<_> = (0..KEYS).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut clients = JoinSet::new();
    for (number, sent) in (0..KEYS).zip(&sent) {
        for nonce in 1..=CLIENTS {
            let (key, sent) = (fixture.key(number), Arc::clone(sent));
            clients.spawn(async move { (number, client(key, nonce, sent).await) });
        }
    }
    let mut heard = [0; KEYS as usize];
    while let Some(told) = clients.join_next().await {
        let (number, nonce) = told.unwrap();
        let heard = &mut heard[usize::from(number)];
        assert!(*heard == 0 || *heard == nonce, "two answers for one key");
        *heard = nonce;
        // Whenever so many have been answered, the next commit fails.
        if clients.len() % 50 == 0 && !clients.is_empty() {
            store.shared.trips.0.store(1, Ordering::SeqCst);
        }
    }
    for sent in sent {
        assert_eq!(sent.load(Ordering::SeqCst), 1);
    }
    store.shared.trips.0.store(0, Ordering::SeqCst);
    drop(store);
    fixture.reopen();
    for (number, nonce) in (0..KEYS).zip(heard) {
        assert_eq!(fixture.key(number).try_claim(claim(99)).await.unwrap().answer, Some(answer(nonce)));
    }
}
