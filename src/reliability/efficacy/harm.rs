//! Whether a dependency gets worse while it is retried.

use crate::reliability::ending::Ending;
use crate::reliability::statistics::{Z95, wilson};
use crate::reliability::verdict::history::{History, Tick};
use std::time::{Duration, Instant};

/// What counts as now …
const RECENT: Duration = Duration::from_secs(30);
/// … and what it is compared with.
const BASELINE: Duration = Duration::from_secs(300);
/// Above this many attempts per request retries are a load worth speaking of.
const LOAD: f64 = 1.1;
/// Latency has risen if its median is so many times the earlier one. Medians are known to a quarter.
const SLOWER: f64 = 1.5;
/// Answers needed on both sides for that.
const SAMPLES: u64 = 20;

/// What the last half minute looks like beside the five minutes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Harm {
    /// Latency, or the share of answers that ask for less, has risen.
    pub rising: bool,
    /// Attempts per request.
    pub amplification: f64,
}

impl Harm {
    /// Of one upstream.
    pub fn of(history: &History, now: Instant) -> Harm {
        let Some(since) = now.checked_sub(RECENT) else { return Harm::default() };
        let recent = history.sum(since, now);
        let before = since.checked_sub(BASELINE).map_or_else(Tick::default, |from| history.sum(from, since));
        let requests = recent.requests.total().max(1);
        Harm {
            rising: is_slower(&recent, &before) || is_refusing_more(&recent, &before),
            amplification: recent.attempts.total() as f64 / requests as f64,
        }
    }

    /// Whether retries that do not help do harm.
    pub fn is_done(self) -> bool {
        self.rising && self.amplification > LOAD
    }
}

fn is_slower(recent: &Tick, before: &Tick) -> bool {
    if recent.latencies.total() < SAMPLES || before.latencies.total() < SAMPLES {
        return false;
    }
    let median = |tick: &Tick| tick.latencies.quantile(0.5).unwrap_or_default();
    median(recent) > median(before).mul_f64(SLOWER)
}

fn is_refusing_more(recent: &Tick, before: &Tick) -> bool {
    let share = |tick: &Tick| {
        let refused = u64::from(tick.attempts.get(Ending::Overload));
        wilson(refused, tick.attempts.counted(), Z95)
    };
    share(recent).0 > share(before).1
}
