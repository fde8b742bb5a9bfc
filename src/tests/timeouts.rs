use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Mode};

use crate::stage::{client, policy_for, program, proxied, until, upstream};

/// Longer than any test may take: whatever ends a request that has it is something else.
const NEVER: &str = "10m";

#[tokio::test]
async fn a_black_hole_is_answered_with_504_when_the_connect_timeout_is_over() {
    let server = upstream(Answer::ok("")).await;
    server.mode(Mode::BlackHole).await.expect("a full backlog");
    let policy = policy_for(&server, &format!("timeouts: {{ connect: 100ms, request: {NEVER} }}"));
    let program = program(&policy).await;
    let answer = client(&program).await.get("/").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["error"].as_str()), (504, Some("connection_timeout")), "{problem}");
    assert_eq!((problem["reason"].as_str(), problem["sent"].as_str()), (Some("connect-timeout"), Some("no")));
}

#[tokio::test]
async fn the_total_deadline_ends_a_request_that_nothing_else_would_end() {
    let block = format!("timeouts: {{ connect: {NEVER}, backendRequest: {NEVER}, request: 200ms }}");
    let server = upstream(Behaviour::stall()).await;
    // `backendRequest` above `request` may be refused by the policy; then the default holds.
    let policy = policy_for(&server, &block.replace(&format!("backendRequest: {NEVER}, "), ""));
    let program = program(&policy).await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (504, Some("http_response_timeout")));
    until(&server, |c| c.abandoned == 1).await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_when_the_time_of_one_try_is_over() {
    // Every byte arrives in time; only the whole does not.
    let drip = Answer::ok("").slow_head(1, Duration::from_millis(40));
    let (server, program) = proxied(drip, &format!("timeouts: {{ backendRequest: 400ms, request: {NEVER} }}")).await;
    let answer = client(&program).await.get("/").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (504, Some("try-timeout")), "{problem}");
    until(&server, |c| c.open == 0).await;
}

#[tokio::test]
async fn the_callers_deadline_is_inherited() {
    for field in ["x-envoy-expected-rq-timeout-ms: 200", "grpc-timeout: 200m"] {
        let (server, program) = proxied(Behaviour::stall(), &format!("timeouts: {{ request: {NEVER} }}")).await;
        let mut client = client(&program).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")).await;
        assert_eq!(client.answer("GET").await.status, 504, "{field}");
        until(&server, |c| c.abandoned == 1).await;
    }
}

#[tokio::test]
async fn the_remaining_time_is_passed_on_and_a_caller_cannot_lengthen_it() {
    let (server, program) = proxied(Answer::ok(""), "timeouts: { request: 5s }").await;
    let mut client = client(&program).await;
    for (field, most) in [
        ("X-Nothing: 1", 5_000),
        ("x-envoy-expected-rq-timeout-ms: 3000", 3_000),
        ("x-envoy-expected-rq-timeout-ms: 900000", 5_000),
        ("x-envoy-expected-rq-timeout-ms: nonsense", 5_000),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")).await;
        assert_eq!(client.answer("GET").await.status, 200, "{field}");
        let seen = server.observed().last().expect("a request");
        let values: Vec<&str> = seen.head.all("x-envoy-expected-rq-timeout-ms").collect();
        let [value] = values.as_slice() else { panic!("{field}: {values:?}") };
        let passed: u64 = value.parse().expect("milliseconds");
        assert!((1..most).contains(&passed), "{field}: {passed}");
    }
}

#[tokio::test]
async fn a_request_whose_deadline_has_passed_is_refused_without_touching_the_network() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    for field in ["x-envoy-expected-rq-timeout-ms: 0", "grpc-timeout: 0m", "grpc-timeout: 1n"] {
        let mut client = client(&program).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")).await;
        let answer = client.answer("GET").await;
        let reason = answer.json()["reason"].clone();
        assert_eq!((answer.status, reason.as_str()), (504, Some("deadline-expired-on-arrival")), "{field}");
    }
    assert_eq!(server.observed().counts().accepted, 0);
}

#[tokio::test]
async fn a_client_that_stops_reading_gives_link_and_slot_back_at_the_deadline() {
    // In small pieces: a body that is always ready would be polled, and its deadline noticed, by luck.
    let paced = Answer::status(200).huge(1 << 30).paced(16 * 1024, Duration::from_millis(1));
    let (server, program) = proxied(paced, "timeouts: { request: 1s }").await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a valid head").expect("a head").status().expect("a status"), 200);
    let counts = until(&server, |c| c.open == 0).await;
    assert!(counts.bytes_out < 1 << 30, "the deadline cut it, not its end");
    program.metrics_when("the slot is free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
    drop(client);
}

#[tokio::test]
async fn an_answer_cut_by_the_deadline_does_not_look_whole() {
    for answer in [Answer::status(200).huge(1 << 20), Answer::status(200).huge(1 << 20).chunked()] {
        let paced = answer.paced(1024, Duration::from_millis(10));
        let (_server, program) = proxied(paced, "timeouts: { request: 300ms }").await;
        let mut client = client(&program).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.try_answer("GET").await.is_err());
    }
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_answered_and_holds_nothing() {
    let (server, program) = proxied(Answer::ok(""), "timeouts: { request: 300ms }").await;
    let mut client = client(&program).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let status = client.answer("POST").await.status;
    assert!(matches!(status, 408 | 504), "{status}");
    assert_eq!(server.observed().counts().executed, 0);
    program.metrics_when("the slot is free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
}
