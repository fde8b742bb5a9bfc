//! Upstreams that mean harm, or are broken beyond what a library would send.

use outrigger::testing::Program;
use outrigger::testing::frames::{Frames, code, encode, flag, hpack, kind};

use super::{OK, ask, asked, framed, status};

/// What a flood may cost.
const FLOOD_BYTES_MAX: u64 = 24 << 20;

/// Writes until the program has had enough, or `times` times.
async fn flood(peer: &Frames, piece: &[u8], times: usize) {
    for _ in 0..times {
        if peer.try_write(piece).await.is_err() {
            return;
        }
    }
}

fn assert_small(program: &Program, before: u64) {
    let grown = program.rss().saturating_sub(before);
    assert!(grown < FLOOD_BYTES_MAX, "{grown} bytes");
}

#[tokio::test]
async fn empty_data_without_end_ends_the_connection() {
    let (server, program) = framed("timeouts: { request: 5s }").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    let before = program.rss();
    peer.headers(stream, OK, false).await;
    let empty = encode(kind::DATA, 0, stream, &[]).repeat(100);
    flood(&peer, &empty, 2_000).await;
    let end = peer.rest().await;
    assert_eq!(end.last().map(|frame| frame.code()), Some(code::ENHANCE_YOUR_CALM));
    let answer = client.try_answer("GET").await;
    // Before its head was written, or behind it.
    assert!(!matches!(answer, Ok(Some(_))), "the answer breaks off: {answer:?}");
    assert_small(&program, before);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (server, program) = framed("timeouts: { request: 5s }").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    let before = program.rss();
    peer.frame(kind::HEADERS, 0, stream, &hpack::literal(OK)).await;
    let more = encode(kind::CONTINUATION, 0, stream, &hpack::literal(&[("x-a", &"v".repeat(8_000))]));
    flood(&peer, &more, 20_000).await;
    let (status, _) = status(&mut client).await;
    assert_eq!(status, 502);
    assert_small(&program, before);
}

#[tokio::test]
async fn interim_answers_without_end_are_refused() {
    let (server, program) = framed("").await;
    let mut client = ask(&program, "POST", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    for _ in 0..100 {
        peer.headers(stream, &[(":status", "103")], false).await;
    }
    let answer = client.answer("POST").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (502, Some("malformed-response")));
}

#[tokio::test]
async fn a_few_interim_answers_are_passed_over() {
    let (server, program) = framed("").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    peer.headers(stream, &[(":status", "103")], false).await;
    peer.headers(stream, &[(":status", "100")], false).await;
    peer.headers(stream, OK, true).await;
    assert_eq!(status(&mut client).await.0, 200);
}

#[tokio::test]
async fn settings_and_pings_without_end_cost_no_memory() {
    let (server, program) = framed("timeouts: { request: 2s }").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    asked(&mut peer).await;
    let before = program.rss();
    let settings = encode(kind::SETTINGS, 0, 0, &[]).repeat(50);
    let pings = encode(kind::PING, 0, 0, &[0; 8]).repeat(50);
    let outbox = peer.outbox();
    // The peer does not read what it is answered: in the end it cannot write any more.
    let flooding = tokio::spawn(async move {
        loop {
            for piece in [&settings, &pings] {
                if outbox.write(piece).await.is_err() {
                    return;
                }
            }
        }
    });
    assert_eq!(status(&mut client).await.0, 504);
    assert_small(&program, before);
    flooding.abort();
}

#[tokio::test]
async fn trailers_beyond_measure_do_not_reach_the_client() {
    let (server, program) = framed("").await;
    let mut client = ask(&program, "GET", "/").await;
    let mut peer = server.accept(&[]).await;
    let (stream, _) = asked(&mut peer).await;
    let before = program.rss();
    peer.headers(stream, OK, false).await;
    peer.data(stream, b"x", false).await;
    let block = hpack::literal(&[("x-a", &"v".repeat(16_000))]);
    peer.frame(kind::HEADERS, flag::END_STREAM, stream, &block).await;
    let more = encode(kind::CONTINUATION, 0, stream, &block);
    flood(&peer, &more, 2_000).await;
    let answer = client.try_answer("GET").await;
    // Before its head was written, or behind it.
    assert!(!matches!(answer, Ok(Some(_))), "the answer breaks off: {answer:?}");
    assert_small(&program, before);
}
