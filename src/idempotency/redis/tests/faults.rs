//! Servers that are gone, silent, wrong or damaged.

use super::*;
use crate::testing::eventually;

async fn works(store: &RedisStore) {
    let granted = eventually("the store to work", async || reply(store, claim(1, 1, MINUTE, HOUR)).await.ok()).await;
    assert_eq!(Ok(granted), GRANTED);
}

fn unavailable(outcome: &Result<Reply, StoreError>) -> Option<&str> {
    match outcome {
        Err(StoreError::Unavailable(why)) => Some(why),
        _ => None,
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    for owner in 1..=3 {
        assert_eq!(server.command("SCRIPT FLUSH").await, "+OK");
        assert_eq!(reply(&store, claim(owner, owner, MINUTE, HOUR)).await, GRANTED);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_no_error() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_ne!(server.command("CLIENT KILL TYPE normal").await, ":0");
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
}

#[tokio::test]
async fn without_a_server_a_store_starts_and_works_once_there_is_one() {
    let mut server = RedisServer::start().await;
    server.stop();
    let (store, connected) = RedisStore::connect(&settings(&server)).await.expect("good settings");
    assert!(connected.degraded.is_some_and(|why| why.contains("refused")));
    assert!(matches!(store.secret().await, Err(StoreError::Unavailable(_))));
    server.restart().await;
    works(&store).await;
    assert_eq!(store.degraded(), None);
}

#[tokio::test]
async fn a_stopped_server_is_noticed_at_once_and_found_again() {
    let mut server = RedisServer::start().await;
    let store = connect(&server).await;
    works(&store).await;
    server.stop();
    let begin = crate::clock::now();
    for _ in 0..100 {
        let outcome = reply(&store, claim(1, 1, MINUTE, HOUR)).await;
        assert!(unavailable(&outcome).is_some(), "{outcome:?}");
    }
    assert!(crate::clock::now().duration_since(begin) < BOUND, "they did not wait for their time-outs");
    assert!(store.degraded().is_some());
    server.restart().await;
    works(&store).await;
}

#[tokio::test]
async fn a_silent_server_costs_the_time_out_and_a_repeated_claim_is_still_granted() {
    let server = RedisServer::start().await;
    let store = impatient(&server).await;
    server.pause();
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, Err(StoreError::TimedOut));
    server.resume();
    works(&store).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_answered_for_long_is_given_up() {
    let server = RedisServer::start().await;
    let store = impatient(&server).await;
    server.pause();
    let why = eventually("the end of the connection", async || {
        let outcome = reply(&store, claim(1, 1, MINUTE, HOUR)).await;
        assert!(outcome.is_err());
        unavailable(&outcome).map(str::to_owned)
    })
    .await;
    assert_eq!(why, "no connection to the server yet");
    server.resume();
    works(&store).await;
}

#[tokio::test]
async fn more_commands_than_permitted_are_refused_at_once() {
    let server = RedisServer::start().await;
    let settings = RedisSettings { in_flight_max: 1, ..settings(&server) };
    let (store, _) = RedisStore::connect(&settings).await.expect("good settings");
    server.pause();
    let first = reply(&store, claim(1, 1, MINUTE, HOUR));
    let second = async {
        let outcome = reply(&store, claim(1, 2, MINUTE, HOUR)).await;
        server.resume();
        outcome
    };
    let (first, second) = tokio::join!(biased; first, second);
    assert_eq!((first, second), (GRANTED, Err(StoreError::Busy)));
}

#[tokio::test]
async fn a_replica_is_refused_until_it_is_promoted() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    works(&store).await;
    assert_eq!(server.command("REPLICAOF 127.0.0.1 1").await, "+OK");
    let outcome = reply(&store, claim(2, 1, MINUTE, HOUR)).await;
    assert!(unavailable(&outcome).is_some_and(|why| why.contains("READONLY")), "{outcome:?}");
    let outcome = reply(&store, claim(2, 1, MINUTE, HOUR)).await;
    assert!(unavailable(&outcome).is_some_and(|why| why.contains("is a replica")), "{outcome:?}");
    assert_eq!(server.command("REPLICAOF NO ONE").await, "+OK");
    works(&store).await;
}

#[tokio::test]
async fn a_password_is_used_and_its_absence_explained() {
    let server = RedisServer::start_with(&["--requirepass", "hunter2"]).await;
    let (_, connected) = RedisStore::connect(&settings(&server)).await.expect("good settings");
    assert!(connected.degraded.is_some_and(|why| why.contains("NOAUTH")));

    let url = |password: &str| format!("redis://:{password}@{}/", server.address());
    let wrong = RedisSettings { url: url("hunter3"), ..settings(&server) };
    let (_, connected) = RedisStore::connect(&wrong).await.expect("good settings");
    assert!(connected.degraded.is_some_and(|why| why.contains("authentication failed") && !why.contains("hunter3")));

    let right = RedisSettings { url: url("hunter2"), ..settings(&server) };
    works(&RedisStore::connect(&right).await.expect("good settings").0).await;
}

#[tokio::test]
async fn a_damaged_record_is_an_error_and_stays_as_it_is() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    for (field, value) in [("st", "X"), ("ld", "soon"), ("exp", "")] {
        let key = store.key(id(1));
        let before = raw(&store, &["HGET", &key, field]).await;
        raw(&store, &["HSET", &key, field, value]).await;
        let outcome = reply(&store, claim(1, 1, MINUTE, HOUR)).await;
        assert!(unavailable(&outcome).is_some_and(|why| why.contains("the record is damaged")), "{outcome:?}");
        assert!(store.show(id(1)).await.is_err());
        let Value::BulkString(before) = before else { panic!("{before:?}") };
        raw(&store, &["HSET", &key, field, std::str::from_utf8(&before).expect("text")]).await;
    }
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);

    raw(&store, &["SET", &store.key(id(2)), "not ours"]).await;
    let outcome = reply(&store, claim(2, 1, MINUTE, HOUR)).await;
    assert!(unavailable(&outcome).is_some_and(|why| why.contains("WRONGTYPE")), "{outcome:?}");
}
