//! The client's side of a handshake.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::{TlsConnector, TlsStream, client};

use super::Transport;
use super::certificate::Certificate;
use super::event::{Event, Holder, Tell, Told};
use super::refusal::{self, Rate, Refused};
use crate::clock;
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

impl Offer {
    pub(super) fn protocols(self) -> Vec<Vec<u8>> {
        let offered: &[&[u8]] = match self {
            Offer::Http1 => &[b"http/1.1"],
            Offer::Http2 => &[b"h2"],
            Offer::Either => &[b"h2", b"http/1.1"],
        };
        offered.iter().map(|protocol| protocol.to_vec()).collect()
    }
}

/// Connects with TLS to one upstream, with what its files said last.
pub struct Connector {
    /// What the policy says.
    pub spec: Arc<ClientTls>,
    pub(super) holder: Holder,
    /// One per [`Offer`]; they share session tickets and nothing else.
    configs: ArcSwap<[Arc<ClientConfig>; 3]>,
    generation: AtomicU64,
    rate: Rate,
    tell: Tell,
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
    pub(super) fn new(holder: Holder, spec: Arc<ClientTls>, configs: [Arc<ClientConfig>; 3], tell: Tell) -> Connector {
        let configs = ArcSwap::from_pointee(configs);
        Connector { spec, holder, configs, generation: AtomicU64::new(0), rate: Rate::default(), tell }
    }

    /// From the next handshake on. Sessions of the configurations before are not resumed.
    pub(super) fn replace(&self, configs: [Arc<ClientConfig>; 3]) {
        self.configs.store(Arc::new(configs));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How often what is presented or believed was replaced. A link that was opened under another generation shows a
    /// certificate, or trusts one, of which the files say nothing any more: it should not be used for long.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
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
        let address = stream.peer_addr().ok();
        let host = self.spec.server_name.as_deref().unwrap_or(host);
        // The dot at the end of an absolute name belongs to DNS, and is in no certificate.
        let host = host.strip_suffix('.').unwrap_or(host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let why = format!("`{host}` is no name that a certificate could be for: write tls.serverName");
            self.refused(Failure::TlsCertificate, address, why)
        })?;
        let [http1, http2, either] = &**self.configs.load();
        let config = match offer {
            Offer::Http1 => http1,
            Offer::Http2 => http2,
            Offer::Either => either,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let tls = match timeout_at(by.into(), connector.connect(name, stream)).await {
            Err(_elapsed) => {
                let why = "the handshake was not over in time".to_owned();
                return Err(self.refused(Failure::TlsTimeout, address, why));
            }
            Ok(Err(error)) => {
                let (failure, why) = refusal::of_client(&error);
                return Err(self.refused(failure, address, why));
            }
            Ok(Ok(tls)) => tls,
        };
        self.check(&tls).map_err(|refused| self.refused(Failure::TlsCertificate, address, refused.why))?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { stream: Transport::Tls(Box::new(TlsStream::Client(tls))), http2 })
    }

    /// A resumed session was not verified: its certificate was, when the session began.
    fn check(&self, tls: &client::TlsStream<TcpStream>) -> Result<(), Refused> {
        let session = tls.get_ref().1;
        if session.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        match shown.and_then(|der| Certificate::read(der)) {
            Some(read) => Refused::after_handshake(&read, &self.spec.spiffe),
            None if self.spec.spiffe.is_empty() => Ok(()),
            None => Err(Refused { by_id: true, why: "the certificate cannot be understood".to_owned() }),
        }
    }

    fn refused(&self, failure: Failure, peer: Option<SocketAddr>, why: String) -> Failure {
        let reason = failure.token();
        let told = self.rate.tell(reason, clock::now()).map(|more| Told { why, more });
        (self.tell)(&Event::Refused { holder: self.holder.clone(), reason, peer, told });
        failure
    }
}
