//! The limit of the app behind `inbound`, in the manner of failsafe-go's `AdaptiveLimiter`.
//!
//! Vegas estimates how many requests queue inside the app: `L · (1 − baseline / recent)`, where both are 90th
//! percentiles of latency. Few: the limit rises; many: it falls. Alone this drifts upwards, because under lasting load the
//! baseline becomes what the overload has made of it. Therefore each rise is held against two correlations over the last
//! windows: if more requests in flight no longer bring more throughput, but more latency, the limit falls.
//!
//! Where this differs from failsafe-go, and why (measured in `sim/overload`):
//!
//! * Throughput is counted and not derived from the latency.
//! * The limit never falls below `throughput × baseline` (Little's law): what the app demonstrably serves without a queue
//!   is not taken away from it, also while it is only observed and nothing that is decided has any effect.
//! * The baseline follows a fall at once and a rise slowly. It does not follow a rise while as much is in flight as the limit
//!   allows, unless fewer in flight have brought less throughput: then the app has become slower, and that is no queue.
//! * Now and then a limit that is always reached is tried a little lower: what is only known from an overload is not known.
//! * Steps are a share of the limit, so that a limit of 200 needs seconds and not minutes.

use super::Sample;
use super::samples::{Latencies, Median, Pairs, Relation};
use std::time::{Duration, Instant};

/// The least length of a window, and the samples that it needs.
const WINDOW: Duration = Duration::from_millis(500);
const SAMPLES: u32 = 50;
/// A longer one is content with fewer, as is one whose requests are dropped.
const WINDOW_LONG: Duration = Duration::from_secs(2);
const SAMPLES_LEAST: u32 = 20;
/// A window that has not enough of them by then is thrown away.
const WINDOW_MAX: Duration = Duration::from_secs(30);
/// Windows over which latency and requests in flight are correlated.
const REMEMBERED: usize = 20;
/// Windows in which a baseline follows latency upwards: usually, and if the load is not the cause.
const AGE: f64 = 120.0;
const AGE_WITHOUT_LOAD: f64 = 10.0;
/// The limit is at most so many times the most that was in flight: what is not tried is not known.
const UNTRIED: f64 = 5.0;
/// Share of dropped requests from which on the limit falls whatever the latency says: by half of that share, as it takes
/// several windows to see what a fall has done.
const DROPPED: f64 = 0.1;
/// Windows in a row with as much in flight as the limit allows, after which it is tried with less: a baseline that was
/// learnt in an overload would never be found out otherwise.
const PROBE: u32 = 40;
/// How much lower. If most of it is lost in throughput, too, then the limit was not too high.
const PROBE_FALL: f64 = 0.25;
/// The correlation from which on more in flight brings more: above what chance does to so few windows.
const PAYS: f64 = 0.7;
/// Share of the limit from which on it is taken for reached: some slots may be kept for what is critical.
const FULL: f64 = 0.875;
/// The least variation of the requests in flight that says what they bring.
const SPREAD: f64 = 0.05;
/// A rise, and a fall, as shares of the limit.
const RISE: f64 = 0.1;
const FALL: f64 = 0.1;

/// What is known of the app.
#[derive(Clone, Debug)]
pub(super) struct Correlated {
    since: Instant,
    latencies: Latencies,
    dropped: u32,
    in_flight_sum: u64,
    in_flight_max: u32,
    median: Median<3>,
    baseline: Option<f64>,
    /// In a row, in which as much was in flight as the limit allows.
    full_windows: u32,
    /// While it is tried with less: the limit, the requests in flight and the throughput before.
    probe: Option<(f64, f64, f64)>,
    throughput: Pairs<REMEMBERED>,
    rtt: Pairs<REMEMBERED>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Rise,
    Hold,
    Fall,
}

/// One window.
struct Seen {
    in_flight: f64,
    in_flight_max: f64,
    per_second: f64,
    rtt: f64,
}

impl Correlated {
    pub(super) fn new(now: Instant) -> Correlated {
        Correlated {
            since: now,
            latencies: Latencies::new(),
            dropped: 0,
            in_flight_sum: 0,
            in_flight_max: 0,
            median: Median::new(),
            baseline: None,
            full_windows: 0,
            probe: None,
            throughput: Pairs::new(),
            rtt: Pairs::new(),
        }
    }

    /// The limit after `sample`, where it was `limit`.
    pub(super) fn record(&mut self, now: Instant, sample: &Sample, limit: f64) -> f64 {
        if sample.dropped {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.latencies.add(sample.rtt);
        }
        self.in_flight_sum = self.in_flight_sum.saturating_add(u64::from(sample.in_flight));
        self.in_flight_max = self.in_flight_max.max(sample.in_flight);
        let length = now.saturating_duration_since(self.since);
        let samples = self.latencies.count().saturating_add(self.dropped);
        let enough = if length < WINDOW_LONG { SAMPLES } else { SAMPLES_LEAST };
        if length < WINDOW || samples < enough && length < WINDOW_MAX {
            return limit;
        }
        let dropped = f64::from(self.dropped) / f64::from(samples.max(1));
        let seen = if samples < SAMPLES_LEAST { None } else { self.window(length, samples) };
        self.begin(now);
        if samples >= SAMPLES_LEAST && dropped > DROPPED {
            return limit * (1.0 - FALL.max(dropped / 2.0));
        }
        seen.map_or(limit, |seen| self.change(&seen, limit))
    }

    fn window(&mut self, length: Duration, samples: u32) -> Option<Seen> {
        let answered = self.latencies.count();
        let p90 = self.latencies.take_p90()?;
        Some(Seen {
            in_flight: self.in_flight_sum as f64 / f64::from(samples),
            in_flight_max: f64::from(self.in_flight_max),
            per_second: f64::from(answered) / length.as_secs_f64(),
            rtt: self.median.add(p90).max(1e-6),
        })
    }

    fn begin(&mut self, now: Instant) {
        self.since = now;
        self.latencies.clear();
        (self.dropped, self.in_flight_sum, self.in_flight_max) = (0, 0, 0);
    }

    fn change(&mut self, seen: &Seen, limit: f64) -> f64 {
        let rtt = self.rtt.add(seen.in_flight, seen.rtt);
        let by_load = rtt.correlation > 0.5;
        let full = seen.in_flight_max >= limit * FULL - 1.0;
        let throughput = self.throughput(seen, full);
        // Fewer in flight have brought less: what they do is work, and not waiting.
        let pays = full && throughput.correlation > PAYS && throughput.spread > SPREAD;
        if let Some((before, in_flight, per_second)) = self.probe.take().filter(|_| full) {
            let (fewer, lost) = (1.0 - seen.in_flight / in_flight, 1.0 - seen.per_second / per_second);
            if fewer > PROBE_FALL / 2.0 && lost > fewer / 2.0 {
                // It was all work, and what it takes now is what it takes.
                self.baseline = Some(seen.rtt);
                return before;
            }
        }
        let baseline = self.baseline(seen.rtt, full && !pays, by_load);
        let queued = limit * (1.0 - baseline / seen.rtt);
        let scale = limit.max(10.0).log10();
        let stuck =
            throughput.correlation < 0.0 || (by_load && (throughput.correlation < 0.3 || throughput.variation < 0.2));
        if full && self.full_windows.is_multiple_of(PROBE) {
            self.probe = Some((limit, seen.in_flight.max(1.0), seen.per_second.max(1.0)));
            return limit * (1.0 - PROBE_FALL);
        }
        let direction = if !pays && (queued > 6.0 * scale || (full && stuck)) {
            Direction::Fall
        } else if queued < 3.0 * scale && seen.in_flight_max * 2.0 >= limit {
            Direction::Rise
        } else {
            Direction::Hold
        };
        match direction {
            Direction::Hold => limit,
            // A limit that is above what was tried stays: less traffic is no sign of overload.
            Direction::Rise => (limit + (limit * RISE).max(scale)).min(limit.max(seen.in_flight_max * UNTRIED)),
            Direction::Fall => (limit - (limit * FALL).max(scale)).max((seen.per_second * baseline).min(limit)),
        }
    }

    /// How throughput follows the requests in flight while there are as many as the limit allows: with fewer it is the
    /// demand that both follow.
    fn throughput(&mut self, seen: &Seen, full: bool) -> Relation {
        if !full {
            self.throughput.clear();
            self.full_windows = 0;
            return Relation::default();
        }
        self.full_windows = self.full_windows.saturating_add(1);
        self.throughput.add(seen.in_flight, seen.per_second)
    }

    /// What an answer takes without a queue. `waits`: as much is in flight as may be, so that a rise is most likely a queue.
    fn baseline(&mut self, rtt: f64, waits: bool, by_load: bool) -> f64 {
        let baseline = match self.baseline {
            Some(known) if rtt > known && waits => known,
            Some(known) if rtt > known => known + (rtt - known) / if by_load { AGE } else { AGE_WITHOUT_LOAD },
            Some(_) | None => rtt,
        };
        self.baseline = Some(baseline);
        baseline
    }
}
