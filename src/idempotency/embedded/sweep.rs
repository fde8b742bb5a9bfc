//! Forgets what has expired: a bounded number of rows at a time, so that nobody waits for it.

use std::time::{Duration, Instant};

use super::Shared;
use super::batch::{Broken, is_full};
use super::letters::Desk;
use super::rows::Rows;
use crate::clock;
use crate::reliability::idempotency::RecordId;
use crate::sabotage::{Point, crash_point};

/// Rows of one transaction.
const PASS: i64 = 500;

/// Transactions of one search for room.
const PASSES_MAX: usize = 20;

/// Between two transactions, if there is more.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two looks at keys that have no row.
const UNWRITTEN_EVERY: Duration = Duration::from_secs(60);

/// Before every row.
const START: (i64, RecordId) = (i64::MIN, RecordId([0; 16]));

/// Where it stands.
pub(super) struct Sweeper {
    /// When there is something to do.
    pub next: Instant,
    unwritten: Instant,
    behind: (i64, RecordId),
}

impl Sweeper {
    pub fn new(next: Instant) -> Sweeper {
        Sweeper { next, unwritten: next, behind: START }
    }

    /// One transaction. If there was nothing more to find, the next one is at `later`.
    pub fn one_pass(&mut self, shared: &Shared, rows: &mut Rows<'_>, later: Instant) -> Result<(), Broken> {
        let more = self.pass(shared, rows)? | sweep_letters(shared, rows)?;
        let now = clock::now();
        self.next = if more { now + PAUSE } else { later };
        if self.unwritten <= now {
            self.unwritten = now + UNWRITTEN_EVERY;
            shared.index.forget_unwritten(shared.time.now());
        }
        Ok(())
    }

    /// As much as is needed to know that there is no room.
    pub fn everything(&mut self, shared: &Shared, rows: &mut Rows<'_>) -> Result<(), Broken> {
        self.behind = START;
        for _ in 0..PASSES_MAX {
            if !self.pass(shared, rows)? {
                break;
            }
        }
        shared.index.forget_unwritten(shared.time.now());
        Ok(())
    }

    /// Returns whether there may be more.
    fn pass(&mut self, shared: &Shared, rows: &mut Rows<'_>) -> Result<bool, Broken> {
        let now = shared.time.now();
        let found = rows.expired(now, self.behind, PASS)?;
        // A row that the index still needs stays, and the search goes on behind it.
        let mut gone = found.iter().filter(|(_, id)| shared.index.forget(*id, now));
        match gone
            .try_for_each(|(_, id)| rows.delete(*id).map(|()| crash_point(Point::InsideSweep)))
            .and_then(|()| rows.commit())
        {
            // Without room for the log nothing can be deleted either; that is no damage.
            Err(error) if is_full(&error) => {
                rows.abandon();
                return Ok(false);
            }
            other => other?,
        };
        match found.last() {
            Some(last) if found.len() as i64 == PASS => {
                self.behind = *last;
                Ok(true)
            }
            _ => {
                self.behind = START;
                Ok(false)
            }
        }
    }
}

fn sweep_letters(shared: &Shared, rows: &mut Rows<'_>) -> Result<bool, Broken> {
    match Desk::sweep(shared, rows) {
        Err(error) if is_full(&error) => {
            rows.abandon();
            Ok(false)
        }
        other => Ok(other?),
    }
}
