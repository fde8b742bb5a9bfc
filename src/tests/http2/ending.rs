use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Behaviour};
use outrigger::testing::frames::{code, kind, setting};
use outrigger::testing::http2::{builder, request};
use outrigger::testing::{Frames, Http2, Signal};

use crate::stage::{client, policy_for, program, proxied, until, upstream};

#[tokio::test]
async fn a_client_that_stops_reading_gives_link_and_slot_back_at_the_deadline() {
    // In small pieces: a body that is always ready would be polled, and its deadline noticed, by luck.
    let paced = Answer::status(200).huge(1 << 30).paced(16 * 1024, Duration::from_millis(1));
    let (server, program) = proxied(paced, "timeouts: { request: 1s }").await;
    let begun = Instant::now();
    let mut frames = Frames::client(program.listen(), &[]).await;
    frames.request(1, "GET", "/", &[], true).await;
    assert_eq!(frames.head().await.1[0].1, "200");
    // Its window of 64 KiB is never widened.
    let counts = until(&server, |counts| counts.open == 0).await;
    let took = begun.elapsed();
    assert!(counts.bytes_out < 1 << 30, "the deadline cut it, not its end");
    // 100 ms is what the machine is granted on its own; a busy one gets more.
    assert!((Duration::from_secs(1)..Duration::from_millis(1_900)).contains(&took), "{took:?}");
    let end = frames.until(|frame| frame.kind == kind::RST_STREAM).await;
    assert_eq!((end.stream, end.code()), (1, code::CANCEL));
    program.metrics_when("the slot is free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
    // Others on this connection do not suffer.
    server.set(Answer::ok("fine"));
    frames.window_update(0, 1 << 20).await;
    frames.request(3, "GET", "/", &[], true).await;
    assert_eq!(frames.head().await.1[0].1, "200");
}

#[tokio::test]
async fn a_client_that_opens_no_window_gives_everything_back_at_the_deadline() {
    let (server, program) = proxied(Answer::ok(vec![7; 100_000]), "timeouts: { request: 1s }").await;
    let mut frames = Frames::client(program.listen(), &[(setting::INITIAL_WINDOW_SIZE, 0)]).await;
    for stream in [1, 3, 5] {
        frames.request(stream, "GET", "/", &[], true).await;
    }
    until(&server, |counts| counts.requests == 3).await;
    for _ in 0..3 {
        assert_eq!(frames.until(|frame| frame.kind == kind::RST_STREAM).await.code(), code::CANCEL);
    }
    program.metrics_when("the slots are free", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything_that_it_asks_for() {
    let (_server, program) = proxied(Answer::ok(vec![7; 300_000]), "").await;
    let mut small = builder();
    small.initial_window_size(1_000).initial_connection_window_size(65_535);
    let answer = Http2::connect_with(program.listen(), &small).await.get("/").await;
    assert_eq!(answer.body.len(), 300_000);
}

#[tokio::test]
async fn a_deadline_in_the_middle_of_an_answer_resets_the_stream_alone() {
    let paced = Answer::status(200).huge(1 << 20).paced(1024, Duration::from_millis(10));
    let (_server, program) = proxied(paced, "timeouts: { request: 300ms }").await;
    let mut http2 = Http2::connect(program.listen()).await;
    let broken = http2.open(request("GET", "/"), true).await.answer().await;
    assert!(broken.as_ref().is_err_and(h2::Error::is_reset), "{broken:?}");
    assert!(http2.open(request("GET", "/"), true).await.answer().await.is_err());
}

#[tokio::test]
async fn an_idle_connection_is_told_goodbye_and_closed() {
    let server = upstream(Answer::ok("")).await;
    let program = program(&policy_for(&server, "timeouts: { idle: 1s }")).await;
    let mut frames = Frames::client(program.listen(), &[]).await;
    frames.request(1, "GET", "/", &[], true).await;
    frames.head().await;
    let end = frames.until(|frame| frame.kind == kind::GOAWAY).await;
    assert_eq!(end.code(), code::NO_ERROR);
    frames.until(|frame| frame.kind == kind::GOAWAY && frame.last_stream() == 1).await;
    frames.rest().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_what_it_begins_is_cut() {
    let server = upstream(Answer::ok("")).await;
    let program = program(&policy_for(&server, "timeouts: { idle: 1s }")).await;
    let nothing = client(&program).await;
    let half = client(&program).await;
    half.send("PRI * HTTP/2.0\r\n").await;
    let preface = client(&program).await;
    preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let head = Frames::client(program.listen(), &[]).await;
    // HEADERS without its end.
    head.frame(kind::HEADERS, 0, 1, &[0x82]).await;
    for mut silent in [nothing, half, preface] {
        silent.bytes(1 << 20).await;
    }
    let mut head = head;
    head.rest().await;
    assert_eq!(server.observed().counts().accepted, 0);
}

#[tokio::test]
async fn a_drain_finishes_streams_and_loses_none_on_its_way() {
    let server = upstream(Behaviour::from(Answer::ok("done")).after(Duration::from_millis(500))).await;
    let mut program = program(&format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, ""))).await;
    let mut http2 = Http2::connect(program.listen()).await;
    let mut exchanges = Vec::new();
    for _ in 0..20 {
        exchanges.push(http2.open(request("GET", "/"), true).await);
    }
    until(&server, |counts| counts.serving == 20).await;
    program.signal(Signal::Interrupt);
    for exchange in exchanges {
        assert_eq!(exchange.answer().await.expect("an answer").text(), "done");
    }
    assert_eq!(http2.ended().await, None, "no error");
    assert_eq!(program.exit().await.code(), Some(0));
}

#[tokio::test]
async fn idle_clients_of_either_kind_do_not_hold_up_the_end() {
    let server = upstream(Answer::ok("")).await;
    let mut program = program(&format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, ""))).await;
    let mut polite = Http2::connect(program.listen()).await;
    assert_eq!(polite.get("/").await.status, 200);
    // Neither acknowledges anything nor closes.
    let deaf = Frames::client(program.listen(), &[]).await;
    let silent = client(&program).await;
    program.signal(Signal::Interrupt);
    assert_eq!(program.exit().await.code(), Some(0));
    drop((deaf, silent));
}

#[tokio::test]
async fn a_forced_end_ends_streams_too() {
    let server = upstream(Behaviour::stall()).await;
    let policy = format!("drain: {{ timeout: 200ms }}\n{}", policy_for(&server, "timeouts: { request: 10m }"));
    let mut program = program(&policy).await;
    let mut http2 = Http2::connect(program.listen()).await;
    let exchange = http2.open(request("GET", "/"), true).await;
    until(&server, |counts| counts.serving == 1).await;
    program.signal(Signal::Terminate);
    assert!(exchange.answer().await.is_err());
    // As for HTTP/1: it says that requests were cut.
    assert_eq!(program.exit().await.code(), Some(1));
}
