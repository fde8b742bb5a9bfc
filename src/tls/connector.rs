//! The client's side of a handshake.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::{TlsConnector, TlsStream};

use super::Transport;
use crate::policy::tls::ClientTls;
use crate::reliability::Failure;

/// Which protocols are offered (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// HTTP/2, or HTTP/1.1 where the peer does not know it.
    Either,
}

/// Connects with TLS to one upstream, with what its files said last.
pub struct Connector {
    /// What the policy says.
    pub spec: Arc<ClientTls>,
    /// One per [`Offer`]; they share session tickets and nothing else.
    configs: ArcSwap<[Arc<ClientConfig>; 3]>,
}

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Connected {
    /// Its bytes.
    pub stream: Transport,
    /// HTTP/2 was agreed on.
    pub http2: bool,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Connector {
    /// Presents and believes what `configs` hold: for [`Offer::Http1`], [`Offer::Http2`], [`Offer::Either`].
    pub(super) fn new(spec: Arc<ClientTls>, configs: [Arc<ClientConfig>; 3]) -> Connector {
        Connector { spec, configs: ArcSwap::from_pointee(configs) }
    }

    /// The handshake with `host` (a name or an address, without port), until `by`. Nothing of a request is sent.
    ///
    /// # Errors
    /// The failure that names the cause.
    pub async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        offer: Offer,
        by: Instant,
    ) -> Result<Connected, Failure> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::TlsCertificate)?;
        let [http1, http2, either] = &**self.configs.load();
        let config = match offer {
            Offer::Http1 => http1,
            Offer::Http2 => http2,
            Offer::Either => either,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let tls = match timeout_at(by.into(), connector.connect(name, stream)).await {
            Err(_elapsed) => return Err(Failure::TlsTimeout),
            Ok(Err(_error)) => return Err(Failure::TlsFailed),
            Ok(Ok(tls)) => tls,
        };
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { stream: Transport::Tls(Box::new(TlsStream::Client(tls))), http2 })
    }
}
