//! Connections that become old, on both sides: others take their place, and no request is lost.

use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{BOUND, Http2, Load, Program, eventually, within};

use crate::stage::{proxied, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Load until so many connections have come after the first ones.
async fn rotated(server: &FaultServer, program: &Program, connections: usize, more: u64) {
    let load = Load::start(program.listen(), connections, GET);
    load.progress(50).await;
    let first = server.observed().counts().accepted;
    eventually("other connections", async || (server.observed().counts().accepted >= first + more).then_some(())).await;
    let report = load.stop().await;
    report.assert_all(200);
    let counts = server.observed().counts();
    assert_eq!(counts.abandoned, 0, "{counts:?}");
}

#[tokio::test]
async fn connections_to_an_upstream_are_replaced_when_they_are_old() {
    let (server, program) = proxied(Answer::ok("well"), "keepAlive: { maxAge: 1s }").await;
    rotated(&server, &program, 4, 8).await;
}

#[tokio::test]
async fn a_shared_connection_is_replaced_before_it_is_left() {
    let (server, program) = proxied(Answer::ok("well"), "protocol: http2\nkeepAlive: { maxAge: 1s }").await;
    rotated(&server, &program, 4, 3).await;
    eventually("the old ones are closed", async || (server.observed().counts().open <= 2).then_some(())).await;
}

#[tokio::test]
async fn without_an_age_connections_stay() {
    let (server, program) = proxied(Answer::ok("well"), "protocol: http2").await;
    let load = Load::start(program.listen(), 4, GET);
    load.progress(3_000).await;
    load.stop().await.assert_all(200);
    assert_eq!(server.observed().counts().accepted, 1);
}

async fn inbound(keys: &str) -> (FaultServer, Program) {
    let app = upstream(Answer::ok("app")).await;
    let policy = format!("inbound:\n  listen: %in%\n  forward: {}\n{keys}", app.url());
    let policy = format!("version: 1\nadmin: {{ listen: %admin% }}\nmetrics: {{ listen: %metrics% }}\n{policy}");
    let program = crate::stage::program(&policy).await;
    (app, program)
}

#[tokio::test]
async fn callers_over_http1_are_asked_to_come_again_and_lose_nothing() {
    let (_app, program) = inbound("  keepAlive: { maxAge: 1s }\n").await;
    let mut client = outrigger::testing::Client::connect(program.address("in")).await;
    let last = within("the last answer on it", async {
        loop {
            let answer = client.get("/").await;
            assert_eq!(answer.status, 200);
            if answer.field("connection") == Some("close") {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(last.text(), "app");
    client.closed().await;
    let load = Load::start(program.address("in"), 4, GET);
    tokio::time::timeout(BOUND, load.progress(5_000)).await.expect("progress");
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(report.resent, 0, "no connection is closed under a request");
}

#[tokio::test]
async fn callers_over_http2_are_told_to_go_and_their_streams_finish() {
    let (_app, program) = inbound("  keepAlive: { maxAge: 1s }\n").await;
    let mut client = Http2::connect(program.address("in")).await;
    let mut answered = 0;
    within("the end of it", async {
        loop {
            match client.try_send(outrigger::testing::http2::request("GET", "/"), bytes::Bytes::new()).await {
                Ok(answer) => {
                    assert_eq!(answer.status, 200);
                    answered += 1;
                }
                Err(error) => {
                    assert!(error.is_go_away() || error.is_io() || !error.is_reset(), "{error}");
                    break;
                }
            }
        }
    })
    .await;
    assert!(answered > 10, "{answered}");
    let reason = within("the farewell", client.ended()).await.map(u32::from);
    assert_eq!(reason.unwrap_or(0), 0, "NO_ERROR");
}
