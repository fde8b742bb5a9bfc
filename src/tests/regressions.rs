use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Behaviour};
use outrigger::testing::{Load, eventually};

use crate::stage::{client, policy_for, program, proxied, until, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_burst_after_a_quiet_time_is_not_throttled() {
    let (_server, program) = proxied(Answer::ok("x"), "circuitBreaker: {}").await;
    Load::run(program.listen(), 64, 10, GET).await.assert_all(200);
}

#[tokio::test]
async fn a_retry_that_the_breaker_stops_is_no_failure_of_the_proxy() {
    let (_server, program) = proxied(Answer::status(503), "retry: { attempts: 2 }\ncircuitBreaker: {}").await;
    let report = Load::run(program.listen(), 40, 8, GET).await;
    report.assert_all(503);
}

#[tokio::test]
async fn the_body_of_a_get_arrives_whatever_its_framing() {
    let (server, program) = proxied(Answer::ok("x"), "retry: { attempts: 1, maxBody: 4B }").await;
    for chunks in ["5\r\nhello\r\n0\r\n\r\n", "4\r\nhell\r\n0\r\nX-T: 1\r\n\r\n"] {
        let mut client = client(&program).await;
        let head = "GET / HTTP/1.1\r\nHost: a\r\nTrailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{chunks}")).await;
        assert_eq!(client.answer("GET").await.status, 200);
        let seen = server.observed().last().expect("a request");
        let body = seen.body.expect("its body");
        let expected = if chunks.contains("hello") { 5 } else { 4 };
        assert_eq!(body.digest.length, expected, "{chunks}");
    }
}

#[tokio::test]
async fn a_tunnel_outlives_the_deadline_of_its_request() {
    let (_server, program) = proxied(Behaviour::upgrade(), "timeouts: { request: 200ms }").await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let head = client.head().await.expect("a valid head").expect("a head");
    assert_eq!(head.status().expect("a status"), 101);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        client.send("ping").await;
        assert_eq!(client.bytes(4).await, b"ping");
    }
    // More than the sockets hold, so that writes have to wait.
    let much = vec![7; 8 << 20];
    let outbox = client.outbox();
    let sending = tokio::spawn(async move { outbox.write(&much).await });
    assert_eq!(client.bytes(8 << 20).await.len(), 8 << 20);
    sending.await.expect("no panic").expect("all was sent");
}

#[tokio::test]
async fn a_tunnel_counts_as_a_connection_to_its_endpoint() {
    let (_server, program) = proxied(Behaviour::upgrade(), "limits: { connections: 1 }").await;
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut first = client(&program).await;
    first.send(ask).await;
    assert_eq!(first.head().await.expect("valid").expect("a head").status().expect("a status"), 101);
    program
        .metrics_when("the tunnel's connection", |m| {
            m.sum("outrigger_connections", &[("upstream", "up"), ("state", "active")]) == 1.0
        })
        .await;
    let mut second = client(&program).await;
    assert_eq!(second.get("/").await.status, 503);
}

#[tokio::test]
async fn a_client_that_leaves_is_told_as_an_attempt_that_may_have_arrived() {
    let (server, program) = proxied(Behaviour::stall(), "").await;
    let leaving = client(&program).await;
    leaving.send("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    until(&server, |c| c.serving == 1).await;
    drop(leaving);
    let line = eventually("the access log", async || {
        program.stdout().lines().find(|l| l.contains("client_gone")).map(str::to_owned)
    })
    .await;
    let entry: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(entry["outrigger.sent"], "maybe", "{line}");
    assert_eq!(entry["outrigger.attempts"][0]["error"], "cancelled", "{line}");
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_attempts_total", &[("upstream", "up"), ("outcome", "cancelled")]), 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_during_a_backoff_gives_the_retry_back() {
    let answer = Answer::status(503).retry_after(60);
    let block =
        "timeouts: { request: 5m }\nretry: { attempts: 1 }\nretryBudget: { minPerSecond: 0 }\ncircuitBreaker: {}";
    let (server, program) = proxied(answer, block).await;
    for n in 1..=8 {
        let leaving = client(&program).await;
        leaving.send(GET).await;
        until(&server, |c| c.answered >= n).await;
        drop(leaving);
        program
            .metrics_when("the request's end", |m| {
                m.sum("outrigger_requests_total", &[("upstream", "up"), ("outcome", "client_gone")]) == n as f64
            })
            .await;
    }
    // Ten tokens, two for each: the fifth would have spent them.
    let left = program.metrics().await.sum("outrigger_retry_budget_remaining_ratio", &[("upstream", "up")]);
    assert_eq!(left, 1.0);
}

#[tokio::test]
async fn forwarded_for_lines_of_earlier_hops_are_all_kept() {
    let app = upstream(Answer::ok("x")).await;
    let policy = format!(
        "version: 1\nadmin: {{ listen: %admin% }}\nmetrics: {{ listen: %metrics% }}\n\
         inbound: {{ listen: %inbound%, forward: {} }}\n",
        app.url()
    );
    let program = program(&policy).await;
    let mut caller = outrigger::testing::Client::connect(program.address("inbound")).await;
    caller.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n").await;
    assert_eq!(caller.answer("GET").await.status, 200);
    let seen = app.observed().last().expect("a request");
    let hops: Vec<&str> = seen.head.all("x-forwarded-for").collect();
    assert_eq!(hops, ["1.1.1.1", "2.2.2.2", "127.0.0.1"]);
}

#[tokio::test]
async fn a_list_of_lengths_in_an_answer_is_refused_also_if_they_agree() {
    let raw = "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello";
    let (_server, program) = proxied(Behaviour::raw(raw, outrigger::faults::Then::Close), "").await;
    assert_eq!(client(&program).await.get("/").await.status, 502);
}

#[tokio::test]
async fn an_authority_as_target_is_refused() {
    let (server, program) = proxied(Answer::ok("x"), "").await;
    let mut client = client(&program).await;
    client.send("GET a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 400);
    assert_eq!(server.observed().counts().requests, 0);
}

#[tokio::test]
async fn a_request_without_a_route_is_counted_and_names_what_was_asked_for() {
    let (server, program) = proxied(Answer::ok("x"), "match: { hosts: [known.example] }").await;
    let mut client = client(&program).await;
    client.send("GET /p HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (500, Some("no-route")));
    let detail = answer.json()["detail"].as_str().expect("words").to_owned();
    assert!(detail.contains("other.example") && detail.contains("/p"), "{detail}");
    program
        .metrics_when("the count", |m| m.sum("outrigger_unrouted_requests_total", &[("reason", "no-route")]) == 1.0)
        .await;
    assert_eq!(server.observed().counts().requests, 0);
}

#[tokio::test]
async fn bytes_that_are_no_request_are_counted() {
    let (_server, program) = proxied(Answer::ok("x"), "").await;
    let client = client(&program).await;
    client.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, b'\r', b'\n', b'\r', b'\n']).await;
    program
        .metrics_when("the count", |m| m.sum("outrigger_unrouted_requests_total", &[("reason", "malformed")]) == 1.0)
        .await;
}

#[tokio::test]
async fn an_admin_listener_that_is_switched_off_is_not_opened() {
    let server = upstream(Answer::ok("x")).await;
    let policy = format!(
        "version: 1\nlisten: %listen%\nadmin: {{ listen: none }}\nmetrics: {{ listen: %metrics% }}\n{}",
        policy_for(&server, "")
    );
    // The default address can be bound once: were it opened all the same, the second would not start.
    let (first, second) = (program(&policy).await, program(&policy).await);
    assert_eq!(client(&first).await.get("/").await.status, 200);
    assert_eq!(client(&second).await.get("/").await.status, 200);
}
