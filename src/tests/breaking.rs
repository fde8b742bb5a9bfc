use outrigger::faults::{Answer, FaultServer, Mode};
use outrigger::testing::{Answer as Received, Client, Program, eventually};

use crate::stage::{client, program, proxied, upstream};

/// Opens after a handful of failures; how long for is the test's.
fn breaker(open: &str) -> String {
    format!("circuitBreaker: {{ minRequests: 5, failurePercent: 50, openDuration: {open}, maxOpenDuration: {open} }}")
}

fn is_open(answer: &Received) -> bool {
    answer.status == 503
        && answer.field("content-type") == Some("application/problem+json")
        && answer.json()["reason"] == "circuit-open"
}

/// Sends until the breaker refuses.
async fn trip(client: &mut Client) -> Received {
    for _ in 0..100 {
        let answer = client.get("/").await;
        if is_open(&answer) {
            return answer;
        }
    }
    panic!("the breaker did not open in 100 failures");
}

async fn closed(program: &Program) -> bool {
    let metrics = program.metrics().await;
    metrics.sum("outrigger_circuit_state", &[("upstream", "up"), ("state", "closed")]) == 1.0
}

#[tokio::test]
async fn an_open_breaker_answers_without_touching_the_network() {
    let (server, program) = proxied(Answer::status(503), &breaker("60s")).await;
    let mut client = client(&program).await;
    let answer = trip(&mut client).await;
    let wait: u64 = answer.field("retry-after").and_then(|v| v.parse().ok()).expect("Retry-After in seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.contains("error=destination_unavailable"), "{proxy_status}");
    assert_eq!(answer.json()["sent"], "no");
    let counts = server.observed().counts();
    assert!(counts.requests >= 5, "it opened after {} failures", counts.requests);
    assert!(is_open(&client.get("/").await));
    assert_eq!(server.observed().counts().requests, counts.requests);
    assert!(!closed(&program).await);
}

#[tokio::test]
async fn the_open_breaker_of_a_proxy_behind_does_not_open_the_one_in_front() {
    let (_server, back) = proxied(Answer::status(503), &breaker("60s")).await;
    trip(&mut client(&back).await).await;
    let chained = format!("upstreams:\n  up:\n    url: http://{}\n    {}\n", back.listen(), breaker("60s"));
    let front = program(&chained).await;
    let mut client = client(&front).await;
    for _ in 0..40 {
        let answer = client.get("/").await;
        assert!(is_open(&answer), "{}", answer.text());
        // Its words, passed on: the breaker in front has nothing to say.
        assert_eq!(answer.field("x-outrigger-retry"), Some("refused;reason=circuit-open"));
    }
    assert!(closed(&front).await, "else its probes would find the other breaker open for ever");
}

#[tokio::test]
async fn a_breaker_with_a_single_endpoint_probes_and_closes_again() {
    let (server, program) = proxied(Answer::status(503), &breaker("100ms")).await;
    let mut client = client(&program).await;
    trip(&mut client).await;
    server.set(Answer::ok("well"));
    eventually("a probe succeeds", async || (client.get("/").await.status == 200).then_some(())).await;
    eventually("the breaker closes", async || {
        client.get("/").await;
        closed(&program).await.then_some(())
    })
    .await;
    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_circuit_transitions_total", &[("from", "half-open"), ("to", "closed")]) >= 1.0);
}

#[tokio::test]
async fn a_failed_probe_keeps_the_breaker_open() {
    let (server, program) = proxied(Answer::status(503), &breaker("100ms")).await;
    let mut client = client(&program).await;
    trip(&mut client).await;
    let before = server.observed().counts().requests;
    eventually("a probe is sent", async || {
        client.get("/").await;
        (server.observed().counts().requests > before).then_some(())
    })
    .await;
    eventually("it is open again", async || is_open(&client.get("/").await).then_some(())).await;
    assert!(!closed(&program).await);
}

#[tokio::test]
async fn a_breaker_also_opens_for_an_upstream_that_refuses_connections() {
    let (server, program) = proxied(Answer::ok(""), &breaker("60s")).await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let mut client = client(&program).await;
    assert!(is_open(&trip(&mut client).await));
}

#[tokio::test]
async fn answers_of_the_4xx_kind_do_not_open_a_breaker() {
    let (server, program) = proxied(Answer::status(404), &breaker("60s")).await;
    let mut client = client(&program).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.status, 404);
    }
    assert_eq!(server.observed().counts().requests, 50);
    assert!(closed(&program).await);
}

async fn three(first: Answer, block: &str) -> ([FaultServer; 3], Program) {
    let servers = [upstream(first).await, upstream(Answer::ok("")).await, upstream(Answer::ok("")).await];
    let urls: Vec<String> = servers.iter().map(FaultServer::url).collect();
    let endpoints = urls.join(", ");
    let policy =
        format!("upstreams:\n  up:\n    endpoints: [{endpoints}]\n    balance: {{ by: roundRobin }}\n    {block}\n");
    let program = program(&policy).await;
    (servers, program)
}

#[tokio::test]
async fn one_failing_endpoint_of_three_is_taken_out_and_comes_back() {
    let (servers, program) = three(Answer::status(503), "circuitBreaker: {}").await;
    let mut client = client(&program).await;
    let mut failed = 0;
    for _ in 0..150 {
        failed += u32::from(client.get("/").await.status != 200);
    }
    // A third would be 50; five in a row trip it, and it is tried again after half a second at the earliest.
    assert!((5..20).contains(&failed), "{failed} of 150 failed");
    assert!(closed(&program).await, "two of three are well: the dependency is not down");

    servers[0].set(Answer::ok("well"));
    let before = servers[0].observed().counts().answered;
    eventually("it gets traffic again", async || {
        client.get("/").await;
        (servers[0].observed().counts().answered >= before + 5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_all_endpoints_fail_none_is_left_out() {
    let (servers, program) = three(Answer::status(503), "retryBudget: {}").await;
    for server in &servers {
        server.set(Answer::status(503));
    }
    let mut client = client(&program).await;
    // Twice what trips all three.
    for _ in 0..30 {
        assert_eq!(client.get("/").await.status, 503);
    }
    let before = servers.each_ref().map(|server| server.observed().counts().requests);
    for _ in 0..30 {
        assert_eq!(client.get("/").await.status, 503);
    }
    for (server, before) in servers.iter().zip(before) {
        assert!(server.observed().counts().requests > before, "ejection is ignored when there is nobody else");
    }
}
