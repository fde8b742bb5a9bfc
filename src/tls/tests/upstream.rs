//! Servers: which of them are believed, and what is said of the others.

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::faults::tls::certificates;
use crate::testing::Identity as Shown;

/// A server that shows this, whatever is wrong with it.
fn shows(shown: &Shown) -> tokio_rustls::TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(certificates(&shown.chain).unwrap(), key).unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn calls(connector: &Connector, host: &str, shown: &Shown) -> Result<Connected, Failure> {
    let (listener, address) = listener().await;
    let acceptor = shows(shown);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
    };
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect(stream, host, Offer::Http1, soon()).await
    };
    tokio::join!(serve, call).1
}

/// One that looks at hosts.
fn by_host(directory: &Path) -> ClientTls {
    ClientTls { identity: None, spiffe: Vec::new(), ..client_spec(directory) }
}

#[tokio::test]
async fn a_host_is_believed_only_with_its_certificate() {
    let (ours, theirs) = (Authority::named("Ours"), Authority::named("Somebody else"));
    let files = directory(&ours, &web());
    let told = Told::new();
    let connector = told.connector(by_host(files.path()));
    let host = "payments.shop.svc";
    let key = rcgen::KeyPair::generate().unwrap();
    let alone = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let alone = Shown { chain: alone.pem(), key: key.serialize_pem() };
    let bad = [
        (ours.issue(&Leaf::server(&[host]).expired()), "expired at "),
        (ours.issue(&Leaf::server(&[host]).not_yet_valid()), "is not valid before "),
        (ours.issue(&Leaf::server(&["ledger.shop.svc"])), "is not for payments.shop.svc: it is for ledger.shop.svc"),
        (ours.issue(&Leaf::server(&[])), "it is for no name at all"),
        (ours.issue(&Leaf::server(&["127.0.0.1"])), "it is for 127.0.0.1"),
        (theirs.issue(&Leaf::server(&[host])), "an authority that is not believed here (Somebody else)"),
        (alone, "not believed here"),
        (ours.issue(&Leaf::client(PAY).name(host)), "is not for this purpose"),
    ];
    for (shown, sentence) in bad {
        let fresh = Told::new();
        let connector = fresh.connector(by_host(files.path()));
        assert_eq!(calls(&connector, host, &shown).await.unwrap_err(), Failure::TlsCertificate, "{sentence}");
        let (reason, why) = fresh.refusal();
        assert!(reason == "tls-certificate" && why.contains(sentence), "{why} / {sentence}");
    }
    let good = [
        (host, Leaf::server(&[host])),
        ("payments.shop.svc.", Leaf::server(&[host])),
        ("PAYMENTS.shop.svc", Leaf::server(&[host])),
        (host, Leaf::server(&["*.shop.svc"])),
        ("127.0.0.1", Leaf::server(&["127.0.0.1"])),
        ("[::1]", Leaf::server(&["::1"])),
    ];
    for (host, leaf) in good {
        assert!(calls(&connector, host, &ours.issue(&leaf)).await.is_ok(), "{host} {:?}", told.events());
    }
    assert!(calls(&connector, host, &ours.intermediate("Between").issue(&Leaf::server(&[host]))).await.is_ok());
}

#[tokio::test]
async fn a_host_without_a_name_is_refused_and_never_unchecked() {
    let ours = Authority::new();
    let files = directory(&ours, &web());
    let told = Told::new();
    let connector = told.connector(by_host(files.path()));
    let good = ours.issue(&Leaf::server(&["payments.shop.svc"]));
    for host in ["", ".", "not a host", "a_b:1"] {
        assert_eq!(calls(&connector, host, &good).await.unwrap_err(), Failure::TlsCertificate, "{host}");
    }
    // Another address than the certificate's, for which no name is asked: it is verified all the same.
    assert_eq!(calls(&connector, "127.0.0.2", &good).await.unwrap_err(), Failure::TlsCertificate);
}

#[tokio::test]
async fn a_name_of_the_policy_takes_the_place_of_the_host() {
    let ours = Authority::new();
    let files = directory(&ours, &web());
    let told = Told::new();
    let named = ClientTls { server_name: Some("payments.shop.svc".into()), ..by_host(files.path()) };
    let connector = told.connector(named);
    assert!(calls(&connector, "10.0.0.1", &ours.issue(&Leaf::server(&["payments.shop.svc"]))).await.is_ok());
    assert!(calls(&connector, "10.0.0.1", &ours.issue(&Leaf::server(&["10.0.0.1"]))).await.is_err());
}

#[tokio::test]
async fn with_ids_the_one_uri_decides_and_the_host_does_not() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let files = directory(&ours, &web());
    let other = "spiffe://shop.example/ns/shop/sa/other";
    let bad = [
        (ours.issue(&Leaf::server(&["a"]).uri(other)), format!("the id found is {other}, and {PAY} is wanted")),
        (ours.issue(&Leaf::server(&["a"]).uri(PAY).uri(other)), "it has 2 URIs".to_owned()),
        (ours.issue(&Leaf::server(&["a"])), "it has no URI".to_owned()),
        (theirs.issue(&Leaf::server(&["a"]).uri(PAY)), "not believed here".to_owned()),
        (ours.issue(&Leaf::server(&["a"]).uri(PAY).expired()), "expired at".to_owned()),
    ];
    for (shown, sentence) in bad {
        let told = Told::new();
        let connector = told.connector(client_spec(files.path()));
        assert_eq!(calls(&connector, "a", &shown).await.unwrap_err(), Failure::TlsCertificate, "{sentence}");
        let why = told.refusal().1;
        assert!(why.contains(&sentence), "{why} / {sentence}");
    }
    let told = Told::new();
    let connector = told.connector(client_spec(files.path()));
    for host in ["a", "another.host", "10.1.2.3"] {
        assert!(calls(&connector, host, &ours.issue(&Leaf::server(&[]).uri(PAY))).await.is_ok(), "{host}");
    }
}

#[tokio::test]
async fn sessions_are_resumed_and_never_under_another_identity() {
    let authority = Authority::new();
    let (server, client) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(server.path()));
    let connector = told.connector(client_spec(client.path()));
    assert!(!resumed(&meet(&acceptor, &connector, "payments").await.1.unwrap()));
    assert!(resumed(&meet(&acceptor, &connector, "payments").await.1.unwrap()));
    assert!(Arc::ptr_eq(&connector, &told.connector(client_spec(client.path()))), "the same words, the same sessions");
    // Another upstream with the same words, and the same upstream with another identity.
    let beside = told.registry.connector(&"ledger".into(), &Arc::new(client_spec(client.path()))).unwrap();
    assert!(!resumed(&meet(&acceptor, &beside, "payments").await.1.unwrap()));
    let second = directory(&authority, &web());
    let another = told.connector(client_spec(second.path()));
    assert!(!resumed(&meet(&acceptor, &another, "payments").await.1.unwrap()));
    // A new certificate in the same place.
    authority.issue(&web()).write(client.path());
    told.registry.reload();
    assert_eq!(connector.generation(), 1);
    assert!(!resumed(&meet(&acceptor, &connector, "payments").await.1.unwrap()));
    assert!(resumed(&meet(&acceptor, &connector, "payments").await.1.unwrap()));
}

/// A server that says this as soon as somebody connects, and then does `then`.
async fn greeted(bytes: &[u8], limit: Duration, then: impl AsyncFnOnce(TcpStream)) -> (Failure, String) {
    let authority = Authority::new();
    let files = directory(&authority, &web());
    let told = Told::new();
    let connector = told.connector(client_spec(files.path()));
    let (listener, address) = listener().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        then(stream).await;
    };
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect(stream, "payments", Offer::Either, clock::now() + limit).await
    };
    let failure = tokio::join!(serve, call).1.unwrap_err();
    (failure, told.refusal().1)
}

#[tokio::test]
async fn an_answer_in_clear_before_the_handshake_is_no_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut heard = Vec::new();
    let (failure, why) = greeted(answer, PATIENCE, async |mut stream| {
        let _ = stream.read_to_end(&mut heard).await;
    })
    .await;
    assert_eq!(failure, Failure::TlsFailed);
    assert!(why.contains("Does it speak in clear on this port?"), "{why}");
    assert!(heard.starts_with(&[0x16]), "nothing but a hello was sent");
}

#[tokio::test]
async fn a_server_that_resets_says_nothing_or_refuses_has_a_failure_of_its_own() {
    let (failure, why) = greeted(b"", PATIENCE, async |mut stream| {
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(failure, Failure::TlsFailed);
    assert!(why.contains("ended during the handshake"), "{why}");
    let silent = async |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    assert_eq!(greeted(b"", Duration::from_millis(50), silent).await.0, Failure::TlsTimeout);
    // A fatal alert: unknown authority.
    let (failure, why) = greeted(&[0x15, 3, 3, 0, 2, 2, 48], PATIENCE, silent).await;
    assert_eq!(failure, Failure::TlsAlert);
    assert!(why.contains("does not believe who vouches for our certificate"), "{why}");
}

#[tokio::test]
async fn the_default_of_the_process_changes_nothing() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let crippled = rustls::crypto::CryptoProvider { cipher_suites: Vec::new(), kx_groups: Vec::new(), ..provider };
    // The first one in this process wins, whoever installs it: ours does not look at it.
    let _ = crippled.install_default();
    let authority = Authority::new();
    let (server, client) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let (acceptor, connector) = (told.acceptor(server_spec(server.path())), told.connector(client_spec(client.path())));
    let (accepted, connected) = meet(&acceptor, &connector, "payments").await;
    assert!(accepted.unwrap().http2 && connected.unwrap().http2);
}

#[tokio::test]
async fn what_is_offered_is_what_is_agreed_on() {
    let authority = Authority::new();
    let (server, client) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let (acceptor, connector) = (told.acceptor(server_spec(server.path())), told.connector(client_spec(client.path())));
    for (offer, http2) in [(Offer::Http1, false), (Offer::Http2, true), (Offer::Either, true)] {
        let (listener, address) = listener().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream, soon()).await
        };
        let call = async {
            let stream = TcpStream::connect(address).await.unwrap();
            connector.connect(stream, "payments", offer, soon()).await
        };
        let (accepted, connected) = tokio::join!(serve, call);
        assert_eq!((accepted.unwrap().http2, connected.unwrap().http2), (http2, http2), "{offer:?}");
    }
}
