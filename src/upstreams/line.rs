//! How an endpoint is spoken to, and the connections on which it is: never shared between two ways of speaking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use crate::policy::tls::Protocol;
use crate::tls::Connector;
use crate::wire::Pool;
use crate::wire::h2::Connections;
use crate::wire::pool::PoolLimits;

/// What the policy says of how an upstream is spoken to. One value for as long as its words stay.
#[derive(Debug, Default)]
pub struct Speech {
    /// Counted up with every change, so that of two the later one is known.
    pub number: u64,
    /// With TLS, as whom, and whom it believes. None: in clear.
    pub connector: Option<Arc<Connector>>,
    /// `protocol`.
    pub protocol: Protocol,
}

impl Speech {
    /// This one if it says the same, else its successor.
    pub fn or_next(self: &Arc<Self>, connector: Option<Arc<Connector>>, protocol: Protocol) -> Arc<Speech> {
        let same = match (&self.connector, &connector) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if same && self.protocol == protocol && self.number > 0 {
            return Arc::clone(self);
        }
        Arc::new(Speech { number: self.number + 1, connector, protocol })
    }

    /// Changes when what is presented or believed does.
    fn generation(&self) -> u64 {
        self.connector.as_ref().map_or(0, |connector| connector.generation())
    }
}

/// The connections of one endpoint, all opened under the same words.
#[derive(Debug, Default)]
pub struct Line {
    /// The words.
    pub speech: Arc<Speech>,
    /// HTTP/1.1: one request at a time on each. Counts the places of all connections.
    pub pool: Arc<Pool>,
    /// HTTP/2: many requests at a time on each.
    pub shared: Arc<Connections>,
    /// Which of the connector's materials they were opened with.
    generation: u64,
    /// What the endpoint agreed on last: 0 = it was not asked.
    agreed: AtomicU8,
}

/// HTTP/1.1 was agreed on last.
const HTTP1: u8 = 1;
/// HTTP/2 was.
const HTTP2: u8 = 2;

impl Line {
    /// No connection yet.
    pub fn new(speech: Arc<Speech>) -> Line {
        Line { generation: speech.generation(), speech, ..Line::default() }
    }

    /// Whether requests that go by `speech` use it: opened under these words and with the certificates that are in
    /// force, or under words that have come since.
    pub fn serves(&self, speech: &Speech) -> bool {
        let own = &self.speech;
        own.number > speech.number || (own.number == speech.number && own.generation() == self.generation)
    }

    /// Keeps in mind what the endpoint agreed on.
    pub fn learn(&self, http2: bool) {
        self.agreed.store(if http2 { HTTP2 } else { HTTP1 }, Ordering::Relaxed);
    }

    /// Whether the endpoint agreed on HTTP/1.1 when it was asked last.
    pub fn is_known_http1(&self) -> bool {
        self.agreed.load(Ordering::Relaxed) == HTTP1
    }

    /// Open connections, idle ones included.
    pub fn open_count(&self) -> u32 {
        self.pool.open_count()
    }

    /// Connections on which nothing is under way.
    pub fn idle_count(&self) -> u32 {
        self.pool.idle_count() + self.shared.idle_count()
    }

    /// Closes what is idle for too long, or dead.
    pub fn sweep(&self, now: Instant, limits: &PoolLimits) {
        self.pool.sweep(now, limits);
        self.shared.sweep(now, limits.idle_timeout);
    }

    /// Offers no connection from now on; what is under way finishes.
    pub fn retire(&self) {
        self.pool.retire();
        self.shared.retire();
    }
}
