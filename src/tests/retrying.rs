use std::time::{Duration, Instant, SystemTime};

use outrigger::faults::{Answer, Behaviour, Hangup, KEY, Mode, Point, Script};

use crate::stage::{client, program, proxied, upstream};

/// Three tries at once, for what is retried at all.
const RETRY: &str = "retry: { attempts: 2, codes: [503], backoff: 1ms, maxBackoff: 2ms }";

fn read_then_reset() -> Behaviour {
    Behaviour::hang_up(Hangup::Reset, Point::Body)
}

#[tokio::test]
async fn a_request_that_was_never_sent_is_rescued_at_another_endpoint_whatever_its_method() {
    let (dead, alive) = (upstream(Answer::ok("")).await, upstream(Answer::ok("alive")).await);
    dead.mode(Mode::Refuse).await.expect("the port is ours");
    let policy = format!(
        "upstreams:\n  up:\n    endpoints: [{}, {}]\n    balance: {{ by: roundRobin }}\n    {RETRY}\n",
        dead.url(),
        alive.url()
    );
    let program = program(&policy).await;
    let mut client = client(&program).await;
    for number in 0..10 {
        let answer = client.post("/", &format!("{KEY}: {number}\r\n"), b"x").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "alive"));
        assert_eq!(alive.observed().executions(&number.to_string()), 1);
    }
    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_retries_total", &[("result", "rescued")]) >= 1.0);
    assert_eq!(metrics.sum("outrigger_requests_total", &[]), 10.0);
    assert!(metrics.sum("outrigger_attempts_total", &[]) > 10.0);
}

#[tokio::test]
async fn a_post_that_the_upstream_read_before_it_reset_is_executed_exactly_once() {
    let (server, program) = proxied(read_then_reset(), RETRY).await;
    let answer = client(&program).await.post("/", &format!("{KEY}: k\r\n"), b"pay").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["error"].as_str()), (502, Some("connection_terminated")), "{problem}");
    assert_eq!(problem["attempts"], 1);
    assert_ne!(problem["sent"], "no", "{problem}");
    assert_eq!((server.observed().executions("k"), server.observed().counts().requests), (1, 1));
}

#[tokio::test]
async fn a_get_that_the_upstream_read_before_it_reset_is_sent_again_with_its_number() {
    let (server, program) = proxied(Script::sequence([read_then_reset()], Answer::ok("second")), RETRY).await;
    assert_eq!(client(&program).await.get("/").await.text(), "second");
    let seen = server.observed().seen();
    let counts: Vec<Option<&str>> = seen.iter().map(|seen| seen.head.get("x-envoy-attempt-count")).collect();
    assert_eq!(counts, [Some("1"), Some("2")]);
}

#[tokio::test]
async fn a_put_is_sent_again_with_its_whole_body() {
    let (server, program) = proxied(Script::sequence([Answer::status(503)], Answer::ok("")), RETRY).await;
    let mut client = client(&program).await;
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer("PUT").await.status, 200);
    let bodies: Vec<_> = server.observed().seen().into_iter().map(|seen| seen.body.expect("read").digest).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!((bodies[0], bodies[0].length), (bodies[1], 6));
}

#[tokio::test]
async fn only_listed_codes_are_retried_and_only_for_idempotent_methods() {
    for (method, status, requests) in [("GET", 503, 3), ("GET", 500, 1), ("POST", 503, 1), ("DELETE", 503, 3)] {
        let (server, program) = proxied(Answer::status(status).body("theirs"), RETRY).await;
        let mut client = client(&program).await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
        let answer = client.answer(method).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, "theirs"), "{method} {status}");
        assert_eq!(server.observed().counts().requests, requests, "{method} {status}");
    }
}

#[tokio::test]
async fn without_a_retry_block_nothing_is_retried() {
    let (server, program) = proxied(Answer::status(503), "").await;
    assert_eq!(client(&program).await.get("/").await.status, 503);
    assert_eq!(server.observed().counts().requests, 1);
}

#[tokio::test]
async fn a_retry_comes_no_sooner_than_retry_after_in_seconds() {
    let busy = Answer::status(503).retry_after(1);
    let (server, program) = proxied(Script::sequence([busy], Answer::ok("")), RETRY).await;
    assert_eq!(client(&program).await.get("/").await.status, 200);
    let seen = server.observed().seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(990), "{:?}", seen[1].at - seen[0].at);
}

#[tokio::test]
async fn a_retry_comes_no_sooner_than_retry_after_as_a_date() {
    let began = Instant::now();
    let busy = Answer::status(503).retry_at(SystemTime::now() + Duration::from_secs(1));
    let (server, program) = proxied(Script::sequence([busy], Answer::ok("")), RETRY).await;
    assert_eq!(client(&program).await.get("/").await.status, 200);
    let seen = server.observed().seen();
    assert!(seen[1].at - began >= Duration::from_millis(990), "{:?}", seen[1].at - began);
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_passed_on_instead_of_waited_for() {
    let busy = Answer::status(503).retry_after(120).body("busy");
    let (server, program) = proxied(busy, &format!("{RETRY}\ntimeouts: {{ request: 60s }}")).await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("120")));
    assert_eq!(answer.field("x-outrigger-retry"), Some("denied;reason=deadline"));
    assert_eq!(server.observed().counts().requests, 1);
}

#[tokio::test]
async fn a_request_that_is_itself_a_retry_is_not_retried_again() {
    let (server, program) = proxied(Answer::status(503), RETRY).await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nx-envoy-attempt-count: 2\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, server.observed().counts().requests), (503, 1));
    assert_eq!(answer.field("x-outrigger-retry"), Some("denied;reason=chain-stop"));
}

#[tokio::test]
async fn an_answer_that_a_peer_marked_as_final_is_not_retried() {
    let marked = Answer::status(503).field("x-outrigger-retry", "exhausted;attempts=3");
    let (server, program) = proxied(marked, RETRY).await;
    assert_eq!(client(&program).await.get("/").await.status, 503);
    assert_eq!(server.observed().counts().requests, 1);
}

#[tokio::test]
async fn a_body_above_the_replay_bound_streams_and_its_request_is_visibly_not_retried() {
    let (server, program) = proxied(Answer::status(503).body("theirs"), RETRY).await;
    let mut client = client(&program).await;
    let body = vec![b'x'; 100 * 1024];
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send([head.as_bytes(), &body].concat()).await;
    let answer = client.answer("PUT").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "theirs"));
    assert_eq!(answer.field("x-outrigger-retry"), Some("denied;reason=body-too-large"));
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.contains("body-too-large"), "{proxy_status}");
    assert_eq!(server.observed().counts().requests, 1);
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_retries_total", &[("reason", "body-too-large")]), 1.0);
}

#[tokio::test]
async fn when_the_budget_is_spent_the_original_answer_passes_and_says_so() {
    const REQUESTS: u64 = 60;
    let (server, program) = proxied(Answer::status(503).body("theirs"), RETRY).await;
    let began = Instant::now();
    let mut client = client(&program).await;
    let mut denied = 0;
    for _ in 0..REQUESTS {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (503, "theirs"));
        denied += u64::from(answer.field("x-outrigger-retry") == Some("denied;reason=budget"));
    }
    // A burst of 10, and a floor of one per half second at the most.
    let retries = server.observed().counts().requests - REQUESTS;
    assert!(retries <= 11 + began.elapsed().as_secs() * 2, "{retries} retries");
    assert!(denied >= REQUESTS / 2, "{denied} denied");
    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_retries_total", &[("reason", "budget")]) >= denied as f64);
}

#[tokio::test]
async fn when_the_tries_are_used_up_the_last_answer_says_how_many_there_were() {
    let (server, program) = proxied(Answer::status(503), RETRY).await;
    let answer = client(&program).await.get("/").await;
    assert_eq!(answer.field("x-outrigger-retry"), Some("exhausted;attempts=3"));
    assert_eq!(server.observed().counts().requests, 3);
}

#[tokio::test]
async fn an_answer_that_is_retried_does_not_cost_its_connection() {
    let (server, program) = proxied(Script::sequence([Answer::status(503).body("x")], Answer::ok("")), RETRY).await;
    assert_eq!(client(&program).await.get("/").await.status, 200);
    assert_eq!(server.observed().counts().accepted, 1);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_retried() {
    let cut = Answer::ok("0123456789").cut(4, Hangup::Reset);
    let (server, program) = proxied(cut, RETRY).await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.try_answer("GET").await.is_err());
    assert_eq!(server.observed().counts().requests, 1);
}
