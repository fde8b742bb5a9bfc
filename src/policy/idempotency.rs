//! Deduplication by key as operators want it: whose keys, for how long, and where their records are kept.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::tls::ClientTls;
use crate::reliability::idempotency::KeySyntax;

/// `idempotency` of a route that deduplicates. The contract stands with the retries, `RoutePolicy::retry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyPolicy {
    /// `header`: the field with the key, lower-case.
    pub header: HeaderName,
    /// `required`: a request without a key is refused.
    pub required: bool,
    /// `principal`: whose key it is.
    pub principal: Principal,
    /// `store`: where its record is kept. Configured in `Policy::stores`.
    pub store: StoreKind,
    /// `ttl`: how long an answer is replayed.
    pub ttl: Duration,
    /// `unknownTtl`: how long it is remembered that an outcome is unknown.
    pub unknown_ttl: Duration,
    /// `inFlight` and `inFlightWait`: what becomes of a duplicate while the first one runs.
    pub in_flight: InFlight,
    /// `maxBody`: bodies of keyed requests are held up to this many bytes.
    pub max_body: usize,
    /// `oversize`: what becomes of a larger one.
    pub oversize: Oversize,
    /// `maxStoredBody`: of a larger answer, status and fields alone are kept.
    pub max_stored_body: usize,
    /// `onStoreError`.
    pub on_store_error: OnStoreError,
    /// `methods`: those whose keys count. Never a safe one, never empty.
    pub methods: Vec<Method>,
    /// `syntax`: how strictly the key is read.
    pub syntax: KeySyntax,
    /// `forwardKey`: whether the upstream sees the key.
    pub forward_key: ForwardKey,
}

/// Whose key it is: equal keys of two principals are two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// All callers share their keys.
    None,
    /// The caller is who this field names.
    Header(HeaderName),
    /// The caller is who its certificate names: the SPIFFE id, which was verified in the handshake. Inbound only.
    Spiffe,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::None => f.write_str("none"),
            Principal::Header(name) => write!(f, "header:{name}"),
            Principal::Spiffe => f.write_str("mtls:spiffe"),
        }
    }
}

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// A file beside this process.
    Embedded,
    /// A server that replicas share.
    Redis,
}

impl StoreKind {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            StoreKind::Embedded => "embedded",
            StoreKind::Redis => "redis",
        }
    }
}

/// What becomes of a duplicate while the first one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// It waits this long, and never past its own deadline.
    Wait(Duration),
    /// It is refused at once.
    Reject,
}

/// What becomes of a keyed request whose body is larger than `maxBody`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// It is refused.
    Reject,
    /// It is sent as if it had no key.
    Bypass,
}

impl Oversize {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Oversize::Reject => "reject",
            Oversize::Bypass => "bypass",
        }
    }
}

/// What becomes of a keyed request while the store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// It is refused: nothing is executed twice.
    Closed,
    /// It is sent as if it had no key: duplicates are possible.
    Open,
}

impl OnStoreError {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnStoreError::Closed => "closed",
            OnStoreError::Open => "open",
        }
    }
}

/// What the upstream sees of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardKey {
    /// The field as the client sent it.
    AsIs,
    /// Nothing.
    Strip,
}

impl ForwardKey {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            ForwardKey::AsIs => "asIs",
            ForwardKey::Strip => "strip",
        }
    }
}

/// `stores`: those that the file configures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stores {
    /// `stores.embedded`.
    pub embedded: Option<EmbeddedPolicy>,
    /// `stores.redis`.
    pub redis: Option<RedisPolicy>,
}

/// `stores.embedded`: a file beside this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedPolicy {
    /// Absolute. Default /var/lib/outrigger/outrigger.db.
    pub path: PathBuf,
    /// The file does not grow beyond this. Default 256 MiB.
    pub max_bytes: u64,
    /// Records kept at once. Default 1,000,000.
    pub max_records: u32,
    /// What an acknowledged change survives.
    pub durability: Durability,
}

/// What an acknowledged change survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, however sudden.
    Process,
    /// Also a power failure.
    Power,
}

impl Durability {
    /// As in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Durability::Process => "process",
            Durability::Power => "power",
        }
    }
}

/// `stores.redis`: a server that replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPolicy {
    /// Where it is, with the password if there is one.
    pub url: RedisUrl,
    /// Some iff the URL is `rediss`.
    pub tls: Option<Arc<ClientTls>>,
    /// For one operation. Default 50 ms.
    pub timeout: Duration,
    /// Records of two services never meet. Default: the policy's name.
    pub service: String,
}

/// A URL that may hold a password. Whoever prints it prints `redis://***`, or `rediss://***`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    pub(super) const fn new(url: String) -> Self {
        RedisUrl(url)
    }

    /// The URL itself: for the connection, and for nothing that is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("rediss://")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_encrypted() { "rediss://***" } else { "redis://***" })
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
