//! The accept loop: bounded in connections and time, and it ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Process, Stage, exchange, reply};
use crate::admin::serve::{CONNECTIONS_MAX, GRACE, HEAD_TIMEOUT, LIFETIME};

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let stage = Stage::healthy().await;
    let mut stream = TcpStream::connect(stage.admin).await.unwrap();
    let host = stage.admin;
    let request = format!(
        "GET /livez HTTP/1.1\r\nhost: {host}\r\n\r\nGET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answers = reply(&mut stream).await;
    assert!(answers.body.contains("HTTP/1.1 200 OK"), "the second answer follows the first: {answers:?}");
    stage.stop().await;
}

// Below, virtual time jumps to the next timer once all tasks wait, so the elapsed time is exact.

#[tokio::test(start_paused = true)]
async fn silent_connections_cannot_keep_a_probe_out() {
    let stage = Stage::healthy().await;
    let began = tokio::time::Instant::now();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX + 20 {
        let mut stream = TcpStream::connect(stage.metrics).await.unwrap();
        stream.write_all(b"GET /readyz HTT").await.unwrap();
        silent.push(stream);
    }
    let answer = exchange(stage.metrics, "GET /readyz HTTP/1.1\r\nhost: x\r\n", "").await;
    assert_eq!(answer.status, 200);
    // 20 too many, and the probe: the oldest had to go.
    let ended = silent[0].read(&mut [0; 64]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    // The youngest is still served.
    let last = silent.last_mut().unwrap();
    last.write_all(b"P/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(reply(last).await.status, 200);
    assert!(began.elapsed() < HEAD_TIMEOUT, "it was not the time limit that made room");
    drop(silent);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let stage = Stage::healthy().await;
    let began = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(stage.admin).await.unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!String::from_utf8_lossy(&bytes).contains("200 OK"));
    assert!((HEAD_TIMEOUT..LIFETIME).contains(&began.elapsed()), "{:?}", began.elapsed());
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_cut_off_and_nothing_happens() {
    let stage = Stage::healthy().await;
    let mut stream = TcpStream::connect(stage.admin).await.unwrap();
    let head = stage.post_head("/policy/reload");
    stream.write_all(format!("{head}content-length: 2\r\n\r\n{{").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!String::from_utf8_lossy(&bytes).contains("200 OK"));
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_does_not_pin_its_answer() {
    // More than two socket buffers hold.
    const ANSWER_BYTES: usize = 64 * 1024 * 1024;
    let mut process = Process::healthy();
    process.metrics = "#".repeat(ANSWER_BYTES);
    let stage = Stage::of(process).await;
    let mut stream = TcpStream::connect(stage.metrics).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    tokio::time::sleep(LIFETIME + GRACE).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.len() < ANSWER_BYTES, "the rest was given up");
    stage.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let stage = Stage::healthy().await;
    let mut stream = TcpStream::connect(stage.admin).await.unwrap();
    let head = format!("GET /status HTTP/1.1\r\nhost: localhost\r\nx-big: {}\r\n\r\n", "x".repeat(64 * 1024));
    // The server may close before all is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!String::from_utf8_lossy(&bytes).contains("200 OK"));
    assert_eq!(stage.get("/status").await.status, 200, "others are served on");
    stage.stop().await;
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_refuses_new_ones() {
    let stage = Stage::healthy().await;
    let admin = stage.admin;
    let mut idle = TcpStream::connect(admin).await.unwrap();
    idle.write_all(format!("GET /livez HTTP/1.1\r\nhost: {admin}\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 16];
    idle.read_exact(&mut first).await.unwrap();
    stage.stop().await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(admin).await.is_err(), "nobody listens any more");
}
