use outrigger::faults::{Answer, Behaviour, Hangup, Mode, Point, Then};

use crate::stage::{client, policy_for, program, proxied, upstream};

#[tokio::test]
async fn a_refused_connection_is_explained_in_full() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.field("content-type")), (502, Some("application/problem+json")));
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.starts_with("outrigger; error=connection_refused"), "{proxy_status}");
    assert!(proxy_status.contains(&format!("next-hop=\"{}\"", server.address())), "{proxy_status}");
    assert!(proxy_status.contains("connection-refused"), "{proxy_status}");

    let problem = answer.json();
    for (member, expected) in [
        ("error", "connection_refused"),
        ("reason", "connection-refused"),
        ("upstream", "up"),
        ("route", "default"),
        ("sent", "no"),
        ("side", "upstream"),
        ("phase", "connect"),
    ] {
        assert_eq!(problem[member], expected, "{member} in {problem}");
    }
    assert_eq!((&problem["status"], &problem["attempts"]), (&502.into(), &1.into()), "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
    }
    let trace = problem["traceId"].as_str().unwrap_or_default();
    assert!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()), "{problem}");
}

#[tokio::test]
async fn every_kind_of_upstream_failure_has_its_own_name() {
    let cases: [(Behaviour, u16, &str, &str); 6] = [
        (Behaviour::hang_up(Hangup::Reset, Point::Head), 502, "connection_terminated", "reset"),
        (Behaviour::hang_up(Hangup::Close, Point::Body), 502, "connection_terminated", "reset"),
        (Behaviour::raw("nonsense\r\n\r\n", Then::Close), 502, "http_protocol_error", "malformed-response"),
        (
            Behaviour::raw("HTTP/1.1 200 OK\r\nX: 1", Then::Close),
            502,
            "http_response_incomplete",
            "incomplete-response",
        ),
        (
            Answer::ok("").field("X", &"x".repeat(1 << 20)).into(),
            502,
            "http_response_header_section_size",
            "response-head-too-large",
        ),
        (Behaviour::stall(), 504, "http_response_timeout", "try-timeout"),
    ];
    for (behaviour, status, error, reason) in cases {
        let (server, program) = proxied(behaviour, "timeouts: { request: 10m, backendRequest: 200ms }").await;
        let answer = client(&program).await.get("/").await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{reason}: {problem}");
        assert_eq!((problem["error"].as_str(), problem["reason"].as_str()), (Some(error), Some(reason)));
        let proxy_status = answer.field("proxy-status").unwrap_or_default();
        assert!(proxy_status.contains(&format!("error={error}")), "{proxy_status}");
        assert_ne!(problem["sent"], "no", "{reason}: bytes were sent");
        assert_eq!(server.observed().counts().requests, 1, "{reason}: no retry without a policy");
    }
}

#[tokio::test]
async fn an_error_of_the_upstream_passes_unchanged_and_is_marked_as_received() {
    let (server, program) = proxied(Answer::status(503).body("their words").field("X-Theirs", "1"), "").await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("x-theirs")), (503, "their words", Some("1")));
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.contains("received-status=503") && !proxy_status.contains("error="), "{proxy_status}");
    assert_eq!(server.observed().counts().requests, 1);
}

#[tokio::test]
async fn proxy_status_of_the_upstream_stays_in_front_of_ours() {
    let theirs = Answer::status(502).field("Proxy-Status", "edge; error=dns_error");
    let (_server, program) = proxied(theirs, "").await;
    let answer = client(&program).await.get("/").await;
    let all: Vec<&str> = answer.head.all("proxy-status").collect();
    let joined = all.join(", ");
    assert!(joined.starts_with("edge; error=dns_error, outrigger"), "{joined}");
}

#[tokio::test]
async fn the_name_of_the_policy_is_part_of_the_identifier() {
    let server = upstream(Answer::status(500)).await;
    let program = program(&format!("name: checkout\n{}", policy_for(&server, ""))).await;
    let answer = client(&program).await.get("/").await;
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.starts_with("outrigger/checkout; received-status=500"), "{proxy_status}");
}

#[tokio::test]
async fn topology_is_hidden_when_the_policy_says_so() {
    for (setting, expected) in [("basic", Some("outrigger; error=connection_refused")), ("none", None)] {
        let server = upstream(Answer::ok("")).await;
        server.mode(Mode::Refuse).await.expect("the port is ours");
        let program = program(&format!("proxyStatus: {setting}\n{}", policy_for(&server, ""))).await;
        let answer = client(&program).await.get("/").await;
        assert_eq!(answer.field("proxy-status"), expected);
        assert!(!answer.text().contains(&server.address().to_string()), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_request_that_no_upstream_matches_is_answered_500() {
    let (a, b) = (upstream(Answer::ok("a")).await, upstream(Answer::ok("b")).await);
    let program = program(&format!("upstreams:\n  a:\n    url: {}\n  b:\n    url: {}\n", a.url(), b.url())).await;
    let mut client = client(&program).await;
    let answer = client.get("/nowhere").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (500, Some("no-route")), "{problem}");
    client.send("GET / HTTP/1.1\r\nHost: b\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.text(), "b");
}

#[tokio::test]
async fn a_trace_is_begun_and_one_that_was_begun_is_continued() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let mut client = client(&program).await;
    client.get("/").await;
    let begun = server.observed().last().expect("a request").head.get("traceparent").map(str::to_string);
    let begun = begun.expect("a traceparent");
    let parts: Vec<&str> = begun.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{begun}");
    assert_eq!(parts[0], "00");

    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {given}\r\ntracestate: v=1\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.status, 200);
    let seen = server.observed().last().expect("a request").head;
    let passed: Vec<&str> = seen.all("traceparent").collect();
    let [passed] = passed.as_slice() else { panic!("{passed:?}") };
    assert!(passed.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && passed.ends_with("-01"), "{passed}");
    assert_eq!(seen.get("tracestate"), Some("v=1"));
}

#[tokio::test]
async fn the_trace_of_a_failed_request_is_named_in_its_answer() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let mut client = client(&program).await;
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {given}\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.json()["traceId"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn an_answer_cut_off_by_the_upstream_does_not_look_whole() {
    for how in [Hangup::Reset, Hangup::Close] {
        for answer in [Answer::ok("0123456789"), Answer::ok("0123456789").chunked()] {
            let (_server, program) = proxied(answer.cut(4, how), "").await;
            let mut client = client(&program).await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(client.try_answer("GET").await.is_err(), "{how:?}");
        }
    }
}
