//! Whether a request would be hedged, and why not.

use http::Method;

use crate::policy::effective::delay_word;
use crate::policy::lint::may_be_hedged;
use crate::policy::{RoutePolicy, Target, UpstreamPolicy, duration};
use crate::reliability::hedge::{Delay, HedgePolicy};

/// Nothing where no hedge is asked for.
pub(super) fn told(upstream: &UpstreamPolicy, route: &RoutePolicy, method: &Method) -> Option<String> {
    let hedge = route.hedge.as_ref()?;
    let keyed = route.idempotency.as_ref().is_some_and(|policy| policy.methods.contains(method));
    if !may_be_hedged(hedge, route, method) {
        return Some(format!(
            "Not hedged: a {method} must not be sent twice (hedge.unsafe: true needs contract: dedupes)."
        ));
    }
    if matches!(&upstream.target, Target::Fixed(endpoints) if endpoints.len() < 2) {
        return Some("Not hedged: there is a single endpoint, and a hedge goes to another one.".to_owned());
    }
    let but = if keyed { " Requests with an idempotency key are not hedged." } else { "" };
    Some(sentence(hedge) + but)
}

fn sentence(hedge: &HedgePolicy) -> String {
    let after = match hedge.delay {
        Delay::After(time) => duration::print(time),
        Delay::Percentile(_) => format!(
            "the {} of recent first tries (at least {})",
            delay_word(hedge.delay),
            duration::print(hedge.min_delay)
        ),
    };
    let percent = hedge.ratio * 100.0;
    if hedge.observe {
        return format!("Hedges are only counted (mode: observe): one would be sent after {after}.");
    }
    format!(
        "A first try without an answer after {after} is hedged: a second one goes to another endpoint, and the first answer counts; at most {percent} in 100 requests."
    )
}
