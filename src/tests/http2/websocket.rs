use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderMap, Request};
use outrigger::faults::message::{self, Head};
use outrigger::faults::{Answer, Behaviour};
use outrigger::testing::http2::builder;
use outrigger::testing::{Exchange, Http2, Signal, within};
use tokio::net::TcpListener;

use crate::stage::{client, program, proxied};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An upstream of HTTP/1.1 that accepts one WebSocket with the key that `accept` makes of the one asked for, shows the
/// head that it got, and sends every byte back.
async fn upstream(accept: fn(&str) -> String) -> (SocketAddr, tokio::task::JoinHandle<Head>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (mut inbox, outbox) = message::split(stream);
        let head = inbox.head().await.expect("a valid head").expect("a head");
        let accept = accept(head.get("sec-websocket-key").expect("a key"));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
        outbox.write(answer.as_bytes()).await.expect("the answer is written");
        while let Ok(bytes) = inbox.take_any().await
            && !bytes.is_empty()
        {
            outbox.write(&bytes).await.expect("an echo");
        }
        head
    });
    (address, task)
}

fn right(key: &str) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    base64(digest.as_ref())
}

fn base64(bytes: &[u8]) -> String {
    let digits: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let sixes = bits.as_bytes().chunks(6).map(|six| format!("{:0<6}", String::from_utf8_lossy(six)));
    let text: String = sixes.map(|six| digits[usize::from_str_radix(&six, 2).expect("six bits")]).collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

fn connect(protocol: &'static str) -> Request<()> {
    let mut request = Request::builder()
        .method("CONNECT")
        .uri("http://app.test/chat?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .expect("a request");
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

async fn opened(http2: &mut Http2) -> (Exchange, u16, HeaderMap) {
    // The client must have read that the server knows RFC 8441.
    let mut requests = http2.requests();
    within("the settings", async {
        while !requests.is_extended_connect_protocol_enabled() {
            requests = requests.ready().await.expect("a connection");
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut exchange = http2.open(connect("websocket"), false).await;
    let (status, headers) = exchange.head().await.expect("an answer");
    (exchange, status, headers)
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_an_upstream_of_http_1() {
    let (address, task) = upstream(right).await;
    let program =
        program(&format!("upstreams:\n  up:\n    url: http://{address}\n    timeouts: {{ request: 300ms }}\n")).await;
    let mut http2 = Http2::connect_with(program.listen(), &builder()).await;
    let (mut exchange, status, headers) = opened(&mut http2).await;
    assert_eq!((status, headers["sec-websocket-protocol"].as_bytes()), (200, &b"chat"[..]));
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!headers.contains_key(name), "{name} in {headers:?}");
    }
    let much: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    for message in [b"\x81\x00".to_vec(), b"GET / HTTP/1.1\r\n\r\n".to_vec(), much] {
        exchange.upload.send_data(Bytes::from(message.clone()), false).expect("room");
        let mut back = Vec::new();
        while back.len() < message.len() {
            back.extend(exchange.piece().await.expect("no error").expect("more"));
        }
        assert_eq!(back, message);
    }
    // The deadline of the request ended with the switch; the streams beside it go on.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    exchange.upload.send_data(Bytes::from_static(b"still here"), true).expect("room");
    assert_eq!(exchange.piece().await.expect("no error").expect("more"), "still here");
    let end = exchange.piece().await.expect("no error").unwrap_or_default();
    assert_eq!(end, "", "the end passes both ways");
    let head = within("the upstream", task).await.expect("no panic");
    assert_eq!((head.method(), head.target()), ("GET", "/chat?room=1"));
    assert!(head.lists("connection", "upgrade") && head.lists("upgrade", "websocket"), "{head:?}");
    assert_eq!((head.get("sec-websocket-version"), head.get("sec-websocket-protocol")), (Some("13"), Some("chat")));
}

#[tokio::test]
async fn an_upstream_that_does_not_prove_that_it_speaks_websocket_is_refused() {
    for wrong in [|_: &str| "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(), |key: &str| key.to_owned()] {
        let (address, _task) = upstream(wrong).await;
        let program = program(&format!("upstreams:\n  up:\n    url: http://{address}\n")).await;
        let mut http2 = Http2::connect(program.listen()).await;
        let (_, status, _) = opened(&mut http2).await;
        assert_eq!(status, 502);
    }
}

#[tokio::test]
async fn an_upstream_that_declines_opens_no_tunnel() {
    for (answer, expected) in [(Answer::ok("no"), 502), (Answer::status(403), 403), (Answer::status(204), 502)] {
        let (_server, program) = proxied(answer, "").await;
        let mut http2 = Http2::connect(program.listen()).await;
        let (_, status, _) = opened(&mut http2).await;
        assert_eq!(status, expected);
    }
}

#[tokio::test]
async fn other_protocols_than_websocket_are_not_connected() {
    let (server, program) = proxied(Behaviour::upgrade(), "").await;
    let mut http2 = Http2::connect(program.listen()).await;
    let _ = opened(&mut http2).await;
    let before = server.observed().counts().requests;
    let mut exchange = http2.open(connect("connect-udp"), false).await;
    assert_eq!(exchange.head().await.expect("an answer").0, 405);
    assert_eq!(server.observed().counts().requests, before);
}

#[tokio::test]
async fn a_tunnel_does_not_hold_up_the_end_for_long() {
    let (address, _task) = upstream(right).await;
    let policy = format!("drain: {{ timeout: 10m }}\nupstreams:\n  up:\n    url: http://{address}\n");
    let mut program = program(&policy).await;
    let mut http2 = Http2::connect(program.listen()).await;
    let (exchange, status, _) = opened(&mut http2).await;
    assert_eq!(status, 200);
    program.signal(Signal::Interrupt);
    assert_eq!(program.exit().await.code(), Some(0));
    drop(exchange);
}

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn a_websocket_reaches_an_upstream_of_http2_from_either_side() {
    let (server, program) = proxied(Behaviour::upgrade(), "protocol: http2").await;
    let mut http2 = Http2::connect(program.listen()).await;
    let (mut exchange, status, headers) = opened(&mut http2).await;
    assert_eq!(status, 200, "{headers:?}");
    exchange.upload.send_data(Bytes::from_static(b"hello"), false).expect("room");
    assert_eq!(exchange.piece().await.expect("no error").expect("more"), "hello");
    drop(exchange);

    let mut http1 = client(&program).await;
    http1.send(ASK).await;
    let head = http1.head().await.expect("a valid head").expect("a head");
    assert_eq!(head.status().expect("a status"), 101);
    assert!(head.lists("connection", "upgrade") && head.lists("upgrade", "websocket"), "{head:?}");
    assert_eq!(head.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    http1.send("ping").await;
    assert_eq!(http1.bytes(4).await, b"ping");
    for seen in server.observed().seen() {
        assert_eq!((seen.head.method(), seen.head.get("sec-websocket-key")), ("CONNECT", None), "{:?}", seen.head);
    }
}
