use outrigger::faults::message::{Digest, Framing};
use outrigger::faults::{Answer, Behaviour, Script, pattern};
use outrigger::testing::within;

use crate::stage::{client, proxied, until};

/// Far more than any buffer on the way.
const LARGE: u64 = 256 << 20;
/// What the program may hold of it: socket and hyper buffers of one connection, with room.
const GROWTH_MAX: u64 = 32 << 20;

#[tokio::test]
async fn sized_and_chunked_bodies_pass_in_both_directions() {
    let (server, program) = proxied(Behaviour::echo(), "").await;
    let mut client = client(&program).await;
    let sized = client.post("/", "", b"hello").await;
    assert_eq!((sized.text().as_str(), sized.field("content-length")), ("hello", Some("5")));

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\n\r\n")
        .await;
    let chunked = client.answer("POST").await;
    assert_eq!((chunked.text().as_str(), chunked.framing), ("abcde", Framing::Chunked));
    assert_eq!(server.observed().counts().malformed, 0);
}

#[tokio::test]
async fn trailers_pass_in_both_directions_when_announced() {
    let (server, program) = proxied(Behaviour::echo(), "").await;
    let mut client = client(&program).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n",
        )
        .await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.text(), "abc");
    let [(name, value)] = answer.trailers.as_slice() else { panic!("{:?}", answer.trailers) };
    assert_eq!((name.to_ascii_lowercase().as_str(), value.as_str()), ("x-sum", "9"));
    let seen = server.observed().last().expect("a request").body.expect("a whole body");
    assert_eq!(seen.trailers.len(), 1, "{:?}", seen.trailers);
}

#[tokio::test]
async fn a_body_is_asked_for_only_after_admission() {
    let (server, program) = proxied(Behaviour::echo(), "").await;
    let mut client = client(&program).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let head = client.head().await.expect("a valid head").expect("a head");
    assert_eq!(head.status().expect("a status"), 100);
    client.send("hello").await;
    assert_eq!(client.answer("POST").await.text(), "hello");
    assert_eq!(server.observed().last().expect("a request").head.get("expect"), None);
}

#[tokio::test]
async fn a_refused_request_is_not_asked_for_its_body() {
    let (server, program) = proxied(Behaviour::echo(), "").await;
    let mut client = client(&program).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nx-envoy-expected-rq-timeout-ms: 0\r\n\
             Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .await;
    let head = client.head().await.expect("a valid head").expect("a head");
    assert_eq!(head.status().expect("a status"), 504);
    assert_eq!(server.observed().counts().requests, 0);
}

#[tokio::test]
async fn a_large_download_passes_whole_at_constant_memory() {
    let script = Script::always(Answer::status(200).huge(LARGE)).on_path("/small", Answer::ok(""));
    let (_server, program) = proxied(script, "timeouts: { request: 5m }").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/small").await.status, 200);
    let before = program.rss();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a valid head").expect("a head");
    let digest = client.digest(&head, "GET").await.expect("a whole body");
    assert_eq!(digest, Digest::of_pattern(LARGE));
    assert!(program.rss() < before + GROWTH_MAX, "{before} -> {}", program.rss());
}

#[tokio::test]
async fn a_large_upload_passes_whole_at_constant_memory() {
    let (server, program) = proxied(Answer::ok("done"), "timeouts: { request: 5m }").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.status, 200);
    let before = program.rss();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let mut sent = 0;
    while sent < LARGE {
        let piece = pattern(sent, LARGE - sent);
        client.send(&piece).await;
        sent += piece.len() as u64;
        assert!(program.rss() < before + GROWTH_MAX, "{before} -> {} after {sent}", program.rss());
    }
    assert_eq!(client.answer("POST").await.text(), "done");
    let body = server.observed().last().expect("a request").body.expect("a whole body");
    assert_eq!(body.digest, Digest::of_pattern(LARGE));
}

#[tokio::test]
async fn a_stream_flows_in_both_directions_at_once() {
    let length = 64_u64 << 20;
    let (_server, program) = proxied(Behaviour::echo(), "timeouts: { request: 5m }").await;
    let mut client = client(&program).await;
    let outbox = client.outbox();
    let upload = tokio::spawn(async move {
        outbox.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
        let mut sent = 0;
        while sent < length {
            let piece = pattern(sent, length - sent);
            outbox.write(&piece).await?;
            sent += piece.len() as u64;
        }
        std::io::Result::Ok(())
    });
    let head = client.head().await.expect("a valid head").expect("a head");
    let digest = client.digest(&head, "POST").await.expect("a whole body");
    assert_eq!(digest, Digest::of_pattern(length));
    within("the end of the upload", upload).await.expect("no panic").expect("a whole upload");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_work_upstream() {
    // Longer than the bound of every wait here: only the cancellation can end the request.
    let (server, program) = proxied(Behaviour::stall(), "timeouts: { request: 10m, backendRequest: 10m }").await;
    let client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&server, |c| c.serving == 1).await;
    drop(client);
    let counts = until(&server, |c| c.abandoned == 1).await;
    assert_eq!(counts.requests, 1, "a cancelled request is not sent again");
    program.metrics_when("the slot is free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
}
