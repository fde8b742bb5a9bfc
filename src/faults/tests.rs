use std::time::Duration;

use super::*;
use crate::faults::message::Digest;
use crate::testing::{BOUND, Client, within};

async fn start(script: impl Into<Script>) -> FaultServer {
    FaultServer::start(script).await.unwrap()
}

async fn until(server: &FaultServer, what: impl Fn(&Counts) -> bool) -> Counts {
    server.observed().until(BOUND, what).await.unwrap()
}

#[tokio::test]
async fn a_request_is_kept_byte_for_byte() {
    let server = start(Answer::ok("hello")).await;
    let mut client = Client::connect(server.address()).await;
    let request = "POST /a?b HTTP/1.1\r\nhOsT: x\r\nA: 1\r\nA: 2\r\nContent-Length: 3\r\n\r\n";
    client.send(format!("{request}xyz")).await;
    assert_eq!(client.answer("POST").await.text(), "hello");
    let seen = server.observed().last().unwrap();
    assert_eq!(seen.head.raw, request.as_bytes());
    assert_eq!(seen.body.unwrap().digest, Digest::of(b"xyz"));
    assert_eq!(server.observed().counts().executed, 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(Script::sequence([Answer::ok("1"), Answer::ok("2")], Answer::status(500))).await;
    let mut client = Client::connect(server.address()).await;
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.text(), "1");
    assert_eq!(client.answer("GET").await.text(), "2");
}

#[tokio::test]
async fn chunked_bodies_and_trailers_go_both_ways() {
    let server = start(Behaviour::echo()).await;
    let mut client = Client::connect(server.address()).await;
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n")
        .await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.text().as_str(), answer.trailers), ("abcde", vec![("T".to_string(), "v".to_string())]));
    assert_eq!(server.observed().last().unwrap().body.unwrap().trailers.len(), 1);
}

#[tokio::test]
async fn a_reset_after_the_body_counts_as_an_execution_and_one_before_it_does_not() {
    for (point, executions) in [(Point::Head, 0), (Point::Body, 1)] {
        let server = start(Behaviour::hang_up(Hangup::Reset, point)).await;
        let mut client = Client::connect(server.address()).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{KEY}: k\r\nContent-Length: 3\r\n\r\nxyz")).await;
        let error = client.try_answer("POST").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(server.observed().executions("k"), executions);
    }
}

#[tokio::test]
async fn a_peer_that_leaves_during_the_latency_is_noticed() {
    let server = start(Behaviour::from(Answer::ok("")).after(BOUND * 10)).await;
    let client = Client::connect(server.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&server, |c| c.serving == 1).await;
    drop(client);
    let counts = until(&server, |c| c.open == 0).await;
    assert_eq!((counts.abandoned, counts.serving, counts.answered), (1, 0, 0));
}

#[tokio::test]
async fn a_refusing_server_keeps_its_port_and_can_accept_again() {
    let server = start(Answer::ok("")).await;
    let mut client = Client::connect(server.address()).await;
    server.die().await.unwrap();
    assert_eq!(client.try_answer("GET").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let refused = Client::try_connect(server.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    server.mode(Mode::Accept).await.unwrap();
    assert_eq!(Client::connect(server.address()).await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_black_hole_neither_accepts_nor_refuses() {
    let server = start(Answer::ok("")).await;
    server.mode(Mode::BlackHole).await.unwrap();
    let connecting = TcpStream::connect(server.address());
    assert!(tokio::time::timeout(Duration::from_millis(300), connecting).await.is_err());
    server.mode(Mode::Accept).await.unwrap();
    assert_eq!(Client::connect(server.address()).await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_cut_body_ends_early_and_a_huge_one_is_whole() {
    let server = start(Answer::ok("0123456789").cut(4, Hangup::Close)).await;
    let mut client = Client::connect(server.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(client.try_answer("GET").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let length = (1 << 20) + 7;
    server.set(Answer::status(200).huge(length).chunked());
    let mut client = Client::connect(server.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = client.head().await.unwrap().unwrap();
    assert_eq!(client.digest(&head, "GET").await.unwrap(), Digest::of_pattern(length));
}

#[tokio::test]
async fn capacity_serves_only_so_many_at_once() {
    let script = Script::always(Behaviour::from(Answer::ok("")).after(BOUND * 10));
    let server = start(script.capacity(1, Abandoned::Cancelled)).await;
    let (first, mut second) = (Client::connect(server.address()).await, Client::connect(server.address()).await);
    first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&server, |c| c.serving == 1).await;
    second.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&server, |c| c.serving == 2).await;
    server.set(Answer::ok("fresh"));
    // The slot is the old script's: the second request still waits for it, a new one does not.
    assert_eq!(Client::connect(server.address()).await.get("/3").await.text(), "fresh");
    drop(first);
    until(&server, |c| c.abandoned == 1).await;
    let waiting = tokio::time::timeout(Duration::from_millis(50), second.try_answer("GET")).await;
    assert!(waiting.is_err(), "the latency of the second request begins when it has the slot");
}

#[tokio::test]
async fn idle_connections_close_without_notice_when_told() {
    let server = start(Answer::ok("")).await;
    let mut client = Client::connect(server.address()).await;
    assert_eq!(client.get("/").await.field("connection"), None);
    server.close_idle();
    client.closed().await;
    until(&server, |c| c.open == 0).await;
}

#[tokio::test]
async fn an_upgrade_becomes_an_echo_of_bytes() {
    let server = start(Behaviour::upgrade()).await;
    let mut client = Client::connect(server.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().unwrap().status().unwrap(), 101);
    client.send([0, 1, 255]).await;
    assert_eq!(client.bytes(3).await, [0, 1, 255]);
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_counted() {
    let ambiguous = [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length: +1\r\n",
        "A B: 1\r\n",
        "A: 1\r\n folded\r\n",
    ];
    let server = start(Answer::ok("")).await;
    for (i, fields) in ambiguous.iter().enumerate() {
        let mut client = Client::connect(server.address()).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).await;
        assert!(!matches!(client.try_answer("POST").await, Ok(Some(_))), "{fields}");
        until(&server, |c| c.malformed == i as u64 + 1).await;
    }
}

#[tokio::test]
async fn a_share_of_requests_fails_and_the_same_seed_chooses_the_same_ones() {
    let script = Script::share(0.25, Answer::status(503), Answer::ok(""), 7);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let server = start(script.clone()).await;
        let mut client = Client::connect(server.address()).await;
        let mut statuses = Vec::new();
        for _ in 0..200 {
            statuses.push(within("an answer", client.get("/")).await.status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let failed = runs[0].iter().filter(|s| **s == 503).count();
    assert!((30..=70).contains(&failed), "{failed} of 200 at 25%");
}

#[test]
fn latency_follows_its_quantiles() {
    let ms = Duration::from_millis;
    let latency = Latency::Quantiles { points: vec![(0.5, ms(10)), (0.99, ms(80))], seed: 3 };
    let mut drawn: Vec<Duration> = (0..10_000).map(|n| latency.draw(n)).collect();
    drawn.sort();
    assert_eq!((drawn[0], drawn[9_999]), (ms(10), ms(80)));
    assert!((ms(10)..ms(12)).contains(&drawn[5_000]), "{:?}", drawn[5_000]);
    assert!((ms(76)..=ms(80)).contains(&drawn[9_890]), "{:?}", drawn[9_890]);
}

#[tokio::test]
async fn work_that_begins_in_a_stall_waits_for_its_end_and_queued_work_goes_on_after_it() {
    let work = Duration::from_millis(20);
    let script = Script::always(Behaviour::from(Answer::ok("")).after(work)).capacity(1, Abandoned::RunsOn);
    let server = start(script).await;
    let end = Instant::now() + Duration::from_millis(200);
    server.stall_until(end);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = Client::connect(server.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        clients.push(client);
    }
    until(&server, |c| c.serving == 3).await;
    let mut served = Vec::new();
    for client in &mut clients {
        client.answer("GET").await;
        served.push(Instant::now());
    }
    served.sort();
    for (served, before) in served.into_iter().zip(1..) {
        assert!(served >= end + work * before, "request {before} of the queue: {:?} after the stall", served - end);
    }
}

#[tokio::test]
async fn executions_of_each_key_are_told_once() {
    let server = start(Answer::ok("")).await;
    let mut client = Client::connect(server.address()).await;
    for key in ["a", "b", "a"] {
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{KEY}: {key}\r\nContent-Length: 1\r\n\r\nx")).await;
        client.answer("POST").await;
    }
    let mut executions: Vec<_> = server.observed().take_executions().into_iter().collect();
    executions.sort();
    assert_eq!(executions, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert!(server.observed().take_executions().is_empty());
}
