mod http2;

use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Behaviour, FaultServer, Mode, Script};
use outrigger::testing::{Answer as Received, Client, FramesServer, Program, eventually};

use crate::stage::{client, program, proxied, until, upstream};

/// Three tries, of calls that may be made twice.
const RETRY: &str = "retry: { attempts: 2, methods: all, backoff: 1ms, maxBackoff: 2ms }";
/// The same for calls of which nothing is known.
const UNSAFE: &str = "retry: { attempts: 2, backoff: 1ms, maxBackoff: 2ms }";

const CALL: &str = "Content-Type: application/grpc\r\nTE: trailers\r\n";
const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

/// The head is all there is.
fn trailers_only(code: &str) -> Answer {
    Answer::status(200).field("Content-Type", "application/grpc").field("grpc-status", code)
}

/// A head, no message, and the end.
fn without_messages(code: &str) -> Answer {
    Answer::status(200).field("Content-Type", "application/grpc").trailer("grpc-status", code)
}

fn with_message(code: &str) -> Answer {
    Answer::ok(MESSAGE).field("Content-Type", "application/grpc+proto").trailer("grpc-status", code)
}

async fn call(client: &mut Client, fields: &str) -> Received {
    client.post("/shop.Cart/Add", &format!("{CALL}{fields}"), MESSAGE).await
}

/// `grpc-status`, wherever it stands.
fn code(answer: &Received) -> Option<&str> {
    let trailer = answer.trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case("grpc-status"));
    answer.field("grpc-status").or(trailer.map(|(_, value)| value.as_str()))
}

fn pushback(answer: &Received) -> Option<&str> {
    let trailer = answer.trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case("grpc-retry-pushback-ms"));
    answer.field("grpc-retry-pushback-ms").or(trailer.map(|(_, value)| value.as_str()))
}

fn requests(server: &FaultServer) -> u64 {
    server.observed().counts().requests
}

async fn calls(program: &Program, code: &str) -> f64 {
    let labels = [("upstream", "up"), ("rpc_response_status_code", code)];
    program.metrics().await.sum("outrigger_grpc_calls_total", &labels)
}

#[tokio::test]
async fn a_call_that_is_unavailable_without_a_message_is_made_again_and_numbered() {
    for first in [trailers_only("14"), without_messages("14")] {
        let (server, program) = proxied(Script::sequence([first], with_message("0")), RETRY).await;
        let answer = call(&mut client(&program).await, "").await;
        assert_eq!((answer.status, code(&answer), &answer.body[..]), (200, Some("0"), MESSAGE));
        let seen = server.observed().seen();
        let numbers: Vec<_> = seen.iter().map(|seen| seen.head.get("grpc-previous-rpc-attempts")).collect();
        assert_eq!(numbers, [None, Some("1")]);
        let digests: Vec<_> = seen.into_iter().map(|seen| seen.body.expect("read").digest).collect();
        assert_eq!(digests[0], digests[1]);
        assert_eq!(program.metrics().await.sum("outrigger_retries_total", &[("result", "rescued")]), 1.0);
        assert_eq!(calls(&program, "OK").await, 1.0);
    }
}

#[tokio::test]
async fn a_call_that_fails_after_a_message_is_never_made_again() {
    let (server, program) = proxied(with_message("14"), RETRY).await;
    let answer = call(&mut client(&program).await, "").await;
    assert_eq!((answer.status, code(&answer), &answer.body[..]), (200, Some("14"), MESSAGE));
    assert_eq!(requests(&server), 1);
    assert_eq!(calls(&program, "UNAVAILABLE").await, 1.0);
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_requests_total", &[("outcome", "upstream_error")]), 1.0);
    assert_eq!(metrics.sum("outrigger_attempts_total", &[("outcome", "upstream_error")]), 1.0);
    assert_eq!(metrics.sum("outrigger_attempts_total", &[]), 1.0);
}

#[tokio::test]
async fn a_call_is_a_post_and_is_made_twice_only_if_somebody_says_that_it_may() {
    let route = "{ name: add, match: { path: /shop.Cart/Add }, idempotency: { contract: atomic5xx } }";
    let atomic = format!("{UNSAFE}\nroutes: [{route}]");
    for (block, code_sent, made) in [
        (UNSAFE, "14", 1),
        (&*atomic, "14", 3),
        (&*atomic, "4", 1),
        (RETRY, "14", 3),
        (RETRY, "13", 1),
        (RETRY, "5", 1),
    ] {
        for answer in [trailers_only(code_sent), without_messages(code_sent)] {
            let (server, program) = proxied(answer, block).await;
            let answer = call(&mut client(&program).await, "").await;
            assert_eq!((answer.status, code(&answer)), (200, Some(code_sent)), "{block} {code_sent}");
            assert_eq!(requests(&server), made, "{block} {code_sent}");
            // Whoever asked is told where it looks for that.
            let given_up = code_sent == "14";
            assert_eq!(pushback(&answer), given_up.then_some("-1"), "{block} {code_sent}");
        }
    }
}

#[tokio::test]
async fn codes_are_chosen_by_the_policy_in_either_spelling() {
    let block = "retry: { attempts: 1, methods: all, backoff: 1ms, grpcCodes: [ABORTED, resource-exhausted] }";
    for (code_sent, made) in [("10", 2), ("8", 2), ("14", 1)] {
        let (server, program) = proxied(trailers_only(code_sent), block).await;
        call(&mut client(&program).await, "").await;
        assert_eq!(requests(&server), made, "{code_sent}");
    }
}

#[tokio::test]
async fn pushback_is_waited_for_and_a_negative_one_ends_it() {
    let later = trailers_only("14").field("grpc-retry-pushback-ms", "300");
    let (server, program) = proxied(Script::sequence([later], with_message("0")), RETRY).await;
    assert_eq!(code(&call(&mut client(&program).await, "").await), Some("0"));
    let seen = server.observed().seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(299), "{:?}", seen[1].at - seen[0].at);

    for never in ["-1", "soon"] {
        let no = without_messages("14").trailer("grpc-retry-pushback-ms", never);
        let (server, program) = proxied(no, RETRY).await;
        let answer = call(&mut client(&program).await, "").await;
        assert_eq!((code(&answer), pushback(&answer)), (Some("14"), Some(never)));
        assert_eq!(requests(&server), 1);
        let metrics = program.metrics().await;
        assert_eq!(metrics.sum("outrigger_retries_total", &[("reason", "pushback")]), 1.0);
    }
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_and_the_upstream_is_told_of_less() {
    let (server, program) = proxied(Behaviour::stall(), "").await;
    let began = Instant::now();
    let answer = call(&mut client(&program).await, "grpc-timeout: 200m\r\n").await;
    let took = began.elapsed();
    assert_eq!((answer.status, code(&answer)), (200, Some("4")));
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(2), "{took:?}");
    let message = answer.field("grpc-message").expect("a sentence");
    assert!(message.starts_with("up: The upstream did not answer before the deadline."), "{message}");
    let seen = server.observed().seen();
    let told = seen[0].head.get("grpc-timeout").expect("a deadline").to_owned();
    let micros: u64 = told.strip_suffix('u').or(told.strip_suffix('n')).expect("micros").parse().expect("digits");
    let micros = if told.ends_with('n') { micros / 1_000 } else { micros };
    assert!((1..=190_000).contains(&micros), "{told}");
}

#[tokio::test]
async fn a_call_without_a_deadline_is_given_the_one_of_its_route() {
    let (server, program) = proxied(with_message("0"), "timeouts: { request: 2s }").await;
    call(&mut client(&program).await, "").await;
    assert!(server.observed().seen()[0].head.get("grpc-timeout").is_some());
    client(&program).await.get("/").await;
    assert!(server.observed().seen()[1].head.get("grpc-timeout").is_none(), "no call");
}

#[tokio::test]
async fn failures_under_a_status_of_200_open_the_breaker_and_the_refusal_is_a_call_that_ended() {
    let breaker = "circuitBreaker: { minRequests: 5, openDuration: 60s, maxOpenDuration: 60s }";
    for failing in [trailers_only("14"), without_messages("13"), with_message("14")] {
        let (server, program) = proxied(failing, breaker).await;
        let mut client = client(&program).await;
        let refused = loop {
            let answer = call(&mut client, "").await;
            if answer.field("x-outrigger-retry") == Some("refused;reason=circuit-open") {
                break answer;
            }
            assert!(requests(&server) < 100, "it does not open");
        };
        assert_eq!((refused.status, code(&refused), refused.body.len()), (200, Some("14"), 0));
        assert_eq!(refused.field("content-type"), Some("application/grpc"));
        let wait: u64 = pushback(&refused).and_then(|ms| ms.parse().ok()).expect("a wait");
        assert!((1..=60_000).contains(&wait), "{wait}");
        assert!(refused.field("grpc-message").expect("a sentence").contains("circuit"));
    }
}

#[tokio::test]
async fn answers_that_are_no_failures_of_the_service_open_nothing() {
    let breaker = "circuitBreaker: { minRequests: 5, openDuration: 60s, maxOpenDuration: 60s }";
    for code_sent in ["3", "5", "12", "16"] {
        let (server, program) = proxied(trailers_only(code_sent), breaker).await;
        let mut client = client(&program).await;
        for made in 1..=30 {
            assert_eq!(code(&call(&mut client, "").await), Some(code_sent));
            assert_eq!(requests(&server), made);
        }
    }
}

#[tokio::test]
async fn without_an_upstream_a_call_is_unavailable_in_a_sentence() {
    let (server, program) = proxied(Answer::ok(""), RETRY).await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let mut client = client(&program).await;
    let answer = call(&mut client, "").await;
    assert_eq!((answer.status, code(&answer), answer.text().as_str()), (200, Some("14"), ""));
    let message = answer.field("grpc-message").expect("a sentence");
    assert!(message.contains("refused the connection") && message.contains("Nothing was sent"), "{message}");
    assert!(answer.field("proxy-status").unwrap_or_default().contains("error=connection_refused"));
    // The connection goes on, for others as well.
    let problem = client.get("/").await;
    assert_eq!((problem.status, problem.json()["reason"].as_str()), (502, Some("connection-refused")));
}

#[tokio::test]
async fn whoever_talks_is_not_kept_waiting_for_the_end_of_what_it_says() {
    let (_server, program) = proxied(Behaviour::echo(), RETRY).await;
    let mut client = client(&program).await;
    let head = format!("POST /shop.Cart/Talk HTTP/1.1\r\nHost: a\r\n{CALL}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"7\r\n", MESSAGE, b"\r\n"].concat();
    let began = Instant::now();
    client.send([head.as_bytes(), &chunk].concat()).await;
    let answered = client.head().await.expect("a head").expect("an answer");
    assert_eq!(answered.status().expect("a status"), 200);
    // Far less than the 15 s of the request; the promise is a few milliseconds.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(client.bytes(chunk.len()).await, chunk);
    client.send([&chunk[..], b"0\r\n\r\n"].concat()).await;
    assert_eq!(client.bytes(chunk.len() + 5).await, [&chunk[..], b"0\r\n\r\n"].concat());
}

#[tokio::test]
async fn an_answer_whose_message_comes_late_is_not_held_back() {
    let server = FramesServer::start().await;
    let program = program(&format!("upstreams:\n  up:\n    url: {}\n    {RETRY}\n", server.url())).await;
    let client = &mut client(&program).await;
    let began = Instant::now();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{CALL}Content-Length: 7\r\n\r\n");
    client.send([head.as_bytes(), MESSAGE].concat()).await;
    let mut peer = server.accept(&[]).await;
    let (stream, ..) = peer.head().await;
    peer.headers(stream, &[(":status", "200"), ("content-type", "application/grpc")], false).await;
    assert!(client.head().await.expect("a head").is_some());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_no_grpc_is_passed_as_it_is() {
    for content_type in ["application/grpc-web+proto", "application/json"] {
        let answer = Answer::ok("body").field("Content-Type", content_type).field("grpc-status", "14");
        let (server, program) = proxied(answer, RETRY).await;
        let fields = format!("Content-Type: {content_type}\r\n");
        let answer = client(&program).await.post("/", &fields, b"x").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
        assert_eq!(requests(&server), 1, "{content_type}");
        assert_eq!(calls(&program, "UNAVAILABLE").await, 0.0);
    }
}

#[tokio::test]
async fn an_http_error_from_something_in_between_is_retried_by_its_status() {
    let (server, program) =
        proxied(Script::sequence([Answer::status(503).body("busy")], with_message("0")), RETRY).await;
    assert_eq!(code(&call(&mut client(&program).await, "").await), Some("0"));
    assert_eq!(requests(&server), 2);
}

/// One upstream with keys, and where they are kept.
async fn keyed(script: impl Into<Script>, contract: &str) -> (FaultServer, Program, tempfile::TempDir) {
    let (server, directory) = (upstream(script).await, tempfile::tempdir().expect("a directory"));
    let policy = format!(
        "stores: {{ embedded: {{ path: {} }} }}\nupstreams:\n  up:\n    url: {}\n    routes:\n      - {{ name: add, match: {{ \
         path: /shop.Cart/Add }}, idempotency: {{ principal: none, contract: {contract} }} }}\n",
        directory.path().join("outrigger.db").display(),
        server.url()
    );
    let program = program(&policy).await;
    (server, program, directory)
}

#[tokio::test]
async fn a_call_with_a_key_is_answered_again_with_its_end() {
    let (server, program, _directory) = keyed(with_message("0").trailer("x-cost", "7"), "opaque").await;
    let mut client = client(&program).await;
    for (asked, replayed) in [(1, None), (2, Some("true"))] {
        let answer = call(&mut client, "Idempotency-Key: k1\r\n").await;
        assert_eq!((answer.status, code(&answer), &answer.body[..]), (200, Some("0"), MESSAGE), "{asked}");
        assert_eq!(answer.field("idempotency-replayed"), replayed);
        assert!(answer.trailers.iter().any(|(name, value)| name == "x-cost" && value == "7"), "{:?}", answer.trailers);
        assert_eq!(requests(&server), 1);
    }
    assert_eq!(server.observed().seen()[0].head.get("te"), Some("trailers"));
    assert_eq!(calls(&program, "OK").await, 2.0);
}

#[tokio::test]
async fn a_call_with_a_key_that_was_not_executed_leaves_its_key_free() {
    for failing in [trailers_only("14"), without_messages("14"), with_message("14")] {
        let (server, program, _directory) = keyed(Script::sequence([failing], with_message("0")), "atomic5xx").await;
        let mut client = client(&program).await;
        let first = call(&mut client, "Idempotency-Key: k1\r\n").await;
        assert_eq!((code(&first), first.field("idempotency-status")), (Some("14"), Some("not-stored")));
        assert_eq!(code(&call(&mut client, "Idempotency-Key: k1\r\n").await), Some("0"));
        assert_eq!(requests(&server), 2);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_served_is_told_as_a_call_that_ended() {
    let (server, program, _directory) = keyed(Behaviour::stall(), "opaque").await;
    let mut client = client(&program).await;
    let first = call(&mut client, "Idempotency-Key: k1\r\ngrpc-timeout: 100m\r\n").await;
    assert_eq!(code(&first), Some("4"));
    let again = call(&mut client, "Idempotency-Key: k1\r\n").await;
    assert_eq!((again.status, code(&again), pushback(&again)), (200, Some("9"), Some("-1")));
    assert_eq!(again.field("idempotency-status"), Some("unknown"));
    assert_eq!(code(&call(&mut client, "Idempotency-Key: \"\r\n").await), Some("3"));
    assert_eq!(requests(&server), 1);
}

#[tokio::test]
async fn the_log_tells_how_a_call_ended() {
    let server = upstream(Script::sequence([trailers_only("14")], with_message("0"))).await;
    let policy =
        format!("accessLog: {{ sampleRatio: 1.0 }}\nupstreams:\n  up:\n    url: {}\n    {RETRY}\n", server.url());
    let program = program(&policy).await;
    call(&mut client(&program).await, "").await;
    until(&server, |c| c.answered == 2).await;
    let line = eventually("a line", async || {
        program.stdout().lines().find(|line| line.contains("shop.Cart")).map(str::to_owned)
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["rpc.response.status_code"], "OK");
    let codes: Vec<_> = line["outrigger.attempts"].as_array().expect("a list").iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["UNAVAILABLE", "OK"]);
}
