//! How many requests each caller may send, compiled.

use std::fmt;

use http::{HeaderName, HeaderValue};

use crate::reliability::rate::RatePolicy;

/// `rateLimit` of a route, or of what it inherits from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy {
    pub by: CallerKey,
    pub rate: RatePolicy,
    /// Refuses nothing, and reports what it would refuse.
    pub observe: bool,
    /// The limit is told with every answer, not only with refusals.
    pub tell: bool,
    /// The route has a block of its own, and its requests are counted apart. False = with those of all routes without.
    pub own: bool,
    /// `RateLimit-Policy`.
    pub field: HeaderValue,
}

/// What tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallerKey {
    /// The peer's address.
    Address,
    /// A header.
    Header(HeaderName),
    /// The id in the peer's certificate.
    Spiffe,
}

impl fmt::Display for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerKey::Address => f.write_str("address"),
            CallerKey::Header(name) => write!(f, "header:{name}"),
            CallerKey::Spiffe => f.write_str("mtls:spiffe"),
        }
    }
}

impl RateLimitPolicy {
    /// The word of its mode.
    pub const fn mode(&self) -> &'static str {
        if self.observe { "observe" } else { "enforce" }
    }
}
