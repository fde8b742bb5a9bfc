//! The access log: one JSON line per request, OpenTelemetry's keys, our own under `outrigger.`.
//!
//! * Never on the request path: a line is serialised, copied into a bounded queue and written by one thread.
//!   If the queue is full the line is dropped and counted; a slow reader of stdout never slows a request.
//! * A line is ASCII only. Whatever a client puts into a path (escape sequences, line feeds, U+2028, invalid
//!   UTF-8) comes out as a JSON escape, so it can neither forge a line nor talk to a terminal.
//! * The query is never written: it is where tokens and personal data are found.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::metrics::RequestOutcome;
use crate::policy;
use crate::policy::Direction;
use crate::reliability::grpc::Code;
use crate::reliability::{Failure, Sent};

#[cfg(test)]
pub(crate) mod tests;

/// Bytes that may wait for the writer.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Lines that may wait for the writer.
const QUEUE_LINES_MAX: u64 = 8_192;
/// Longer texts from clients are cut and marked with `...`.
const TEXT_BYTES_MAX: usize = 2_048;
/// Attempts written per line; the policy allows no more.
const ATTEMPTS_MAX: usize = 16;

/// Whether a request is written, by the policy it ran under. `random` is uniform over all u64.
pub fn should_log(policy: &policy::AccessLog, failed_or_retried: bool, random: u64) -> bool {
    // 53 bits: the precision of f64, so that a ratio of 1.0 takes all and 0.0 none.
    let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
    (failed_or_retried && policy.errors_always) || unit < policy.sample_ratio
}

/// One request. Texts that the client chose are bytes, because nothing guarantees that they are UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// When the request arrived.
    pub timestamp: Timestamp,
    /// `http.request.method`.
    pub method: &'a [u8],
    /// `url.path`. A query, if there is one, is cut off.
    pub path: &'a [u8],
    /// `http.response.status_code` as sent to the client; None if it left before that.
    pub status: Option<u16>,
    /// `server.address`: the host that the client asked for.
    pub host: &'a [u8],
    /// `duration_ms`: from the head of the request to the end of the answer.
    pub duration: Duration,
    /// `trace_id`.
    pub trace_id: &'a str,
    /// `http.request.header.x-request-id`: the caller's own name for the request.
    pub request_id: Option<&'a [u8]>,
    /// `outrigger.peer`: whom the client's certificate names, which was verified.
    pub peer: Option<&'a str>,
    /// `outrigger.direction`.
    pub direction: Direction,
    /// `outrigger.upstream`; None if no route matched.
    pub upstream: Option<&'a str>,
    /// `outrigger.route`, and `http.route` together with the upstream; None if no route matched.
    pub route: Option<&'a str>,
    /// `outrigger.outcome`.
    pub outcome: RequestOutcome,
    /// `rpc.response.status_code`: how a gRPC call ended.
    pub call: Option<Code>,
    /// `error.type`, `outrigger.reason`, `.side` and `.phase`.
    pub failure: Option<Failure>,
    /// `outrigger.sent`: how much of the request an upstream may have seen.
    pub sent: Option<Sent>,
    /// `outrigger.queue_ms`: how long it waited for a slot; nothing is written of zero.
    pub waited: Duration,
    /// `outrigger.deadline_from`: who made the deadline sooner than the policy does: `caller`, or `trace`.
    pub deadline_from: Option<&'static str>,
    /// `outrigger.attempts`, in the order of their start.
    pub attempts: &'a [AttemptEntry<'a>],
    /// `outrigger.retry_denied`: why an eligible retry was not made.
    pub retry_denied: Option<&'a str>,
    /// `outrigger.idempotency`: what became of the key, in the words of `Idempotency-Status`.
    pub idempotency: Option<&'a str>,
    /// `outrigger.dead_letter`: under which number the request is kept.
    pub dead_letter: Option<&'a str>,
    /// `outrigger.policy_revision` that the request ran under.
    pub policy_revision: u64,
    /// `http.request.body.size`: bytes of body read from the client.
    pub request_bytes: u64,
    /// `http.response.body.size`: bytes of body written to the client.
    pub response_bytes: u64,
}

/// One attempt of a request.
#[derive(Clone, Copy, Debug)]
pub struct AttemptEntry<'a> {
    /// Address of the endpoint; empty if none was chosen.
    pub endpoint: &'a str,
    /// `first`, `retry`, `transparent` or `hedge`.
    pub kind: &'static str,
    /// `at_ms`: its launch, since the request's start.
    pub at: Duration,
    /// `backoff_ms`: from the end of the attempt before it to its launch; None if it is the first.
    pub backoff: Option<Duration>,
    /// `ms`: how long it took.
    pub duration: Duration,
    /// How it ended.
    pub end: AttemptEndEntry,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEndEntry {
    /// `status`.
    Status(u16),
    /// `status`, and `code`: how a gRPC call ended.
    Call(Code),
    /// `error`: the token of the failure.
    Failed(Failure),
    /// `error`: `cancelled`. No fault of the endpoint.
    Cancelled,
}

/// A text that a client chose.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.get(..TEXT_BYTES_MAX) {
            Some(start) if self.0.len() > TEXT_BYTES_MAX => {
                serializer.collect_str(&format_args!("{}...", String::from_utf8_lossy(start)))
            }
            Some(_) | None => serializer.serialize_str(&String::from_utf8_lossy(self.0)),
        }
    }
}

/// Milliseconds with microsecond precision.
pub fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

impl Serialize for AccessEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format_args!("{:.6}", self.timestamp))?;
        map.serialize_entry("http.request.method", &Text(self.method))?;
        let path = self.path.split(|b| *b == b'?').next().unwrap_or_default();
        map.serialize_entry("url.path", &Text(path))?;
        if let Some(status) = self.status {
            map.serialize_entry("http.response.status_code", &status)?;
        }
        if let (Some(upstream), Some(route)) = (self.upstream, self.route) {
            map.serialize_entry("http.route", &format_args!("{upstream}/{route}"))?;
        }
        map.serialize_entry("server.address", &Text(self.host))?;
        map.serialize_entry("duration_ms", &millis(self.duration))?;
        map.serialize_entry("http.request.body.size", &self.request_bytes)?;
        map.serialize_entry("http.response.body.size", &self.response_bytes)?;
        map.serialize_entry("trace_id", self.trace_id)?;
        if let Some(id) = self.request_id {
            map.serialize_entry("http.request.header.x-request-id", &Text(id))?;
        }
        if let Some(peer) = self.peer {
            map.serialize_entry("outrigger.peer", &Text(peer.as_bytes()))?;
        }
        map.serialize_entry("outrigger.direction", self.direction.as_str())?;
        if let Some(upstream) = self.upstream {
            map.serialize_entry("outrigger.upstream", upstream)?;
        }
        if let Some(route) = self.route {
            map.serialize_entry("outrigger.route", route)?;
        }
        map.serialize_entry("outrigger.outcome", self.outcome.as_str())?;
        if let Some(code) = self.call {
            map.serialize_entry("rpc.response.status_code", code.as_str())?;
        }
        if let Some(failure) = self.failure {
            map.serialize_entry("error.type", failure.error_type())?;
            map.serialize_entry("outrigger.reason", failure.token())?;
            map.serialize_entry("outrigger.side", failure.side().as_str())?;
            map.serialize_entry("outrigger.phase", failure.phase().as_str())?;
        }
        if let Some(sent) = self.sent {
            map.serialize_entry("outrigger.sent", sent.as_str())?;
        }
        if !self.waited.is_zero() {
            map.serialize_entry("outrigger.queue_ms", &millis(self.waited))?;
        }
        if let Some(from) = self.deadline_from {
            map.serialize_entry("outrigger.deadline_from", from)?;
        }
        map.serialize_entry("outrigger.attempts", &self.attempts[..self.attempts.len().min(ATTEMPTS_MAX)])?;
        if let Some(denied) = self.retry_denied {
            map.serialize_entry("outrigger.retry_denied", denied)?;
        }
        if let Some(status) = self.idempotency {
            map.serialize_entry("outrigger.idempotency", status)?;
        }
        if let Some(letter) = self.dead_letter {
            map.serialize_entry("outrigger.dead_letter", letter)?;
        }
        map.serialize_entry("outrigger.policy_revision", &self.policy_revision)?;
        map.end()
    }
}

impl Serialize for AttemptEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("endpoint", self.endpoint)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry("at_ms", &millis(self.at))?;
        if let Some(backoff) = self.backoff {
            map.serialize_entry("backoff_ms", &millis(backoff))?;
        }
        map.serialize_entry("ms", &millis(self.duration))?;
        match self.end {
            AttemptEndEntry::Status(status) => map.serialize_entry("status", &status)?,
            AttemptEndEntry::Call(code) => {
                map.serialize_entry("status", &200)?;
                map.serialize_entry("code", code.as_str())?;
            }
            AttemptEndEntry::Failed(failure) => map.serialize_entry("error", failure.token())?,
            AttemptEndEntry::Cancelled => map.serialize_entry("error", "cancelled")?,
        }
        map.end()
    }
}

/// Compact JSON in ASCII.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // serde_json has escaped quotes, backslashes and everything below 0x20 before it calls this.
        for part in fragment.split_inclusive(|c: char| !c.is_ascii() || c == '\u{7f}') {
            let tail = part.chars().next_back().filter(|c| !c.is_ascii() || *c == '\u{7f}');
            let plain = part.len() - tail.map_or(0, char::len_utf8);
            writer.write_all(&part.as_bytes()[..plain])?;
            for unit in tail.iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Appends `entry` and a line feed.
fn write_line(entry: &AccessEntry<'_>, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    entry.serialize(&mut serde_json::Serializer::with_formatter(&mut *line, Ascii))?;
    line.push(b'\n');
    Ok(())
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    /// The writer holds a batch.
    writing: bool,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// The queue is no longer empty, or closed.
    filled: Condvar,
    /// The writer has written all that there was.
    drained: Condvar,
    dropped: Arc<AtomicU64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The door to the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Starts the writer thread on `sink` (stdout in the program). Lines that are lost are counted in `dropped`.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(sink: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> io::Result<AccessLog> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), drained: Condvar::new(), dropped });
        let writer = shared.clone();
        thread::Builder::new().name("access-log".into()).spawn(move || write_batches(&writer, sink))?;
        Ok(AccessLog { shared })
    }

    /// Queues one line, or drops and counts it. Does not wait for I/O: the lock is held for a copy in memory.
    pub fn log(&self, entry: &AccessEntry<'_>) {
        thread_local!(static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        LINE.with_borrow_mut(|line| {
            line.clear();
            match write_line(entry, line) {
                Ok(()) => self.enqueue(line),
                Err(_) => self.count_dropped(1),
            }
        });
    }

    fn enqueue(&self, line: &[u8]) {
        let mut queue = self.shared.lock();
        let fits = queue.bytes.len() + line.len() <= QUEUE_BYTES_MAX && queue.lines < QUEUE_LINES_MAX;
        if queue.closed || !fits {
            drop(queue);
            return self.count_dropped(1);
        }
        queue.bytes.extend_from_slice(line);
        queue.lines += 1;
        let first = queue.lines == 1;
        drop(queue);
        if first {
            self.shared.filled.notify_one();
        }
    }

    fn count_dropped(&self, lines: u64) {
        self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Takes no more lines and waits until the queued ones are written, at most `within`. False if they were not:
    /// whoever reads our stdout has stopped.
    pub fn close(&self, within: Duration) -> bool {
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.filled.notify_one();
        let busy = |queue: &mut Queue| queue.lines > 0 || queue.writing;
        let waited = self.shared.drained.wait_timeout_while(queue, within, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// The writer thread: takes all that is queued at once, so that it makes one write per batch under load.
fn write_batches(shared: &Shared, mut sink: impl Write) {
    let mut batch = Vec::new();
    loop {
        let lines = {
            let idle = |queue: &mut Queue| queue.lines == 0 && !queue.closed;
            let waited = shared.filled.wait_while(shared.lock(), idle);
            let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.lines == 0 {
                return;
            }
            std::mem::swap(&mut batch, &mut queue.bytes);
            queue.writing = true;
            std::mem::take(&mut queue.lines)
        };
        // A closed stdout must not end the proxy; what it did not take is counted.
        if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
            shared.dropped.fetch_add(lines, Ordering::Relaxed);
        }
        batch.clear();
        shared.lock().writing = false;
        shared.drained.notify_all();
    }
}
