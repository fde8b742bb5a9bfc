//! What is left when the process, or the file, comes to an end.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::idempotency::contract::{LONG, answer, claim, granted};
use crate::policy::idempotency::Durability;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Nonce, Op, Reply, State};

#[tokio::test]
async fn an_answer_is_replayed_byte_for_byte_after_a_restart() {
    let fixture = InFile::new(|_| {});
    let secret = fixture.embedded().secret().await.unwrap();
    fixture.key(1).sent(claim(1), LONG).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done);
    assert_eq!(fixture.reopen(), Opened { live: 1, ..Opened::default() });
    let replayed = fixture.key(1).try_claim(claim(2)).await.unwrap();
    assert_eq!((replayed.reply, replayed.answer), (Reply::Replay { ambiguous: false }, Some(answer(1))));
    assert_eq!(fixture.embedded().secret().await.unwrap(), secret, "ids stay what they are");
    assert_ne!(secret, [0; 32]);
}

#[tokio::test]
async fn what_was_sent_before_a_restart_is_unknown_or_retryable() {
    let fixture = InFile::new(|_| {});
    let trusting = |nonce| Claim { contract: Contract::Dedupes, ..claim(nonce) };
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(2).sent(Claim { contract: Contract::Atomic5xx, ..claim(2) }, LONG).await;
    fixture.key(3).sent(trusting(3), LONG).await;
    fixture.key(4).claim(claim(4)).await;
    let opened = fixture.reopen();
    assert_eq!((opened.live, opened.unknown, opened.retryable), (3, 2, 1));
    let orphans: Vec<_> = opened.orphans.iter().map(|o| (o.id, o.route.as_str(), o.record.state)).collect();
    assert_eq!(
        orphans,
        [
            (fixture.key(1).id, "payments/create", State::Unknown),
            (fixture.key(2).id, "payments/create", State::Unknown),
            (fixture.key(3).id, "payments/create", State::Retryable),
        ]
    );
    assert_eq!(fixture.key(1).claim(claim(9)).await, Reply::Unknown);
    assert_eq!(fixture.key(3).claim(trusting(9)).await, granted(2, 2));
    assert_eq!(fixture.key(4).claim(claim(9)).await, granted(1, 1), "nothing of it was sent");
    assert_eq!(fixture.key(2).complete(2).await, Reply::Done, "a late answer heals over a restart, too");
    assert_eq!(fixture.reopen(), Opened { live: 3, ..Opened::default() }, "told once");
    assert_eq!(fixture.key(1).lookup().await, Reply::Unknown);
}

#[tokio::test]
async fn every_acknowledged_command_outlives_a_kill() {
    let fixture = InFile::new(|_| {});
    for number in 0..60 {
        let key = fixture.key(number);
        key.sent(claim(1), LONG).await;
        match number % 4 {
            0 => assert_eq!(key.complete(1).await, Reply::Done),
            1 => assert_eq!(key.release(1).await, Reply::Done),
            2 => assert_eq!(key.fail(1).await, Reply::Done),
            _ => {}
        }
    }
    // The state of the disk at this moment, with the store open: what a killed process would leave.
    let (from, to) = (&fixture.settings.path, fixture.folder.path().join("killed.db"));
    fs::copy(from, &to).unwrap();
    fs::copy(beside(from, "-wal"), beside(&to, "-wal")).unwrap();
    let settings = EmbeddedSettings { path: to, ..fixture.settings.clone() };
    let (store, opened) = EmbeddedStore::open(&settings).unwrap();
    assert_eq!((opened.live, opened.unknown), (45, 15));
    let store: Arc<dyn Store> = Arc::new(store);
    for number in 0..60 {
        let key = Key { store: Arc::clone(&store), id: fixture.key(number).id };
        let told = key.try_claim(claim(2)).await.unwrap();
        match number % 4 {
            0 => assert_eq!((told.reply, told.answer), (Reply::Replay { ambiguous: false }, Some(answer(1)))),
            1 => assert_eq!(told.reply, granted(1, 1)),
            _ => assert_eq!(told.reply, Reply::Unknown),
        }
    }
}

#[tokio::test]
async fn a_reclaimed_key_is_again_what_it_was_after_a_restart() {
    let fixture = InFile::new(|_| {});
    let trusting = |nonce| Claim { contract: Contract::Dedupes, ..claim(nonce) };
    fixture.key(1).lost(trusting(1)).await;
    assert_eq!(fixture.key(1).claim(trusting(2)).await, granted(2, 2));
    fixture.reopen();
    assert_eq!(fixture.key(1).claim(trusting(3)).await, granted(2, 2), "the second attempt has sent nothing");
    assert_eq!(fixture.key(1).complete(1).await, Reply::Fenced, "but it has taken the key from the first");
}

#[tokio::test]
async fn a_pin_outlives_a_restart_and_the_end_of_the_retention() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(1).complete(1).await;
    assert_eq!(fixture.key(1).op(Op::Pin).await, Reply::Done);
    fixture.hands.advance(2 * LONG);
    assert_eq!(fixture.reopen().live, 1);
    assert_eq!(fixture.key(1).try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
    assert_eq!(fixture.key(1).op(Op::Unpin).await, Reply::Done);
    assert_eq!(fixture.reopen().live, 0);
}

#[test]
fn a_second_owner_is_refused_with_advice() {
    let fixture = InFile::new(|_| {});
    let refused = EmbeddedStore::open(&fixture.settings).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }));
    let text = refused.to_string();
    assert!(text.starts_with("another process has ") && text.contains("stop it, or give this one a path"), "{text}");
    fixture.reopen();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let fixture = InFile::new(|_| {});
    let path = fixture.settings.path.join("below-a-file/idempotency.db");
    let refused = EmbeddedStore::open(&EmbeddedSettings { path, ..fixture.settings.clone() }).err().unwrap();
    assert!(refused.to_string().contains("mount a directory that the proxy's user may write to"), "{refused}");
}

#[test]
fn only_its_owner_can_read_the_file() {
    let fixture = InFile::new(|_| {});
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = &fixture.settings.path;
    assert_eq!((mode(path), mode(&beside(path, "-wal")), mode(path.parent().unwrap())), (0o600, 0o600, 0o700));
    assert!(!beside(path, "-shm").exists(), "one owner shares no memory");
}

#[test]
fn the_file_is_set_up_as_decided() {
    let fixture = InFile::new(|_| {});
    fixture.close();
    let path = &fixture.settings.path;
    assert_eq!(asked::<String>(path, "PRAGMA journal_mode"), "wal");
    assert_eq!(asked::<i64>(path, "PRAGMA auto_vacuum"), 2);
    assert_eq!(asked::<i64>(path, "PRAGMA user_version"), 2);
}

#[test]
fn a_newer_older_or_foreign_file_is_refused_and_not_touched() {
    let fixture = InFile::new(|_| {});
    fixture.close();
    let path = &fixture.settings.path;
    let change = |sql: &str| rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 3");
    let refused = EmbeddedStore::open(&fixture.settings).err().unwrap();
    assert!(refused.to_string().contains("was written by a newer version"), "{refused}");
    change("PRAGMA user_version = 1");
    let refused = EmbeddedStore::open(&fixture.settings).err().unwrap().to_string();
    assert!(refused.contains("was written by an older version") && refused.contains("move the file away"), "{refused}");
    change("PRAGMA user_version = 2; PRAGMA application_id = 7");
    let refused = EmbeddedStore::open(&fixture.settings).err().unwrap();
    assert!(refused.to_string().contains("is a database of another program"), "{refused}");
    change("PRAGMA application_id = 1330992210");
    assert_eq!(fixture.open(), Opened::default());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_new_keys_wait() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(1).complete(1).await;
    fixture.close();
    fs::write(&fixture.settings.path, vec![0x5a; 20_000]).unwrap();
    let opened = fixture.open();
    let aside = opened.quarantined.unwrap();
    assert_eq!(aside, beside(&fixture.settings.path, &format!(".corrupt-{}", START / 1000)));
    assert_eq!(fs::read(&aside).unwrap(), vec![0x5a; 20_000]);
    assert_eq!(opened.live, 0);
    let refused = fixture.key(1).try_claim(claim(2)).await.unwrap_err().to_string();
    assert_eq!(refused, "the store is not available: its file was damaged and set aside; new keys are taken in 300 s");
    fixture.hands.advance(100_000);
    assert_eq!(fixture.reopen().quarantined, None);
    let refused = fixture.key(1).try_claim(claim(2)).await.unwrap_err().to_string();
    assert!(refused.ends_with("new keys are taken in 200 s"), "a restart does not cut it short: {refused}");
    fixture.hands.advance(200_000);
    assert_eq!(fixture.key(1).claim(claim(2)).await, granted(1, 1));
}

#[tokio::test]
async fn damage_in_the_middle_of_the_file_is_noticed() {
    let fixture = InFile::new(|settings| settings.records_max = 1000);
    for number in 0..250 {
        fixture.key(number).sent(claim(1), LONG).await;
    }
    fixture.close();
    let mut bytes = fs::read(&fixture.settings.path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&fixture.settings.path, bytes).unwrap();
    assert!(fixture.open().quarantined.is_some());
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let fixture = InFile::new(|_| {});
    let store = fixture.embedded();
    store.close();
    store.close();
    let command = Command::new(fixture.key(1).id, Op::Release { nonce: Nonce([1; 16]) });
    assert_eq!(store.apply(command).await, Err(StoreError::Unavailable("it is closed".to_owned())));
}

#[tokio::test]
async fn a_pin_that_is_lifted_while_the_key_is_claimed_stays_lifted() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).claim(claim(1)).await;
    assert_eq!(fixture.key(1).op(Op::Pin).await, Reply::Done);
    assert_eq!(fixture.key(1).release(1).await, Reply::Done);
    assert_eq!(fixture.key(1).claim(claim(2)).await, granted(2, 2));
    assert_eq!(fixture.key(1).op(Op::Unpin).await, Reply::Done);
    fixture.reopen();
    let record = fixture.key(1).shown().await.unwrap().record;
    assert_eq!((record.state, record.pinned), (State::Retryable, false));
}

#[tokio::test]
async fn an_answer_that_somebody_may_have_heard_is_not_replaced() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done);
    assert_eq!(fixture.key(1).complete_with(1, false, LONG, answer(7)).await, Reply::Done);
    assert_eq!(fixture.key(1).try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
}

#[tokio::test]
async fn the_other_durability_works_the_same_way() {
    let fixture = InFile::new(|settings| settings.durability = Durability::Power);
    fixture.key(1).sent(claim(1), LONG).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done);
    assert_eq!(fixture.reopen().live, 1);
    assert_eq!(fixture.key(1).try_claim(claim(2)).await.unwrap().answer, Some(answer(1)));
}
