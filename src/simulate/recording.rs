//! What `outrigger record` writes, and what a simulation makes of it.
//!
//! Arrivals are replayed as they came, second by second; what endpoints did to attempts is drawn anew from what they did
//! to attempts in that second. That answers what other decisions would have met *if the dependency had behaved the
//! same*: whether it would have been better under less load, a recording cannot say. With a capacity it says so.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use super::model::{Model, Traffic};
use super::subject::{Subject, Wanted};
use crate::reliability::sim::system::plan::{Arrivals, Capacity, Cell, EndpointPlan, Fate, Recorded, Spread};

/// `format` of every recording.
pub const FORMAT: &str = "outrigger-recording";
/// Version of the format. A reader refuses others.
pub const VERSION: u32 = 1;
/// Larger files are refused unread: the largest sketch takes less.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Longest recording that is played.
const STEPS_MAX: usize = 3_600;
/// More requests than a sidecar carries in ten minutes are a mistake in the file, and would be played for hours.
const REQUESTS_MAX: u64 = 50_000_000;
/// What is played before it, to warm the machines up.
const WARM_UP: Duration = Duration::from_secs(5);
/// As in [`super::model`]; recorded times have their way in them.
const HOP: Duration = Duration::ZERO;
/// Attempts of a second from which on it is drawn from alone.
const ENOUGH: u64 = 5;

/// One recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Begin, RFC 3339, UTC.
    pub recorded_at: String,
    /// Length of a step.
    pub step_ms: u64,
    /// So many steps.
    pub steps: usize,
    /// Requests and attempts that found no room in the sketch.
    pub dropped: u64,
    /// Requests of one route each, idempotent ones and others apart.
    pub streams: Vec<StreamDocument>,
    /// Numbered from 1; that number names them.
    pub endpoints: Vec<EndpointDocument>,
    /// What endpoints did.
    pub cells: Vec<CellDocument>,
}

/// Requests of one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamDocument {
    /// As the policy names it.
    pub upstream: String,
    /// As the policy names it.
    pub route: String,
    /// By their method.
    pub idempotent: bool,
    /// So many came in each step; what is missing at the end is zero.
    pub arrivals: Vec<u32>,
    /// Of all of them, those that succeeded for their clients.
    pub succeeded: u64,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDocument {
    /// Of this upstream.
    pub upstream: String,
    /// Only if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Attempts of one stream at one endpoint in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellDocument {
    /// Index in `streams`, from 0.
    pub stream: usize,
    /// Number of the endpoint, from 1.
    pub endpoint: usize,
    /// From 0.
    pub step: usize,
    /// How they ended: a status, `refused`, `reset` or `timeout`, and how many.
    pub ends: Vec<(String, u32)>,
    /// How long those took that were answered: microseconds from, to, and how many.
    pub latencies: Vec<(u64, u64, u32)>,
}

impl Recording {
    /// Reads one; `file` stands in what is told.
    ///
    /// # Errors
    /// It is none, or not of this version.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Recording, String> {
        let read: Recording = serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "{file}:{}:{}: this is no recording: {error}\nnext: write one with `outrigger record --for 60s --out FILE`",
                error.line(),
                error.column()
            )
        })?;
        if read.format != FORMAT || read.version != VERSION {
            return Err(format!(
                "{file}: this is `{}`, version {}; this program reads `{FORMAT}`, version {VERSION}\nnext: record anew",
                read.format, read.version
            ));
        }
        let fits = |cell: &CellDocument| cell.stream < read.streams.len() && cell.endpoint <= read.endpoints.len();
        if read.step_ms == 0 || read.steps == 0 || read.steps > STEPS_MAX || !read.cells.iter().all(fits) {
            return Err(format!("{file}: a step, a stream or an endpoint is out of range\nnext: record anew"));
        }
        Ok(read)
    }

    /// Load and dependency for a policy. `capacity`: what each endpoint serves at once.
    ///
    /// # Errors
    /// There is no request to this policy's upstream in it.
    pub fn model(&self, subject: &Subject, capacity: Option<u32>) -> Result<Model, String> {
        let name = &*subject.upstream().name;
        let streams: Vec<usize> = (0..self.streams.len()).filter(|at| self.streams[*at].upstream == name).collect();
        let requests: u64 = streams.iter().flat_map(|at| &self.streams[*at].arrivals).map(|n| u64::from(*n)).sum();
        if requests == 0 {
            let mut names: Vec<&str> = self.streams.iter().map(|stream| stream.upstream.as_str()).collect();
            names.dedup();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            return Err(format!("no request went to `{name}`; recorded were requests to {names}"));
        }
        if requests > REQUESTS_MAX {
            return Err(format!(
                "{requests} requests; at most {REQUESTS_MAX} are played\nnext: record for a shorter time"
            ));
        }
        let step = Duration::from_millis(self.step_ms);
        let duration = step * u32::try_from(self.steps).unwrap_or(u32::MAX);
        let numbers = (1..=self.endpoints.len()).filter(|number| self.endpoints[number - 1].upstream == name);
        let endpoints: Vec<EndpointPlan> =
            numbers.map(|number| self.endpoint(number, &streams, step, capacity)).collect();
        if endpoints.is_empty() {
            return Err(format!("no attempt reached an endpoint of `{name}`: there is nothing to draw from"));
        }
        let good: u64 = streams.iter().map(|at| self.streams[*at].succeeded).sum();
        Ok(Model {
            title: format!("Recording of {} of {}", name, self.recorded_at),
            load: format!(
                "{requests} requests as they came, {:.2} % of them served then",
                good as f64 * 100.0 / requests as f64
            ),
            traffic: streams.iter().map(|at| self.traffic(*at, step)).collect(),
            endpoints,
            tiers: 1,
            shared: false,
            warm_up: WARM_UP,
            duration,
            hop: HOP,
            trouble: Vec::new(),
            notes: self.notes(subject, &streams, capacity),
        })
    }

    fn traffic(&self, at: usize, step: Duration) -> Traffic {
        let stream = &self.streams[at];
        let mut counts = stream.arrivals.clone();
        counts.resize(self.steps, 0);
        let method = if stream.idempotent { Method::GET } else { Method::POST };
        Traffic {
            route: Some(stream.route.clone()),
            wanted: Wanted { method, path: "/".to_owned(), body: 0, keyed: false },
            arrivals: Arrivals::Counted { step, counts },
            says: None,
        }
    }

    fn endpoint(&self, number: usize, streams: &[usize], step: Duration, capacity: Option<u32>) -> EndpointPlan {
        let mut cells = Vec::new();
        let steps = streams.iter().map(|stream| self.steps_of(*stream, number, &mut cells)).collect();
        EndpointPlan {
            latency: Spread::default(),
            error_ratio: 0.0,
            capacity: capacity.map(|slots| Capacity { slots, cancels: true }),
            faults: Vec::new(),
            recorded: Some(Recorded { step, steps, cells }),
        }
    }

    /// What to draw from in each step: the step itself, or the nearest one before it (else after it) that says enough.
    fn steps_of(&self, stream: usize, number: usize, cells: &mut Vec<Cell>) -> Vec<u32> {
        let own = self.cells.iter().filter(|cell| cell.stream == stream && cell.endpoint == number);
        let mut known: Vec<&CellDocument> = own.collect();
        if known.is_empty() {
            // A route that never came here: whatever came here.
            known = self.cells.iter().filter(|cell| cell.endpoint == number).collect();
        }
        known.sort_by_key(|cell| cell.step);
        let enough = |cell: &&CellDocument| cell.ends.iter().map(|(_, count)| u64::from(*count)).sum::<u64>() >= ENOUGH;
        if known.iter().any(enough) {
            known.retain(enough);
        }
        let base = cells.len();
        cells.extend(known.iter().map(|cell| drawn(cell)));
        let place = |step: usize| {
            let after = known.partition_point(|cell| cell.step <= step);
            (base + after.saturating_sub(1)) as u32
        };
        (0..self.steps).map(place).collect()
    }

    fn notes(&self, subject: &Subject, streams: &[usize], capacity: Option<u32>) -> Vec<String> {
        let mut notes = vec![
            match capacity {
                None => {
                    "what endpoints can carry is not known: more or fewer attempts change nothing of what they do. \
                         --capacity N says it"
                        .to_owned()
                }
                Some(slots) => format!(
                    "each endpoint serves {slots} at once; recorded times contain the queues of then, to which those \
                     of the simulation are added"
                ),
            },
            "what timed out is taken to have no answer at all: nobody knows how long it would have taken".to_owned(),
            "bodies are taken to be held, and requests with keys to be without".to_owned(),
        ];
        for stream in streams.iter().map(|at| &self.streams[*at]) {
            let wanted = Wanted { method: Method::GET, path: "/".to_owned(), body: 0, keyed: false };
            if !subject.treats_named(&stream.route, &wanted).1 {
                notes.push(format!("{}: there is no route `{}`; the last one stands in", subject.file, stream.route));
            }
        }
        if self.dropped > 0 {
            notes.push(format!("{} requests or attempts found no room in the recording", self.dropped));
        }
        notes.dedup();
        notes
    }
}

fn drawn(cell: &CellDocument) -> Cell {
    let whole = cell.ends.iter().map(|(_, count)| f64::from(*count)).sum::<f64>().max(1.0);
    let mut share = 0.0;
    let fates = cell.ends.iter().map(|(word, count)| {
        share += f64::from(*count) / whole;
        (share, fate(word))
    });
    Cell { fates: fates.collect(), latency: spread(&cell.latencies) }
}

fn fate(word: &str) -> Fate {
    match word {
        "refused" => Fate::Refused,
        "reset" => Fate::Reset { after: true },
        "timeout" => Fate::Hang,
        status => Fate::Answer(status.parse().unwrap_or(502)),
    }
}

/// Straight lines through the edges of the buckets.
fn spread(latencies: &[(u64, u64, u32)]) -> Spread {
    let whole: f64 = latencies.iter().map(|(_, _, count)| f64::from(*count)).sum();
    let mut points: Vec<(f64, Duration)> = Vec::new();
    let mut share = 0.0;
    for (from, to, count) in latencies {
        if points.last().is_none_or(|(_, before)| *before < Duration::from_micros(*from)) {
            points.push((share, Duration::from_micros(*from)));
        }
        share += f64::from(*count) / whole.max(1.0);
        points.push((share, Duration::from_micros(*to)));
    }
    if points.is_empty() { Spread::default() } else { Spread::through(&points) }
}

#[cfg(test)]
mod tests;
