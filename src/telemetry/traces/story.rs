//! What is known of a request at its end, as far as its spans tell it. Names of upstream and route are looked up by
//! the exporter: the data plane copies as little as it can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Version};

use super::lineage::Lineage;
use super::plan::Kept;
use crate::policy::routes::RouteId;
use crate::policy::{Direction, Policy};
use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};

/// One request.
#[derive(Debug)]
pub struct Story {
    /// The policy it ran under.
    pub policy: Arc<Policy>,
    /// Its revision.
    pub revision: u64,
    /// Towards a dependency, or from a caller.
    pub direction: Direction,
    /// `None` if none was chosen.
    pub route: Option<RouteId>,
    /// Its ids.
    pub lineage: Lineage,
    /// Why it is exported above the ratio; `None` = it is sampled.
    pub kept: Option<Kept>,
    /// When it ended, on the wall clock.
    pub ended: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// Its method.
    pub method: Method,
    /// Path and query, cut to a bounded length.
    pub target: String,
    /// Its `Host`.
    pub host: Option<HeaderValue>,
    /// Who sent it.
    pub client: SocketAddr,
    /// Whom its certificate names, which was verified.
    pub peer: Option<Box<str>>,
    /// Of HTTP.
    pub version: Version,
    /// `User-Agent`, if it was sampled from the start.
    pub user_agent: Option<HeaderValue>,
    /// What the client was sent; 0 or 499 = nothing.
    pub status: u16,
    /// It is a gRPC call.
    pub grpc: bool,
    /// How the call ended, where its client was told.
    pub call: Option<Code>,
    /// A failure of our own making.
    pub failure: Option<(Failure, Sent)>,
    /// Who set its deadline.
    pub deadline_from: DeadlineFrom,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// In order.
    pub attempts: Vec<AttemptStory>,
    /// Why a retry was not made.
    pub denied: Option<Denied>,
    /// The breaker's state at the end, if there is a breaker.
    pub circuit: Option<&'static str>,
    /// What became of its idempotency key.
    pub key_status: Option<KeyStatus>,
    /// Under which number it is kept.
    pub dead_letter: Option<String>,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct AttemptStory {
    /// `None` if no endpoint was chosen: nothing was on the wire, and there is no span.
    pub endpoint: Option<SocketAddr>,
    /// Why it was made.
    pub kind: Kind,
    /// After the begin of the request.
    pub launched: Duration,
    /// How much time the request had left then.
    pub left: Duration,
    /// From its launch to the head of the answer, or to its failure.
    pub elapsed: Duration,
    /// How it ended.
    pub end: AttemptEnd,
}

impl Story {
    /// How many spans it becomes.
    pub(super) fn spans(&self) -> usize {
        1 + self.attempts.iter().filter(|attempt| attempt.endpoint.is_some()).count()
    }
}
