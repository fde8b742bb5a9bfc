//! Hedges in effect.

use super::{Setting, duration, mode, number, set, size, time};
use crate::policy::RoutePolicy;
use crate::reliability::hedge::{Delay, HedgePolicy};

/// Empty = nothing is hedged.
pub(super) fn route(route: &RoutePolicy) -> Vec<Setting> {
    let Some(HedgePolicy { delay, min_delay, ratio, unsafe_methods, observe }) = &route.hedge else {
        return Vec::new();
    };
    let mut settings = vec![mode("hedge.mode", *observe), set("hedge.delay", delay_word(*delay))];
    settings.extend(matches!(delay, Delay::Percentile(_)).then(|| time("hedge.minDelay", *min_delay)));
    settings.push(number("hedge.percent", ratio * 100.0));
    settings.push(set("hedge.unsafe", unsafe_methods.to_string()));
    if route.retry.retries == 0 {
        settings.push(set("retry.maxBody", size::print(route.replay_body_max as u64)));
    }
    settings
}

/// As it is written.
pub(in crate::policy) fn delay_word(delay: Delay) -> String {
    match delay {
        Delay::After(time) => duration::print(time),
        Delay::Percentile(share) => format!("p{}", super::decimal(share * 100.0)),
    }
}
