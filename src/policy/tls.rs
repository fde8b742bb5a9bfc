//! `tls` and `protocol`: what is presented, who is believed, and which HTTP is spoken.

use std::path::PathBuf;
use std::sync::Arc;

/// A certificate with its chain, and its key: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The leaf first, then its intermediates.
    pub cert: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

impl TlsVersion {
    /// The word in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
    }
}

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// What we present.
    pub identity: Identity,
    /// Present: clients must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// SPIFFE ids that may call. Empty: whoever `client_ca` vouches for.
    pub spiffe: Vec<Arc<str>>,
    /// `minVersion`.
    pub min_version: TlsVersion,
}

/// `tls` of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// Who vouches for the server. None: those whom the system trusts.
    pub ca: Option<PathBuf>,
    /// What we present.
    pub identity: Option<Identity>,
    /// SPIFFE ids that the server may have; with them the host name is not looked at. Empty: the certificate must be for
    /// the host.
    pub spiffe: Vec<Arc<str>>,
    /// The name asked for (SNI) and looked for in the certificate, instead of the host of the URL.
    pub server_name: Option<Arc<str>>,
    /// `minVersion`.
    pub min_version: TlsVersion,
}

/// `protocol` of an upstream, or of the app behind `inbound`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// With TLS what is agreed on (ALPN). Without: HTTP/1.1, and HTTP/2 for gRPC, which has no other.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS with prior knowledge.
    Http2,
}

impl Protocol {
    /// The word in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Auto => "auto",
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
        }
    }
}
