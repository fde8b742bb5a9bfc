//! Upstreams over HTTP/2, as the frames tell.

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Listening, Script, Version};
use outrigger::testing::frames::{Frame, Frames, FramesServer, code, flag, kind, setting};
use outrigger::testing::{Client, Program};

use crate::stage::{client, policy_for, program, proxied, until};

/// Spoken in clear, with prior knowledge.
const HTTP2: &str = "protocol: http2";
const RETRY: &str = "retry: { attempts: 2, codes: [503], backoff: 1ms, maxBackoff: 2ms }";
const OK: &[(&str, &str)] = &[(":status", "200")];

/// A peer of frames, and the program in front of it.
pub(super) async fn framed(block: &str) -> (FramesServer, Program) {
    let server = FramesServer::start().await;
    let lines: String = [HTTP2].into_iter().chain(block.lines()).map(|line| format!("    {line}\n")).collect();
    let program = Box::pin(program(&format!("upstreams:\n  up:\n    url: {}\n{lines}", server.url()))).await;
    (server, program)
}

async fn ask(program: &Program, method: &str, path: &str) -> Client {
    let client = Box::pin(client(program)).await;
    Box::pin(client.send(request(method, path))).await;
    client
}

fn request(method: &str, path: &str) -> String {
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\n{length}\r\n")
}

/// The next request: its stream and its path.
async fn asked(peer: &mut Frames) -> (u32, String) {
    // Boxed, as in the other helpers: the futures of unoptimized tests would not fit on their stacks.
    let (stream, fields, _) = Box::pin(peer.head()).await;
    let path = fields.iter().find(|(name, _)| name == ":path").expect("a path");
    (stream, path.1.clone())
}

async fn status(client: &mut Client) -> (u16, String) {
    let answer = Box::pin(client.answer("GET")).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_request_keeps_what_it_says_and_gains_the_fields_of_http2() {
    let (server, program) = framed("").await;
    let mut client = client(&program).await;
    client
        .send("POST /a?b=c HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\nCookie: a=1\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    let mut peer = server.accept(&[]).await;
    let (stream, fields, ended) = peer.head().await;
    let value = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!((stream, ended), (1, false));
    let pseudo = [":method", ":scheme", ":authority", ":path"].map(|name| value(name).unwrap_or("none"));
    assert_eq!(pseudo, ["POST", "http", &server.address().to_string(), "/a?b=c"]);
    assert_eq!([value("te"), value("content-length"), value("cookie")], [Some("trailers"), Some("5"), Some("a=1")]);
    assert_eq!(value("x-envoy-attempt-count"), Some("1"));
    assert!(["host", "connection", "transfer-encoding"].iter().all(|name| value(name).is_none()), "{fields:?}");
    let data = peer.until(|frame| frame.kind == kind::DATA).await;
    assert_eq!((&data.payload[..], data.has(flag::END_STREAM)), (&b"hello"[..], true));
    peer.headers(1, &[(":status", "200"), ("x-a", "1"), ("content-length", "2")], false).await;
    peer.data(1, b"hi", true).await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("x-a")), (200, "hi", Some("1")));
}

#[tokio::test]
async fn two_hundred_first_requests_open_one_connection() {
    let slow = Behaviour::from(Answer::ok("here")).after(Duration::from_millis(100));
    let (server, program) = proxied(slow, &format!("{HTTP2}\nlimits: {{ connections: 300, requests: 300 }}")).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(client(&program).await);
    }
    for client in &clients {
        client.send(request("GET", "/")).await;
    }
    for client in &mut clients {
        assert_eq!(status(client).await, (200, "here".to_owned()));
    }
    let counts = server.observed().counts();
    assert_eq!((counts.accepted, counts.requests), (1, 200));
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_connections_opened_total", &[]), 1.0);
}

#[tokio::test]
async fn a_peer_gets_no_more_streams_than_it_takes_and_a_second_connection_has_the_rest() {
    let (server, program) = framed("limits: { connections: 8 }").await;
    let mut clients = Vec::new();
    for number in 0..6 {
        clients.push(ask(&program, "GET", &format!("/{number}")).await);
    }
    let mut first = server.accept(&[(setting::MAX_CONCURRENT_STREAMS, 4)]).await;
    let mut second = server.accept(&[(setting::MAX_CONCURRENT_STREAMS, 4)]).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(asked(&mut first).await.0);
    }
    assert_eq!(streams, [1, 3, 5, 7]);
    for (peer, count) in [(&mut second, 2), (&mut first, 0)] {
        for _ in 0..count {
            let (stream, _) = asked(peer).await;
            peer.headers(stream, OK, true).await;
        }
        // What was written before a PING is answered came before the answer.
        peer.ping(7).await;
        let pong = peer.until(|frame| matches!(frame.kind, kind::HEADERS | kind::PING)).await;
        assert_eq!(pong.kind, kind::PING, "a stream too many: {pong:?}");
    }
    for stream in streams {
        first.headers(stream, OK, true).await;
    }
    for client in &mut clients {
        assert_eq!(status(client).await.0, 200);
    }
}

#[tokio::test]
async fn a_goaway_spares_the_streams_below_it_and_sends_those_above_it_elsewhere_whatever_their_method() {
    let (server, program) = framed("").await;
    let mut below = ask(&program, "POST", "/below").await;
    let mut first = Box::pin(server.accept(&[])).await;
    assert_eq!(asked(&mut first).await, (1, "/below".to_owned()));
    let mut above = ask(&program, "POST", "/above").await;
    assert_eq!(asked(&mut first).await, (3, "/above".to_owned()));
    first.goaway(1, code::NO_ERROR).await;
    let mut second = Box::pin(server.accept(&[])).await;
    assert_eq!(asked(&mut second).await, (1, "/above".to_owned()));
    let mut later = ask(&program, "GET", "/later").await;
    assert_eq!(asked(&mut second).await, (3, "/later".to_owned()));
    first.headers(1, &[(":status", "200"), ("content-length", "3")], false).await;
    first.data(1, b"old", true).await;
    second.headers(1, &[(":status", "200"), ("content-length", "3")], false).await;
    second.data(1, b"new", true).await;
    second.headers(3, OK, true).await;
    assert_eq!(status(&mut below).await, (200, "old".to_owned()));
    assert_eq!(status(&mut above).await, (200, "new".to_owned()));
    assert_eq!(status(&mut later).await.0, 200);
    drop(Box::pin(first.rest()).await);
}

#[tokio::test]
async fn a_stream_that_was_refused_is_sent_again_also_for_a_post() {
    let (server, program) = framed(RETRY).await;
    let mut client = ask(&program, "POST", "/").await;
    let mut peer = server.accept(&[]).await;
    assert_eq!(asked(&mut peer).await.0, 1);
    peer.reset(1, code::REFUSED_STREAM).await;
    let (stream, fields, _) = peer.head().await;
    assert!(fields.contains(&("x-envoy-attempt-count".to_owned(), "2".to_owned())), "{fields:?}");
    peer.headers(stream, OK, true).await;
    assert_eq!(status(&mut client).await.0, 200);
}

#[tokio::test]
async fn a_stream_that_was_reset_is_sent_again_only_if_that_is_harmless() {
    let (server, program) = framed(RETRY).await;
    let mut post = ask(&program, "POST", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    peer.reset(stream, code::INTERNAL_ERROR).await;
    let answer = post.answer("POST").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (502, Some("stream-reset")), "{problem}");
    assert_eq!((problem["sent"].as_str(), problem["attempts"].as_u64()), (Some("yes"), Some(1)), "{problem}");
    let mut get = ask(&program, "GET", "/").await;
    let (stream, _) = asked(&mut peer).await;
    peer.reset(stream, code::INTERNAL_ERROR).await;
    let (stream, _) = asked(&mut peer).await;
    peer.headers(stream, OK, true).await;
    assert_eq!(status(&mut get).await.0, 200);
}

#[tokio::test]
async fn an_early_answer_is_whole_although_the_peer_wants_no_more_of_the_request() {
    let (server, program) = framed("").await;
    let mut client = client(&program).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Length: 9000000\r\n\r\nbegun").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    peer.headers(stream, &[(":status", "413"), ("content-length", "4")], false).await;
    peer.data(stream, b"much", true).await;
    peer.reset(stream, code::NO_ERROR).await;
    assert_eq!(status(&mut client).await, (413, "much".to_owned()));
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (server, program) = framed("").await;
    let leaving = ask(&program, "GET", "/leaving").await;
    let mut peer = server.accept(&[]).await;
    assert_eq!(asked(&mut peer).await.0, 1);
    let mut staying = ask(&program, "GET", "/staying").await;
    assert_eq!(asked(&mut peer).await.0, 3);
    drop(leaving);
    let reset = peer.until(|frame| frame.kind == kind::RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (1, code::CANCEL));
    peer.headers(3, OK, true).await;
    assert_eq!(status(&mut staying).await.0, 200);
}

#[tokio::test]
async fn when_a_connection_dies_each_of_its_streams_fails_for_itself_and_what_is_harmless_is_sent_again() {
    let (server, program) = framed(&format!("{RETRY}\nlimits: {{ connections: 100 }}")).await;
    let (mut gets, mut posts) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        gets.push(ask(&program, "GET", "/").await);
    }
    for _ in 0..40 {
        posts.push(ask(&program, "POST", "/").await);
    }
    let mut first = server.accept(&[]).await;
    for _ in 0..50 {
        asked(&mut first).await;
    }
    first.reset_on_drop();
    drop(first);
    let mut second = server.accept(&[]).await;
    for _ in 0..10 {
        let (stream, _) = asked(&mut second).await;
        second.headers(stream, OK, true).await;
    }
    for post in &mut posts {
        let answer = post.answer("POST").await;
        assert_eq!((answer.status, answer.json()["sent"].as_str()), (502, Some("maybe")));
    }
    for get in &mut gets {
        assert_eq!(status(get).await.0, 200);
    }
}

#[tokio::test]
async fn a_reader_that_stops_does_not_stall_its_neighbours() {
    const NEIGHBOURS: u64 = 2 << 20;
    // More than the sockets on the way to a client take.
    let script =
        Script::always(Answer::status(200).huge(NEIGHBOURS)).on_path("/large", Answer::status(200).huge(64 << 20));
    let (server, program) = proxied(script, &format!("{HTTP2}\ntimeouts: {{ request: 10m, idle: 10m }}")).await;
    let mut stopped = Vec::new();
    for _ in 0..8 {
        stopped.push(ask(&program, "GET", "/large").await);
    }
    until(&server, |c| c.serving == 8).await;
    for _ in 0..3 {
        let mut reading = ask(&program, "GET", "/").await;
        let head = reading.head().await.expect("a valid head").expect("a head");
        assert_eq!(reading.digest(&head, "GET").await.expect("a body").length, NEIGHBOURS);
    }
    let counts = until(&server, |c| c.serving == 8).await;
    assert_eq!(counts.accepted, 1, "all on one connection");
    drop(stopped);
    until(&server, |c| c.serving == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_a_word() {
    let (server, program) = framed("keepAlive: { idle: 1s }").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    peer.headers(stream, OK, true).await;
    assert_eq!(status(&mut client).await.0, 200);
    let last: Option<Frame> = peer.rest().await.pop();
    assert_eq!(last.map(|frame| (frame.kind, frame.code())), Some((kind::GOAWAY, code::NO_ERROR)));
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http2_is_told_apart_from_one_that_is_gone() {
    let only = Listening { only: Some(Version::Http1), ..Listening::default() };
    let server = FaultServer::start_as(only, Answer::ok("")).await.expect("a server");
    let program = program(&policy_for(&server, HTTP2)).await;
    let mut client = ask(&program, "POST", "/").await;
    let answer = client.answer("POST").await;
    let problem = answer.json();
    assert_eq!(
        (problem["reason"].as_str(), problem["sent"].as_str()),
        (Some("connect-failed"), Some("no")),
        "{problem}"
    );
}

mod hostile;
