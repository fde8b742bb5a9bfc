//! Real chains, real sockets on loopback.

mod inbound;
mod material;
mod reload;
mod upstream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock;
use crate::policy::tls::{self as policy, ClientTls, ServerTls, TlsVersion};
use crate::reliability::Failure;
use crate::testing::{Authority, Leaf};

/// Far above anything that a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(20);
const WEB: &str = "spiffe://shop.example/ns/shop/sa/web";
const PAY: &str = "spiffe://shop.example/ns/shop/sa/payments";

fn soon() -> Instant {
    clock::now() + PATIENCE
}

/// A registry, and what it told.
struct Told {
    registry: Registry,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Told {
    fn new() -> Told {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let seen = Arc::clone(&events);
        let registry = Registry::new(Arc::new(move |event| seen.lock().unwrap().push(event.clone())));
        Told { registry, events }
    }

    fn acceptor(&self, spec: ServerTls) -> Arc<Acceptor> {
        self.registry.acceptor(&"app".into(), &Arc::new(spec)).unwrap()
    }

    fn connector(&self, spec: ClientTls) -> Arc<Connector> {
        self.registry.connector(&"payments".into(), &Arc::new(spec)).unwrap()
    }

    /// What was told since the last time.
    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    /// The sentence of the only refusal there was, with its word.
    fn refusal(&self) -> (&'static str, String) {
        match self.events().as_slice() {
            [Event::Refused { reason, told: Some(told), .. }] => (reason, told.why.clone()),
            other => panic!("one refusal was to be told: {other:?}"),
        }
    }
}

/// Our side of a directory with `tls.crt`, `tls.key` and `ca.crt`.
fn identity(directory: &Path) -> policy::Identity {
    policy::Identity { cert: directory.join("tls.crt"), key: directory.join("tls.key") }
}

fn server_spec(directory: &Path) -> ServerTls {
    ServerTls {
        identity: identity(directory),
        client_ca: Some(directory.join("ca.crt")),
        spiffe: vec![WEB.into()],
        min_version: TlsVersion::Tls12,
        http2: true,
    }
}

fn client_spec(directory: &Path) -> ClientTls {
    ClientTls {
        ca: Some(directory.join("ca.crt")),
        identity: Some(identity(directory)),
        spiffe: vec![PAY.into()],
        ..ClientTls::default()
    }
}

/// A directory with a certificate of this authority for this leaf, and the authority.
fn directory(authority: &Authority, leaf: &Leaf) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    authority.issue(leaf).write(directory.path());
    authority.write(directory.path());
    directory
}

fn web() -> Leaf {
    Leaf::client(WEB)
}

fn pay() -> Leaf {
    Leaf::server(&["payments.shop.svc", "127.0.0.1"]).uri(PAY)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What came of one connection on both sides. A byte goes each way, so that tickets have arrived, and so that a client
/// learns what the server thinks of its certificate.
async fn meet(
    acceptor: &Acceptor,
    connector: &Connector,
    host: &str,
) -> (Result<Accepted, HandshakeFailed>, Result<Connected, Failure>) {
    let (listener, address) = listener().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut accepted = acceptor.accept(stream, soon()).await?;
        accepted.stream.write_all(b"!").await.unwrap();
        accepted.stream.flush().await.unwrap();
        Ok(accepted)
    };
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut connected = connector.connect(stream, host, Offer::Either, soon()).await?;
        let mut byte = [0];
        let _ = connected.stream.read(&mut byte).await;
        Ok(connected)
    };
    tokio::join!(serve, call)
}

fn resumed(connected: &Connected) -> bool {
    match &connected.stream {
        Transport::Tls(tls) => tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
        Transport::Plain(_) => panic!("it is not encrypted"),
    }
}
