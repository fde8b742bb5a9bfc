//! The one request of a key that is executed. It runs in a task of its own: a client that leaves does not cancel what
//! may have taken effect, and its next try finds the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response};
use tokio::time::timeout;

use super::admit;
use super::attempt::{self, Outgoing, Verdict};
use super::body::{Body, Collected, End, Held, collect};
use super::dead_letters::{Post, Watch};
use super::grpc::{self, Standing};
use super::keeper::{Keeper, Keeping, tell_later};
use super::late::{Listener, Listeners};
use super::record::Record;
use super::respond::{self, Explained};
use super::route::{self, Route};
use crate::clock;
use crate::drain::Tasks;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::{Claim, RENEW_EVERY, Report, Reported};
use crate::idempotency::waiting::Waiting;
use crate::policy::idempotency::IdempotencyPolicy;
use crate::policy::routes::RouteId;
use crate::reliability::attempts::Stop;
use crate::reliability::classify::PeerMark;
use crate::reliability::dead_letters::{Cause, Class, of_answer, of_failure};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::{Ending, KeyStatus, ending};
use crate::reliability::{Failure, Sent};
use crate::sabotage::{Point, crash_point};
use crate::upstreams::endpoint::InFlight;
use crate::upstreams::slots::Slot;
use crate::wire::{Alarm, Answer, alarm::alarmed};

/// The client waits so long for its answer to be kept; then it gets it all the same.
const PERSIST: Duration = Duration::from_millis(250);

/// Everything that it needs, so that it can outlive its client.
pub struct Execution {
    pub route: RouteId,
    pub policy: Arc<IdempotencyPolicy>,
    pub outgoing: Outgoing,
    pub record: Box<Record>,
    pub claim: Arc<Claim>,
    pub waiting: Arc<Waiting>,
    pub tasks: Tasks,
    pub held: Held,
    /// Set if it becomes a dead letter should it fail.
    pub watch: Option<Box<Watch>>,
    pub late: Listeners,
}

impl Execution {
    /// Runs to the head of the answer, or to its whole body if it is to be kept.
    pub async fn run(self) -> Response<Body> {
        let (waiting, id) = (Arc::clone(&self.waiting), self.claim.id());
        let response = self.execute().await;
        waiting.wake(id);
        response
    }

    async fn execute(mut self) -> Response<Body> {
        let snapshot = Arc::clone(self.record.snapshot());
        let Some(route) = route::of(&snapshot, self.route) else {
            self.settle(Report::Release, None).await;
            return respond::fail(Failure::Internal.into(), self.record);
        };
        let deadline = self.outgoing.deadline;
        let asks = (&self.outgoing.headers, self.outgoing.present);
        let mut slot = match admit::admit(&route, asks, clock::now(), deadline).await {
            Ok((slot, waited)) => {
                self.record.waited(waited);
                slot
            }
            Err(refusal) => {
                let post = self.post_failed(refusal.failure, Sent::No);
                let kept = self.settle(Report::Release, post).await;
                self.record.key_status = Some(if kept { KeyStatus::NotStored } else { KeyStatus::StoreFailed });
                return respond::refuse(&refusal, self.record);
            }
        };
        let verdict = self.attempts(&route).await;
        slot.learn(self.record.load(&route));
        match verdict {
            Verdict::Failed { failure, sent, executed, retry_after, stop } => {
                self.failed(&route, failure, executed).await;
                respond::fail(Explained { failure, sent, detail: None, retry_after, stop: Some(stop) }, self.record)
            }
            Verdict::Answered { answer, in_flight, stop, earlier } => {
                let end = Landed { answer, in_flight, stop, slot };
                self.answered(&route, end, earlier, deadline).await
            }
        }
    }

    /// The attempts, and a sign of life to the store now and then.
    async fn attempts(&mut self, route: &Route<'_>) -> Verdict {
        let alarm = Alarm::new();
        let claim = Arc::clone(&self.claim);
        let run = attempt::run(route, &mut self.outgoing, &mut self.record, &alarm, &self.tasks);
        let mut run = std::pin::pin!(alarmed(&alarm, run));
        loop {
            match timeout(RENEW_EVERY, &mut run).await {
                Ok(verdict) => return verdict,
                Err(_elapsed) => claim.renew().await,
            }
        }
    }

    /// No answer came.
    async fn failed(&mut self, route: &Route<'_>, failure: Failure, executed: Sent) {
        let end = ending(None, PeerMark::None, executed, Sent::No, route.policy.retry.contract);
        let (report, status) = match end {
            Ending::Release => (Report::Release, KeyStatus::NotStored),
            Ending::Fail | Ending::Complete { .. } => (Report::Fail, KeyStatus::Unknown),
        };
        let post = self.post_failed(failure, executed);
        let told = self.settle(report, post).await;
        self.record.key_status = Some(status);
        // A store that has not taken the failure would hear two ends of one claim, in any order.
        if let Some(late) = self.outgoing.late.take().filter(|_| told && status == KeyStatus::Unknown) {
            let listener = Listener {
                claim: Arc::clone(&self.claim),
                waiting: Arc::clone(&self.waiting),
                contract: route.policy.retry.contract,
                grpc: self.record.is_grpc(),
                body_max: self.policy.max_stored_body,
                idle: route.policy.timeouts.idle,
            };
            self.late.listen(late, listener, &self.tasks);
        }
    }

    /// Its letter, if it becomes one by a failure.
    fn post_failed(&mut self, failure: Failure, executed: Sent) -> Option<Post> {
        let mut watch = self.watch.take()?;
        watch.hold(std::mem::take(&mut self.held));
        watch.failed(of_failure(failure, executed), failure, &self.record)
    }

    /// Its letter, if it becomes one by its answer.
    fn post_answered(&mut self, sorted: Sorted, answer: (u16, &HeaderMap, Option<&Bytes>)) -> Option<Post> {
        let mut watch = self.watch.take()?;
        watch.hold(std::mem::take(&mut self.held));
        watch.answered(sorted, answer, &self.record)
    }

    async fn answered(mut self, route: &Route<'_>, landed: Landed, earlier: Sent, deadline: Instant) -> Response<Body> {
        crash_point(Point::MidResponse);
        let (status, headers) = (grpc::weight(&landed.answer), landed.answer.headers());
        let mark = headers.get(respond::RETRY_MARK).map_or(PeerMark::None, respond::read_mark);
        let contract = route.policy.retry.contract;
        let judged = |status| {
            (ending(Some(status), mark, Sent::Yes, earlier, contract), of_answer(status, mark, earlier, contract))
        };
        let (end, sorted) = judged(status);
        let ambiguous = match end {
            Ending::Release => {
                let post = self.post_answered(sorted, (status, headers, None));
                let told = self.settle(Report::Release, post).await;
                self.record.key_status = Some(if told { KeyStatus::NotStored } else { KeyStatus::StoreFailed });
                return self.pass(route, landed, None, deadline);
            }
            Ending::Fail => {
                let post = self.post_answered(sorted, (status, headers, None));
                self.settle(Report::Fail, post).await;
                self.record.key_status = Some(KeyStatus::Unknown);
                return self.pass(route, landed, None, deadline);
            }
            Ending::Complete { ambiguous } => ambiguous,
        };
        let max = self.policy.max_stored_body;
        if is_too_much(headers, max) {
            return self.pass_and_keep(route, landed, (ambiguous, sorted), deadline);
        }
        let standing = grpc::standing(&landed.answer);
        let Landed { answer, in_flight, stop, slot } = landed;
        let (head, body) = answer.into_parts();
        let idle = route.policy.timeouts.idle;
        match collect(body, max, deadline, idle).await {
            Collected::Whole(bytes, trailers) => {
                // Of a call the trailers say what it has come to; of all else nobody was told to expect any.
                let trailers = standing.and(trailers);
                let (status, (end, sorted)) = match self.call_ended(standing, trailers.as_ref(), &in_flight) {
                    Some(code) => (code.as_status(), judged(code.as_status())),
                    None => (status, (Ending::Complete { ambiguous }, sorted)),
                };
                drop((slot, in_flight));
                crash_point(Point::AfterResponse);
                let post = self.post_answered(sorted, (status, &head.headers, Some(&bytes)));
                let kept =
                    StoredAnswer::new(head.status.as_u16(), &respond::cleaned(&head.headers), Some(bytes.clone()))
                        .with_trailers(trailers.as_ref());
                let (report, good) = match end {
                    Ending::Complete { ambiguous } => (Report::Complete { answer: kept, ambiguous }, KeyStatus::Stored),
                    Ending::Release => (Report::Release, KeyStatus::NotStored),
                    Ending::Fail => (Report::Fail, KeyStatus::Unknown),
                };
                let stored = self.settle(report, post).await;
                crash_point(Point::AfterComplete);
                let lost = !stored && good != KeyStatus::Unknown;
                self.record.key_status = Some(if lost { KeyStatus::StoreFailed } else { good });
                respond::whole(head, (bytes, trailers), stop, self.record)
            }
            Collected::TooMuch(body) => {
                let landed = Landed { answer: Response::from_parts(head, body), in_flight, stop, slot };
                self.pass_and_keep(route, landed, (ambiguous, sorted), deadline)
            }
            Collected::Broken(failure) => {
                let post = self.post_failed(failure, Sent::Yes);
                self.settle(Report::Fail, post).await;
                self.record.key_status = Some(KeyStatus::Unknown);
                respond::fail(Explained { sent: Sent::Yes, ..failure.into() }, self.record)
            }
        }
    }

    /// The end of a call, if this answer is one. Some = it was not known before its trailers came.
    fn call_ended(
        &mut self,
        standing: Option<Standing>,
        trailers: Option<&HeaderMap>,
        in_flight: &InFlight,
    ) -> Option<Code> {
        match standing? {
            Standing::Ended { code, .. } => {
                self.record.called(code);
                None
            }
            Standing::Begun => {
                let code = trailers.and_then(grpc::code_in).unwrap_or(Code::Unknown);
                grpc::ended(&mut self.record, Some(in_flight), code);
                Some(code)
            }
        }
    }

    /// Status and fields are kept once the body has ended.
    fn pass_and_keep(
        mut self,
        route: &Route<'_>,
        landed: Landed,
        (ambiguous, sorted): (bool, Sorted),
        deadline: Instant,
    ) -> Response<Body> {
        let (status, headers) = (landed.answer.status().as_u16(), respond::cleaned(landed.answer.headers()));
        let (claim, waiting) = (Arc::clone(&self.claim), Arc::clone(&self.waiting));
        let answer = StoredAnswer::new(status, &headers, None);
        let mut watch = self.watch.take();
        if let Some(watch) = &mut watch {
            watch.hold(std::mem::take(&mut self.held));
        }
        let record = Some(Keeping { claim, waiting, answer, ambiguous });
        let keeper = Keeper { record, watch, sorted, tasks: self.tasks.clone() };
        self.record.key_status = Some(KeyStatus::Stored);
        self.pass(route, landed, Some(keeper), deadline)
    }

    fn pass(self, route: &Route<'_>, landed: Landed, keeper: Option<Keeper>, deadline: Instant) -> Response<Body> {
        let Landed { answer, in_flight, stop, slot } = landed;
        let idle = route.policy.timeouts.idle;
        // Nothing is sent again from here on.
        drop(self.held);
        let end = End { record: self.record, slot: Some(slot), in_flight: Some(in_flight), deadline, idle, keeper };
        respond::pass(answer, stop, end)
    }

    /// Tells the store, for as long as the client can be made to wait; beyond that the telling goes on without it.
    /// False: it is not known to have been kept.
    async fn settle(&mut self, report: Report, post: Option<Post>) -> bool {
        let told = timeout(PERSIST, self.claim.report(report.clone(), post.as_ref().map(Post::letter))).await;
        if let Ok(Reported { record: Ok(()), letter }) = told {
            self.record.dead_letter = post.and_then(|post| post.end(&letter));
            return true;
        }
        tell_later(&self.tasks, Arc::clone(&self.claim), Arc::clone(&self.waiting), report, post);
        false
    }
}

/// What an answer makes of its request.
type Sorted = Option<(Cause, Class)>;

/// An answer's head and what it holds.
struct Landed {
    answer: Answer,
    in_flight: InFlight,
    stop: Stop,
    slot: Slot,
}

/// Known from the head alone: too large to keep, or a stream without an end.
pub(super) fn is_too_much(headers: &HeaderMap, max: usize) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let stream = headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    stream || length.is_some_and(|n| n > max as u64)
}
