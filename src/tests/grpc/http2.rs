//! The same over HTTP/2, as calls are made.

use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Behaviour, Mode, Script};
use outrigger::testing::Http2;
use outrigger::testing::http2::grpc_request;

use super::{RETRY, requests};
use crate::stage::{proxied, until};

const PATH: &str = "/shop.Cart/Add";
const NOTHING: [&[u8]; 0] = [];

#[tokio::test]
async fn a_unary_call_is_rescued_before_its_first_message_and_passed_on_after_it() {
    for (first, made) in [
        (Answer::grpc_status(14, "away"), 2),
        (Answer::grpc(NOTHING, 14), 2),
        (Answer::grpc([b"one"], 14), 1),
        (Answer::grpc([b"one"], 0), 1),
    ] {
        let (server, program) = proxied(Script::sequence([first], Answer::grpc([b"two"], 0)), RETRY).await;
        let answer = Http2::connect(program.listen()).await.unary(PATH, b"hi").await;
        assert_eq!((answer.status, answer.messages().len()), (200, 1));
        assert_eq!(requests(&server), made);
        let expected = if made == 2 || answer.messages()[0] == b"two" { 0 } else { answer.grpc_status().unwrap_or(99) };
        assert_eq!(answer.grpc_status(), Some(expected));
        assert_eq!(answer.messages()[0] == b"two", made == 2);
    }
}

#[tokio::test]
async fn a_failure_of_ours_is_a_call_that_ended() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let answer = Http2::connect(program.listen()).await.unary(PATH, b"hi").await;
    assert_eq!((answer.status, answer.grpc_status(), answer.body.len()), (200, Some(14), 0));
    assert_eq!(answer.field("grpc-status"), Some("14"), "trailers-only");
    assert!(answer.grpc_message().is_some_and(|words| words.contains("refused the connection")), "{answer:?}");
}

#[tokio::test]
async fn a_deadline_ends_the_call_and_not_the_connection() {
    let slow = Script::sequence([Behaviour::stall()], Answer::grpc([b"two"], 0));
    let (_server, program) = proxied(slow, "").await;
    let mut client = Http2::connect(program.listen()).await;
    let mut request = grpc_request(PATH);
    request.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static("100m"));
    let began = Instant::now();
    let answer = client.send(request, outrigger::faults::grpc::framed(b"hi")).await;
    assert_eq!((answer.status, answer.grpc_status()), (200, Some(4)));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(client.unary(PATH, b"hi").await.grpc_status(), Some(0));
}

#[tokio::test]
async fn a_conversation_goes_back_and_forth_where_calls_are_retried() {
    let (server, program) = proxied(Behaviour::grpc_echo(), RETRY).await;
    let mut client = Http2::connect(program.listen()).await;
    let began = Instant::now();
    let mut talk = client.open(grpc_request("/shop.Cart/Talk"), false).await;
    for said in [b"one", b"two", b"six"] {
        talk.message(said, false);
        let heard = talk.piece().await.expect("no reset").expect("an echo");
        assert_eq!(&heard[5..], said);
    }
    talk.upload.send_data(bytes::Bytes::new(), true).expect("an open stream");
    let answer = talk.answer().await.expect("an end");
    assert_eq!(answer.grpc_status(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    until(&server, |c| c.requests == 1).await;
}

#[tokio::test]
async fn a_stream_that_fails_at_its_end_weighs_on_the_breaker() {
    let breaker = "circuitBreaker: { minRequests: 5, openDuration: 60s, maxOpenDuration: 60s }";
    let (server, program) = proxied(Answer::grpc([b"one", b"two"], 13), breaker).await;
    let mut client = Http2::connect(program.listen()).await;
    for _ in 0..40 {
        let answer = client.unary(PATH, b"hi").await;
        if answer.field("x-outrigger-retry") == Some("refused;reason=circuit-open") {
            assert!(requests(&server) >= 5, "{}", requests(&server));
            return;
        }
        assert_eq!((answer.grpc_status(), answer.messages().len()), (Some(13), 2));
    }
    panic!("the breaker did not open");
}
