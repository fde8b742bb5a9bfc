//! Limits per caller in effect.

use super::{Setting, count, mode, set, time};
use crate::policy::rate_limit::RateLimitPolicy;
use crate::reliability::rate::RatePolicy;

/// Of a route. Empty = its callers are not limited.
pub(super) fn route(policy: Option<&RateLimitPolicy>) -> Vec<Setting> {
    let Some(RateLimitPolicy { by, rate, observe, tell, own, field: _ }) = policy else { return Vec::new() };
    let RatePolicy { requests, per, burst } = *rate;
    vec![
        mode("rateLimit.mode", *observe),
        set("rateLimit.by", by.to_string()),
        count("rateLimit.requests", requests),
        time("rateLimit.per", per),
        count("rateLimit.burst", burst),
        set("rateLimit.tellLimits", tell.to_string()),
        set("rateLimit", if *own { "counted for this route" } else { "counted with the other routes" }),
    ]
}
