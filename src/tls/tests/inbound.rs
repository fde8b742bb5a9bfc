//! Callers: whom a listener lets in, and what it says of the others.

use super::*;
use crate::faults::tls::certificates;
use crate::testing::ClientTls as Caller;
use rustls::pki_types::CertificateDer;

/// The listener's answer to a caller with this certificate, and the sentence about it.
async fn called_by(
    authority: &Authority,
    callers: &Authority,
    leaf: &Leaf,
) -> (Result<Accepted, HandshakeFailed>, Told) {
    let ours = directory(authority, &pay());
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(ours.path()));
    let shown = callers.issue(leaf);
    let caller = Caller::trusting(authority.root(), "payments.shop.svc").identity(&shown).alpn(&["h2"]).build();
    let (listener, address) = listener().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream, soon()).await
    };
    let (accepted, line) = tokio::join!(serve, caller.connect(address));
    drop(line);
    (accepted, told)
}

#[tokio::test]
async fn a_caller_whose_id_is_listed_gets_in_and_is_known_by_it() {
    let authority = Authority::new();
    let (accepted, told) = called_by(&authority, &authority, &web().name("web.shop.svc")).await;
    let accepted = accepted.unwrap();
    let peer = accepted.peer.unwrap();
    assert_eq!((peer.spiffe.as_deref(), peer.names.len(), accepted.http2), (Some(WEB), 1, true));
    assert!(told.events().is_empty());
}

#[tokio::test]
async fn every_other_caller_is_refused_with_the_certificate_and_the_reason() {
    let (ours, theirs) = (Authority::new(), Authority::named("Somebody else"));
    let other = "spiffe://shop.example/ns/shop/sa/other";
    let cases = [
        (
            &ours,
            Leaf::client(other),
            HandshakeFailed::Identity,
            format!("the id found is {other}, and {WEB} is wanted"),
        ),
        (
            &ours,
            web().uri(PAY),
            HandshakeFailed::Identity,
            "it has 2 URIs, and a SPIFFE certificate has exactly one".into(),
        ),
        (&ours, Leaf::client("https://web"), HandshakeFailed::Identity, "https://web, which is no SPIFFE id".into()),
        (&ours, Leaf::server(&["web"]).both(), HandshakeFailed::Identity, "it has no URI".into()),
        (&theirs, web(), HandshakeFailed::Certificate, "an authority that is not believed here (Somebody else)".into()),
        (&ours, web().expired(), HandshakeFailed::Certificate, "expired at ".into()),
        (&ours, web().not_yet_valid(), HandshakeFailed::Certificate, "is not valid before ".into()),
        (&ours, Leaf::server(&[]).uri(WEB), HandshakeFailed::Certificate, "is not for this purpose".into()),
    ];
    for (callers, leaf, failed, sentence) in cases {
        let (accepted, told) = called_by(&ours, callers, &leaf).await;
        assert_eq!(accepted.unwrap_err(), failed, "{sentence}");
        let (reason, why) = told.refusal();
        assert_eq!(reason, failed.as_str());
        assert!(why.contains(&sentence), "{why} / {sentence}");
        assert!(!sentence.contains("exp") || why.contains(WEB), "whose it is: {why}");
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let ours = directory(&authority, &pay());
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(ours.path()));
    let stranger = told.connector(ClientTls { identity: None, ..client_spec(ours.path()) });
    let (accepted, _) = meet(&acceptor, &stranger, "payments.shop.svc").await;
    assert_eq!(accepted.unwrap_err(), HandshakeFailed::Certificate);
    assert!(told.refusal().1.contains("no certificate, and one is demanded"));
}

#[tokio::test]
async fn without_a_client_ca_nobody_is_asked() {
    let authority = Authority::new();
    let ours = directory(&authority, &pay());
    let told = Told::new();
    let acceptor = told.acceptor(ServerTls { client_ca: None, spiffe: Vec::new(), ..server_spec(ours.path()) });
    let caller = told.connector(ClientTls { identity: None, ..client_spec(ours.path()) });
    let (accepted, connected) = meet(&acceptor, &caller, "payments.shop.svc").await;
    assert!(accepted.unwrap().peer.is_none() && connected.unwrap().http2);
}

#[tokio::test]
async fn an_id_that_is_taken_off_the_list_does_not_come_back_with_a_resumed_session() {
    let authority = Authority::new();
    let (ours, theirs) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let open = told.acceptor(ServerTls { spiffe: vec![WEB.into(), PAY.into()], ..server_spec(ours.path()) });
    let caller = told.connector(client_spec(theirs.path()));
    assert!(!resumed(&meet(&open, &caller, "payments").await.1.unwrap()));
    let again = meet(&open, &caller, "payments").await;
    assert!(resumed(&again.1.unwrap()));
    assert_eq!(again.0.unwrap().peer.unwrap().spiffe.as_deref(), Some(WEB), "it is known by its first handshake");
    // The policy now names another: the words are other ones, and thereby the acceptor and its tickets.
    let closed = told.acceptor(ServerTls { spiffe: vec![PAY.into()], ..server_spec(ours.path()) });
    let (accepted, _) = meet(&closed, &caller, "payments").await;
    assert_eq!(accepted.unwrap_err(), HandshakeFailed::Identity);
}

/// The look after the handshake is what a resumed session gets, whatever let it be resumed.
#[test]
fn a_certificate_that_has_expired_since_its_session_began_is_found_by_the_look_after_the_handshake() {
    let authority = Authority::new();
    let read = |leaf: &Leaf| {
        let chain = certificates(&authority.issue(leaf).chain).unwrap();
        certificate::Certificate::read(&chain[0]).unwrap()
    };
    let listed: [Arc<str>; 1] = [WEB.into()];
    assert!(refusal::Refused::after_handshake(&read(&web()), &listed).is_ok());
    let expired = refusal::Refused::after_handshake(&read(&web().expired()), &listed).unwrap_err();
    assert!(!expired.by_id && expired.why.contains("expired at"), "{expired}");
    assert!(refusal::Refused::after_handshake(&read(&pay()), &listed).unwrap_err().by_id);
    assert!(refusal::Refused::after_handshake(&read(&pay()), &[]).is_ok());
}

#[tokio::test]
async fn a_hello_in_single_bytes_is_as_good_as_a_whole_one() {
    let authority = Authority::new();
    let (ours, theirs) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(ours.path()));
    let connector = told.connector(client_spec(theirs.path()));
    let ((inner, behind), (outer, address)) = (listener().await, listener().await);
    let slow = async {
        let (mut client, _) = outer.accept().await.unwrap();
        let mut server = TcpStream::connect(behind).await.unwrap();
        server.set_nodelay(true).unwrap();
        let mut hello = [0; 64];
        client.read_exact(&mut hello).await.unwrap();
        for byte in hello {
            server.write_all(&[byte]).await.unwrap();
        }
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    };
    let serve = async {
        let (stream, _) = inner.accept().await.unwrap();
        acceptor.accept(stream, soon()).await.map(drop)
    };
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect(stream, "payments", Offer::Either, soon()).await.map(drop)
    };
    let (_, accepted, connected) = tokio::join!(slow, serve, call);
    assert_eq!((accepted, connected), (Ok(()), Ok(())));
}

/// What a listener says to a client that sends this, and then does `then`.
async fn sent(bytes: &[u8], then: impl FnOnce(TcpStream) -> Option<TcpStream>) -> (HandshakeFailed, Vec<Event>) {
    let authority = Authority::new();
    let ours = directory(&authority, &pay());
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(ours.path()));
    let (listener, address) = listener().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let kept = then(client);
    let failed = acceptor.accept(stream, soon()).await.unwrap_err();
    drop(kept);
    (failed, told.events())
}

/// A ClientHello of TLS 1.1: two old suites, no extension.
const HELLO_11: &[u8] = &[
    0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0,
];

#[tokio::test]
async fn old_tls_and_no_tls_are_refused_with_what_they_are() {
    let (failed, events) = sent(HELLO_11, Some).await;
    assert_eq!(failed, HandshakeFailed::Protocol, "{events:?}");
    let (failed, events) = sent(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some).await;
    assert_eq!(failed, HandshakeFailed::Protocol);
    assert!(format!("{events:?}").contains("Does it speak in clear on this port?"), "{events:?}");
}

#[tokio::test]
async fn who_goes_away_during_the_handshake_is_gone_and_no_news() {
    // A probe that connects and closes, and one that resets in the middle of its hello.
    for bytes in [b"".as_slice(), &HELLO_11[..20]] {
        let (failed, events) = sent(bytes, |client| {
            client.set_zero_linger().unwrap();
            None
        })
        .await;
        assert_eq!(failed, HandshakeFailed::Gone);
        let told = events.iter().any(|event| matches!(event, Event::Refused { told: Some(_), .. }));
        assert!(!told && events.len() == 1, "it is counted, and not told: {events:?}");
    }
}

#[tokio::test]
async fn an_acceptor_that_wants_the_newest_version_refuses_the_one_before() {
    let authority = Authority::new();
    let ours = directory(&authority, &pay());
    let told = Told::new();
    let spec = ServerTls { client_ca: None, spiffe: Vec::new(), ..server_spec(ours.path()) };
    let acceptor = told.acceptor(ServerTls { min_version: TlsVersion::Tls13, ..spec });
    let old = Caller::trusting(authority.root(), "payments.shop.svc").only_tls12().build();
    let (listener, address) = listener().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream, soon()).await.map(drop)
    };
    let (accepted, called) = tokio::join!(serve, old.connect(address));
    assert_eq!(accepted.unwrap_err(), HandshakeFailed::Protocol);
    assert!(called.is_err() && told.refusal().1.contains("no version of TLS that is allowed here"));
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_told_once() {
    let rate = refusal::Rate::default();
    let start = clock::now();
    assert_eq!(rate.tell("certificate", start), Some(0));
    assert_eq!((0..50).filter_map(|_| rate.tell("certificate", start)).count(), 0);
    assert_eq!(rate.tell("identity", start), Some(0), "another reason is told at once");
    assert_eq!(rate.tell("certificate", start + Duration::from_secs(10)), Some(50));
}

#[test]
fn a_certificate_that_is_none_is_never_read_as_one() {
    let authority = Authority::new();
    let chain = certificates(&authority.issue(&pay()).chain).unwrap();
    let whole: &CertificateDer<'_> = &chain[0];
    assert_eq!(certificate::Certificate::read(whole).unwrap().spiffe(), Ok(PAY));
    for end in 0..whole.len() {
        assert!(certificate::Certificate::read(&whole[..end]).is_none(), "cut at {end}");
    }
    // Whatever single byte is another: it is read, or it is not; nothing else happens.
    let mut bytes = whole.to_vec();
    for at in 0..bytes.len() {
        let before = bytes[at];
        for value in [0, 0x1f, 0x7f, 0x80, 0x84, 0xff] {
            bytes[at] = value;
            let _ = certificate::Certificate::read(&bytes);
        }
        bytes[at] = before;
    }
}
