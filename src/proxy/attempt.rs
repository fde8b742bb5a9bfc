//! Drives `reliability::attempts`: launch, wait, finish. One loop, no policy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Uri};
use tokio::time::sleep_until;

use super::course::{Course, Launch};
use super::exchange::Attempt;
use super::hedged;
use super::hygiene::Present;
use super::record::Record;
use super::route::Route;
use crate::clock;
use crate::drain::Tasks;
use crate::idempotency::claim::Claim;
use crate::reliability::attempts::{Plan, RetryPolicy, Step, Stop};
use crate::reliability::{Failure, Sent};
use crate::telemetry::traces::Lineage;
use crate::upstreams::endpoint::InFlight;
use crate::wire::{Alarm, Answer, Late, OwnFields, RequestBody};

/// Of an answer that a retry supersedes, so much is read to keep its connection.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// …and for so long.
const DRAIN_TIME: Duration = Duration::from_millis(50);

/// The request as it goes out, attempt by attempt.
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Origin form.
    pub uri: Uri,
    /// The client's, cleaned.
    pub headers: HeaderMap,
    /// Ours; number and time of the attempt are set per attempt.
    pub own: OwnFields,
    /// What the client's head carried before it was cleaned.
    pub present: Present,
    /// `None` once a body that can be sent once has been sent.
    pub body: Option<RequestBody>,
    /// The client asks to switch protocols.
    pub upgrade: bool,
    /// There is one attempt, whatever becomes of it.
    pub once: bool,
    /// `x-envoy-attempt-count` of the request that came in, at least 1.
    pub inbound_attempt: u32,
    /// The whole request.
    pub deadline: Instant,
    /// Value of the header that the policy hashes on.
    pub hash_key: Option<HeaderValue>,
    /// It has an idempotency key: leave to send is the store's to give.
    pub claim: Option<Arc<Claim>>,
    /// With a claim: the exchange of the last attempt, if its time was over before its answer came.
    pub late: Option<Box<Late>>,
    /// The trace that each attempt names, with a span of its own. `None`: the caller's headers say it.
    pub lineage: Option<Lineage>,
}

impl Outgoing {
    /// Whether sending it twice is harmless by its method, or because its route says so. With a key it is not: somebody
    /// asked for once.
    pub fn is_idempotent(&self, policy: &RetryPolicy) -> bool {
        (policy.all_methods || self.method.is_idempotent()) && self.claim.is_none()
    }

    /// What the policy hashes on.
    pub(super) fn hash(&self) -> Option<&[u8]> {
        self.hash_key.as_ref().map(HeaderValue::as_bytes)
    }

    fn is_replayable(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.is_streaming()) && !self.upgrade && !self.once
    }
}

/// How the attempts ended.
pub enum Verdict {
    /// An upstream's answer goes to the client.
    Answered {
        /// The answer.
        answer: Answer,
        /// The endpoint it comes from.
        in_flight: InFlight,
        /// Why no further attempt was made.
        stop: Stop,
        /// What the attempts before it may have done.
        earlier: Sent,
    },
    /// No answer.
    Failed {
        /// What happened last.
        failure: Failure,
        /// Of the attempt that got furthest.
        sent: Sent,
        /// As `sent`, less what the upstream has answered without doing it, by its contract.
        executed: Sent,
        /// When a retry makes sense, where known.
        retry_after: Option<Duration>,
        /// Why no further attempt was made.
        stop: Stop,
    },
}

/// Runs the attempts of one request. `alarm`: the timer of this task.
pub async fn run(
    route: &Route<'_>,
    request: &mut Outgoing,
    record: &mut Record,
    alarm: &Alarm,
    tasks: &Tasks,
) -> Verdict {
    let mut course = Course::begin(route, plan(route, request), record);
    loop {
        match course.ask() {
            Step::Launch { id, kind, cutoff, permit } => {
                let launch = Launch { id, kind, cutoff, launched: course.now };
                course.launch(launch, permit);
                // Whatever an earlier attempt waited for: this one is made because nobody waits for it any more.
                request.late = None;
                let unwanted = if course.machine.hedge_due().is_some() {
                    // Boxed: only where an attempt may get a second one beside it is there need for the room.
                    Box::pin(hedged::run(&mut course, launch, request, alarm, tasks)).await
                } else {
                    let number = course.machine.launched();
                    let attempt = Attempt { route, number, launched: launch.launched, cutoff, alarm, tasks };
                    let [Some(flight), _] = &mut course.flights else { continue };
                    let result = attempt.run(request, &course.used, &mut flight.in_flight).await;
                    let again = request.body.is_some() && !request.upgrade && !request.once;
                    course.land(0, result, again)
                };
                if let Some(answer) = unwanted {
                    Box::pin(discard(answer, request.deadline)).await;
                    course.now = clock::now();
                }
            }
            Step::Wait { until } => {
                Box::pin(sleep_until(until.into())).await;
                course.now = clock::now();
            }
            Step::Finish { stop, answer } => return course.end(stop, answer),
        }
    }
}

fn plan<'a>(route: &Route<'a>, request: &Outgoing) -> Plan<'a> {
    Plan {
        policy: &route.policy.retry,
        deadline: request.deadline,
        backend_request: route.policy.timeouts.backend_request,
        idempotent: request.is_idempotent(&route.policy.retry),
        replayable: request.is_replayable(),
        chain_stop: request.inbound_attempt > 1,
        endpoints: route.state.endpoint_count(),
        // A replay is made once, and by an operator: it says nothing of retries.
        ledger: route.ledger.filter(|_| !request.once),
        // Of what a store has been asked about there is one sender at a time: an attempt that is cancelled unanswered
        // would leave its key without an end.
        hedge: route.policy.hedge.as_ref().filter(|_| request.claim.is_none()),
    }
}

/// Reads the rest of an answer that nobody gets, so that its connection is kept.
async fn discard(answer: Answer, deadline: Instant) {
    let rest = answer.into_body().drain(DRAIN_BYTES_MAX);
    let until = deadline.min(clock::now() + DRAIN_TIME);
    let _ = tokio::time::timeout_at(until.into(), rest).await;
}
