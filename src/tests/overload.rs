use outrigger::faults::{Answer, Behaviour, FaultServer, Script};
use outrigger::testing::{Client, Program, eventually};

use crate::stage::{client, program, proxied, until, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One request in flight that is never answered, one that the limit has not been tried with.
const ONE: &str = "limits: { pending: 0, adaptive: { min: 1, max: 8, initial: 1 } }\ntimeouts: { request: 10m }";

/// An upstream that never answers, with one request in flight.
async fn stalled(block: &str) -> (FaultServer, Program, Client) {
    let (server, program) = proxied(Behaviour::stall(), block).await;
    let first = client(&program).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    (server, program, first)
}

#[tokio::test]
async fn what_the_limit_that_was_found_does_not_allow_is_refused_before_its_body_is_read() {
    let (server, program, _first) = stalled(ONE).await;
    let mut second = client(&program).await;
    second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n").await;
    let answer = second.answer("POST").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (503, Some("shed")), "{problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("its class is critical, and 1 may be in flight"), "{detail}");
    let seconds: u64 = answer.field("retry-after").expect("an advice").parse().expect("whole seconds");
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(server.observed().counts().requests, 1);
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_limit", &[("upstream", "up"), ("mode", "enforce")]), 1.0);
    let shed = [("upstream", "up"), ("class", "critical"), ("reason", "queue-full"), ("mode", "enforce")];
    assert_eq!(metrics.sum("outrigger_shed_total", &shed), 1.0);
}

#[tokio::test]
async fn a_limit_that_is_observed_lets_everybody_in_and_counts_whom_it_would_not() {
    let observed = ONE.replace("min: 1", "mode: observe, min: 1");
    let (server, program, _first) = stalled(&observed).await;
    let second = client(&program).await;
    second.send(GET).await;
    until(&server, |c| c.serving == 2).await;
    let metrics = program.metrics().await;
    let shed = [("upstream", "up"), ("reason", "over-limit"), ("mode", "observe")];
    assert_eq!(metrics.sum("outrigger_shed_total", &shed), 1.0);
    assert_eq!(metrics.sum("outrigger_shed_total", &[("mode", "enforce")]), 0.0);
    assert!(metrics.has("outrigger_limit", &[("upstream", "up"), ("mode", "observe")]));
}

#[tokio::test]
async fn the_class_is_that_of_the_header_or_the_route_and_a_retry_is_one_class_less() {
    let block = format!(
        "{ONE}\npriority: {{ header: header:X-Criticality, class: sheddable-plus }}\n\
         routes: [{{ name: r, match: {{ path: /r }}, priority: {{ class: critical-plus }} }}]"
    );
    let (_server, program, _first) = stalled(&block).await;
    for (path, fields, class) in [
        ("/", "", "sheddable-plus"),
        ("/", "X-Criticality: CRITICAL_PLUS\r\n", "critical-plus"),
        ("/", "X-Criticality: critical\r\nx-envoy-attempt-count: 2\r\n", "sheddable-plus"),
        ("/", "X-Criticality: vital\r\nx-envoy-attempt-count: 3\r\n", "sheddable"),
        ("/r", "", "critical-plus"),
        ("/r", "grpc-previous-rpc-attempts: 1\r\n", "critical"),
    ] {
        let mut client = client(&program).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        let problem = client.answer("GET").await.json();
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(&format!("its class is {class},")), "{path} {fields}: {problem}");
    }
}

#[tokio::test]
async fn a_more_important_request_takes_the_place_of_one_that_waits() {
    let block =
        "limits: { requests: 1, pending: 1 }\ntimeouts: { request: 10m }\npriority: { header: header:X-Criticality }";
    let (_server, program, _first) = stalled(block).await;
    // Who waits is told after a tenth of a second at the latest, so that on a slow machine the second may come too late.
    for _ in 0..50 {
        let mut low = client(&program).await;
        let mut high = client(&program).await;
        low.send("GET / HTTP/1.1\r\nHost: a\r\nX-Criticality: sheddable\r\n\r\n").await;
        program.metrics_when("it waits or was refused", |m| m.sum("outrigger_pending", &[]) <= 1.0).await;
        high.send("GET / HTTP/1.1\r\nHost: a\r\nX-Criticality: critical\r\n\r\n").await;
        let (low, high) = (low.answer("GET").await.json(), high.answer("GET").await.json());
        assert_eq!(high["reason"].as_str(), Some("queue-timeout"), "nobody gives up the slot itself: {high}");
        if low["reason"].as_str() == Some("shed") {
            assert!(low["detail"].as_str().is_some_and(|detail| detail.contains("displaced")), "{low}");
            return;
        }
        assert_eq!(low["reason"].as_str(), Some("queue-timeout"), "{low}");
    }
    panic!("fifty times nobody was displaced");
}

#[tokio::test]
async fn a_dependency_that_asks_for_less_is_sent_less() {
    let block = "limits: { adaptive: {} }";
    let (_server, program) =
        proxied(Script::sequence([Answer::status(503), Answer::status(429)], Answer::ok("")), block).await;
    let mut client = client(&program).await;
    for expected in [18.0, 16.0, 16.0] {
        client.get("/").await;
        let limit = |m: &outrigger::testing::Metrics| m.sum("outrigger_limit", &[("upstream", "up")]);
        program.metrics_when("the limit follows", |m| limit(m) == expected).await;
    }
}

#[tokio::test]
async fn the_page_of_the_upstream_and_the_sentence_about_it_tell_of_the_overload() {
    let server = upstream(Behaviour::stall()).await;
    let policy = format!(
        "inbound:\n  listen: %inbound%\n  forward: {}\n  priority: {{ class: sheddable }}\n  timeouts: {{ request: 10m }}\n  \
         limits: {{ pending: 0, adaptive: {{ mode: enforce, min: 1, initial: 1 }} }}\n",
        server.url()
    );
    let program = program(&policy).await;
    let first = Client::connect(program.address("inbound")).await;
    first.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    let mut second = Client::connect(program.address("inbound")).await;
    let said = eventually("the overload is told", async || {
        assert_eq!(second.get("/").await.status, 503);
        let said = program.admin("/status").await.to_string();
        said.contains("the app is overloaded").then_some(said)
    })
    .await;
    assert!(said.contains("the limit is 1 in flight") && said.contains("all of them sheddable"), "{said}");
    let view = program.admin("/upstreams/app").await;
    assert_eq!((view["limits"]["inForce"].as_u64(), view["limits"]["found"]["limit"].as_u64()), (Some(1), Some(1)));
}
