//! Safeguards against overload that are configured and cannot act.

use super::{Code, Lint};
use crate::policy::UpstreamPolicy;

impl Lint<'_> {
    pub(super) fn overload(&mut self, index: u32, upstream: &UpstreamPolicy) {
        let (name, limits) = (&upstream.name, &upstream.limits);
        let at = |key| self.origins.position(index, None, key);
        if let Some(adaptive) = limits.adaptive
            && (adaptive.min >= adaptive.max || adaptive.min >= limits.requests)
        {
            let keys = ["limits.adaptive.min", "limits.adaptive.max", "limits.requests", "limits.adaptive.mode"];
            let position = keys.into_iter().find_map(at);
            let (min, most) = (adaptive.min, adaptive.max.min(limits.requests));
            let message = format!("the limit of `{name}` is looked for between {min} and {most}");
            self.report(Code::LimitCannotAdapt, position, message);
        }
        if limits.pending > 0 {
            return;
        }
        for (number, route) in upstream.routes.iter().enumerate().filter(|(_, route)| route.priority.is_some()) {
            let position = self.origins.position(index, Some(number as u32), "priority.class");
            let message = format!("{name}/{} has a priority, and `{name}` has no queue (pending: 0)", route.name);
            self.report(Code::PriorityWithoutQueue, position, message);
        }
    }
}
