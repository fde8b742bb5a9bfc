//! The `websockets` library of Python on both ends.

use super::{Encrypted, Peer, python};
use crate::stage::program;

const SERVER: &str = include_str!("websocket_server.py");
const CLIENT: &str = include_str!("websocket_client.py");

/// What the client prints: subprotocol and extension agreed on, and the server's answer to its close.
const SAID: &str = "chat permessage-deflate\n4000 enough\n";

#[tokio::test]
async fn a_websocket_carries_text_bytes_pings_and_its_close_code() {
    let (server, port) = Peer::python(SERVER, &[]).await;
    let program = program(&format!("upstreams:\n  up:\n    url: http://127.0.0.1:{port}\n")).await;
    assert_eq!(python(CLIENT, &[&format!("ws://{}/", program.listen())]).await, SAID);
    assert_eq!(server.says("closed ").await, "4000 enough");
}

#[tokio::test]
async fn a_websocket_passes_from_pod_to_pod_inside_mutual_tls() {
    let files = Encrypted::new();
    let (server, port) = Peer::python(SERVER, &[]).await;
    let theirs = files.inbound(&format!("http://127.0.0.1:{port}"), "").await;
    let ours = files.outbound(theirs.address("inbound").port(), "").await;
    assert_eq!(python(CLIENT, &[&format!("ws://{}/", ours.listen())]).await, SAID);
    assert_eq!(server.says("closed ").await, "4000 enough");

    let url = format!("wss://localhost:{}/", theirs.address("inbound").port());
    let (ca, chain, key) = (files.path("ca.crt"), files.path("client.crt"), files.path("client.key"));
    assert_eq!(python(CLIENT, &[&url, &ca, &chain, &key]).await, SAID);
}
