//! What happens when the server's memory is full.

use super::*;
use crate::testing::eventually;

fn release(record: u8, owner: u8) -> Command {
    Command::new(id(record), Op::Release { nonce: nonce(owner) })
}

fn numbered(mut command: Command, number: u16) -> Command {
    command.id.0[..2].copy_from_slice(&number.to_be_bytes());
    command
}

/// Claims and completes until no claim is granted any more. Returns what was completed, with its answers.
async fn fill(store: &RedisStore) -> Vec<(u16, StoredAnswer)> {
    const BODY: &[u8] = &[b'x'; 40_000];
    let mut completed = Vec::new();
    for number in 0..20_000 {
        match reply(store, numbered(claim(9, 1, MINUTE, HOUR), number)).await {
            GRANTED => {}
            Err(StoreError::Full) => return completed,
            other => panic!("{other:?}"),
        }
        assert_eq!(reply(store, numbered(mark_sent(9, 1, MINUTE), number)).await, DONE);
        let mut kept = answer(Some(BODY));
        match reply(store, numbered(complete(9, 1, HOUR, kept.clone()), number)).await {
            DONE => {}
            Err(StoreError::Full) => {
                kept = answer(None);
                let without_body = complete(9, 1, HOUR, kept.clone());
                assert_eq!(reply(store, numbered(without_body, number)).await, DONE, "heads are always stored");
            }
            other => panic!("{other:?}"),
        }
        completed.push((number, kept));
    }
    panic!("4 MB took {} answers", completed.len());
}

#[tokio::test]
async fn a_full_server_takes_nothing_new_and_loses_nothing() {
    let server = RedisServer::start_with(&["--maxmemory", "4mb"]).await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, claim(2, 1, MINUTE, HOUR)).await, GRANTED);
    let completed = fill(&store).await;
    assert!(completed.iter().any(|(_, kept)| kept.body.is_some()));

    for (number, kept) in completed {
        let answered = store.apply(numbered(claim(9, 2, MINUTE, HOUR), number)).await.expect("an answer");
        assert_eq!((answered.reply, answered.answer), (Reply::Replay { ambiguous: false }, Some(kept)));
    }
    // What was claimed before comes to its end.
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    assert_eq!(reply(&store, Command::new(id(1), Op::Renew { nonce: nonce(1), lease: MINUTE })).await, DONE);
    assert_eq!(reply(&store, Command::new(id(1), Op::Pin)).await, DONE);
    assert_eq!(reply(&store, Command::new(id(1), Op::Fail { nonce: nonce(1), keep: HOUR })).await, DONE);
    assert_eq!(reply(&store, release(2, 1)).await, DONE);
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_until_it_does_not() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let (store, connected) = RedisStore::connect(&settings(&server)).await.expect("good settings");
    let why = connected.degraded.expect("a reason");
    assert!(
        why.contains("maxmemory-policy is allkeys-lru") && why.contains("set maxmemory-policy to noeviction"),
        "{why}"
    );
    assert!(matches!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, Err(StoreError::Unavailable(_))));
    assert_eq!(server.command("DBSIZE").await, ":0", "nothing was stored");

    assert_eq!(server.command("CONFIG SET maxmemory-policy noeviction").await, "+OK");
    let granted = eventually("the store to work", async || reply(&store, claim(1, 1, MINUTE, HOUR)).await.ok()).await;
    assert_eq!(Ok(granted), GRANTED);
    assert_eq!(store.degraded(), None);
}

#[tokio::test]
async fn who_accepts_eviction_gets_it_with_a_warning() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "volatile-ttl"]).await;
    let settings = RedisSettings { require_noeviction: false, ..settings(&server) };
    let (store, connected) = RedisStore::connect(&settings).await.expect("good settings");
    assert!(connected.degraded.is_some_and(|why| why.starts_with("maxmemory-policy is volatile-ttl: ")));
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert!(store.degraded().is_some());
}

#[tokio::test]
async fn a_server_that_does_not_tell_its_policy_is_refused() {
    let server = RedisServer::start_with(&["--rename-command", "INFO", ""]).await;
    let (_, connected) = RedisStore::connect(&settings(&server)).await.expect("good settings");
    let why = connected.degraded.expect("a reason");
    assert!(why.contains("maxmemory-policy is not known"), "{why}");
}
