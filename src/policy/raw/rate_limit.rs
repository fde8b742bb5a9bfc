//! `rateLimit`: of inbound, of an upstream, of a route of either.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::scalar::{Flag, Key, RateBy, Text, Time, Whole};

/// How many requests each caller may send. Present = on. The block of a route counts its requests apart; routes without one share the count of inbound, or of the upstream.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimit {
    /// What tells callers apart. address: the peer's IP address, IPv6 by /64; header:NAME: a header that callers cannot choose freely; mtls:spiffe: the id in the caller's certificate (inbound with tls.clientCa only). Callers without it share one limit. Default address.
    pub by: Key<Text<RateBy>>,
    /// So many requests in each `per`, 1 to 1000000. Must be written, here or in the block that a route inherits from.
    pub requests: Key<Text<Whole>>,
    /// The length of a window, 1s to 1h. Default 1s.
    pub per: Key<Text<Time>>,
    /// So many more in one window, as far as the window before has left them unused; at most requests. Default 0.
    pub burst: Key<Text<Whole>>,
    /// enforce (429), observe (report what it would refuse) or none. Default enforce.
    pub mode: Key<Mode>,
    /// Tell the limit with every answer (RateLimit and RateLimit-Policy), and not only with refusals. Default false.
    pub tell_limits: Key<Text<Flag>>,
}

super::scalar::blocks! {
    RateLimit
}
