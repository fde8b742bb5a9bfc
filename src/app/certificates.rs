//! Certificates in use: who learns of what happens to them.

use std::sync::Arc;

use super::news::Door;
use crate::telemetry::metrics::Metrics;
use crate::tls::{Event, Registry};

/// A registry whose events are counted, written to the log, and, where they are changes, to the journal.
pub fn registry(metrics: &Arc<Metrics>, door: Door) -> Registry {
    let metrics = Arc::clone(metrics);
    Registry::new(Arc::new(move |event| {
        if let Event::Refused { holder, reason, .. } = event {
            metrics.tls_refused(holder.direction, &holder.name, reason);
        }
        match event {
            Event::Refused { told: None, .. } => {}
            Event::Refused { .. } | Event::Replaced { .. } | Event::Unusable { .. } | Event::Recovered { .. } => {
                door.tell_encryption(event);
            }
        }
    }))
}
