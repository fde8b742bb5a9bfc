//! Certificates of one run: an authority of its own, the proxies' and the upstreams' certificates, and the client's.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger::faults::ServerTls;
use outrigger::testing::{Authority, Identity, Leaf};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::scenario::{Protocol, Tls};

/// The name in the servers' certificates, besides the loopback address.
pub const NAME: &str = "app.test";

/// What both ends of the load, and the proxies between them, say they are.
#[derive(Debug)]
pub struct Credentials {
    /// Where `ca.crt`, `proxy.crt`, `proxy.key` and `proxy.pem`, `client.crt`, `client.key` and `client.pem` lie.
    pub folder: PathBuf,
    root: String,
    upstream: Identity,
    client: Identity,
}

impl Credentials {
    /// Makes them, in a folder of their own below `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make(folder: &Path) -> Result<Credentials, String> {
        let authority = Authority::named("outrigger-bench");
        let server = || authority.server(&[NAME, "127.0.0.1"]);
        let client = authority.issue(&Leaf::client("spiffe://bench.test/client").both());
        let made = Credentials {
            folder: folder.join("certificates"),
            root: authority.root().to_owned(),
            upstream: server(),
            client,
        };
        made.write(&server()).map_err(|e| format!("{}: {e}", made.folder.display()))?;
        Ok(made)
    }

    fn write(&self, proxy: &Identity) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join("ca.crt"), &self.root)?;
        for (name, identity) in [("proxy", proxy), ("client", &self.client)] {
            fs::write(self.folder.join(format!("{name}.crt")), &identity.chain)?;
            fs::write(self.folder.join(format!("{name}.key")), &identity.key)?;
            // HAProxy reads both from one file.
            fs::write(self.folder.join(format!("{name}.pem")), [identity.chain.as_str(), &identity.key].concat())?;
        }
        Ok(())
    }

    /// The upstreams' side.
    ///
    /// # Errors
    /// The library refuses what was made here.
    pub fn upstream(&self, tls: Tls) -> Result<Option<ServerTls>, String> {
        let builder = ServerTls::of(&self.upstream.chain, &self.upstream.key);
        let built = match tls {
            Tls::None => return Ok(None),
            Tls::Server => builder.build(),
            Tls::Mutual => builder.requiring(&self.root).build(),
        };
        built.map(Some).map_err(|e| format!("TLS of the upstreams: {e}"))
    }

    /// The clients' side.
    ///
    /// # Errors
    /// The library refuses what was made here.
    pub fn dialer(&self, tls: Tls, protocol: Protocol) -> Result<Option<Dialer>, String> {
        match tls {
            Tls::None => Ok(None),
            Tls::Server => Dialer::new(&self.root, NAME, None, protocol).map(Some),
            Tls::Mutual => {
                Dialer::new(&self.root, NAME, Some((&self.client.chain, &self.client.key)), protocol).map(Some)
            }
        }
    }
}

/// A connection of a client.
pub type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Opens connections inside TLS; every handshake is a full one.
#[derive(Clone)]
pub struct Dialer {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Dialer {
    /// Trusts `root`, expects `name`, shows chain and key if there are any, and offers what the protocol needs.
    ///
    /// # Errors
    /// One of the PEM texts cannot be used.
    pub fn new(root: &str, name: &str, identity: Option<(&str, &str)>, protocol: Protocol) -> Result<Dialer, String> {
        let said = |e: &dyn fmt::Display| format!("TLS of the clients: {e}");
        let certificates = |pem: &str| -> Result<Vec<CertificateDer<'static>>, String> {
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| said(&e))
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(root)? {
            roots.add(certificate).map_err(|e| said(&e))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| said(&e))?.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| said(&e))?;
                builder.with_client_auth_cert(certificates(chain)?, key).map_err(|e| said(&e))?
            }
        };
        // Clients that have never been here before are what costs.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 | Protocol::Grpc => vec![b"h2".to_vec()],
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|e| said(&e))?;
        Ok(Dialer { config: Arc::new(config), name })
    }
}

/// Connects, and makes the handshake where there is a dialer.
///
/// # Errors
/// Nobody listens, or the handshake fails.
pub async fn connect(address: SocketAddr, dialer: Option<&Dialer>) -> std::io::Result<Io> {
    let stream = TcpStream::connect(address).await?;
    // Without it a small request may wait for an acknowledgement.
    stream.set_nodelay(true)?;
    let Some(dialer) = dialer else { return Ok(Either::Left(stream)) };
    let connector = TlsConnector::from(Arc::clone(&dialer.config));
    Ok(Either::Right(Box::new(connector.connect(dialer.name.clone(), stream).await?)))
}
