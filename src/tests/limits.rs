use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Script};

use crate::stage::{client, proxied, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_request_that_finds_no_place_and_no_queue_is_refused_honestly() {
    let (server, program) =
        proxied(Behaviour::stall(), "limits: { requests: 1, pending: 0 }\ntimeouts: { request: 10m }").await;
    let first = client(&program).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    let answer = client(&program).await.get("/").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (503, Some("queue-full")), "{problem}");
    assert_eq!((problem["side"].as_str(), problem["sent"].as_str()), (Some("outrigger"), Some("no")), "{problem}");
    assert!(answer.field("retry-after").is_some());
    assert_eq!(server.observed().counts().requests, 1);
    drop(first);
    until(&server, |c| c.abandoned == 1).await;
    server.set(Answer::ok("free again"));
    program.metrics_when("the place is free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
    assert_eq!(client(&program).await.get("/").await.text(), "free again");
}

#[tokio::test]
async fn a_request_in_the_queue_gets_the_place_that_comes_free() {
    let slow = Behaviour::from(Answer::ok("first")).after(Duration::from_millis(40));
    let (server, program) =
        proxied(Script::sequence([slow], Answer::ok("second")), "limits: { requests: 1, pending: 1 }").await;
    let mut first = client(&program).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    assert_eq!(client(&program).await.get("/").await.text(), "second");
    assert_eq!(first.answer("GET").await.text(), "first");
    assert_eq!(server.observed().counts().accepted, 1, "one after the other, on one connection");
}

#[tokio::test]
async fn a_request_does_not_wait_in_the_queue_until_its_deadline() {
    let (server, program) =
        proxied(Behaviour::stall(), "limits: { requests: 1, pending: 8 }\ntimeouts: { request: 10m }").await;
    let first = client(&program).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (503, Some("queue-timeout")));
    assert_eq!(server.observed().counts().requests, 1);
}

#[tokio::test]
async fn what_the_connections_to_an_endpoint_cannot_carry_waits_in_the_queue() {
    let (server, program) = proxied(Behaviour::stall(), "limits: { connections: 1 }\ntimeouts: { request: 10m }").await;
    let first = client(&program).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (503, Some("queue-timeout")));
    assert_eq!(server.observed().counts().accepted, 1);
}
