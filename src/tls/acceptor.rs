//! The server's side of a handshake.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::{TlsAcceptor, TlsStream, server};

use super::certificate::Certificate;
use super::event::{Event, Holder, Tell, Told};
use super::refusal::{self, Rate, Refused};
use super::{Peer, Transport};
use crate::clock;
use crate::policy::tls::ServerTls;

/// Accepts TLS on a listener, with what its files said last.
pub struct Acceptor {
    /// What the policy says.
    pub spec: Arc<ServerTls>,
    pub(super) holder: Holder,
    config: ArcSwap<ServerConfig>,
    rate: Rate,
    tell: Tell,
}

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Accepted {
    /// Its bytes.
    pub stream: Transport,
    /// Who it is, where a certificate was demanded.
    pub peer: Option<Arc<Peer>>,
    /// HTTP/2 was agreed on.
    pub http2: bool,
}

/// No session: the client, or what it presented, is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailed {
    /// It took too long.
    TimedOut,
    /// The client went away.
    Gone,
    /// What it presented is no certificate of those that are believed, or it presented none.
    Certificate,
    /// It holds a certificate of ours to be believed, of somebody who may not call here.
    Identity,
    /// It speaks no TLS, or none that we do.
    Protocol,
}

impl HandshakeFailed {
    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            HandshakeFailed::TimedOut => "timed-out",
            HandshakeFailed::Gone => "gone",
            HandshakeFailed::Certificate => "certificate",
            HandshakeFailed::Identity => "identity",
            HandshakeFailed::Protocol => "protocol",
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Presents what `config` holds.
    pub(super) fn new(holder: Holder, spec: Arc<ServerTls>, config: ServerConfig, tell: Tell) -> Acceptor {
        Acceptor { spec, holder, config: ArcSwap::from_pointee(config), rate: Rate::default(), tell }
    }

    /// From the next handshake on. Connections that stand go on.
    pub(super) fn replace(&self, config: ServerConfig) {
        self.config.store(Arc::new(config));
    }

    /// The handshake, until `by`.
    ///
    /// # Errors
    /// [`HandshakeFailed`]: nothing of a request was read.
    pub async fn accept(&self, stream: TcpStream, by: Instant) -> Result<Accepted, HandshakeFailed> {
        let address = stream.peer_addr().ok();
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let tls = match timeout_at(by.into(), acceptor.accept(stream)).await {
            Err(_elapsed) => {
                let why = || Some("the handshake was not over in time".to_owned());
                return Err(self.refused(HandshakeFailed::TimedOut, address, why));
            }
            Ok(Err(error)) => return Err(self.failed(&error, address)),
            Ok(Ok(tls)) => tls,
        };
        let peer = self.peer(&tls).map_err(|refused| {
            let failed = if refused.by_id { HandshakeFailed::Identity } else { HandshakeFailed::Certificate };
            self.refused(failed, address, || Some(refused.why))
        })?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Accepted { stream: Transport::Tls(Box::new(TlsStream::Server(tls))), peer, http2 })
    }

    /// Who is there, if certificates are demanded: after every handshake, also of a session that was resumed.
    fn peer(&self, tls: &server::TlsStream<TcpStream>) -> Result<Option<Arc<Peer>>, Refused> {
        if self.spec.client_ca.is_none() {
            return Ok(None);
        }
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let read = shown.and_then(|der| Certificate::read(der));
        let unreadable = || Refused { by_id: false, why: "the certificate cannot be understood".to_owned() };
        let read = read.ok_or_else(unreadable)?;
        Refused::after_handshake(&read, &self.spec.spiffe)?;
        Ok(Some(Arc::new(read.peer())))
    }

    fn failed(&self, error: &io::Error, address: Option<SocketAddr>) -> HandshakeFailed {
        let (failed, why) = refusal::of_server(error);
        self.refused(failed, address, || why)
    }

    fn refused(
        &self,
        failed: HandshakeFailed,
        peer: Option<SocketAddr>,
        why: impl FnOnce() -> Option<String>,
    ) -> HandshakeFailed {
        let reason = failed.as_str();
        let told = why().and_then(|why| Some(Told { why, more: self.rate.tell(reason, clock::now())? }));
        (self.tell)(&Event::Refused { holder: self.holder.clone(), reason, peer, told });
        failed
    }
}
