//! Whether a request may go on: its deadline, the breaker, the limit. Nothing has been sent yet.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};

use super::hygiene::{self, Present};
use super::route::Route;
use crate::clock;
use crate::policy::priority::PriorityPolicy;
use crate::policy::tls::Protocol;
use crate::policy::{DeadlinePolicy, RoutePolicy};
use crate::random::Random;
use crate::reliability::Failure;
use crate::reliability::deadline;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::limit::Refused;
use crate::reliability::priority::{self, Criticality};
use crate::upstreams::slots::Slot;

/// Without a total limit a request ends by its idle limit; this stands for "no deadline" in arithmetic.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A refusal before anything was sent.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Why.
    pub failure: Failure,
    /// When it is worth coming back.
    pub retry_after: Option<Duration>,
    /// It got no slot.
    shed: Option<Refused>,
}

impl Refusal {
    /// A refusal that holds for `wait`.
    pub fn later(failure: Failure, wait: Duration) -> Refusal {
        Refusal { failure, retry_after: Some(wait), shed: None }
    }

    /// Class and limit of a request that gave way in an overload. What the written limit refuses is told by its failure.
    pub fn words(&self) -> Option<String> {
        let Refused { reason, class, limit, .. } = self.shed.filter(|_| self.failure == Failure::Shed)?;
        let (reason, class) = (reason.as_str(), class.as_str());
        Some(format!("{}: its class is {class}, and {limit} may be in flight ({reason})", self.failure.title()))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Refusal { failure, retry_after: None, shed: None }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let retry_after = Some(refused.come_back(&mut Random));
        Refusal { failure: refused.failure(), retry_after, shed: Some(refused) }
    }
}

/// How important the request is. Without `priority` in the policy all are equal.
fn class(policy: &RoutePolicy, headers: &HeaderMap, present: Present) -> Criticality {
    let Some(PriorityPolicy { header, class }) = &policy.priority else { return Criticality::default() };
    let said = header.as_ref().and_then(|name| headers.get(name)).map(HeaderValue::as_bytes);
    priority::class_of(*class, said, hygiene::inbound_attempt(headers, present))
}

/// When the request must be over, and who says so: the route's limit, or sooner if its caller says so, or if the request
/// that it is made for ends sooner (`traced`).
///
/// # Errors
/// [`Failure::DeadlineOnArrival`].
pub fn deadline(
    route: &RoutePolicy,
    headers: &HeaderMap,
    present: Present,
    now: Instant,
    traced: Option<Instant>,
) -> Result<(Instant, DeadlineFrom), Failure> {
    let total = if route.timeouts.request.is_zero() { NO_DEADLINE } else { route.timeouts.request };
    let asked = if present.timeout() { caller_timeout(&route.deadline, headers) } else { None };
    let left = traced.map(|deadline| deadline.saturating_duration_since(now));
    let (least, from) = match (asked, left) {
        (asked, Some(left)) if left < total && asked.is_none_or(|asked| left < asked) => {
            (Some(left), DeadlineFrom::Trace)
        }
        (Some(asked), _) if asked < total => (Some(asked), DeadlineFrom::Caller),
        (asked, _) => (asked, DeadlineFrom::Policy),
    };
    let deadline = deadline::inherit(now, total, least).ok_or(Failure::DeadlineOnArrival)?;
    Ok((deadline, from))
}

/// The least of the deadlines the caller names; malformed ones are no deadline.
fn caller_timeout(policy: &DeadlinePolicy, headers: &HeaderMap) -> Option<Duration> {
    let grpc = policy
        .grpc_timeout
        .then(|| headers.get(hygiene::GRPC_TIMEOUT).and_then(|v| deadline::parse_grpc_timeout(v.as_bytes())))
        .flatten();
    let envoy = policy
        .envoy_timeout
        .then(|| headers.get(hygiene::EXPECTED_TIMEOUT).and_then(|v| deadline::parse_timeout_ms(v.as_bytes())))
        .flatten();
    match (grpc, envoy) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// A slot of the upstream, if its breaker lets requests through, and how long it had to be waited for. The cheapest
/// refusal comes first; no probe is taken here.
///
/// # Errors
/// [`Refusal`] with the time after which a retry makes sense, where known.
pub async fn admit(
    route: &Route<'_>,
    (headers, present): (&HeaderMap, Present),
    now: Instant,
    deadline: Instant,
) -> Result<(Slot, Duration), Refusal> {
    let open = route.state.decide(|d| d.breaker.as_ref().and_then(|b| b.precheck(now)));
    if let Some(left) = open {
        return Err(Refusal { retry_after: Some(left), ..Failure::CircuitOpen.into() });
    }
    // An HTTP/1 request needs a connection of its own: what the connections cannot carry waits in the queue
    // instead of being refused at the endpoint.
    let mut limits = route.upstream.limits;
    let shares = match (route.speech.protocol, &route.speech.connector) {
        (Protocol::Http2, _) => true,
        (Protocol::Http1, _) => false,
        (Protocol::Auto, None) => present.grpc(),
        (Protocol::Auto, Some(_)) => route.state.shares_connections(),
    };
    if !shares {
        let endpoints = u32::try_from(route.state.endpoint_count().max(1)).unwrap_or(u32::MAX);
        limits.requests = limits.requests.min(limits.connections.saturating_mul(endpoints));
    }
    let class = class(route.policy, headers, present);
    let (slot, waited) = route.state.slots.acquire(&limits, class, now, deadline).await?;
    if !waited {
        return Ok((slot, Duration::ZERO));
    }
    let got = clock::now();
    let late = got >= deadline;
    if late { Err(Failure::DeadlineOnArrival.into()) } else { Ok((slot, got.saturating_duration_since(now))) }
}
