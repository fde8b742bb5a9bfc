use outrigger::faults::message::Head;
use outrigger::faults::{Answer, Behaviour, FaultServer, Script, Then};
use outrigger::testing::{Client, Program};

use crate::stage::{client, proxied, until};

/// What an attacker wants to reach the upstream as a request of its own.
const VICTIM: &str = "GET /victim HTTP/1.1\r\nHost: a\r\n\r\n";

/// What an attack came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Of the first answer, if there was one.
    status: Option<u16>,
    /// The victim's request reached the upstream.
    smuggled: bool,
    /// The upstream got something that can be read in two ways.
    ambiguous: bool,
}

const fn refused(status: u16) -> Outcome {
    Outcome { status: Some(status), smuggled: false, ambiguous: false }
}

/// Sends these bytes. When it returns, the program has closed the connection or serves others: nothing of
/// them is still on its way.
async fn attack(server: &FaultServer, program: &Program, bytes: &[u8]) -> Outcome {
    let before = server.observed().seen().len();
    let malformed = server.observed().counts().malformed;
    let mut attacker = client(program).await;
    // The program may close while we write.
    let _ = attacker.try_send(bytes).await;
    let answer = attacker.try_answer("POST").await.ok().flatten();
    drop(attacker);
    assert_eq!(client(program).await.get("/harmless").await.status, 200);
    let seen = server.observed().seen();
    let reached = &seen[before..];
    reached.iter().for_each(|seen| assert_proxied(&seen.head));
    Outcome {
        status: answer.map(|answer| answer.status),
        smuggled: reached.iter().any(|seen| seen.head.target().contains("victim")),
        ambiguous: server.observed().counts().malformed > malformed,
    }
}

/// Every request that reaches the upstream was made by the proxy, not copied.
fn assert_proxied(head: &Head) {
    assert!(head.all("via").any(|via| via.contains("outrigger")), "forwarded raw: {head:?}");
    assert_eq!(head.all("host").count(), 1, "{head:?}");
}

#[tokio::test]
async fn ambiguous_or_malformed_requests_are_refused_and_never_forwarded() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let cases: &[&str] = &[
        // Two framings.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcd",
        // Lengths that are not plain numbers.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd",
        // Codings other than one `chunked`.
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // Fields that two parsers read differently.
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\n Host: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX Y: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n: a\r\nContent-Length: 0\r\n\r\n",
        // Host.
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a, b\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a/b\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: u@a\r\nContent-Length: 0\r\n\r\n",
        "POST http://a/ HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
        // Request lines.
        "POST  / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /a b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "P(ST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ];
    let mut accepted = Vec::new();
    for case in cases {
        let outcome = attack(&server, &program, format!("{case}{VICTIM}").as_bytes()).await;
        if outcome != refused(400) {
            accepted.push((case, outcome));
        }
    }
    assert!(accepted.is_empty(), "not refused with 400 and a close: {accepted:#?}");
    let harmless = server.observed().counts().requests;
    assert_eq!(harmless, cases.len() as u64, "only the harmless requests reached the upstream");
}

#[tokio::test]
async fn two_framings_behind_another_request_are_refused_as_well() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let both = "POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for first in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut attacker = client(&program).await;
        attacker.send(format!("{first}{first}{both}{VICTIM}")).await;
        for expected in [200, 200, 400] {
            assert_eq!(attacker.answer("POST").await.status, expected, "{first:?}");
        }
        attacker.closed().await;
    }
    let seen = server.observed().seen();
    assert!(seen.iter().all(|seen| seen.head.target() == "/"), "{seen:?}");
}

#[tokio::test]
async fn what_may_be_repaired_is_repaired_or_refused_but_never_passed_on() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    for case in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcd",
        "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.2\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
    ] {
        let outcome = attack(&server, &program, case.as_bytes()).await;
        assert!(matches!(outcome.status, Some(200 | 400)) && !outcome.ambiguous, "{case:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_request_and_has_no_effect() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let mut harmless = 0;
    for chunk in ["0x3\r\nabc\r\n", "-1\r\n", "g\r\n", "\r\n", "3\r\nabcX", "11111111111111111\r\nabc", "3\nabc\r\n"] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let outcome = attack(&server, &program, format!("{head}{chunk}0\r\n\r\n{VICTIM}").as_bytes()).await;
        assert!(matches!(outcome, Outcome { status: None | Some(400), smuggled: false, .. }), "{chunk:?}: {outcome:?}");
        harmless += 1;
        assert_eq!(server.observed().counts().executed, harmless, "{chunk:?} took effect");
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused_with_their_status() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let many = "X: 1\r\n".repeat(200);
    let large = format!("X: {}\r\n", "x".repeat(100_000));
    for fields in [many, large] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{VICTIM}");
        assert_eq!(attack(&server, &program, request.as_bytes()).await, refused(431));
    }
    let long = format!("POST /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let outcome = attack(&server, &program, long.as_bytes()).await;
    assert!(matches!(outcome.status, Some(414 | 431)), "{outcome:?}");
}

#[tokio::test]
async fn connect_is_refused() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let request = format!("CONNECT {} HTTP/1.1\r\nHost: {0}\r\n\r\n", server.address());
    assert_eq!(attack(&server, &program, request.as_bytes()).await, refused(405));
}

#[tokio::test]
async fn bytes_after_a_declined_upgrade_are_not_forwarded_raw() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let mut attacker = client(&program).await;
    let ask = "GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    attacker.send(format!("{ask}GET /second HTTP/1.1\r\nHost: a\r\nVia: 1.1 forged\r\n\r\n")).await;
    assert_eq!(attacker.answer("GET").await.status, 200);
    // The second request may be served, as a request, or the connection closed.
    let _ = attacker.try_answer("GET").await;
    let seen = server.observed().seen();
    assert!(seen.iter().all(|seen| seen.head.all("via").any(|via| via.contains("outrigger"))), "{seen:?}");
    assert!(seen.iter().skip(1).all(|seen| seen.head.get("upgrade").is_none()), "{seen:?}");
}

#[tokio::test]
async fn switching_protocols_without_being_asked_is_a_failure() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    let script = Script::sequence([Behaviour::raw(switch, Then::Serve)], Answer::ok("good"));
    let (_server, program) = proxied(script, "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(Client::connect(program.listen()).await.get("/").await.text(), "good");
}

#[tokio::test]
async fn the_body_of_a_request_that_the_proxy_refuses_is_not_read_as_a_request() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    for framing in [
        format!("Content-Length: {}\r\n\r\n{VICTIM}", VICTIM.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{VICTIM}\r\n0\r\n\r\n", VICTIM.len()),
        format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n{VICTIM}", VICTIM.len()),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nx-envoy-expected-rq-timeout-ms: 0\r\n{framing}");
        assert_eq!(attack(&server, &program, request.as_bytes()).await, refused(504), "{framing}");
    }
}

#[tokio::test]
async fn bytes_that_an_upstream_sends_unasked_reach_nobody() {
    let stray = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
    let script = Script::sequence([Behaviour::raw(stray, Then::Serve)], Answer::ok("mine"));
    let (server, program) = proxied(script, "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.text(), "ok");
    until(&server, |c| c.answered == 1).await;
    assert_eq!(client.get("/").await.text(), "mine");
}

#[tokio::test]
async fn malformed_answers_become_a_502_and_never_reach_the_client() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
        "hello\r\n\r\n",
        "\x16\x03\x01\x02",
    ] {
        let (_server, program) = proxied(Behaviour::raw(raw, Then::Close), "").await;
        let answer = client(&program).await.get("/").await;
        assert_eq!(answer.status, 502, "{raw:?}");
        assert_eq!(answer.json()["status"], 502, "{raw:?}");
    }
}

#[tokio::test]
async fn an_answer_with_two_framings_is_refused_or_passed_on_with_one() {
    let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    let script = Script::sequence([Behaviour::raw(raw, Then::Serve)], Answer::ok("next"));
    let (_server, program) = proxied(script, "").await;
    let mut client = client(&program).await;
    // The client is strict: an ambiguous answer would fail here.
    let first = client.get("/").await;
    assert!(first.status == 502 || (first.status == 200 && first.body.is_empty()), "{first:?}");
    assert_eq!(client.get("/").await.text(), "next");
}

#[tokio::test]
async fn an_answer_in_a_coding_that_is_not_chunked_alone_does_not_reach_the_client_undeclared() {
    let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let (_server, program) = proxied(Behaviour::raw(raw, Then::Close), "").await;
    assert_eq!(client(&program).await.get("/").await.status, 502);
}
