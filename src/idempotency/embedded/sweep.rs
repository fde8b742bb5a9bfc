//! Forgets what has expired: a bounded number of records at a time, so that nobody waits for it.
//!
//! The index is looked through part by part, and what was found is deleted in the order in which it stands in the file,
//! so that rows that were written together share a page once more.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Shared;
use super::batch::{Broken, is_full};
use super::index::PARTS;
use super::letters::Desk;
use super::rows::{RowId, Rows};
use crate::clock;
use crate::reliability::idempotency::RecordId;
use crate::sabotage::{Point, crash_point};

/// Rows of one transaction.
const PASS: usize = 500;

/// Transactions of one search for room.
const PASSES_MAX: usize = 20;

/// Parts of the index that are looked through in one go: a millisecond's work with a million keys.
const PARTS_A_PASS: usize = 8;

/// No more is looked for once so many are found.
const FOUND_MAX: usize = 50_000;

/// Between two transactions, if there is more.
const PAUSE: Duration = Duration::from_millis(20);

/// Rows, and whose they are.
pub(super) type Stale = Vec<(RowId, RecordId)>;

/// Where it stands.
pub(super) struct Sweeper {
    /// When there is something to do.
    pub next: Instant,
    /// The part of the index that is next, and how many are to come in this round.
    part: usize,
    left: usize,
    /// What was found, the first row at the end.
    found: Stale,
}

impl Sweeper {
    /// `expired`: rows that no key in the index knows of.
    pub fn new(next: Instant, mut expired: Stale) -> Sweeper {
        expired.sort_unstable_by_key(|(row, _)| Reverse(*row));
        Sweeper { next, part: 0, left: 0, found: expired }
    }

    /// Some parts of the index, or one transaction. If there was nothing more to find, the next one is at `later`.
    pub fn one_pass(&mut self, shared: &Shared, rows: &mut Rows<'_>, later: Instant) -> Result<(), Broken> {
        if self.found.is_empty() && self.left == 0 {
            self.left = PARTS;
            sweep_letters(shared, rows)?;
        }
        let more = if self.left > 0 { self.look(shared) } else { self.delete(shared, rows)? };
        self.next = if more { clock::now() + PAUSE } else { later };
        Ok(())
    }

    /// As much as is needed to know that there is no room.
    pub fn everything(&mut self, shared: &Shared, rows: &mut Rows<'_>) -> Result<(), Broken> {
        self.left = PARTS;
        while self.left > 0 {
            self.look(shared);
        }
        for _ in 0..PASSES_MAX {
            if !self.delete(shared, rows)? {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether there is more to do.
    fn look(&mut self, shared: &Shared) -> bool {
        let now = shared.time.now();
        for _ in 0..PARTS_A_PASS.min(self.left) {
            shared.index.expired(self.part, now, &mut self.found);
            self.part = (self.part + 1) % PARTS;
            self.left -= 1;
        }
        if self.found.len() >= FOUND_MAX {
            self.left = 0;
        }
        if self.left == 0 {
            self.found.sort_unstable_by_key(|(row, _)| Reverse(*row));
            self.found.dedup();
        }
        self.left > 0 || !self.found.is_empty()
    }

    /// One transaction. Returns whether there is more to do now.
    fn delete(&mut self, shared: &Shared, rows: &mut Rows<'_>) -> Result<bool, Broken> {
        let now = shared.time.now();
        let from = self.found.len().saturating_sub(PASS);
        // A row that is needed after all stays. Nobody but this thread gives rows to keys: what is stale remains so.
        let stale = |(row, id): &&(RowId, RecordId)| shared.index.is_stale(*id, *row, now);
        let gone: Stale = self.found.iter().skip(from).filter(stale).copied().collect();
        match gone.iter().rev().try_for_each(|(row, id)| delete_one(rows, *row, *id)).and_then(|()| rows.commit()) {
            // Without room for the log nothing can be deleted either; that is no damage.
            Err(error) if is_full(&error) => {
                rows.abandon();
                return Ok(false);
            }
            other => other?,
        };
        // Not before it is committed: the index is the only one that finds them.
        gone.iter().for_each(|(row, id)| shared.index.forget(*id, *row, now));
        self.found.truncate(from);
        Ok(!self.found.is_empty())
    }
}

fn delete_one(rows: &mut Rows<'_>, row: RowId, id: RecordId) -> rusqlite::Result<()> {
    rows.delete(row, id).map(|()| crash_point(Point::InsideSweep))
}

/// A bounded number of letters; what is left is found by the next round.
fn sweep_letters(shared: &Shared, rows: &mut Rows<'_>) -> Result<(), Broken> {
    match Desk::sweep(shared, rows) {
        Err(error) if is_full(&error) => {
            rows.abandon();
            Ok(())
        }
        other => Ok(other?),
    }
}
