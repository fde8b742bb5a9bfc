use std::time::Duration;

use bytes::Bytes;
use h2::Reason;

use crate::faults::{
    Abandoned, Answer, Behaviour, Counts, FaultServer, Greeting, Hangup, KEY, Listening, Point, Script, ServerTls,
    Version, grpc,
};
use crate::testing::http2::{grpc_request, request};
use crate::testing::{Authority, BOUND, Client, ClientTls, Http2, Leaf};

async fn start(script: impl Into<Script>) -> FaultServer {
    FaultServer::start(script).await.unwrap()
}

async fn until(server: &FaultServer, what: impl Fn(&Counts) -> bool) -> Counts {
    server.observed().until(BOUND, what).await.unwrap()
}

#[tokio::test]
async fn one_port_speaks_both_versions_and_the_script_means_the_same_in_both() {
    let server = start(Answer::status(503).field("x-a", "1").body("sorry")).await;
    let one = Client::connect(server.address()).await.post("/p?q", "", b"xyz").await;
    let two = Http2::connect(server.address()).await.post("/p?q", "xyz").await;
    assert_eq!((one.status, one.field("x-a"), one.text()), (two.status, two.field("x-a"), two.text()));
    let seen = server.observed().seen();
    assert_eq!((seen[1].head.method(), seen[1].head.target(), &*seen[1].head.line[2]), ("POST", "/p?q", "HTTP/2"));
    assert_eq!(seen[1].head.get(":authority"), Some("app.test"));
    assert_eq!(seen[0].body, seen[1].body);
    let counts = until(&server, |c| c.answered == 2 && c.serving == 0).await;
    assert_eq!((counts.executed, counts.bytes_in, counts.bytes_out), (2, 6, 10));
}

#[tokio::test]
async fn many_streams_share_one_connection_and_only_so_many_at_once() {
    let listening = Listening { max_streams: Some(2), ..Listening::default() };
    let server = FaultServer::start_as(listening, Behaviour::from(Answer::ok("x")).after(BOUND * 10)).await.unwrap();
    let mut client = Http2::connect(server.address()).await;
    let (mut first, _second) =
        (client.open(request("GET", "/1"), true).await, client.open(request("GET", "/2"), true).await);
    until(&server, |c| c.serving == 2).await;
    let _third = client.open(request("GET", "/3"), true).await;
    let early = server.observed().until(Duration::from_millis(50), |c| c.requests == 3).await;
    assert!(early.is_err(), "a third stream is held back by the client");
    first.reset(Reason::CANCEL);
    let counts = until(&server, |c| c.requests == 3 && c.resets == 1 && c.serving == 2).await;
    assert_eq!((counts.accepted, counts.abandoned), (1, 1));
}

#[tokio::test]
async fn bodies_trailers_and_cuts_are_those_of_the_script() {
    let server = start(Answer::ok("abc").trailer("x-sum", "6")).await;
    let mut client = Http2::connect(server.address()).await;
    let answer = client.get("/").await;
    assert_eq!(
        (answer.text().as_str(), answer.trailer("x-sum"), answer.field("content-length")),
        ("abc", Some("6"), None)
    );

    server.set(Answer::status(200).huge(3 << 20));
    assert_eq!(client.get("/").await.body.len(), 3 << 20);

    server.set(Answer::ok("0123456789").cut(4, Hangup::Stream(2)));
    let error = client.try_send(request("GET", "/"), Bytes::new()).await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));

    server.set(Answer::ok("0123456789").cut(4, Hangup::Reset));
    let mut stream = client.open(request("GET", "/"), true).await;
    stream.head().await.unwrap();
    assert_eq!(stream.piece().await.unwrap().unwrap(), "0123");
    assert!(stream.piece().await.unwrap_err().is_io());
}

#[tokio::test]
async fn an_end_without_an_answer_takes_the_stream_or_the_connection() {
    for (how, point, executions) in [(Hangup::Stream(7), Point::Head, 0), (Hangup::Stream(8), Point::Body, 1)] {
        let server = start(Behaviour::hang_up(how, point)).await;
        let mut client = Http2::connect(server.address()).await;
        let mut post = request("POST", "/");
        post.headers_mut().insert(KEY, "k".parse().unwrap());
        let error = client.try_send(post, "xyz".into()).await.unwrap_err();
        let Hangup::Stream(code) = how else { unreachable!() };
        assert_eq!(error.reason(), Some(code.into()));
        assert_eq!(server.observed().executions("k"), executions);
        server.set(Answer::ok("still there"));
        assert_eq!(client.get("/").await.text(), "still there");
    }
    let server = start(Behaviour::hang_up(Hangup::GoAway(11), Point::Body)).await;
    let mut client = Http2::connect(server.address()).await;
    client.try_send(request("GET", "/"), Bytes::new()).await.unwrap_err();
    assert_eq!(client.ended().await, Some(Reason::ENHANCE_YOUR_CALM));
    server.set(Behaviour::hang_up(Hangup::Reset, Point::Body));
    let mut client = Http2::connect(server.address()).await;
    assert!(client.try_send(request("GET", "/"), Bytes::new()).await.unwrap_err().is_io());
}

#[tokio::test]
async fn a_slot_is_free_again_when_its_stream_was_reset() {
    let script = Script::always(Behaviour::from(Answer::ok("")).after(BOUND * 10));
    let server = start(script.capacity(1, Abandoned::Cancelled)).await;
    let mut client = Http2::connect(server.address()).await;
    let mut first = client.open(request("GET", "/"), true).await;
    until(&server, |c| c.serving == 1).await;
    first.reset(Reason::CANCEL);
    let counts = until(&server, |c| c.serving == 0).await;
    assert_eq!((counts.abandoned, counts.resets, counts.open), (1, 1, 1));
}

#[tokio::test]
async fn grpc_answers_have_their_status_where_the_protocol_puts_it() {
    let server = start(Answer::grpc(["one", "two"], 0)).await;
    let mut client = Http2::connect(server.address()).await;
    let mut call = grpc_request("/shop.Cart/Add");
    call.headers_mut().insert("grpc-timeout", "250m".parse().unwrap());
    let answer = client.send(call, grpc::framed(b"in")).await;
    assert_eq!(answer.messages(), [b"one", b"two"]);
    assert_eq!((answer.grpc_status(), answer.trailer("grpc-status")), (Some(0), Some("0")));
    assert_eq!(server.observed().last().unwrap().grpc_timeout(), Some(Duration::from_millis(250)));

    server.set(Answer::grpc_status(14, "not now").pushback(70));
    let answer = client.unary("/shop.Cart/Add", b"in").await;
    assert_eq!((answer.field("grpc-status"), answer.grpc_message()), (Some("14"), Some("not now")));
    assert_eq!((answer.field("grpc-retry-pushback-ms"), answer.trailers.len()), (Some("70"), 0));

    server.set(Behaviour::grpc_echo());
    let mut call = client.open(grpc_request("/shop.Cart/Talk"), false).await;
    for word in ["a", "b"] {
        call.message(word.as_bytes(), false);
        assert_eq!(call.piece().await.unwrap().unwrap(), grpc::framed(word.as_bytes()));
    }
    call.message(b"c", true);
    assert_eq!(call.answer().await.unwrap().grpc_status(), Some(0));
}

#[tokio::test]
async fn extended_connect_becomes_an_echo_of_bytes() {
    let server = start(Behaviour::upgrade()).await;
    let mut client = Http2::connect(server.address()).await;
    // The server's SETTINGS allow it, and have come once something was answered.
    assert_eq!(client.get("/").await.status, 426);
    let mut connect = request("CONNECT", "/chat");
    connect.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let mut stream = client.open(connect, false).await;
    assert_eq!(stream.head().await.unwrap().0, 200);
    stream.upload.send_data(Bytes::from_static(&[0, 255]), false).unwrap();
    assert_eq!(&stream.piece().await.unwrap().unwrap()[..], [0, 255]);
    assert_eq!(server.observed().last().unwrap().head.get(":protocol"), Some("websocket"));
}

#[tokio::test]
async fn tls_chooses_the_version_and_tells_who_came() {
    let authority = Authority::new();
    let below = authority.intermediate("between");
    let identity = below.server(&["app.test", "127.0.0.1"]);
    let tls = ServerTls::of(&identity.chain, &identity.key).requiring(authority.root()).build().unwrap();
    let server = FaultServer::start_tls(tls, Answer::ok("hello")).await.unwrap();
    assert!(server.url().starts_with("https://"));

    let me = authority.client("spiffe://test/ns/shop/sa/cart");
    let trusting = |name| ClientTls::trusting(authority.root(), name).identity(&me);
    let h2 = trusting("app.test").alpn(&["h2", "http/1.1"]).build();
    let mut client = Http2::connect_tls(server.address(), &h2).await.unwrap();
    assert_eq!(client.get("/").await.text(), "hello");
    let seen = server.observed().last().unwrap().tls.unwrap();
    assert_eq!((seen.server_name.as_deref(), seen.alpn.as_deref()), (Some("app.test"), Some("h2")));
    assert!(seen.client.is_some() && !seen.resumed);

    let h1 = trusting("127.0.0.1").alpn(&["http/1.1"]).only_tls12().build();
    for resumed in [false, true] {
        let (mut client, handshake) = Client::connect_tls(server.address(), &h1).await.unwrap();
        assert_eq!((handshake.version.as_str(), handshake.resumed), ("TLSv1_2", resumed));
        assert_eq!(client.get("/").await.text(), "hello");
        assert_eq!(server.observed().last().unwrap().tls.unwrap().server_name, None);
    }

    let nobody = ClientTls::trusting(authority.root(), "app.test").only_tls12().build();
    Client::connect_tls(server.address(), &nobody).await.unwrap_err();
    until(&server, |c| c.strangers == 1).await;
}

#[tokio::test]
async fn certificates_that_must_fail_do_and_a_renewed_one_is_shown_to_the_next() {
    let authority = Authority::new();
    let tls = |identity: &crate::testing::Identity| ServerTls::of(&identity.chain, &identity.key).build().unwrap();
    let client = ClientTls::trusting(authority.root(), "app.test").build();
    let bad = [
        authority.issue(&Leaf::server(&["app.test"]).expired()),
        authority.issue(&Leaf::server(&["app.test"]).not_yet_valid()),
        authority.issue(&Leaf::server(&["other.test"])),
        authority.issue(&Leaf::client("spiffe://test/x").name("app.test")),
        Authority::new().server(&["app.test"]),
    ];
    let server = FaultServer::start_tls(tls(&bad[0]), Answer::ok("")).await.unwrap();
    for (number, identity) in bad.iter().enumerate() {
        server.renew(tls(identity));
        assert!(client.connect(server.address()).await.is_err(), "certificate {number}");
    }
    for kind in [crate::testing::certificates::KeyKind::Rsa, crate::testing::certificates::KeyKind::Ed25519] {
        let leaf = Leaf::server(&["app.test"]).expires_in(Duration::from_secs(60)).key(kind);
        server.renew(tls(&authority.issue(&leaf)));
        let (mut connection, _) = Client::connect_tls(server.address(), &client).await.unwrap();
        assert_eq!(connection.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_handshake_may_hang_and_one_version_may_be_all_that_is_spoken() {
    let authority = Authority::new();
    let identity = authority.server(&["app.test"]);
    let tls = ServerTls::of(&identity.chain, &identity.key).build().unwrap();
    let server = FaultServer::start_tls(tls, Script::always(Answer::ok("")).greeting(Greeting::Silence)).await.unwrap();
    let client = ClientTls::trusting(authority.root(), "app.test").build();
    let handshake = tokio::time::timeout(Duration::from_millis(100), client.connect(server.address()));
    assert!(handshake.await.is_err());

    let only = |only| Listening { only: Some(only), ..Listening::default() };
    let one = FaultServer::start_as(only(Version::Http1), Answer::ok("")).await.unwrap();
    let mut client = Http2::connect(one.address()).await;
    client.try_send(request("GET", "/"), Bytes::new()).await.unwrap_err();
    until(&one, |c| c.malformed == 1).await;
    let two = FaultServer::start_as(only(Version::Http2), Answer::ok("")).await.unwrap();
    let mut client = Client::connect(two.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!matches!(client.try_answer("GET").await, Ok(Some(_))));
    until(&two, |c| c.malformed == 1).await;
}

#[tokio::test]
async fn idle_connections_close_with_goaway_when_told() {
    let server = start(Answer::ok("")).await;
    let mut client = Http2::connect(server.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    server.close_idle();
    assert!(matches!(client.ended().await, None | Some(Reason::NO_ERROR)));
    until(&server, |c| c.open == 0).await;
}
