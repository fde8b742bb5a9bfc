//! What became of spans.

use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Exposition, Family, Type};

const EXPORTED: Family =
    Family { name: "outrigger_spans_exported_total", kind: Type::Counter, help: "Spans that a collector has taken." };
const DROPPED: Family = Family {
    name: "outrigger_spans_dropped_total",
    kind: Type::Counter,
    help: "Spans that should have been exported and were not, by reason.",
};
const FAILURES: Family = Family {
    name: "outrigger_span_exports_failed_total",
    kind: Type::Counter,
    help: "Tries to send a batch of spans that failed.",
};

/// Why a span was not exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanLoss {
    /// The queue was full.
    QueueFull,
    /// So many requests were kept above the ratio this second already.
    KeepLimit,
    /// The collector did not take its batch in time.
    ExportFailed,
    /// The collector took its batch, and refused it.
    Rejected,
    /// The policy took the endpoint away while it waited.
    NoEndpoint,
}

impl SpanLoss {
    const ALL: [SpanLoss; 5] =
        [SpanLoss::QueueFull, SpanLoss::KeepLimit, SpanLoss::ExportFailed, SpanLoss::Rejected, SpanLoss::NoEndpoint];

    const fn as_str(self) -> &'static str {
        match self {
            SpanLoss::QueueFull => "queue-full",
            SpanLoss::KeepLimit => "keep-limit",
            SpanLoss::ExportFailed => "export-failed",
            SpanLoss::Rejected => "rejected",
            SpanLoss::NoEndpoint => "no-endpoint",
        }
    }
}

/// Counters of spans. Added to by the data plane and the exporter, without a lock.
#[derive(Debug, Default)]
pub struct SpanCounts {
    exported: AtomicU64,
    failures: AtomicU64,
    dropped: [AtomicU64; SpanLoss::ALL.len()],
}

impl SpanCounts {
    /// A collector has taken so many.
    pub fn exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// So many are lost.
    pub fn dropped(&self, why: SpanLoss, spans: usize) {
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.fetch_add(spans as u64, Ordering::Relaxed);
        }
    }

    /// A batch was sent in vain.
    pub fn export_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn render(&self, out: &mut Exposition) {
        const NO_LABELS: [(&str, &str); 0] = [];
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        out.samples(&EXPORTED, [(NO_LABELS, read(&self.exported))]);
        let reasons = SpanLoss::ALL.iter().zip(&self.dropped);
        out.samples(&DROPPED, reasons.map(|(why, counter)| ([("reason", why.as_str())], read(counter))));
        out.samples(&FAILURES, [(NO_LABELS, read(&self.failures))]);
    }
}
