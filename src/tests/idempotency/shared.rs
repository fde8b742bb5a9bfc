//! Two replicas, one Redis.

use outrigger::faults::{Answer, FaultServer, Script};
use outrigger::testing::{Program, RedisServer, eventually};

use super::{lost, pay, receipt, slow, told};
use crate::stage::{client, program, until, upstream};

fn policy(server: &FaultServer, redis: &RedisServer, more: &str) -> String {
    format!(
        "stores: {{ redis: {{ url: \"{}\", service: shop, timeout: 200ms }} }}\nupstreams:\n  up:\n    url: {}\n    \
         routes:\n    - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none{more} }} }}\n",
        redis.url(),
        server.url()
    )
}

async fn replicas(server: &FaultServer, redis: &RedisServer, more: &str) -> [Program; 2] {
    [program(&policy(server, redis, more)).await, program(&policy(server, redis, more)).await]
}

#[tokio::test]
async fn replicas_that_share_a_store_execute_a_key_once() {
    let redis = RedisServer::start().await;
    let server = upstream(slow(receipt())).await;
    let replicas = replicas(&server, &redis, "").await;
    let mut asked = Vec::new();
    for number in 0..16 {
        let mut client = client(&replicas[number % 2]).await;
        asked.push(tokio::spawn(async move { pay(&mut client, "k", "1").await }));
    }
    let mut stored = 0;
    for answer in asked {
        let answer = answer.await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (201, "receipt".to_owned()));
        stored += u32::from(told(&answer).1 == "stored");
    }
    assert_eq!((stored, server.observed().counts().executed), (1, 1));
}

#[tokio::test]
async fn an_unknown_outcome_at_one_replica_is_unknown_at_the_other() {
    let redis = RedisServer::start().await;
    let server = upstream(Script::sequence([lost()], receipt())).await;
    let [one, other] = replicas(&server, &redis, "").await;
    assert_eq!(told(&pay(&mut client(&one).await, "k", "1").await), (502, "unknown"));
    assert_eq!(told(&pay(&mut client(&other).await, "k", "1").await), (409, "unknown"));
    assert_eq!(told(&pay(&mut client(&other).await, "k", "2").await), (422, "mismatch"));
    assert_eq!(server.observed().counts().executed, 1);
}

#[tokio::test]
async fn without_the_store_keyed_requests_are_refused_or_by_policy_sent_without_it_and_all_is_well_when_it_is_back() {
    let mut redis = RedisServer::start().await;
    let server = upstream(receipt()).await;
    let closed = program(&policy(&server, &redis, "")).await;
    let open = program(&policy(&server, &redis, ", onStoreError: open")).await;
    redis.stop();
    let refused = pay(&mut client(&closed).await, "k", "1").await;
    assert_eq!((told(&refused), refused.field("retry-after")), ((503, "not-stored"), Some("1")));
    assert_eq!(refused.json()["reason"], "store-unavailable");
    assert_eq!(server.observed().counts().executed, 0);
    assert_eq!(told(&pay(&mut client(&open).await, "k", "1").await), (201, "bypassed"));
    // What has no key needs no store.
    assert_eq!(client(&closed).await.get("/").await.status, 201);
    redis.restart().await;
    eventually("the store is used again", async || {
        (told(&pay(&mut client(&closed).await, "k2", "1").await) == (201, "stored")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_that_goes_away_between_claim_and_answer_leaves_no_second_execution() {
    let redis = RedisServer::start().await;
    let server = upstream(slow(Answer::ok("done"))).await;
    let program = program(&policy(&server, &redis, "")).await;
    let mut first = client(&program).await;
    first.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\n1").await;
    until(&server, |c| c.serving == 1).await;
    redis.pause();
    let answer = first.answer("POST").await;
    assert_eq!((told(&answer), answer.text()), ((200, "store-failed"), "done".to_owned()));
    redis.resume();
    // The report is repeated in the background: the key is busy, unknown, or answered, and never free.
    let again = eventually("an answer of the store", async || {
        let answer = pay(&mut client(&program).await, "k", "1").await;
        (answer.status != 503 && answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!((told(&again), again.text()), ((200, "replayed"), "done".to_owned()));
    assert_eq!(server.observed().counts().executed, 1);
}
