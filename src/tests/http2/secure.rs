use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer};
use outrigger::testing::http2::request;
use outrigger::testing::{Authority, Client, ClientTls, Http2, Identity, Program, Signal};

use crate::stage::{program, until, upstream};

const CALLER: &str = "spiffe://shop.test/ns/shop/sa/web";

/// The app, the program in front of it that demands certificates, and what a caller needs.
struct Stage {
    app: FaultServer,
    program: Program,
    authority: Authority,
    caller: Identity,
    _files: tempfile::TempDir,
}

impl Stage {
    /// `block`: further lines of `inbound`, indented.
    async fn new(script: impl Into<outrigger::faults::Script>, block: &str) -> Stage {
        let (authority, app) = (Authority::new(), upstream(script).await);
        let files = tempfile::tempdir().expect("a directory");
        let server = authority.server(&["app.test"]).write(files.path());
        let ca = authority.write(files.path());
        let policy = format!(
            "drain: {{ timeout: 10m }}\ninbound:\n  listen: %inbound%\n  forward: {}\n  tls:\n    cert: {}\n    key: {}\n    \
             clientCa: {}\n    spiffe: [{CALLER}]\n{block}",
            app.url(),
            server.cert.display(),
            server.key.display(),
            ca.display(),
        );
        let caller = authority.client(CALLER);
        Stage { app, program: program(&policy).await, authority, caller, _files: files }
    }

    fn tls(&self, alpn: &[&str]) -> ClientTls {
        ClientTls::trusting(self.authority.root(), "app.test").identity(&self.caller).alpn(alpn).build()
    }

    fn address(&self) -> std::net::SocketAddr {
        self.program.address("inbound")
    }
}

#[tokio::test]
async fn what_alpn_comes_to_is_spoken() {
    let stage = Stage::new(Answer::ok("hello"), "").await;
    let mut http2 = Http2::connect_tls(stage.address(), &stage.tls(&["h2", "http/1.1"])).await.expect("a session");
    for _ in 0..3 {
        assert_eq!(http2.get("/").await.text(), "hello");
    }
    assert!(stage.app.observed().seen()[0].head.get("via").is_some_and(|via| via.starts_with("2.0 ")));
    for offered in [&["http/1.1"][..], &[]] {
        let (mut http1, _) = Client::connect_tls(stage.address(), &stage.tls(offered)).await.expect("a session");
        assert_eq!(http1.get("/").await.text(), "hello", "{offered:?}");
        assert_eq!(http1.post("/", "", &[7; 100_000]).await.text(), "hello");
    }
}

#[tokio::test]
async fn a_connection_that_was_parked_inside_tls_is_served_again() {
    let stage = Stage::new(Answer::ok("hello"), "").await;
    let (mut http1, _) = Client::connect_tls(stage.address(), &stage.tls(&["http/1.1"])).await.expect("a session");
    for _ in 0..3 {
        assert_eq!(http1.get("/").await.text(), "hello");
        // Longer than it takes to be parked.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
    }
    // In two pieces, with a rest between them.
    http1.send("GET / HTTP/1.1\r\nHo").await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    http1.send("st: a\r\n\r\n").await;
    assert_eq!(http1.answer("GET").await.text(), "hello");
}

#[tokio::test]
async fn nothing_is_answered_in_clear_where_tls_is_wanted() {
    let stage = Stage::new(Answer::ok("hello"), "").await;
    for bytes in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}"]
    {
        let mut clear = Client::connect(stage.address()).await;
        clear.send(bytes).await;
        // An alert of TLS at most.
        let said = clear.bytes(1 << 20).await;
        assert!(said.len() < 20 && !said.starts_with(b"HTTP"), "{}", said.escape_ascii());
    }
    assert_eq!(stage.app.observed().counts().accepted, 0);
    let refused = |m: &outrigger::testing::Metrics| m.sum("outrigger_tls_refused_total", &[("reason", "protocol")]);
    stage.program.metrics_when("they are counted", |m| refused(m) >= 2.0).await;
}

#[tokio::test]
async fn callers_without_the_right_certificate_send_no_request() {
    let stage = Stage::new(Answer::ok("hello"), "").await;
    let (other, stranger) =
        (stage.authority.client("spiffe://shop.test/ns/shop/sa/other"), Authority::new().client(CALLER));
    let trusting = || ClientTls::trusting(stage.authority.root(), "app.test").alpn(&["http/1.1"]);
    for tls in [trusting().build(), trusting().identity(&other).build(), trusting().identity(&stranger).build()] {
        // With TLS 1.3 a client learns at its first read what became of its certificate.
        if let Ok((mut client, _)) = Client::connect_tls(stage.address(), &tls).await {
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(!matches!(client.try_answer("GET").await, Ok(Some(_))));
        }
    }
    assert_eq!(stage.app.observed().counts().accepted, 0);
    let mut right = Http2::connect_tls(stage.address(), &stage.tls(&["h2"])).await.expect("a session");
    assert_eq!(right.get("/").await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_gives_its_place_back() {
    let stage = Stage::new(Answer::ok("hello"), "  limits: { connections: 1 }\n").await;
    let mut silent = Client::connect(stage.address()).await;
    // The first bytes of a ClientHello, and no more.
    silent.send([22, 3, 1, 2, 0, 1]).await;
    let said = silent.bytes(1 << 20).await;
    assert!(said.len() < 20, "{}", said.escape_ascii());
    outrigger::testing::eventually("its place is free", async || {
        let mut http2 = Http2::connect_tls(stage.address(), &stage.tls(&["h2"])).await.ok()?;
        (http2.try_send(request("GET", "/"), bytes::Bytes::new()).await.ok()?.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_waits_for_streams_inside_tls_and_not_for_handshakes() {
    let slow = Behaviour::from(Answer::ok("done")).after(Duration::from_millis(500));
    let mut stage = Stage::new(slow, "").await;
    let half = Client::connect(stage.address()).await;
    half.send([22, 3, 1, 2, 0, 1]).await;
    let mut http2 = Http2::connect_tls(stage.address(), &stage.tls(&["h2"])).await.expect("a session");
    let exchange = http2.open(request("GET", "/"), true).await;
    until(&stage.app, |counts| counts.serving == 1).await;
    stage.program.signal(Signal::Terminate);
    assert_eq!(exchange.answer().await.expect("an answer").text(), "done");
    assert_eq!(http2.ended().await, None, "no error");
    assert_eq!(stage.program.exit().await.code(), Some(0));
    drop(half);
}
