//! Hedges that are configured and cannot be of use.

use http::Method;

use super::{Code, Lint};
use crate::policy::{Direction, RoutePolicy, Target, UpstreamPolicy, duration};
use crate::reliability::classify::Contract;
use crate::reliability::hedge::{Delay, HedgePolicy};

impl Lint<'_> {
    pub(super) fn hedge(&mut self, index: u32, upstream: &UpstreamPolicy, number: u32, route: &RoutePolicy) {
        let Some(hedge) = route.hedge.as_ref().filter(|_| upstream.direction == Direction::Outbound) else { return };
        let origins = self.origins;
        let at = |key| origins.position(index, Some(number), key);
        let label = format!("{}/{}", upstream.name, route.name);
        if matches!(&upstream.target, Target::Fixed(endpoints) if endpoints.len() < 2) {
            let message = format!("{label}: there is a single endpoint, and a hedge goes to another one");
            self.report(Code::HedgeWithoutChoice, at("hedge.mode"), message);
        }
        if hedge.unsafe_methods && route.retry.contract != Contract::Dedupes {
            let message = format!("{label}: nothing says that the upstream recognises a repeated request");
            self.report(Code::HedgeWithoutContract, at("hedge.unsafe"), message);
        }
        if route.replay_body_max == 0 {
            let position = at("retry.maxBody").or_else(|| at("hedge.mode"));
            let message = format!("{label}: no body is held (retry.maxBody: 0), so requests with one are not hedged");
            self.report(Code::HedgeHoldsNoBody, position, message);
        }
        let one = route.timeouts.backend_request.unwrap_or(route.timeouts.request);
        let least = match hedge.delay {
            Delay::After(delay) => delay,
            Delay::Percentile(_) => hedge.min_delay,
        };
        if least >= one {
            let (least, one) = (duration::print(least), duration::print(one));
            let message = format!("{label}: a hedge is sent after {least}, and an attempt ends after {one}");
            let position = at("hedge.delay").or_else(|| at("hedge.minDelay")).or_else(|| at("hedge.mode"));
            self.report(Code::HedgeTooLate, position, message);
        }
    }

    /// A hedge block of the route's own. `place`: index and number of the route. `methods`: what it matches; empty = any.
    pub(super) fn hedged_methods(
        &mut self,
        place: (u32, u32),
        upstream: &UpstreamPolicy,
        methods: &[Method],
        route: &RoutePolicy,
    ) {
        let Some(hedge) = &route.hedge else { return };
        let Some(position) = self.origins.position(place.0, Some(place.1), "hedge") else { return };
        if !methods.is_empty() && methods.iter().all(|method| !may_be_hedged(hedge, route, method)) {
            let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let label = format!("{}/{}", upstream.name, route.name);
            let message = format!("{label}: {} must not be sent twice, and is never hedged", list.join(", "));
            self.report(Code::HedgeOfUnsafe, Some(position), message);
        }
    }
}

/// Whether requests with this method may be sent twice at once.
pub(in crate::policy) fn may_be_hedged(hedge: &HedgePolicy, route: &RoutePolicy, method: &Method) -> bool {
    let harmless = route.retry.all_methods || method.is_idempotent();
    harmless || (hedge.unsafe_methods && route.retry.contract == Contract::Dedupes)
}
