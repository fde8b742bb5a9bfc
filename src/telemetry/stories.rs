//! The last requests worth a story, kept in memory: what `why` answers from, and what `tap` shows live.
//!
//! Two sets of shelves. Troubled requests (not served, retried, or with an eventful key or a dead letter) have
//! [`TROUBLED_MAX`] places and [`TROUBLED_BYTES_MAX`] bytes; slow ones, and those that the access log drew, have
//! [`OTHERS_MAX`] and [`OTHERS_BYTES_MAX`]. Both together never hold more than 2.5 MiB. An untroubled request that
//! nobody drew and nobody watches is not seen here at all.

mod shelves;
pub mod taps;
pub mod told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use self::shelves::Shelves;
use self::taps::Taps;
use self::told::{Kept, Told};
use crate::clock;
use crate::telemetry::sketch::Recorder;

#[cfg(test)]
pub(crate) mod tests;

/// Troubled requests that are kept.
pub const TROUBLED_MAX: usize = 2_000;
/// What they may take.
const TROUBLED_BYTES_MAX: usize = 2 << 20;
/// Other requests that are kept.
pub const OTHERS_MAX: usize = 500;
/// What they may take.
const OTHERS_BYTES_MAX: usize = 512 << 10;
/// Digits that a part of an id must have, so that it does not fit by accident.
pub const PART_MIN: usize = 8;

/// What is kept. One per process.
pub struct Stories {
    kept: Mutex<Sets>,
    began: Timestamp,
    /// Who watches live.
    pub taps: Arc<Taps>,
    /// Who draws a sketch of all of them.
    pub recorder: Recorder,
}

struct Sets {
    /// Counts every story that was ever put here: the order of their ends.
    next: u64,
    troubled: Shelves,
    others: Shelves,
}

/// What an id stands for.
#[derive(Debug)]
pub enum Found {
    /// Nothing that is kept.
    Nothing,
    /// These, oldest first: one request, or several of one trace or with one `x-request-id`.
    Stories(Vec<Arc<Told>>),
    /// A part that fits several traces: their ids.
    Several(Vec<String>),
}

/// Which stories to list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this upstream.
    pub upstream: Option<String>,
    /// Of this outcome, in the words of the access log.
    pub outcome: Option<String>,
    /// Troubled ones only.
    pub troubled: bool,
    /// At most so many.
    pub limit: usize,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Troubled requests.
    pub troubled: usize,
    /// Slow and sampled ones.
    pub others: usize,
    /// What both take.
    pub bytes: usize,
    /// Stories that had to leave.
    pub forgotten: u64,
    /// When the oldest of them began.
    pub oldest: Option<Timestamp>,
    /// Since when stories are kept at all.
    pub since: Timestamp,
}

impl Default for Stories {
    fn default() -> Self {
        let sets = Sets {
            next: 0,
            troubled: Shelves::new(TROUBLED_MAX, TROUBLED_BYTES_MAX),
            others: Shelves::new(OTHERS_MAX, OTHERS_BYTES_MAX),
        };
        let began = Timestamp::try_from(clock::wall()).unwrap_or_default();
        Stories { kept: Mutex::new(sets), began, taps: Arc::default(), recorder: Recorder::default() }
    }
}

impl Stories {
    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one.
    pub fn keep(&self, told: Arc<Told>) {
        let mut sets = self.sets();
        let number = sets.next;
        sets.next += 1;
        let shelves = if told.kept == Some(Kept::Troubled) { &mut sets.troubled } else { &mut sets.others };
        let left = shelves.put(number, told);
        // What leaves is freed when nobody waits for the lock any more.
        drop(sets);
        drop(left);
    }

    /// By a trace id, a request id, the id of a dead letter, or eight digits and more of the first or the last.
    pub fn find(&self, id: &str) -> Found {
        let id = id.trim();
        let lower = id.to_ascii_lowercase();
        let fits = |told: &Told| told.is(id, &lower);
        let whole = self.select(fits);
        if !whole.is_empty() {
            return Found::Stories(whole);
        }
        if lower.len() < PART_MIN {
            return Found::Nothing;
        }
        let parts = self.select(|told| told.is_part(&lower));
        let mut traces: Vec<String> = parts.iter().map(|told| told.trace_id.as_str().to_owned()).collect();
        traces.sort_unstable();
        traces.dedup();
        match traces.len() {
            0 => Found::Nothing,
            1 => Found::Stories(parts),
            _ => Found::Several(traces),
        }
    }

    /// Oldest first.
    fn select(&self, wanted: impl Fn(&Told) -> bool) -> Vec<Arc<Told>> {
        let sets = self.sets();
        let all = sets.troubled.iter().chain(sets.others.iter());
        let mut found: Vec<(u64, Arc<Told>)> =
            all.filter(|(_, told)| wanted(told)).map(|(number, told)| (*number, Arc::clone(told))).collect();
        drop(sets);
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, told)| told).collect()
    }

    /// Newest first.
    pub fn list(&self, wanted: &Wanted) -> Vec<Arc<Told>> {
        let mut found = self.select(|told| {
            wanted.upstream.as_ref().is_none_or(|name| told.upstream.as_deref() == Some(name))
                && wanted.outcome.as_ref().is_none_or(|word| told.outcome.as_str() == word)
                && (!wanted.troubled || told.kept == Some(Kept::Troubled))
        });
        found.reverse();
        found.truncate(wanted.limit);
        found
    }

    /// How much there is.
    pub fn holdings(&self) -> Holdings {
        let sets = self.sets();
        let oldest = sets.troubled.iter().chain(sets.others.iter()).map(|(_, told)| told.at).min();
        Holdings {
            troubled: sets.troubled.count(),
            others: sets.others.count(),
            bytes: sets.troubled.bytes() + sets.others.bytes(),
            forgotten: sets.troubled.forgotten() + sets.others.forgotten(),
            oldest,
            since: self.began,
        }
    }
}
