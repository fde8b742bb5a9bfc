//! A scripted upstream behind TLS: which certificate it shows, whom it lets in, and what it learned of the client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::line::Line;
use super::observe::SeenTls;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// How a server speaks TLS. Cloning shares its tickets and sessions.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

/// Whether a client has to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients<'a> {
    Unknown,
    /// Asked for one of this authority; those without one are let in, too.
    Asked(&'a str),
    /// Let in with one of this authority only.
    Required(&'a str),
}

/// What a [`ServerTls`] is made of.
#[derive(Clone, Debug)]
pub struct ServerTlsBuilder<'a> {
    chain: &'a str,
    key: &'a str,
    clients: Clients<'a>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
}

impl<'a> ServerTlsBuilder<'a> {
    /// Clients must show a certificate of this authority (PEM).
    pub fn requiring(mut self, authority: &'a str) -> Self {
        self.clients = Clients::Required(authority);
        self
    }

    /// Clients may show a certificate of this authority (PEM).
    pub fn asking(mut self, authority: &'a str) -> Self {
        self.clients = Clients::Asked(authority);
        self
    }

    /// TLS 1.2 only.
    pub fn only_tls12(mut self) -> Self {
        self.versions = vec![&rustls::version::TLS12];
        self
    }

    /// TLS 1.3 only.
    pub fn only_tls13(mut self) -> Self {
        self.versions = vec![&rustls::version::TLS13];
        self
    }

    /// What it offers by ALPN, in order; without this `h2` and `http/1.1`. None = it does not know ALPN.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Reads the PEM texts.
    pub fn build(self) -> io::Result<ServerTls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&self.versions).map_err(io::Error::other)?;
        let verifier = |authority: &str| {
            let roots = Arc::new(roots(authority)?);
            Ok::<_, io::Error>(WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)))
        };
        let builder = match self.clients {
            Clients::Unknown => builder.with_no_client_auth(),
            Clients::Asked(authority) => {
                let verifier = verifier(authority)?.allow_unauthenticated().build().map_err(io::Error::other)?;
                builder.with_client_cert_verifier(verifier)
            }
            Clients::Required(authority) => {
                builder.with_client_cert_verifier(verifier(authority)?.build().map_err(io::Error::other)?)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(io::Error::other)?;
        let mut config = builder.with_single_cert(certificates(self.chain)?, key).map_err(io::Error::other)?;
        config.alpn_protocols = self.alpn;
        Ok(ServerTls { config: Arc::new(config) })
    }
}

impl ServerTls {
    /// With this certificate chain and key (PEM): TLS 1.2 and 1.3, `h2` and `http/1.1`, clients unknown.
    pub fn of<'a>(chain: &'a str, key: &'a str) -> ServerTlsBuilder<'a> {
        let alpn = ["h2", "http/1.1"].map(|p| p.as_bytes().to_vec()).to_vec();
        let versions = rustls::DEFAULT_VERSIONS.to_vec();
        ServerTlsBuilder { chain, key, clients: Clients::Unknown, versions, alpn }
    }

    /// Makes the handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(Line, SeenTls)> {
        let handshake = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_MAX, handshake).await.map_err(io::Error::other)??;
        let connection = stream.get_ref().1;
        let seen = SeenTls {
            server_name: connection.server_name().map(str::to_owned),
            alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            version: connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client: connection.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec()),
        };
        Ok((Line::secure(stream), seen))
    }
}

/// The certificates of a PEM text; at least one.
pub(crate) fn certificates(pem: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(io::Error::other)?;
    if found.is_empty() { Err(io::Error::other("the text holds no certificate")) } else { Ok(found) }
}

/// The authorities of a PEM text.
pub(crate) fn roots(pem: &str) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(roots)
}
