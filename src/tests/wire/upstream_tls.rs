//! Upstreams behind TLS: whom the program believes, what it agrees on, and what it keeps.

use std::path::PathBuf;
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Listening, Script, ServerTls, Version};
use outrigger::testing::Program;
use outrigger::testing::certificates::{Authority, Leaf};

use crate::stage::{client, program, until};

/// An authority, and where its certificate lies.
struct Trust {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Trust {
    fn new() -> Trust {
        Trust { authority: Authority::new(), directory: tempfile::tempdir().expect("a directory") }
    }

    fn ca(&self) -> PathBuf {
        self.authority.write(self.directory.path())
    }

    fn server(&self, leaf: &Leaf, alpn: &[&str]) -> ServerTls {
        let identity = self.authority.issue(leaf);
        ServerTls::of(&identity.chain, &identity.key).alpn(alpn).build().expect("a certificate of our own")
    }

    /// An upstream for 127.0.0.1 that speaks `alpn`, and the program in front of it.
    async fn proxied(&self, script: impl Into<Script>, alpn: &[&str], block: &str) -> (FaultServer, Program) {
        let tls = self.server(&Leaf::server(&["127.0.0.1"]), alpn);
        let server = FaultServer::start_tls(tls, script).await.expect("a server");
        let program = program(&self.policy(&server, block)).await;
        (server, program)
    }

    fn policy(&self, server: &FaultServer, block: &str) -> String {
        let lines: String = block.lines().map(|line| format!("    {line}\n")).collect();
        format!("upstreams:\n  up:\n    url: {}\n    tls: {{ ca: {} }}\n{lines}", server.url(), self.ca().display())
    }
}

fn agreed(server: &FaultServer) -> Vec<Option<String>> {
    let seen = server.observed().seen();
    seen.into_iter().map(|seen| seen.tls.expect("inside TLS").alpn.clone()).collect()
}

#[tokio::test]
async fn what_is_spoken_is_what_the_upstream_agrees_on() {
    for (alpn, expected) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let trust = Trust::new();
        let (server, program) = trust.proxied(Answer::ok("hello"), alpn, "").await;
        let mut client = client(&program).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), "hello");
        }
        assert_eq!(agreed(&server), vec![expected.map(str::to_owned); 3]);
        assert_eq!(server.observed().counts().accepted, 1, "{alpn:?}");
    }
}

#[tokio::test]
async fn the_policy_may_say_what_is_spoken() {
    let trust = Trust::new();
    let (server, program) = trust.proxied(Answer::ok("1"), &["h2", "http/1.1"], "protocol: http1").await;
    assert_eq!(client(&program).await.get("/").await.text(), "1");
    assert_eq!(agreed(&server), [Some("http/1.1".to_owned())]);
    let (_server, program) = trust.proxied(Answer::ok(""), &["http/1.1"], "protocol: http2").await;
    let answer = client(&program).await.get("/").await;
    assert_eq!((answer.status, answer.json()["sent"].as_str()), (502, Some("no")), "{}", answer.text());
    let clear = Listening { only: Some(Version::Http2), ..Listening::default() };
    let server = FaultServer::start_as(clear, Answer::ok("2")).await.expect("a server");
    let program = crate::stage::program(&crate::stage::policy_for(&server, "protocol: http2")).await;
    assert_eq!(client(&program).await.get("/").await.text(), "2");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_told_and_nothing_is_sent() {
    let trust = Trust::new();
    let tls = trust.server(&Leaf::server(&["other.test"]), &["h2", "http/1.1"]);
    let server = FaultServer::start_tls(tls, Answer::ok("")).await.expect("a server");
    let program = program(&trust.policy(&server, "retry: {}")).await;
    for method in ["GET", "POST"] {
        let mut client = client(&program).await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
        let problem = client.answer(method).await.json();
        assert_eq!(problem["reason"].as_str(), Some("tls-certificate"), "{problem}");
        assert_eq!(problem["sent"].as_str(), Some("no"), "{problem}");
    }
    assert_eq!(server.observed().counts().requests, 0);
}

#[tokio::test]
async fn a_server_that_refuses_our_certificate_is_told_and_has_seen_nothing() {
    let trust = Trust::new();
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let identity = trust.authority.issue(&Leaf::server(&["127.0.0.1"]));
        let tls = ServerTls::of(&identity.chain, &identity.key).alpn(alpn).requiring(trust.authority.root());
        let tls = tls.build().expect("a certificate of our own");
        let server = FaultServer::start_tls(tls, Answer::ok("")).await.expect("a server");
        // We have none to show. With TLS 1.3 that is said only when the handshake is over for us.
        let program = program(&trust.policy(&server, "")).await;
        let mut client = client(&program).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        let problem = client.answer("POST").await.json();
        // With HTTP/2 both sides speak at once, and the server may be gone before its last word is read.
        let told = if alpn == ["h2"] { &["tls-alert", "connect-failed"][..] } else { &["tls-alert"] };
        assert!(told.contains(&problem["reason"].as_str().unwrap_or_default()), "{alpn:?}: {problem}");
        assert_eq!(problem["sent"].as_str(), Some("no"), "{alpn:?}: {problem}");
        assert_eq!(server.observed().counts().requests, 0);
    }
}

#[tokio::test]
async fn session_tickets_on_idle_connections_do_not_stand_in_the_way_of_their_reuse() {
    let trust = Trust::new();
    let (server, program) = trust.proxied(Answer::ok("x"), &["http/1.1"], "").await;
    let mut clients = [client(&program).await, client(&program).await];
    for _ in 0..100 {
        for client in &mut clients {
            assert_eq!(client.get("/").await.status, 200);
        }
    }
    let counts = server.observed().counts();
    assert_eq!((counts.requests, counts.accepted), (200, 1), "one at a time: one connection is enough");
    assert_eq!(server.observed().seen()[0].tls.as_ref().expect("inside TLS").version, "TLSv1_3");
}

#[tokio::test]
async fn a_later_connection_resumes_the_session() {
    let trust = Trust::new();
    let (server, program) = trust.proxied(Answer::ok("x"), &["http/1.1"], "").await;
    let mut client = client(&program).await;
    assert_eq!(client.get("/").await.status, 200);
    server.close_idle();
    until(&server, |c| c.open == 0).await;
    assert_eq!(client.get("/").await.status, 200);
    let resumed: Vec<bool> =
        server.observed().seen().iter().map(|s| s.tls.as_ref().is_some_and(|t| t.resumed)).collect();
    assert_eq!(resumed, [false, true]);
}

#[tokio::test]
async fn a_certificate_that_is_renewed_under_load_costs_no_request() {
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let trust = Trust::new();
        let slow = Behaviour::from(Answer::ok("x")).after(Duration::from_millis(2));
        let (server, program) = trust.proxied(slow, alpn, "retry: {}").await;
        let listen = program.listen();
        let load = (0..8).map(|_| {
            tokio::spawn(async move {
                let mut client = outrigger::testing::Client::connect(listen).await;
                for _ in 0..150 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            })
        });
        let load: Vec<_> = load.collect();
        for round in 1..=4 {
            until(&server, |c| c.requests >= round * 200).await;
            server.renew(trust.server(&Leaf::server(&["127.0.0.1"]), alpn));
            server.close_idle();
        }
        for worker in load {
            worker.await.expect("every request was answered");
        }
        assert!(server.observed().counts().accepted >= 4, "{alpn:?}");
    }
}

#[tokio::test]
async fn other_words_mean_other_connections_and_what_is_under_way_finishes() {
    let trust = Trust::new();
    let slow =
        Script::sequence([Behaviour::from(Answer::ok("old")).after(Duration::from_millis(700))], Answer::ok("new"));
    let (server, mut program) = trust.proxied(slow, &["h2", "http/1.1"], "").await;
    let mut old = client(&program).await;
    old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&server, |c| c.serving == 1).await;
    program.write_policy(&trust.policy(&server, "protocol: http1"));
    program.metrics_when("the policy is in force", |m| m.sum("outrigger_policy_revision", &[]) >= 2.0).await;
    assert_eq!(client(&program).await.get("/").await.text(), "new");
    assert_eq!(old.answer("GET").await.text(), "old");
    assert_eq!(agreed(&server), [Some("h2".to_owned()), Some("http/1.1".to_owned())]);
}

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn protocols_are_switched_over_http1_where_the_upstream_may_choose_and_over_a_stream_where_it_may_not() {
    for (block, expected) in [("", "http/1.1"), ("protocol: http2", "h2")] {
        let trust = Trust::new();
        let (server, program) = trust.proxied(Behaviour::upgrade(), &["h2", "http/1.1"], block).await;
        let mut client = client(&program).await;
        client.send(ASK).await;
        let head = client.head().await.expect("a valid head").expect("a head");
        assert_eq!(head.status().expect("a status"), 101, "{block}");
        for message in [&b"\x81\x00"[..], &[7; 100_000]] {
            client.send(message).await;
            assert_eq!(client.bytes(message.len()).await, message);
        }
        assert_eq!(agreed(&server), [Some(expected.to_owned())]);
        drop(client);
        until(&server, |c| c.serving == 0).await;
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_switch_over_http2_is_not_asked() {
    let (server, program) = super::upstream_http2::framed("").await;
    let mut client = client(&program).await;
    client.send(ASK).await;
    let mut peer = server.accept(&[]).await;
    let problem = client.answer("GET").await.json();
    assert_eq!(
        (problem["reason"].as_str(), problem["sent"].as_str()),
        (Some("upgrade-failed"), Some("no")),
        "{problem}"
    );
    drop(program);
    let asked = peer.rest().await.into_iter().any(|frame| frame.kind == outrigger::testing::frames::kind::HEADERS);
    assert!(!asked);
}
