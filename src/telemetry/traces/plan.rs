//! Which requests are exported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::environment::{Environment, Sampler};
use super::queue::Outlet;
use super::story::Story;
use crate::clock;
use crate::policy::tracing::TracingPolicy;
use crate::telemetry::metrics::{RequestOutcome, SpanLoss};
use crate::telemetry::trace_context::TraceContext;

/// Why a request is exported that is not sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It failed.
    Error,
    /// It was sent again, or should have been.
    Retried,
    /// It took long.
    Slow,
}

impl Kept {
    /// The word in `outrigger.kept`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kept::Error => "error",
            Kept::Retried => "retried",
            Kept::Slow => "slow",
        }
    }
}

/// What of a request's end decides whether it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How.
    pub outcome: RequestOutcome,
    /// After how long.
    pub elapsed: Duration,
    /// It was sent more than once, or a retry was denied.
    pub retried: bool,
    /// It became a tunnel, whose length says nothing.
    pub upgraded: bool,
    /// When.
    pub at: Instant,
}

/// What holds for the requests of one policy. No request takes a lock here.
pub struct Plan {
    sampler: Sampler,
    /// Of 2^63: traces whose random bits are below are sampled.
    threshold: u64,
    propagates: bool,
    errors: bool,
    slow: Option<Duration>,
    keep_per_second: u32,
    limit: Arc<KeepLimit>,
    outlet: Outlet,
}

impl Plan {
    pub(super) fn new(
        policy: &TracingPolicy,
        environment: &Environment,
        limit: Arc<KeepLimit>,
        outlet: Outlet,
    ) -> Plan {
        let by_policy = policy.sample_ratio.map(|ratio| Sampler { parent_based: true, ratio });
        let sampler = by_policy.unwrap_or(environment.sampler);
        Plan {
            sampler,
            threshold: (sampler.ratio * (1_u64 << 63) as f64) as u64,
            propagates: environment.propagates,
            errors: policy.errors,
            slow: policy.slow,
            keep_per_second: policy.keep_per_second,
            limit,
            outlet,
        }
    }

    /// Whether `traceparent` is read and written. If not, it passes through and our spans are traces of their own.
    pub fn propagates(&self) -> bool {
        self.propagates
    }

    /// Whether a caller's decision holds.
    pub fn follows_callers(&self) -> bool {
        self.sampler.parent_based
    }

    /// Whether a request is exported whatever becomes of it. By the bits of its trace id, so that all hops that ask for
    /// the same ratio agree.
    pub fn samples(&self, context: &TraceContext) -> bool {
        if self.sampler.parent_based && context.inherited() {
            return context.sampled();
        }
        context.random_bits() < self.threshold
    }

    /// Whether a request that is not sampled is exported because of its end.
    pub fn keeps(&self, ended: Ended) -> Option<Kept> {
        let Ended { outcome, elapsed, retried, upgraded, at: _ } = ended;
        let failed = match outcome {
            RequestOutcome::UpstreamError | RequestOutcome::Failed | RequestOutcome::Refused => true,
            RequestOutcome::Success | RequestOutcome::ClientGone => false,
        };
        if self.errors && failed {
            return Some(Kept::Error);
        }
        if self.errors && retried {
            return Some(Kept::Retried);
        }
        self.slow.filter(|slow| elapsed >= *slow && !upgraded).map(|_| Kept::Slow)
    }

    /// Whether there is room this second for another request of `spans` spans above the ratio; counted if not.
    pub fn grants(&self, at: Instant, spans: usize) -> bool {
        let granted = self.limit.take(at, self.keep_per_second);
        if !granted {
            self.outlet.counts().dropped(SpanLoss::KeepLimit, spans);
        }
        granted
    }

    /// Hands a request over. Never waits: what finds no room is counted.
    pub fn tell(&self, story: Story) {
        self.outlet.put(story);
    }
}

/// So many a second, over all threads and policies.
#[derive(Debug)]
pub(super) struct KeepLimit {
    since: Instant,
    /// The second in the upper half, how many it had in the lower one.
    used: AtomicU64,
}

impl Default for KeepLimit {
    fn default() -> Self {
        KeepLimit { since: clock::now(), used: AtomicU64::new(0) }
    }
}

impl KeepLimit {
    fn take(&self, at: Instant, most: u32) -> bool {
        let second = at.saturating_duration_since(self.since).as_secs() & u64::from(u32::MAX);
        let next = |used: u64| {
            let had = if used >> 32 == second { used & u64::from(u32::MAX) } else { 0 };
            (had < u64::from(most)).then_some(second << 32 | (had + 1))
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}
