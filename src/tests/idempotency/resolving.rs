//! Operators look at keys and settle unknown outcomes: over the admin API and on the command line.

use std::process::{Command, Output};

use outrigger::faults::{Answer, Script};
use outrigger::testing::{Answer as Received, Client, Program, RedisServer};
use serde_json::{Value, json};

use super::{Stage, lost, pay, policy, receipt, stage, told};
use crate::stage::{client, executable, program, upstream};

/// The end of the first request is lost, and that of the others is not.
async fn unknown() -> Stage {
    let stage = stage(Script::sequence([lost()], receipt()), "required: true", "").await;
    assert_eq!(told(&stage.pay("k", "1").await), (502, "unknown"));
    assert_eq!(told(&stage.pay("k", "1").await), (409, "unknown"));
    stage
}

async fn ask(program: &Program, path: &str, body: &Value) -> Received {
    let admin = program.address("admin");
    let body = body.to_string();
    let mut client = Client::connect(admin).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nx-outrigger-admin: 1\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(head).await;
    client.answer("POST").await
}

async fn show(program: &Program, key: &str) -> Received {
    ask(program, "/idempotency/show", &json!({ "upstream": "up", "route": "pay", "key": key })).await
}

async fn resolve(program: &Program, key: &str, more: Value) -> Received {
    let mut body = json!({ "upstream": "up", "route": "pay", "key": key, "reason": "INC-42" });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    ask(program, "/idempotency/resolve", &body).await
}

/// The status and the last word of a problem's type.
fn problem(answer: &Received) -> (u16, String) {
    let kind = answer.json()["type"].as_str().unwrap_or("no problem").to_owned();
    (answer.status, kind.rsplit('/').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_key_shows_where_it_stands() {
    let stage = unknown().await;
    let shown = show(&stage.program, "k").await.json();
    let open = ["state", "attempt", "contract", "ambiguous", "pinned", "route", "answer", "leaseLeftMs"];
    let expected = [json!("unknown"), json!(1), json!("opaque"), json!(true), json!(false), json!("up/pay")];
    let expected = expected.into_iter().chain([Value::Null, Value::Null]);
    for (field, value) in open.into_iter().zip(expected) {
        assert_eq!(shown[field], value, "{field} in {shown}");
    }
    assert!(shown["expiresInMs"].as_u64().is_some_and(|left| left > 3_600_000), "{shown}");
    // Quoted or not, it is the same key.
    assert_eq!(show(&stage.program, "\"k\"").await.json()["state"], "unknown");
    assert_eq!(told(&stage.pay("fine", "1").await), (201, "stored"));
    let fine = show(&stage.program, "fine").await.json();
    assert_eq!((&fine["state"], &fine["answer"]), (&"complete".into(), &json!({ "status": 201, "bodyBytes": 7 })));
}

#[tokio::test]
async fn what_was_not_executed_is_executed_by_the_next_request_with_the_key() {
    let stage = unknown().await;
    let resolved = resolve(&stage.program, "k", json!({ "as": "not-executed" })).await;
    assert_eq!((resolved.status, &resolved.json()["was"]), (200, &"unknown".into()), "{}", resolved.text());
    assert_eq!(problem(&show(&stage.program, "k").await), (404, "unknown-key".to_owned()));
    let again = stage.pay("k", "1").await;
    assert_eq!((told(&again), again.text()), ((201, "stored"), "receipt".to_owned()));
    assert_eq!(stage.server.observed().counts().executed, 2);
}

#[tokio::test]
async fn what_was_executed_is_answered_as_the_operator_says() {
    let stage = unknown().await;
    let response = json!({ "status": 202, "body": "found at the bank" });
    let resolved = resolve(&stage.program, "k", json!({ "as": "executed", "response": response })).await;
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    for _ in 0..2 {
        let again = stage.pay("k", "1").await;
        assert_eq!((told(&again), again.text()), ((202, "replayed"), "found at the bank".to_owned()));
    }
    // Another request under the same key is still a mistake.
    assert_eq!(told(&stage.pay("k", "2").await), (422, "mismatch"));
    assert_eq!(stage.server.observed().counts().executed, 1);
}

#[tokio::test]
async fn an_ambiguous_answer_is_settled_too_and_without_a_response_it_is_an_empty_200() {
    let stage = stage(Script::sequence([Answer::status(500).body("oh")], receipt()), "contract: opaque", "").await;
    assert_eq!(told(&stage.pay("k", "1").await), (500, "stored"));
    assert_eq!(show(&stage.program, "k").await.json()["ambiguous"], true);
    assert_eq!(resolve(&stage.program, "k", json!({ "as": "executed" })).await.json()["was"], "complete");
    let again = stage.pay("k", "1").await;
    assert_eq!((told(&again), again.text()), ((200, "replayed"), String::new()));
}

#[tokio::test]
async fn a_definite_answer_cannot_be_resolved_nor_a_key_without_record_nor_a_route_without_keys() {
    let stage = stage(receipt(), "required: true", "").await;
    assert_eq!(told(&stage.pay("k", "1").await), (201, "stored"));
    for found in ["executed", "not-executed"] {
        let refused = resolve(&stage.program, "k", json!({ "as": found })).await;
        assert_eq!(problem(&refused), (409, "nothing-to-resolve".to_owned()));
        let detail = refused.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("complete. Repetitions get 201 with 7 bytes"), "{detail}");
    }
    let never = resolve(&stage.program, "never", json!({ "as": "executed" })).await;
    assert_eq!(problem(&never), (404, "unknown-key".to_owned()));
    for (field, value) in [("route", "default"), ("route", "nowhere"), ("upstream", "nowhere")] {
        let mut body = json!({ "upstream": "up", "route": "pay", "key": "k" });
        body[field] = value.into();
        let answer = ask(&stage.program, "/idempotency/show", &body).await;
        assert_eq!(problem(&answer), (404, "unknown-target".to_owned()), "{field} {value}: {}", answer.text());
    }
    for wrong in [
        json!({ "as": "executed", "reason": "" }),
        json!({ "as": "executed", "principal": "alice" }),
        json!({ "as": "executed", "key": "a\"b" }),
        json!({ "as": "executed", "response": { "status": 100 } }),
        json!({ "as": "not-executed", "response": {} }),
        json!({ "as": "perhaps" }),
    ] {
        let answer = resolve(&stage.program, "k", wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    assert_eq!(told(&stage.pay("k", "1").await), (201, "replayed"), "nothing has changed");
}

#[tokio::test]
async fn where_callers_are_told_apart_a_key_is_named_with_its_caller() {
    let server = upstream(Script::sequence([lost()], receipt())).await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = policy(&server.url(), &directory, "required: true", "")
        .replace("principal: none", "principal: header:X-Tenant");
    let program = program(&text).await;
    let fields = "Idempotency-Key: k\r\nX-Tenant: alice\r\n";
    assert_eq!(told(&client(&program).await.post("/pay", fields, b"1").await), (502, "unknown"));
    assert_eq!(show(&program, "k").await.status, 400);
    let bob = resolve(&program, "k", json!({ "as": "not-executed", "principal": "bob" })).await;
    assert_eq!(problem(&bob), (404, "unknown-key".to_owned()));
    let alice = resolve(&program, "k", json!({ "as": "not-executed", "principal": "alice" })).await;
    assert_eq!(alice.status, 200, "{}", alice.text());
    assert_eq!(told(&client(&program).await.post("/pay", fields, b"1").await), (201, "stored"));
}

#[tokio::test]
async fn a_resolution_is_in_the_journal_with_its_reason_and_without_the_key() {
    let stage = unknown().await;
    let more = json!({ "as": "not-executed", "reason": "the bank has none", "author": "alice" });
    let record = resolve(&stage.program, "k", more).await.json()["record"].as_str().expect("digits").to_owned();
    assert_eq!(record.len(), 8);
    let changes = stage.program.admin("/changes").await;
    let change = &changes["changes"][0];
    let expected = format!("up/pay: unknown outcome of the key with record {record} resolved as not executed");
    assert_eq!((&change["summary"], &change["author"]), (&expected.into(), &"alice".into()), "{changes}");
    assert_eq!(change["reason"], "the bank has none");
}

#[tokio::test]
async fn one_replica_resolves_what_another_left_unknown() {
    let mut redis = RedisServer::start().await;
    let server = upstream(Script::sequence([lost()], receipt())).await;
    let text = format!(
        "stores: {{ redis: {{ url: \"{}\", service: shop, timeout: 200ms }} }}\nupstreams:\n  up:\n    url: {}\n    \
         routes:\n    - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none }} }}\n",
        redis.url(),
        server.url()
    );
    let (one, other) = (program(&text).await, program(&text).await);
    assert_eq!(told(&pay(&mut client(&one).await, "k", "1").await), (502, "unknown"));
    let resolved = resolve(&other, "k", json!({ "as": "not-executed" })).await;
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    assert_eq!(told(&pay(&mut client(&one).await, "k", "1").await), (201, "stored"));
    redis.stop();
    assert_eq!(problem(&show(&other, "k").await), (503, "store-unavailable".to_owned()));
}

async fn outrigger(program: &Program, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(executable());
    command.env("OUTRIGGER_ADDR", program.address("admin").to_string()).args(words);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
    let Output { status, stdout, stderr } = ended.expect("the program starts");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[tokio::test]
async fn the_command_line_shows_and_resolves() {
    let stage = unknown().await;
    let program = &stage.program;
    let (code, said) = outrigger(program, &["idem", "show", "up/pay", "k"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("up/pay k: unknown. It was sent and its outcome is not known; repetitions are"), "{said}");
    assert!(said.contains("Resolve it: outrigger idem resolve --as executed|not-executed --reason TEXT up/pay k"));
    let (code, said) = outrigger(program, &["idem", "show", "up/pay", "k", "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &shown["state"]), (Some(0), &"unknown".into()));

    let order = ["idem", "resolve", "up/pay", "k", "--as", "executed", "--reason", "INC-42", "--status", "201"];
    let (code, said) = outrigger(program, &[&order[..], &["--body", "found"]].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("up/pay k: resolved as executed. Repetitions get 201 with 5 bytes."), "{said}");
    let again = stage.pay("k", "1").await;
    assert_eq!((told(&again), again.text()), ((201, "replayed"), "found".to_owned()));

    let (code, said) = outrigger(program, &order).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the key at up/pay is complete. Repetitions get 201 with 5 bytes"), "{said}");
    let (code, said) = outrigger(program, &["idem", "show", "up/pay", "never"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no record of this key at up/pay: it was never used, was freed, or has expired"), "{said}");
    for wrong in [
        &["idem", "show", "up", "k"][..],
        &["idem", "resolve", "up/pay", "k", "--as", "executed"],
        &["idem", "resolve", "up/pay", "k", "--as", "not-executed", "--reason", "x", "--status", "201"],
    ] {
        assert_eq!(outrigger(program, wrong).await.0, Some(2), "{wrong:?}");
    }
    let (code, said) = outrigger(program, &["idem", "show", "up/pay", "k", "--addr", "127.0.0.1:1"]).await;
    assert_eq!(code, Some(3), "{said}");
}
