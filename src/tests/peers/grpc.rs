//! grpcio, which is gRPC's own C core, as client and as server.

use std::net::SocketAddr;

use outrigger::testing::{Program, free_address};

use super::{Encrypted, Peer, python};
use crate::stage::program;

const SERVER: &str = include_str!("grpc_server.py");
const CLIENT: &str = include_str!("grpc_client.py");

/// The program in front of a server of grpcio. `block`: keys of the upstream, one a line.
async fn served(block: &str) -> (Peer, Program) {
    let (server, port) = Peer::python(SERVER, &[]).await;
    let lines: String = block.lines().map(|line| format!("    {line}\n")).collect();
    let policy = format!("upstreams:\n  up:\n    url: http://127.0.0.1:{port}\n{lines}");
    (server, program(&policy).await)
}

async fn ask(address: SocketAddr, step: &str) -> Vec<String> {
    let said = python(CLIENT, &[&address.to_string(), step]).await;
    said.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_unary_call_keeps_its_message_and_all_of_its_metadata() {
    let (_server, program) = served("").await;
    assert_eq!(ask(program.listen(), "unary").await, [r"cba 1 b'\x00\xff' yes b'\x01\x02'"]);
    assert_eq!(ask(program.listen(), "big").await, ["True"]);
}

#[tokio::test]
async fn streams_of_messages_pass_in_each_direction_and_in_both_at_once() {
    let (_server, program) = served("").await;
    assert_eq!(ask(program.listen(), "streams").await, ["['0', '1', '2', '3', '4']", "321"]);
    assert_eq!(ask(program.listen(), "chat").await, ["ONE", "TWO", "THREE", "OK 1"]);
}

#[tokio::test]
async fn three_hundred_calls_at_once_are_all_answered() {
    let (_server, program) = served("limits: { requests: 512, connections: 512 }").await;
    assert_eq!(ask(program.listen(), "many").await, ["300"]);
}

#[tokio::test]
async fn a_failure_of_the_app_keeps_its_code_and_its_words() {
    let (_server, program) = served("").await;
    let said = ask(program.listen(), "refuse").await;
    assert_eq!(said, ["INVALID_ARGUMENT no: why", "UNIMPLEMENTED Method not found!"]);
}

#[tokio::test]
async fn an_unavailable_call_is_made_again_where_the_policy_permits_it_and_nowhere_else() {
    let block = "retry: { attempts: 2, methods: all, backoff: 1ms, maxBackoff: 5ms }";
    let (server, program) = served(block).await;
    assert_eq!(ask(program.listen(), "flaky").await, ["3"]);
    assert_eq!(server.says("try 3 ").await, "2", "grpc-previous-rpc-attempts");

    let (_server, program) = served("").await;
    assert_eq!(ask(program.listen(), "plain_flaky").await, ["UNAVAILABLE not yet, größer"]);
}

#[tokio::test]
async fn the_deadline_of_a_call_reaches_the_app_and_ends_the_call() {
    let (server, program) = served("").await;
    let said = ask(program.listen(), "deadline").await;
    assert!(said[0].starts_with("DEADLINE_EXCEEDED"), "{said:?}");
    let left: f64 = server.says("left ").await.parse().expect("seconds");
    assert!(left > 0.0 && left <= 0.5, "{left}");
    server.says("gone").await;
}

#[tokio::test]
async fn a_call_that_its_client_cancels_is_cancelled_at_the_app() {
    let (server, program) = served("").await;
    assert_eq!(ask(program.listen(), "cancel").await, ["begun", "CANCELLED"]);
    server.says("gone").await;
}

#[tokio::test]
async fn a_call_to_an_app_that_is_down_fails_as_a_call_does() {
    let policy = format!("upstreams:\n  up:\n    url: http://{}\n", free_address());
    let program = program(&policy).await;
    let said = ask(program.listen(), "down").await;
    assert!(said[0].starts_with("UNAVAILABLE "), "{said:?}");
    assert!(!said[0].contains("Received http2 header"), "the client had to guess from an HTTP status: {said:?}");
}

#[tokio::test]
async fn calls_pass_from_pod_to_pod_inside_mutual_tls() {
    let files = Encrypted::new();
    let (_server, port) = Peer::python(SERVER, &[]).await;
    let theirs = files.inbound(&format!("http://127.0.0.1:{port}"), "protocol: http2\nlimits: { requests: 512 }").await;
    let ours = files.outbound(theirs.address("inbound").port(), "limits: { requests: 512, connections: 512 }").await;
    assert_eq!(ask(ours.listen(), "chat").await, ["ONE", "TWO", "THREE", "OK 1"]);
    assert_eq!(ask(ours.listen(), "many").await, ["300"]);
}

#[tokio::test]
async fn grpcio_itself_ends_and_begins_the_tls() {
    let files = Encrypted::new();
    let (key, cert, ca) = (files.path("tls.key"), files.path("tls.crt"), files.path("ca.crt"));
    let (_server, port) = Peer::python(SERVER, &[&key, &cert, &ca]).await;
    let program = files.outbound(port, "").await;
    assert_eq!(ask(program.listen(), "unary").await, [r"cba 1 b'\x00\xff' yes b'\x01\x02'"]);

    let (_server, port) = Peer::python(SERVER, &[]).await;
    let program = files.inbound(&format!("http://127.0.0.1:{port}"), "protocol: http2").await;
    let address = format!("localhost:{}", program.address("inbound").port());
    let (chain, key) = (files.path("client.crt"), files.path("client.key"));
    let said = python(CLIENT, &[&address, "chat", &ca, &chain, &key]).await;
    assert_eq!(said.lines().collect::<Vec<_>>(), ["ONE", "TWO", "THREE", "OK 1"]);
}
