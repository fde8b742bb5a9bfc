//! A sketch of the traffic, for `outrigger simulate`: how many requests came when, and how long attempts took and how
//! they ended, by route and endpoint. No path, no field, no body, and no address unless it is asked for.
//!
//! One sketch at a time, for ten minutes at most, in at most 5 MiB. While none is made, a request reads one flag.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::reliability::ending::Ending;
use crate::telemetry::metrics::AttemptEnd;

/// Everything is counted in steps of this length.
pub const STEP: Duration = Duration::from_secs(1);
/// A sketch ends after this at the latest.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Routes that are told apart, idempotent requests and others.
pub const STREAMS_MAX: usize = 64;
/// Endpoints that are told apart.
pub const ENDPOINTS_MAX: usize = 256;
/// Stretches of one second, of one route at one endpoint. Beyond it attempts are counted as dropped.
pub const CELLS_MAX: usize = 8_192;
/// Buckets of a latency: four per power of two.
const BUCKETS_PER_OCTAVE: u64 = 4;

/// The bucket of a latency, by microseconds.
pub fn bucket(latency: Duration) -> u8 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(16);
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    u8::try_from(u64::from(octave - 4) * BUCKETS_PER_OCTAVE + quarter).unwrap_or(u8::MAX)
}

/// Where a bucket begins and ends, in microseconds.
pub fn edges(bucket: u8) -> (u64, u64) {
    let (octave, quarter) = (u32::from(bucket) / 4 + 4, u64::from(bucket) % 4);
    let quarter_of = |number: u64| (1u64 << octave).saturating_add((1u64 << (octave - 2)).saturating_mul(number));
    (quarter_of(quarter), quarter_of(quarter + 1))
}

/// How an attempt ended, as far as a sketch tells endings apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// An answer with this status; a gRPC call as the status that weighs the same.
    Status(u16),
    /// No connection.
    Refused,
    /// The connection broke, or what came over it made no sense.
    Reset,
    /// No answer in time: how long it would have taken, nobody knows.
    Timeout,
}

/// Whose requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// Name of its route.
    pub route: Arc<str>,
    /// By their method.
    pub idempotent: bool,
}

/// One attempt of a request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// None = no endpoint was chosen: nothing is learned of one.
    pub endpoint: Option<SocketAddr>,
    /// When it was launched.
    pub launched: Instant,
    /// Until the answer's head, or the failure.
    pub elapsed: Duration,
    /// How it ended.
    pub end: AttemptEnd,
    /// The same in fewer words.
    pub ending: Ending,
}

/// Attempts of one stream at one endpoint in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How they ended.
    pub ends: Vec<(End, u32)>,
    /// How long those took that were answered, by [`bucket`].
    pub latencies: Vec<(u8, u32)>,
}

/// Requests of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Whose.
    pub key: StreamKey,
    /// By step.
    pub arrivals: Vec<u32>,
    /// Those that succeeded for their clients.
    pub succeeded: u64,
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// When it began.
    pub began: Instant,
    /// When it ends.
    pub until: Instant,
    /// Only of this upstream.
    pub only: Option<String>,
    /// The addresses of endpoints are told.
    pub addresses: bool,
    /// In order of their first request.
    pub streams: Vec<Stream>,
    /// In order of their first attempt: upstream and address.
    pub endpoints: Vec<(Arc<str>, SocketAddr)>,
    /// By stream, endpoint and step.
    pub cells: HashMap<(u16, u16, u16), Cell>,
    /// Requests or attempts that found no room.
    pub dropped: u64,
}

/// How it stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nothing was asked for.
    Nothing,
    /// It is being made, for so much longer.
    Running(Duration),
    /// It is there.
    Done(Arc<Sketch>),
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Running(Box<Sketch>),
    Done(Arc<Sketch>),
}

/// Makes one at a time. One per process.
#[derive(Default)]
pub struct Recorder {
    on: AtomicBool,
    state: Mutex<State>,
}

/// One is being made, for so much longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(pub Duration);

impl Recorder {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has anything to tell.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Begins one; what was there before is forgotten.
    ///
    /// # Errors
    /// One is being made.
    pub fn start(&self, now: Instant, length: Duration, only: Option<String>, addresses: bool) -> Result<(), Busy> {
        let mut state = self.state();
        if let State::Running(sketch) = &*state
            && now < sketch.until
        {
            return Err(Busy(sketch.until - now));
        }
        *state = State::Running(Box::new(Sketch {
            began: now,
            until: now + length.min(LONGEST),
            only,
            addresses,
            streams: Vec::new(),
            endpoints: Vec::new(),
            cells: HashMap::new(),
            dropped: 0,
        }));
        self.on.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// How it stands. A sketch that is there stays until the next one begins.
    pub fn standing(&self, now: Instant) -> Standing {
        let mut state = self.state();
        self.settle(&mut state, now);
        match &*state {
            State::Idle => Standing::Nothing,
            State::Running(sketch) => Standing::Running(sketch.until.saturating_duration_since(now)),
            State::Done(sketch) => Standing::Done(Arc::clone(sketch)),
        }
    }

    fn settle(&self, state: &mut State, now: Instant) {
        if !matches!(state, State::Running(sketch) if now >= sketch.until) {
            return;
        }
        self.on.store(false, Ordering::Relaxed);
        if let State::Running(sketch) = std::mem::take(state) {
            *state = State::Done(Arc::from(sketch));
        }
    }

    /// A request has ended.
    pub fn note(
        &self,
        now: Instant,
        key: &StreamKey,
        started: Instant,
        succeeded: bool,
        attempts: impl Iterator<Item = Attempt>,
    ) {
        let mut state = self.state();
        if let State::Running(sketch) = &mut *state {
            sketch.note(key, started, succeeded, attempts);
        }
        self.settle(&mut state, now);
    }
}

impl Sketch {
    fn step(&self, at: Instant) -> Option<u16> {
        let since = at.checked_duration_since(self.began)?;
        (at < self.until).then(|| u16::try_from(since.as_nanos() / STEP.as_nanos()).ok()).flatten()
    }

    /// What began before the sketch, or after its end, belongs to no step of it.
    fn note(&mut self, key: &StreamKey, started: Instant, good: bool, attempts: impl Iterator<Item = Attempt>) {
        if self.only.as_ref().is_some_and(|only| **only != *key.upstream) {
            return;
        }
        let Some(step) = self.step(started) else { return };
        let Some(stream) = self.stream(key) else {
            self.dropped += 1;
            return;
        };
        if let Some(counts) = self.streams.get_mut(usize::from(stream)) {
            let length = usize::from(step) + 1;
            counts.arrivals.resize(counts.arrivals.len().max(length), 0);
            if let Some(count) = counts.arrivals.get_mut(usize::from(step)) {
                *count = count.saturating_add(1);
            }
            counts.succeeded += u64::from(good);
        }
        for attempt in attempts {
            self.attempt(stream, &key.upstream, &attempt);
        }
    }

    fn stream(&mut self, key: &StreamKey) -> Option<u16> {
        if let Some(at) = self.streams.iter().position(|stream| stream.key == *key) {
            return u16::try_from(at).ok();
        }
        if self.streams.len() >= STREAMS_MAX {
            return None;
        }
        self.streams.push(Stream { key: key.clone(), arrivals: Vec::new(), succeeded: 0 });
        u16::try_from(self.streams.len() - 1).ok()
    }

    fn endpoint(&mut self, upstream: &Arc<str>, address: SocketAddr) -> Option<u16> {
        if let Some(at) = self.endpoints.iter().position(|(of, known)| *known == address && of == upstream) {
            return u16::try_from(at).ok();
        }
        if self.endpoints.len() >= ENDPOINTS_MAX {
            return None;
        }
        self.endpoints.push((Arc::clone(upstream), address));
        u16::try_from(self.endpoints.len() - 1).ok()
    }

    fn attempt(&mut self, stream: u16, upstream: &Arc<str>, attempt: &Attempt) {
        let (Some(end), Some(address)) = (end(attempt), attempt.endpoint) else { return };
        let Some(step) = self.step(attempt.launched) else { return };
        let Some(endpoint) = self.endpoint(upstream, address) else {
            self.dropped += 1;
            return;
        };
        let room = self.cells.len() < CELLS_MAX;
        let cell = match self.cells.entry((stream, endpoint, step)) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(place) if room => place.insert(Cell::default()),
            Entry::Vacant(_) => {
                self.dropped += 1;
                return;
            }
        };
        add(&mut cell.ends, end);
        if matches!(end, End::Status(_)) {
            add(&mut cell.latencies, bucket(attempt.elapsed));
        }
    }
}

/// Few different ones: a list that is kept in order is smaller and faster than a map.
fn add<K: Ord>(counts: &mut Vec<(K, u32)>, key: K) {
    match counts.binary_search_by(|(known, _)| known.cmp(&key)) {
        Ok(at) => {
            if let Some((_, count)) = counts.get_mut(at) {
                *count = count.saturating_add(1);
            }
        }
        Err(at) => counts.insert(at, (key, 1)),
    }
}

/// None = it says nothing of the endpoint: it was given up, or our own limits ended it.
fn end(attempt: &Attempt) -> Option<End> {
    match (attempt.end, attempt.ending) {
        (AttemptEnd::Status(status), _) => Some(End::Status(status)),
        (AttemptEnd::Call(code), _) => Some(End::Status(code.as_status())),
        (_, Ending::Refused | Ending::Unreachable | Ending::Tls | Ending::Dns) => Some(End::Refused),
        (_, Ending::TimedOut) => Some(End::Timeout),
        (_, Ending::Broken) => Some(End::Reset),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
