//! Answers that come too late for their client. Whoever timed out has been told that the outcome is not known; an answer
//! that comes after all heals that, and the next try of the key finds it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::body::{Collected, collect};
use super::execution::is_too_much;
use super::grpc;
use super::respond;
use crate::clock;
use crate::drain::Tasks;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::{Claim, Report};
use crate::idempotency::waiting::Waiting;
use crate::reliability::Sent;
use crate::reliability::classify::{Contract, PeerMark};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::{Ending, ending};
use crate::wire::{AnswerBody, Late};

/// An answer that comes this long after its time is still taken.
pub const LATE_GRACE: Duration = Duration::from_secs(30);
/// Requests that may listen on at once. Each holds a connection.
const LISTENERS_MAX: usize = 256;

/// Room for those who listen on.
#[derive(Clone, Debug)]
pub struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Listeners(Arc::new(Semaphore::new(LISTENERS_MAX)))
    }
}

/// It leaves no question open.
const CERTAIN: Ending = Ending::Complete { ambiguous: false };

/// What a late answer is worth something to.
pub struct Listener {
    pub claim: Arc<Claim>,
    pub waiting: Arc<Waiting>,
    pub contract: Contract,
    /// It was a gRPC call.
    pub grpc: bool,
    /// Of a larger answer, status and fields alone are kept.
    pub body_max: usize,
    /// Between two frames of a body.
    pub idle: Duration,
}

impl Listeners {
    /// Listens on in a task, if there is room. Nobody waits for it: a proxy that is told to stop gives it up, and the
    /// outcome stays unknown.
    pub fn listen(&self, late: Box<Late>, listener: Listener, tasks: &Tasks) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let stop = tasks.stop().clone();
        tasks.spawn(async move {
            let until = clock::now() + LATE_GRACE;
            let heard = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                heard = listener.hear(*late, until) => heard,
            };
            drop(place);
            if let Some(report) = heard {
                let _ = listener.claim.insist(report, None).await;
                listener.waiting.wake(listener.claim.id());
            }
        });
    }
}

impl Listener {
    /// What the record is told. Only an answer that leaves no question open is better than what it says already.
    async fn hear(&self, late: Late, until: Instant) -> Option<Report> {
        let answer = timeout_at(until.into(), late.answer()).await.ok()?.ok()?;
        let status = answer.status().as_u16();
        let code = if self.grpc { grpc::code_in(answer.headers()) } else { None };
        let weight = code.map_or(status, Code::as_status);
        let mark = answer.headers().get(respond::RETRY_MARK).map_or(PeerMark::None, respond::read_mark);
        if ending(Some(weight), mark, Sent::Yes, Sent::No, self.contract) != CERTAIN {
            return None;
        }
        let (head, body) = answer.into_parts();
        let body = if is_too_much(&head.headers, self.body_max) {
            Collected::TooMuch(body)
        } else {
            collect(body, self.body_max, until, self.idle).await
        };
        let (kept, trailers) = match body {
            Collected::Whole(bytes, trailers) => (Some(bytes), trailers),
            Collected::TooMuch(body) => {
                ends_well(body, until).await?;
                (None, None)
            }
            Collected::Broken(_) => return None,
        };
        let trailers = self.grpc.then_some(trailers).flatten();
        if let Some(code) = trailers.as_ref().and_then(grpc::code_in)
            && ending(Some(code.as_status()), mark, Sent::Yes, Sent::No, self.contract) != CERTAIN
        {
            return None;
        }
        let answer = StoredAnswer::new(status, &respond::cleaned(&head.headers), kept).with_trailers(trailers.as_ref());
        Some(Report::Complete { answer, ambiguous: false })
    }
}

/// Reads to the end what is not kept: an answer that breaks off is none.
async fn ends_well(mut body: AnswerBody, until: Instant) -> Option<()> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match timeout_at(until.into(), frame).await.ok()? {
            Some(Ok(_)) => {}
            Some(Err(_broken)) => return None,
            None => return Some(()),
        }
    }
}
