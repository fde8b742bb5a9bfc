//! What a request leaves for its trace: ids at its begin, a story at its end if it is exported.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::{HeaderValue, Request, Version};

use super::{AttemptNote, Present, Record};
use crate::clock;
use crate::random::{self, Random};
use crate::reliability::entropy::Entropy;
use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::stories::told;
use crate::telemetry::trace_context::TraceContext;
use crate::telemetry::traces::{AttemptStory, Ended, Kept, Lineage, Story};
use crate::upstreams::reconcile::Snapshot;
use crate::upstreams::state_word;

/// Of path and query, so much is exported.
const TARGET_BYTES_MAX: usize = 1_024;

/// What the record keeps for its spans.
pub(super) struct Spans {
    /// All span ids follow from it; 0 as long as nobody needs one.
    seed: u64,
    /// It is exported whatever becomes of it.
    sampled: bool,
    /// Upstreams are told of our spans.
    told: bool,
    version: Version,
    user_agent: Option<HeaderValue>,
}

/// The trace that `request` belongs to, and whether it is exported.
pub(super) fn begin<B>(snapshot: &Snapshot, request: &Request<B>, present: Present) -> (TraceContext, Spans) {
    let plan = snapshot.tracing.as_deref();
    let reads = plan.is_none_or(|plan| plan.propagates());
    let inherited = if reads && present.trace() { TraceContext::extract(request.headers()) } else { None };
    let mut context = inherited.unwrap_or_else(|| TraceContext::create(random::bits128(), false));
    let sampled = plan.is_some_and(|plan| plan.samples(&context));
    let ours = inherited.is_none() || plan.is_some_and(|plan| !plan.follows_callers());
    if ours {
        context = context.with_sampled(sampled);
    }
    // Whoever passes a decision of others through leaves no mark in their trace.
    let told = reads && (ours || sampled);
    let seed = if told || sampled { Random.next_u64() } else { 0 };
    let user_agent = if sampled { request.headers().get(USER_AGENT).cloned() } else { None };
    (context, Spans { seed, sampled, told, version: request.version(), user_agent })
}

impl Record {
    /// Whether its client speaks HTTP/1.
    pub fn is_http1(&self) -> bool {
        self.spans.version < Version::HTTP_2
    }

    /// Whether upstreams learn of the trace, from us or because the caller's words go on.
    pub fn is_trace_told(&self) -> bool {
        self.spans.told || self.trace.inherited()
    }

    /// What attempts tell their upstreams of the trace. None = what the caller sent goes on as it came.
    pub fn lineage(&self) -> Option<Lineage> {
        self.spans.told.then_some(Lineage { context: self.trace, seed: self.spans.seed })
    }

    /// Exports the request if it is sampled, or worth it. An unsampled one that ended well costs a few comparisons.
    pub(super) fn export(&self, outcome: RequestOutcome, elapsed: Duration, at: Instant) {
        let Some(plan) = self.snapshot.tracing.as_deref() else { return };
        let mut kept = None;
        if !self.spans.sampled {
            let retried = self.retried() || self.denied.is_some();
            kept = plan.keeps(Ended { outcome, elapsed, retried, upgraded: self.status == 101, at });
            if kept.is_none() || !plan.grants(at, 1 + self.attempts() as usize) {
                return;
            }
        }
        plan.tell(self.story(outcome, elapsed, kept, at));
    }

    fn story(&self, outcome: RequestOutcome, elapsed: Duration, kept: Option<Kept>, at: Instant) -> Story {
        // A request that is kept late has told nobody of its spans.
        let seed = if self.spans.seed == 0 { Random.next_u64() } else { self.spans.seed };
        let circuit = self.upstream().and_then(|upstream| {
            upstream.decide(|dependency| dependency.breaker.as_ref().map(|breaker| state_word(breaker.state(at))))
        });
        let target = self.path.as_ref().map_or("*", |path| path.as_str());
        let target = target.get(..target.floor_char_boundary(TARGET_BYTES_MAX)).unwrap_or(target);
        Story {
            policy: Arc::clone(&self.snapshot.policy),
            revision: self.snapshot.revision,
            direction: self.direction,
            route: self.route,
            lineage: Lineage { context: self.trace, seed },
            kept,
            ended: clock::wall(),
            elapsed,
            method: self.method.clone(),
            target: target.to_owned(),
            host: self.host.clone(),
            client: self.connection.peer,
            peer: self.peer().map(told::peer),
            version: self.spans.version,
            user_agent: self.spans.user_agent.clone(),
            status: self.status,
            grpc: self.grpc,
            call: self.call,
            failure: self.failure,
            deadline_from: self.deadline_from,
            outcome,
            attempts: self.first.iter().chain(&self.more).map(|note| self.span_of(note)).collect(),
            denied: self.denied,
            circuit,
            key_status: self.key_status,
            dead_letter: self.dead_letter.map(|id| id.to_string()),
        }
    }

    /// Attempts are noted in the order in which they are launched, so that their place is their number.
    fn span_of(&self, note: &AttemptNote) -> AttemptStory {
        let AttemptNote { endpoint, kind, elapsed, end, .. } = *note;
        let left = note.left();
        let launched = note.launched.saturating_duration_since(self.started);
        AttemptStory { endpoint, kind, launched, left, elapsed, end }
    }
}
