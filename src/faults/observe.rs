//! What a scripted upstream saw: counters that can be awaited, and the last requests in full.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::message::{Digest, Field, Head};

/// Requests kept in full.
const SEEN_MAX: usize = 1_024;
/// Keys whose executions are counted.
const KEYS_MAX: usize = 100_000;
/// The field whose value names an effect.
pub const KEY: &str = "Idempotency-Key";

/// Counters of one server since it started. All but `open` and `serving` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Request heads read.
    pub requests: u64,
    /// Requests being served now.
    pub serving: u64,
    /// Requests read to their last byte: they took effect, whatever was answered.
    pub executed: u64,
    /// Answers written to their last byte.
    pub answered: u64,
    /// Requests whose peer went away before the answer was complete.
    pub abandoned: u64,
    /// Connections that carried something ambiguous or malformed.
    pub malformed: u64,
    /// TLS handshakes that failed.
    pub strangers: u64,
    /// Streams of HTTP/2 that the peer reset.
    pub resets: u64,
    /// Bytes of request bodies read.
    pub bytes_in: u64,
    /// Bytes of answer bodies written.
    pub bytes_out: u64,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The head, byte for byte and in parts.
    pub head: Head,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// How its connection was encrypted.
    pub tls: Option<Arc<SeenTls>>,
    /// When the head was complete.
    pub at: Instant,
    /// The body, once it was read to its end.
    pub body: Option<SeenBody>,
}

impl Seen {
    /// The deadline that a gRPC client gave, by `grpc-timeout`.
    pub fn grpc_timeout(&self) -> Option<Duration> {
        let text = self.head.get("grpc-timeout")?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(number.checked_mul(3_600)?),
            "M" => Duration::from_secs(number.checked_mul(60)?),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    }
}

/// What a TLS handshake told of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenTls {
    /// The name it asked for (SNI).
    pub server_name: Option<String>,
    /// What ALPN came to.
    pub alpn: Option<String>,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
    /// The certificate it showed (DER).
    pub client: Option<Vec<u8>>,
}

/// A request body that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBody {
    /// Length and digest.
    pub digest: Digest,
    /// Trailer fields.
    pub trailers: Vec<Field>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Requests dropped from the front of `seen`.
    dropped: u64,
    seen: VecDeque<Seen>,
    executions: HashMap<String, u64>,
}

/// The notebook of a server; shared by its connections.
#[derive(Debug)]
pub struct Observed {
    counts: watch::Sender<Counts>,
    kept: Mutex<Kept>,
}

impl Default for Observed {
    fn default() -> Self {
        Observed { counts: watch::Sender::new(Counts::default()), kept: Mutex::default() }
    }
}

impl Observed {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the counters satisfy `what`; an error holds the counters at the end of `bound`.
    pub async fn until(&self, bound: Duration, what: impl Fn(&Counts) -> bool) -> Result<Counts, Counts> {
        let mut receiver = self.counts.subscribe();
        // The sender lives in `self`, so that `wait_for` cannot fail; the counters are the answer either way.
        match tokio::time::timeout(bound, receiver.wait_for(|counts| what(counts))).await {
            Ok(Ok(counts)) => Ok(*counts),
            Ok(Err(_)) | Err(_) => Err(self.counts()),
        }
    }

    /// The last requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.kept().seen.iter().cloned().collect()
    }

    /// The last request.
    pub fn last(&self) -> Option<Seen> {
        self.kept().seen.back().cloned()
    }

    /// How often a request with this key took effect.
    pub fn executions(&self, key: &str) -> u64 {
        self.kept().executions.get(key).copied().unwrap_or(0)
    }

    /// How often each key took effect, since the last call.
    pub fn take_executions(&self) -> HashMap<String, u64> {
        std::mem::take(&mut self.kept().executions)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    /// Notes a head; returns the number of the request, from 0.
    pub(super) fn on_head(&self, head: &Head, connection: u64, tls: Option<&Arc<SeenTls>>) -> u64 {
        let mut kept = self.kept();
        if kept.seen.len() == SEEN_MAX {
            kept.seen.pop_front();
            kept.dropped += 1;
        }
        kept.seen.push_back(Seen { head: head.clone(), connection, tls: tls.cloned(), at: Instant::now(), body: None });
        let number = kept.dropped + kept.seen.len() as u64 - 1;
        drop(kept);
        self.count(|c| c.requests += 1);
        number
    }

    /// Notes the end of a request: its effect happens here.
    pub(super) fn on_executed(&self, number: u64, head: &Head, body: SeenBody) {
        let mut kept = self.kept();
        if let Some(key) = head.get(KEY)
            && (kept.executions.len() < KEYS_MAX || kept.executions.contains_key(key))
        {
            *kept.executions.entry(key.to_string()).or_default() += 1;
        }
        let index = number.checked_sub(kept.dropped).and_then(|i| usize::try_from(i).ok());
        if let Some(seen) = index.and_then(|i| kept.seen.get_mut(i)) {
            seen.body = Some(body);
        }
        drop(kept);
        self.count(|c| c.executed += 1);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
