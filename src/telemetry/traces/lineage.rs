//! The ids of a request's spans: known before any of them is made, because upstreams are told them.

use crate::reliability::entropy::{Entropy, SplitMix};
use crate::telemetry::trace_context::{TRACEPARENT_BYTES, TraceContext};

/// Trace and span ids of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The trace, and the caller's span in it.
    pub context: TraceContext,
    /// Random; all span ids follow from it, so that a record needs room for one number only.
    pub seed: u64,
}

impl Lineage {
    /// The SERVER span.
    pub fn server(self) -> u64 {
        self.span(0)
    }

    /// The CLIENT span of an attempt, counted from 1.
    pub fn client(self, number: u32) -> u64 {
        self.span(number)
    }

    /// What that attempt tells its upstream.
    pub fn traceparent(self, number: u32) -> [u8; TRACEPARENT_BYTES] {
        self.context.traceparent(self.client(number))
    }

    fn span(self, number: u32) -> u64 {
        // Zero means "none".
        SplitMix::new(self.seed.wrapping_add(u64::from(number))).next_u64().max(1)
    }
}
