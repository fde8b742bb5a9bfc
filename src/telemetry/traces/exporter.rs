//! Batches, and their way to the collector. Runs on the control runtime; nothing of the data plane waits for it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::environment::{Batch, Environment};
use super::queue::Queue;
use super::story::Story;
use super::{Endpoint, Target, otlp};
use crate::clock;
use crate::telemetry::events::Event;
use crate::telemetry::metrics::SpanLoss;

/// The first wait before a batch is sent again; it doubles.
const BACKOFF: Duration = Duration::from_secs(1);
/// A collector may ask for at most this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// What goes wrong is told so often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// One batch on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Where to.
    pub endpoint: Endpoint,
    /// Besides those of HTTP and the content type.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Protobuf.
    pub body: Bytes,
    /// For the whole exchange.
    pub timeout: Duration,
}

/// What a collector said.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<Duration>,
    /// Its body, as far as it was read.
    pub body: Bytes,
}

/// Whoever can send a parcel. Bound to return soon after its timeout.
pub trait Carrier: Send + Sync + 'static {
    /// Sends it. The error is for people.
    fn carry(&self, parcel: Parcel) -> impl Future<Output = Result<Reply, String>> + Send;
}

/// Why a batch did not arrive.
struct Undelivered {
    why: String,
    /// Whether another try makes sense, and when.
    again: Option<Duration>,
}

/// Sends what comes through the queue, until the end.
pub struct Exporter {
    queue: Queue,
    batch: Batch,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    target: Arc<ArcSwapOption<Target>>,
    closing: CancellationToken,
    closed: CancellationToken,
    told: Option<Instant>,
    lost_since: u64,
}

impl Exporter {
    pub(super) fn new(
        environment: &Environment,
        queue: Queue,
        target: Arc<ArcSwapOption<Target>>,
        closing: CancellationToken,
        closed: CancellationToken,
    ) -> Exporter {
        let Environment { batch, timeout, .. } = *environment;
        let headers = environment.headers.clone();
        Exporter { queue, batch, headers, timeout, target, closing, closed, told: None, lost_since: 0 }
    }

    /// Until [`close`](super::Traces::close), and then until the queue is empty.
    pub async fn run(mut self, carrier: impl Carrier) {
        loop {
            let stories = self.gather().await;
            if stories.is_empty() {
                break;
            }
            let spans = stories.iter().map(|story| story.spans()).sum();
            self.deliver(&carrier, &stories, spans).await;
            self.queue.settled(spans);
        }
        self.closed.cancel();
    }

    /// The next batch; empty = all is over.
    async fn gather(&mut self) -> Vec<Box<Story>> {
        let closing = self.closing.clone();
        let first = tokio::select! {
            biased;
            story = self.queue.next() => story,
            () = closing.cancelled() => None,
        };
        let Some(first) = first else { return Vec::new() };
        let until = clock::now() + self.batch.delay;
        let mut spans = first.spans();
        let mut stories = vec![first];
        while spans < self.batch.size_max {
            let next = tokio::select! {
                biased;
                story = self.queue.next() => story,
                () = closing.cancelled() => self.queue.ready(),
                () = sleep_until(until.into()) => None,
            };
            let Some(story) = next else { break };
            spans += story.spans();
            stories.push(story);
        }
        stories
    }

    /// Tries until the collector has them, or it is not worth trying, or the time for it is over.
    async fn deliver(&mut self, carrier: &impl Carrier, stories: &[Box<Story>], spans: usize) {
        let Some(target) = self.target.load_full() else {
            return self.queue.counts.dropped(SpanLoss::NoEndpoint, spans);
        };
        let parcel = Parcel {
            endpoint: target.endpoint.clone(),
            headers: self.headers.clone(),
            body: otlp::encode(&target, stories).into(),
            timeout: self.timeout,
        };
        let give_up = clock::now() + self.batch.timeout;
        let mut wait = BACKOFF;
        loop {
            // A last try is made also when the process ends; a second one is not.
            let last = self.closing.is_cancelled();
            let undelivered = match judge(carrier.carry(parcel.clone()).await) {
                Ok(reply) => return self.delivered(&target, &reply, spans),
                Err(undelivered) => undelivered,
            };
            self.queue.counts.export_failed();
            let again = undelivered.again.map(|asked| asked.max(wait));
            let again = again.filter(|wait| !last && clock::now() + *wait < give_up);
            let lost = if again.is_some() { 0 } else { spans };
            self.complain(&target.endpoint, &undelivered.why, lost);
            let Some(pause) = again else {
                return self.queue.counts.dropped(SpanLoss::ExportFailed, spans);
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.closing.cancelled() => {}
            }
            wait *= 2;
        }
    }

    fn delivered(&mut self, target: &Target, reply: &Reply, spans: usize) {
        let refused = otlp::refused(&reply.body);
        let lost = refused.as_ref().map_or(0, |(lost, _)| usize::try_from(*lost).unwrap_or(spans).min(spans));
        self.queue.counts.exported(spans - lost);
        if let Some((_, why)) = refused {
            self.queue.counts.dropped(SpanLoss::Rejected, lost);
            self.complain(&target.endpoint, &format!("the collector refused a part of a batch: {why}"), lost);
        }
    }

    /// One event a minute, however much goes wrong.
    fn complain(&mut self, endpoint: &Endpoint, error: &str, lost: usize) {
        self.lost_since += lost as u64;
        let now = clock::now();
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_EVERY) {
            return;
        }
        let endpoint = endpoint.to_string();
        Event::ExportFailed { endpoint: &endpoint, error, spans_lost: self.lost_since }.emit();
        (self.told, self.lost_since) = (Some(now), 0);
    }
}

/// Which answers are worth another try is said by the specification of OTLP.
fn judge(carried: Result<Reply, String>) -> Result<Reply, Undelivered> {
    match carried {
        Ok(reply) if (200..300).contains(&reply.status) => Ok(reply),
        Ok(Reply { status, retry_after, .. }) => {
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let again = matches!(status, 429 | 502 | 503 | 504).then_some(asked);
            let advice = match status {
                404 | 405 => "; is this the OTLP/HTTP port (usually 4318)?",
                401 | 403 => "; see OTEL_EXPORTER_OTLP_HEADERS",
                _ => "",
            };
            Err(Undelivered { why: format!("the collector answered {status}{advice}"), again })
        }
        Err(why) => Err(Undelivered { why, again: Some(Duration::ZERO) }),
    }
}
