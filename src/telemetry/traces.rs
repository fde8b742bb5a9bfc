//! Traces of requests, exported as OTLP over HTTP.
//!
//! A span is made after the end of its request, from what the record knows: so an unsampled request costs a branch,
//! and one that turned out badly can still be exported (tail keep). What a request sends to its upstreams is fixed
//! before: the ids of its spans follow from one random number ([`Lineage`]).
//!
//! The data plane puts a [`Story`] into a bounded queue; an exporter on the control runtime writes it as protobuf and
//! sends it in batches. A queue that is full, or a collector that is away, costs spans, which are counted, and nothing
//! else.

mod endpoint;
mod environment;
mod exporter;
mod lineage;
mod otlp;
mod plan;
mod protobuf;
mod queue;
mod story;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

pub use self::endpoint::Endpoint;
pub use self::environment::Environment;
pub use self::exporter::{Carrier, Exporter, Parcel, Reply};
pub use self::lineage::Lineage;
pub use self::plan::{Ended, Kept, Plan};
pub use self::story::{AttemptStory, Story};

use self::plan::KeepLimit;
use self::queue::Outlet;
use super::metrics::SpanCounts;
use crate::policy::Policy;

/// Where batches go, and what they say of this process.
#[derive(Debug)]
struct Target {
    endpoint: Endpoint,
    /// Names and values of `resource.attributes`.
    resource: Vec<(String, String)>,
}

/// What the parts of the process that make spans share.
pub struct Traces {
    environment: Environment,
    outlet: Outlet,
    target: Arc<ArcSwapOption<Target>>,
    limit: Arc<KeepLimit>,
    closing: CancellationToken,
    closed: CancellationToken,
}

impl Traces {
    /// The handle, and the exporter that is to run. Nothing is sent before a policy or the environment names an endpoint.
    pub fn new(environment: Environment, counts: Arc<SpanCounts>) -> (Arc<Traces>, Exporter) {
        let (outlet, queue) = queue::queue(environment.batch.queue_max, Arc::clone(&counts));
        let target = Arc::new(ArcSwapOption::empty());
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let exporter = Exporter::new(&environment, queue, Arc::clone(&target), closing.clone(), closed.clone());
        let limit = Arc::default();
        (Arc::new(Traces { environment, outlet, target, limit, closing, closed }), exporter)
    }

    /// What in the environment cannot be obeyed, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.environment.problems
    }

    /// What holds for requests under this policy. None = no span is made.
    pub fn follow(&self, policy: &Policy) -> Option<Arc<Plan>> {
        let block = policy.tracing.clone().unwrap_or_default();
        // The policy compiler has read it already.
        let of_policy = block.endpoint.as_deref().and_then(|url| Endpoint::base(url).ok());
        let endpoint = of_policy.or_else(|| self.environment.endpoint.clone()).filter(|_| !self.environment.disabled);
        let target = endpoint.map(|endpoint| Target { endpoint, resource: self.environment.resource(policy) });
        let on = target.is_some();
        self.target.store(target.map(Arc::new));
        let plan = || Plan::new(&block, &self.environment, Arc::clone(&self.limit), self.outlet.clone());
        on.then(|| Arc::new(plan()))
    }

    /// Sends what waits; gives up after `limit`. Returns how many spans are left behind.
    pub async fn close(&self, limit: Duration) -> usize {
        self.closing.cancel();
        // Whether it came to its end is told by what is left.
        let _ = tokio::time::timeout(limit, self.closed.cancelled()).await;
        self.outlet.waiting()
    }
}
