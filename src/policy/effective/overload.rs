//! Limits in effect, and how important requests are.

use super::{Setting, count, mode, set, time};
use crate::policy::Direction;
use crate::policy::priority::PriorityPolicy;
use crate::reliability::adaptive::AdaptivePolicy;
use crate::reliability::limit::{Limits, QueuePolicy};

pub(super) fn limits(direction: Direction, limits: &Limits) -> Vec<Setting> {
    let Limits { connections, requests, pending, adaptive, queue } = limits;
    let mut settings = match direction {
        Direction::Inbound => Vec::new(),
        Direction::Outbound => vec![count("limits.connections", *connections)],
    };
    settings.extend([count("limits.requests", *requests), count("limits.pending", *pending)]);
    if let Some(AdaptivePolicy { algorithm: _, observe, min, max, initial }) = adaptive {
        settings.extend([
            mode("limits.adaptive.mode", *observe),
            count("limits.adaptive.min", *min),
            count("limits.adaptive.max", *max),
            count("limits.adaptive.initial", *initial),
        ]);
    }
    if let Some(QueuePolicy { target, interval, observe }) = queue {
        settings.extend([
            mode("limits.queue.mode", *observe),
            time("limits.queue.target", *target),
            time("limits.queue.interval", *interval),
        ]);
    }
    settings
}

pub(super) fn priority(policy: Option<&PriorityPolicy>) -> Vec<Setting> {
    let Some(PriorityPolicy { header, class }) = policy else { return Vec::new() };
    let header = header.as_ref().map(|name| set("priority.header", format!("header:{name}")));
    header.into_iter().chain([set("priority.class", class.as_str())]).collect()
}
