//! Requests that could not be served are kept: what becomes a letter, and what its client is told.

mod repair;

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Hangup, Point, Script};
use outrigger::testing::{Answer as Received, Client, Program, RedisServer, eventually, free_address, get};
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{client, program, until, upstream};

/// One upstream, the program in front of it, and where its letters are kept.
struct Stage {
    server: FaultServer,
    program: Program,
    _directory: TempDir,
}

fn policy(url: &str, directory: &TempDir, route: &str, top: &str) -> String {
    let path = directory.path().join("outrigger.db");
    format!(
        "accessLog: {{ sampleRatio: 1.0 }}\nstores: {{ embedded: {{ path: {} }} }}\n{top}upstreams:\n  up:\n    url: {url}\n    \
         routes:\n    - {{ name: pay, match: {{ path: /pay }}, {route} }}\n",
        path.display()
    )
}

/// Letters beside the program, and the records of their keys where replicas share them.
fn shared_policy(url: &str, directory: &TempDir, redis: &RedisServer) -> String {
    let shared = format!("stores: {{ redis: {{ url: \"{}\", service: shop }}, embedded", redis.url());
    let route = "idempotency: { principal: none, store: redis }, deadLetter: {}";
    policy(url, directory, route, "").replace("stores: { embedded", &shared)
}

const KEYED: &str = "idempotency: { principal: none }, deadLetter: {}";
const KEYLESS: &str = "deadLetter: {}";

async fn stage(script: impl Into<Script>, route: &str, top: &str) -> Stage {
    let server = upstream(script).await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(&policy(&server.url(), &directory, route, top)).await;
    Stage { server, program, _directory: directory }
}

/// With a key if the route deduplicates; the others do not look at it.
async fn pay(program: &Program, body: &str) -> Received {
    let fields = "Idempotency-Key: \"k\"\r\nAuthorization: Bearer s3cret\r\n";
    client(program).await.post("/pay?token=s3cret", fields, body.as_bytes()).await
}

async fn letters(program: &Program) -> Vec<Value> {
    let list = program.admin("/dead-letters").await;
    list["letters"].as_array().cloned().unwrap_or_else(|| panic!("no list: {list}"))
}

/// The one letter, of which the client was told the number.
async fn letter(program: &Program, told: &Received) -> Value {
    let id = told.field("outrigger-dead-letter").unwrap_or_else(|| panic!("no letter: {}", told.text())).to_owned();
    let all = letters(program).await;
    let [letter] = all.as_slice() else { panic!("not one letter: {all:?}") };
    assert_eq!(letter["id"], id);
    program.admin(&format!("/dead-letters/{id}")).await
}

/// Reads the request to its end, then resets the connection.
fn lost() -> Behaviour {
    Behaviour::hang_up(Hangup::Reset, Point::Body)
}

#[tokio::test]
async fn a_request_whose_outcome_is_unknown_is_kept_and_its_client_is_told_where() {
    for route in [KEYED, KEYLESS] {
        let stage = stage(lost(), route, "deadLetter: { capture: { redactQuery: [token] } }\n").await;
        let told = pay(&stage.program, "12 EUR").await;
        assert_eq!((told.status, told.json()["reason"].as_str()), (502, Some("reset")));
        assert_eq!(told.json()["deadLetter"].as_str(), told.field("outrigger-dead-letter"));
        let letter = letter(&stage.program, &told).await;
        assert_eq!((&letter["cause"], &letter["class"]), (&"outcome-unknown".into(), &"unknown".into()), "{letter}");
        assert_eq!((&letter["state"], &letter["queue"]), (&"open".into(), &"up/pay".into()));
        if route == KEYED {
            let again = pay(&stage.program, "12 EUR").await;
            assert_eq!((again.status, &again.json()["deadLetter"]), (409, &letter["id"]), "who asks again hears of it");
        }
        assert!(!letter.to_string().contains("s3cret") && !letter.to_string().contains("\"k\""), "{letter}");
        let metrics = stage.program.metrics().await;
        let labels = [("queue", "up/pay"), ("cause", "outcome-unknown"), ("class", "unknown")];
        assert_eq!(metrics.sum("outrigger_dlq_captured_total", &labels), 1.0);
        let id = letter["id"].as_str().expect("a number").to_owned();
        let logged = format!("\"outrigger.dead_letter\":\"{id}\"");
        eventually("a line of the log", async || stage.program.stdout().contains(&logged).then_some(())).await;
    }
}

#[tokio::test]
async fn what_was_provably_not_sent_is_kept_as_not_executed() {
    for route in [KEYED, KEYLESS] {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("http://{}", free_address());
        let program = program(&policy(&url, &directory, route, "")).await;
        let told = pay(&program, "1").await;
        assert_eq!(told.status, 502);
        let letter = letter(&program, &told).await;
        assert_eq!((&letter["cause"], &letter["class"]), (&"retries-exhausted".into(), &"not-executed".into()));
    }
}

#[tokio::test]
async fn a_server_error_goes_to_the_client_as_it_is_with_the_letters_number() {
    for route in [KEYED, KEYLESS] {
        let stage = stage(Answer::status(500).body("oh"), route, "").await;
        let told = pay(&stage.program, "1").await;
        assert_eq!((told.status, told.text()), (500, "oh".to_owned()));
        let letter = letter(&stage.program, &told).await;
        assert_eq!((&letter["cause"], &letter["class"]), (&"server-error".into(), &"failed-response".into()));
    }
}

#[tokio::test]
async fn what_a_caller_does_wrong_and_what_is_served_is_no_letter() {
    let script = Script::sequence([Answer::status(404), Answer::status(429)], Answer::status(201));
    let stage = stage(script, KEYLESS, "").await;
    for status in [404, 429, 201] {
        let told = pay(&stage.program, "1").await;
        assert_eq!((told.status, told.field("outrigger-dead-letter")), (status, None));
    }
    assert!(letters(&stage.program).await.is_empty());
}

#[tokio::test]
async fn a_safe_method_and_a_route_that_does_not_ask_for_it_leave_no_letter() {
    let stage = stage(Answer::status(500), KEYLESS, "").await;
    assert_eq!(client(&stage.program).await.get("/pay").await.status, 500);
    assert_eq!(client(&stage.program).await.post("/other", "", b"1").await.status, 500);
    assert!(letters(&stage.program).await.is_empty());
}

#[tokio::test]
async fn only_causes_that_the_route_names_make_letters() {
    let script = Script::sequence([Behaviour::from(Answer::status(500)), lost()], Answer::status(201));
    let stage = stage(script, "deadLetter: { when: [outcome-unknown] }", "").await;
    assert_eq!(pay(&stage.program, "1").await.field("outrigger-dead-letter"), None);
    let told = pay(&stage.program, "1").await;
    assert_eq!(letter(&stage.program, &told).await["cause"], "outcome-unknown");
}

#[tokio::test]
async fn a_refusal_of_the_breaker_is_a_letter_only_if_the_route_says_so() {
    for (when, count) in [("", 0), ("deadLetter: { when: [circuit-open] }", 1)] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = upstream(Answer::status(503)).await;
        let route = if when.is_empty() { KEYLESS } else { when };
        let breaker = "    circuitBreaker: { minRequests: 3, openDuration: 1m, maxOpenDuration: 1m }\n    routes:";
        let text = policy(&server.url(), &directory, route, "").replace("    routes:", breaker);
        let program = program(&text).await;
        eventually("an open breaker", async || {
            let answer = client(&program).await.get("/").await;
            answer.text().contains("circuit-open").then_some(())
        })
        .await;
        let told = pay(&program, "12 EUR").await;
        assert_eq!(told.json()["reason"], "circuit-open");
        let all = letters(&program).await;
        assert_eq!(all.len(), count, "{all:?}");
        if count == 1 {
            let letter = letter(&program, &told).await;
            assert_eq!((&letter["class"], &letter["bodyBytes"]), (&"not-executed".into(), &6.into()), "{letter}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_on_its_way_is_a_letter_too() {
    let stage = stage(Answer::ok("0123456789").cut(4, Hangup::Close), KEYLESS, "").await;
    let mut broken = client(&stage.program).await;
    broken.send("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1").await;
    assert!(!matches!(broken.try_answer("POST").await, Ok(Some(_))), "it does not look whole");
    let all = eventually("a letter", async || Some(letters(&stage.program).await).filter(|all| !all.is_empty())).await;
    assert_eq!(all.first().map(|letter| &letter["cause"]), Some(&"outcome-unknown".into()));
}

#[tokio::test]
async fn a_body_that_is_not_held_makes_a_letter_that_cannot_be_replayed() {
    let stage = stage(lost(), "deadLetter: {}", "deadLetter: { capture: { maxBody: 1KiB } }\n").await;
    let told = pay(&stage.program, &"x".repeat(2_000)).await;
    let letter = letter(&stage.program, &told).await;
    assert!(letter["notReplayable"].as_str().is_some_and(|why| why.contains("maxBody")), "{letter}");
}

#[tokio::test]
async fn a_client_that_leaves_leaves_no_letter_unless_its_key_is_executed_without_it() {
    let script = || Behaviour::from(Answer::status(500)).after(Duration::from_millis(300));
    for (route, count) in [(KEYLESS, 0), (KEYED, 1)] {
        let stage = stage(script(), route, "").await;
        let leaver = client(&stage.program).await;
        leaver.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\n1").await;
        until(&stage.server, |c| c.serving == 1).await;
        leaver.reset_on_drop();
        drop(leaver);
        until(&stage.server, |c| c.serving == 0).await;
        stage.program.metrics_when("the request is over", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
        eventually("as many letters", async || (letters(&stage.program).await.len() == count).then_some(())).await;
    }
}

#[tokio::test]
async fn a_late_answer_and_a_later_success_close_the_letter() {
    let late = Behaviour::from(Answer::status(201)).after(Duration::from_millis(700));
    let route = "timeouts: { backendRequest: 200ms }, idempotency: { principal: none }, deadLetter: {}";
    let stage = stage(late, route, "").await;
    let told = pay(&stage.program, "1").await;
    assert_eq!((told.status, told.field("idempotency-status")), (504, Some("unknown")));
    assert_eq!(letter(&stage.program, &told).await["state"], "open");
    eventually("the letter is closed", async || {
        let all = letters(&stage.program).await;
        all.iter().all(|letter| letter["state"] == "superseded").then_some(())
    })
    .await;
    assert_eq!(pay(&stage.program, "1").await.status, 201);
    assert_eq!(stage.server.observed().counts().executed, 1);
}

#[tokio::test]
async fn what_is_not_kept_is_counted_and_the_client_gets_its_failure() {
    let stage = stage(lost(), KEYLESS, "deadLetter: { maxLetters: 1 }\n").await;
    assert!(pay(&stage.program, "1").await.field("outrigger-dead-letter").is_some());
    let told = pay(&stage.program, "2").await;
    assert_eq!((told.status, told.field("outrigger-dead-letter")), (502, None));
    assert_eq!(told.json()["deadLetter"], Value::Null);
    let metrics = get(stage.program.address("metrics"), "/metrics").await.expect("metrics").text();
    assert!(metrics.contains("outrigger_dlq_lost_total{queue=\"up/pay\",reason=\"full\"} 1"), "{metrics}");
    eventually("an event", async || stage.program.stderr().contains("letter-lost").then_some(())).await;
}

#[tokio::test]
async fn a_request_that_bypasses_its_key_or_got_one_from_us_is_kept_as_well() {
    let bypass = "idempotency: { principal: none, maxBody: 2KiB, oversize: bypass }, deadLetter: {}";
    let bypassed = stage(lost(), bypass, "").await;
    let told = pay(&bypassed.program, &"x".repeat(3_000)).await;
    assert_eq!(told.field("idempotency-status"), Some("bypassed"));
    assert!(letter(&bypassed.program, &told).await["notReplayable"].is_string(), "its body was not held");
    let generated = stage(lost(), "idempotency: { principal: none, contract: dedupes }, deadLetter: {}", "").await;
    let told = client(&generated.program).await.post("/pay", "", b"1").await;
    assert_eq!(letter(&generated.program, &told).await["keyOrigin"], "generated");
}

#[tokio::test]
async fn the_letter_of_a_key_that_replicas_share_is_kept_here_and_its_record_is_pinned_there() {
    let (redis, server) = (RedisServer::start().await, upstream(lost()).await);
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(&shared_policy(&server.url(), &directory, &redis)).await;
    let told = pay(&program, "1").await;
    assert_eq!(told.field("idempotency-status"), Some("unknown"));
    assert_eq!(letter(&program, &told).await["class"], "unknown");
    let key = r#"{"upstream":"up","route":"pay","key":"k"}"#;
    let admin = program.address("admin");
    let mut operator = Client::connect(admin).await;
    let head = format!(
        "POST /idempotency/show HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nx-outrigger-admin: 1\r\n\
         Content-Length: {}\r\n\r\n{key}",
        key.len()
    );
    operator.send(head).await;
    let shown = operator.answer("POST").await.json();
    assert_eq!((&shown["state"], &shown["pinned"]), (&"unknown".into(), &true.into()), "{shown}");
}
