mod bodies;
mod fields;
mod upgrades;
mod upstream_http2;
mod upstream_tls;

use outrigger::faults::message::Framing;
use outrigger::faults::{Answer, Behaviour, Hangup, KeepAlive, Point, Script};

use crate::stage::{client, closed, proxied};

#[tokio::test]
async fn one_client_connection_carries_many_requests_over_one_upstream_connection() {
    let (server, program) = proxied(Answer::ok("hello"), "").await;
    let mut client = client(&program).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    assert_eq!(server.observed().counts().accepted, 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let answers = ["1", "2", "3"].map(Answer::ok);
    let (_server, program) = proxied(Script::sequence(answers, Answer::status(500)), "").await;
    let mut client = client(&program).await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(client.answer("GET").await.text(), expected);
    }
}

#[tokio::test]
async fn answers_of_every_framing_give_their_upstream_connection_back() {
    let answers = [
        Answer::ok("sized"),
        Answer::ok("chunked").chunked(),
        Answer::status(204),
        Answer::status(304).field("ETag", "\"x\""),
        Answer::ok(""),
        Answer::ok("").chunked(),
    ];
    let (server, program) = proxied(Script::sequence(answers, Answer::ok("last")), "").await;
    let mut client = client(&program).await;
    for expected in ["sized", "chunked", "", "", "", "", "last"] {
        assert_eq!(client.get("/").await.text(), expected);
    }
    let counts = server.observed().counts();
    assert_eq!((counts.accepted, counts.requests), (1, 7));
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    let (server, program) = proxied(Answer::ok("12345"), "").await;
    let mut client = client(&program).await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer("HEAD").await;
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("5")));
    }
    assert_eq!(client.get("/").await.text(), "12345");
    assert_eq!(server.observed().counts().accepted, 1);
}

#[tokio::test]
async fn answers_without_a_body_pass_without_one() {
    for status in [204, 304] {
        let (_server, program) = proxied(Answer::status(status), "").await;
        let mut client = client(&program).await;
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.field("transfer-encoding")), (status, None));
        // What followed on the wire would be taken for the next answer.
        assert_eq!(client.get("/").await.status, status);
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_an_answer_it_can_read() {
    let (_server, program) = proxied(Answer::ok("hello").chunked(), "").await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_ne!(answer.framing, Framing::Chunked);
    client.closed().await;
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_arrives_whole() {
    let body = "x".repeat(300_000);
    let (server, program) = proxied(Answer::ok(body.clone()).until_close(), "").await;
    let mut client = client(&program).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), body);
    }
    assert_eq!(server.observed().counts().accepted, 3);
}

#[tokio::test]
async fn an_upstream_that_closes_idle_connections_costs_no_request() {
    let (server, program) = proxied(Answer::ok("hello"), "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.status, 200);
    server.close_idle();
    closed(&server).await;
    // Not safe to send twice, so that a retry could not hide a lost request.
    assert_eq!(client.post("/", "", b"x").await.status, 200);
    let counts = server.observed().counts();
    assert_eq!((counts.accepted, counts.executed), (2, 2));
}

#[tokio::test]
async fn an_upstream_that_closes_after_every_second_answer_loses_no_request() {
    for announced in [true, false] {
        let keep_alive = KeepAlive { requests: Some(2), idle: None, announced };
        let (server, program) = proxied(Script::always(Answer::ok("hello")).keep_alive(keep_alive), "").await;
        let mut client = client(&program).await;
        for number in 1..=6 {
            assert_eq!(client.get("/").await.status, 200, "request {number}, announced: {announced}");
            if number % 2 == 0 {
                closed(&server).await;
            }
        }
        assert_eq!(server.observed().counts().accepted, 3);
    }
}

/// A server that reads the second request on a connection, or is about to, and closes: what a client sees when a
/// server's idle timeout meets its request.
fn racing() -> Script {
    Script::sequence(
        [Behaviour::from(Answer::ok("first")), Behaviour::hang_up(Hangup::Reset, Point::Head)],
        Answer::ok("again"),
    )
}

#[tokio::test]
async fn a_get_that_meets_the_close_of_a_kept_connection_is_sent_over_another_one() {
    let (server, program) = proxied(racing(), "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.text(), "first");
    // No retry is configured: this is the transport's own affair.
    assert_eq!(client.get("/").await.text(), "again");
    assert_eq!(server.observed().counts().accepted, 2);
}

#[tokio::test]
async fn a_post_that_meets_the_close_of_a_kept_connection_is_not_sent_twice() {
    let (server, program) = proxied(racing(), "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.text(), "first");
    let answer = client.post("/", "", b"x").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains(r#""sent":"maybe""#), "{}", answer.text());
    assert_eq!(server.observed().counts().accepted, 1);
}

#[tokio::test]
async fn a_get_that_is_cut_off_on_a_fresh_connection_too_is_not_sent_a_third_time() {
    let cut = || Behaviour::hang_up(Hangup::Reset, Point::Head);
    let script = Script::sequence([Behaviour::from(Answer::ok("first")), cut(), cut()], Answer::ok("late"));
    let (server, program) = proxied(script, "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.text(), "first");
    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(server.observed().counts().accepted, 2);
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_an_answer_that_left_the_body_unread() {
    let early = Behaviour::from(Answer::status(413).body("too large")).early();
    let (server, program) = proxied(Script::sequence([early], Answer::ok("next")), "").await;
    let mut first = client(&program).await;
    let outbox = first.outbox();
    let upload = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20);
        outbox.write(head.as_bytes()).await?;
        // Ends with an error when the program closes the connection, as it may.
        for _ in 0..64 {
            outbox.write(&vec![b'x'; 1 << 20]).await?;
        }
        std::io::Result::Ok(())
    });
    let answer = first.answer("POST").await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
    upload.abort();
    assert_eq!(client(&program).await.get("/next").await.text(), "next");
    assert_eq!(server.observed().counts().accepted, 2);
}

#[tokio::test]
async fn an_informational_answer_does_not_disturb_the_final_one() {
    let answer = Answer::ok("final").informational(103, &[("Link", "</a>; rel=preload")]);
    let (_server, program) = proxied(answer, "").await;
    let mut client = client(&program).await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
    }
}
