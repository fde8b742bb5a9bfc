//! The server's side of a handshake.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{Peer, Transport};
use crate::policy::tls::ServerTls;

/// Accepts TLS on a listener, with what its files said last.
pub struct Acceptor {
    /// What the policy says.
    pub spec: Arc<ServerTls>,
    config: ArcSwap<ServerConfig>,
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
    pub(super) fn new(spec: Arc<ServerTls>, config: Arc<ServerConfig>) -> Acceptor {
        Acceptor { spec, config: ArcSwap::new(config) }
    }

    /// The handshake, until `by`.
    ///
    /// # Errors
    /// [`HandshakeFailed`]: nothing of a request was read.
    pub async fn accept(&self, stream: TcpStream, by: Instant) -> Result<Accepted, HandshakeFailed> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let tls = match timeout_at(by.into(), acceptor.accept(stream)).await {
            Err(_elapsed) => return Err(HandshakeFailed::TimedOut),
            Ok(Err(_error)) => return Err(HandshakeFailed::Protocol),
            Ok(Ok(tls)) => tls,
        };
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Accepted { stream: Transport::Tls(Box::new(TlsStream::Server(tls))), peer: None, http2 })
    }
}
