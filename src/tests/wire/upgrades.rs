use outrigger::faults::{Answer, Behaviour};

use crate::stage::{client, proxied, until};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_of_bytes() {
    let (server, program) = proxied(Behaviour::upgrade(), "").await;
    let mut client = client(&program).await;
    client.send(ASK).await;
    let head = client.head().await.expect("a valid head").expect("a head");
    assert_eq!(head.status().expect("a status"), 101);
    assert!(head.lists("connection", "upgrade") && head.lists("upgrade", "websocket"), "{head:?}");
    for message in [&b"\x81\x00"[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 100_000]] {
        client.send(message).await;
        assert_eq!(client.bytes(message.len()).await, message);
    }
    drop(client);
    until(&server, |c| c.open == 0).await;
}

#[tokio::test]
async fn bytes_sent_along_with_the_upgrade_are_not_lost() {
    let (_server, program) = proxied(Behaviour::upgrade(), "").await;
    let mut client = client(&program).await;
    client.send(format!("{ASK}first words")).await;
    assert_eq!(client.head().await.expect("a valid head").expect("a head").status().expect("a status"), 101);
    assert_eq!(client.bytes(11).await, b"first words");
}

#[tokio::test]
async fn an_upstream_that_declines_the_upgrade_answers_as_usual() {
    let (_server, program) = proxied(Answer::ok("no"), "").await;
    let mut client = client(&program).await;
    client.send(ASK).await;
    assert_eq!(client.answer("GET").await.text(), "no");
}

#[tokio::test]
async fn a_tunnel_outlives_the_request_timeout() {
    let (_server, program) = proxied(Behaviour::upgrade(), "timeouts: { request: 100ms }").await;
    let mut client = client(&program).await;
    client.send(ASK).await;
    assert_eq!(client.head().await.expect("a valid head").expect("a head").status().expect("a status"), 101);
    // Longer than the timeout: what is tested is that nothing happens.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    client.send("still here").await;
    assert_eq!(client.bytes(10).await, b"still here");
}
