//! Against a real server. Time-outs are long except where they are what is tested.

mod clock;
mod contract;
mod faults;
mod memory;
mod model;
mod time;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::{RedisSettings, RedisStore};
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::store::{Command, Store, StoreError};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Fingerprint, Millis, Nonce, Op, RecordId, Reply};
use crate::testing::{BOUND, RedisServer};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings { timeout: BOUND, connect_timeout: BOUND, ..RedisSettings::new(&server.url(), "orders") }
}

async fn connect(server: &RedisServer) -> RedisStore {
    let (store, connected) = RedisStore::connect(&settings(server)).await.expect("good settings");
    assert_eq!(connected.degraded, None);
    store
}

/// A store that does not wait long.
async fn impatient(server: &RedisServer) -> RedisStore {
    let settings = RedisSettings { timeout: Duration::from_millis(200), ..settings(server) };
    RedisStore::connect(&settings).await.expect("good settings").0
}

fn id(number: u8) -> RecordId {
    RecordId([number; 16])
}

fn nonce(number: u8) -> Nonce {
    Nonce([number; 16])
}

fn claim(record: u8, owner: u8, lease: Millis, keep: Millis) -> Command {
    let fingerprint = Fingerprint([0xFF; 16]);
    let claim = Claim { fingerprint, nonce: nonce(owner), lease, keep, contract: Contract::Opaque };
    Command { route: Some(Arc::from("orders/create")), ..Command::new(id(record), Op::Claim(claim)) }
}

fn under(contract: Contract, command: Command) -> Command {
    match command.op {
        Op::Claim(claim) => Command { op: Op::Claim(Claim { contract, ..claim }), ..command },
        _ => command,
    }
}

fn mark_sent(record: u8, owner: u8, lease: Millis) -> Command {
    Command::new(id(record), Op::MarkSent { nonce: nonce(owner), lease })
}

fn complete(record: u8, owner: u8, keep: Millis, answer: StoredAnswer) -> Command {
    let op = Op::Complete { nonce: nonce(owner), ambiguous: false, keep };
    Command { answer: Some(answer), ..Command::new(id(record), op) }
}

/// With bytes that are no text.
fn answer(body: Option<&'static [u8]>) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        fields: Bytes::from_static(b"location: /1\nx: \xFF\n"),
        body: body.map(Bytes::from_static),
    }
}

async fn reply(store: &RedisStore, command: Command) -> Result<Reply, StoreError> {
    store.apply(command).await.map(|answered| answered.reply)
}

const GRANTED: Result<Reply, StoreError> = Ok(Reply::Granted { attempt: 1, fence: 1 });
const DONE: Result<Reply, StoreError> = Ok(Reply::Done);

/// A command of ours on the store's connection.
async fn raw(store: &RedisStore, words: &[&str]) -> Value {
    let mut command = Cmd::new();
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    let deadline = crate::clock::now() + BOUND;
    let link = store.connector.link(deadline).await.expect("a connection");
    store.connector.ask(&link, &command, deadline).await.expect("an answer")
}

/// Milliseconds until the server forgets a record; -1 never, -2 it has none.
async fn ttl(store: &RedisStore, record: u8) -> i64 {
    match raw(store, &["PTTL", &store.key(id(record))]).await {
        Value::Int(milliseconds) => milliseconds,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_from_its_claim_to_its_replay() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    assert_eq!(reply(&store, complete(1, 1, HOUR, answer(Some(b"\0\xFF")))).await, DONE);

    let replayed = store.apply(claim(1, 2, MINUTE, HOUR)).await.expect("an answer");
    assert_eq!(replayed.reply, Reply::Replay { ambiguous: false });
    assert_eq!(replayed.answer, Some(answer(Some(b"\0\xFF"))));
    let shown = store.show(id(1)).await.expect("an answer").expect("a record");
    assert_eq!((&*shown.route, shown.answer), ("orders/create", Some(answer(Some(b"\0\xFF")))));
    assert_eq!(store.show(id(2)).await, Ok(None));
}

#[tokio::test]
async fn each_step_of_a_request_is_one_command_to_the_server() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    // From the second request on the server knows the scripts.
    for record in 1..=2 {
        raw(&store, &["CONFIG", "RESETSTAT"]).await;
        assert_eq!(reply(&store, claim(record, 1, MINUTE, HOUR)).await, GRANTED);
        assert_eq!(reply(&store, mark_sent(record, 1, MINUTE)).await, DONE);
        assert_eq!(reply(&store, complete(record, 1, HOUR, answer(None))).await, DONE);
    }
    let Value::BulkString(statistics) = raw(&store, &["INFO", "commandstats"]).await else { panic!("no statistics") };
    let statistics = String::from_utf8(statistics).expect("text");
    assert!(statistics.contains("cmdstat_evalsha:calls=3,"), "{statistics}");
    assert!(!statistics.contains("cmdstat_eval:"), "{statistics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_claims_through_two_replicas_exactly_one_is_granted() {
    let server = RedisServer::start().await;
    let stores = [Arc::new(connect(&server).await), Arc::new(connect(&server).await)];
    let claims: Vec<_> = (0..64u8)
        .map(|owner| {
            let store = Arc::clone(&stores[usize::from(owner % 2)]);
            tokio::spawn(async move { reply(&store, claim(1, owner, MINUTE, HOUR)).await.expect("an answer") })
        })
        .collect();
    let mut granted = 0;
    for claim in claims {
        match claim.await.expect("no panic") {
            Reply::Granted { attempt: 1, fence: 1 } => granted += 1,
            Reply::Busy { sent: false, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_may_be_repeated() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    for _ in 0..2 {
        assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    }
    for _ in 0..2 {
        assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    }
    for _ in 0..2 {
        assert_eq!(reply(&store, complete(1, 1, HOUR, answer(None))).await, DONE);
    }
    let other = complete(1, 1, HOUR, answer(Some(b"other")));
    assert_eq!(reply(&store, other).await, DONE);
    let replayed = store.apply(claim(1, 2, MINUTE, HOUR)).await.expect("an answer");
    assert_eq!(replayed.answer, Some(answer(None)), "the first answer counts");
}

#[tokio::test]
async fn replicas_agree_on_a_secret_and_keep_to_it_when_the_server_has_lost_it() {
    let mut server = RedisServer::start().await;
    let first = connect(&server).await;
    let secret = first.secret().await.expect("a secret");
    assert_eq!(connect(&server).await.secret().await, Ok(secret));

    let configured = RedisSettings { secret: Some([7; 32]), ..settings(&server) };
    let (configured, _) = RedisStore::connect(&configured).await.expect("good settings");
    assert_eq!(configured.secret().await, Ok([7; 32]));
    let other = RedisSettings { service: "payments".to_owned(), ..settings(&server) };
    let (other, _) = RedisStore::connect(&other).await.expect("good settings");
    assert_ne!(other.secret().await, Ok(secret));

    server.restart().await;
    assert_eq!(reply(&first, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(connect(&server).await.secret().await, Ok(secret));
}

#[tokio::test]
async fn settings_that_can_never_work_are_refused_without_telling_the_password() {
    for (url, service) in [
        ("redis://:hunter2@", "orders"),
        ("http://:hunter2@localhost", "orders"),
        ("rediss://:hunter2@localhost", "orders"),
        ("redis://:hunter2@localhost/x", "orders"),
        ("redis://:hunter2@localhost", "or{d}ers"),
        ("redis://:hunter2@localhost", ""),
    ] {
        let refused = RedisStore::connect(&RedisSettings::new(url, service)).await;
        let Err(StoreError::Unavailable(why)) = refused.map(|_| ()) else { panic!("{url} {service}") };
        assert!(!why.contains("hunter2"), "{why}");
    }
}
