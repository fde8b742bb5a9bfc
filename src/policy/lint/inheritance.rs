//! Calls that are to inherit from inbound requests.

use super::{Code, Lint};
use crate::policy::{Direction, Policy};

impl Lint<'_> {
    /// Without inbound no request is ever with the app.
    pub(super) fn inheritance(&mut self, policy: &Policy) {
        if policy.upstreams.iter().any(|upstream| upstream.direction == Direction::Inbound) {
            return;
        }
        for (index, upstream) in policy.upstreams.iter().enumerate() {
            for (number, route) in upstream.routes.iter().enumerate().filter(|(_, route)| route.deadline.from_trace) {
                let place = self.origins.position(index as u32, Some(number as u32), "deadline.fromTrace");
                let message =
                    format!("{}/{} inherits from inbound requests, and there are none", upstream.name, route.name);
                self.report(Code::NothingToInherit, place, message);
            }
        }
    }
}
