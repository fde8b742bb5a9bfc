//! A client's side of TLS: whom it trusts, who it says it is, what it asks for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::Identity;
use super::within;
use crate::faults::line::Line;
use crate::faults::tls;

/// How a test client speaks TLS. Clones share their sessions: one that connects twice resumes.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// What a [`ClientTls`] is made of.
#[derive(Clone, Debug)]
pub struct ClientTlsBuilder<'a> {
    roots: &'a str,
    name: &'a str,
    identity: Option<&'a Identity>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    resumes: bool,
}

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The protocol that ALPN chose.
    pub alpn: Option<String>,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The server's certificates (DER), leaf first.
    pub server: Vec<Vec<u8>>,
}

impl<'a> ClientTlsBuilder<'a> {
    /// Shows this certificate if the server asks for one.
    pub fn identity(mut self, identity: &'a Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Offers these protocols by ALPN; without this none.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
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

    /// Makes a full handshake every time.
    pub fn without_resumption(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// Reads the PEM texts; panics if they are none.
    pub fn build(self) -> ClientTls {
        match self.try_build() {
            Ok(tls) => tls,
            Err(e) => panic!("no TLS client can be made: {e}"),
        }
    }

    fn try_build(self) -> io::Result<ClientTls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&self.versions).map_err(io::Error::other)?;
        let builder = builder.with_root_certificates(tls::roots(self.roots)?);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(io::Error::other)?;
                let chain = tls::certificates(&identity.chain)?;
                builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?
            }
        };
        config.alpn_protocols = self.alpn;
        if !self.resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        let name = ServerName::try_from(self.name.to_owned()).map_err(io::Error::other)?;
        Ok(ClientTls { config: Arc::new(config), name })
    }
}

impl ClientTls {
    /// Trusts these roots (PEM), and expects this name, which it asks for by SNI unless it is an address.
    pub fn trusting<'a>(roots: &'a str, name: &'a str) -> ClientTlsBuilder<'a> {
        let versions = rustls::DEFAULT_VERSIONS.to_vec();
        ClientTlsBuilder { roots, name, identity: None, alpn: Vec::new(), versions, resumes: true }
    }

    /// Connects and makes the handshake. With TLS 1.3 a server that rejects the client's certificate is noticed only at
    /// the first read.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<(Line, Handshake)> {
        let stream = within("connecting", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        self.over(stream).await
    }

    /// Makes the handshake on this connection.
    pub async fn over(&self, stream: TcpStream) -> io::Result<(Line, Handshake)> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = within("a TLS handshake", connector.connect(self.name.clone(), stream)).await?;
        let connection = stream.get_ref().1;
        let chain = connection.peer_certificates().unwrap_or_default();
        let handshake = Handshake {
            alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            version: connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            server: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        };
        Ok((Line::secure(stream), handshake))
    }
}
