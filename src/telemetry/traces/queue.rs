//! The way from the data plane to the exporter: bounded in spans, and it never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::story::Story;
use crate::telemetry::metrics::{SpanCounts, SpanLoss};

/// The end of the data plane.
#[derive(Clone)]
pub(super) struct Outlet {
    /// Bounded by `waiting`, which counts spans and not requests.
    sender: UnboundedSender<Box<Story>>,
    waiting: Arc<AtomicUsize>,
    most: usize,
    counts: Arc<SpanCounts>,
}

/// The end of the exporter.
pub(super) struct Queue {
    receiver: UnboundedReceiver<Box<Story>>,
    waiting: Arc<AtomicUsize>,
    pub(super) counts: Arc<SpanCounts>,
}

pub(super) fn queue(most: usize, counts: Arc<SpanCounts>) -> (Outlet, Queue) {
    let (sender, receiver) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let queue = Queue { receiver, waiting: Arc::clone(&waiting), counts: Arc::clone(&counts) };
    (Outlet { sender, waiting, most, counts }, queue)
}

impl Outlet {
    pub(super) fn put(&self, story: Story) {
        let spans = story.spans();
        let before = self.waiting.fetch_add(spans, Ordering::Relaxed);
        if before + spans > self.most || self.sender.send(Box::new(story)).is_err() {
            self.waiting.fetch_sub(spans, Ordering::Relaxed);
            self.counts.dropped(SpanLoss::QueueFull, spans);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> &SpanCounts {
        &self.counts
    }
}

impl Queue {
    /// The next one. None never comes while a policy may make spans.
    pub(super) async fn next(&mut self) -> Option<Box<Story>> {
        self.receiver.recv().await
    }

    /// The next one, if it is there.
    pub(super) fn ready(&mut self) -> Option<Box<Story>> {
        self.receiver.try_recv().ok()
    }

    /// So many spans are sent, or given up.
    pub(super) fn settled(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }
}
