//! Questions and orders about letters, carried out by the writer: one transaction each.

use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use super::super::rows::Rows;
use super::super::shared::Shared;
use super::{Shelf, after, audit, rows};
use crate::dead_letters::letter::{
    Audited, Bounds, Change, Deed, Filter, Letter, LetterId, NewLetter, Refusal, Sealed, Tally,
};
use crate::idempotency::store::StoreError;
use crate::reliability::dead_letters::LetterState;
use crate::reliability::idempotency::{Millis, RecordId};
use crate::sabotage::{Point, crash_point};

/// What an errand writes is not weighed; this much is assumed, which is more than most of them do.
const ERRAND_BYTES: usize = 64 * 1024;

/// Letters that are in memory at once while many are dropped.
const DROP_AT_ONCE: usize = 100;

/// Where an order is carried out.
pub(in crate::idempotency::embedded) struct Desk<'a> {
    pub connection: &'a Connection,
    pub shelf: &'a mut Shelf,
    pub bounds: Bounds,
    pub now: Millis,
    /// Records that the order leaves without a letter that needs them.
    pub freed: Vec<RecordId>,
}

/// Something for the writer to do.
pub(in crate::idempotency::embedded) trait Errand: Send {
    /// Does it, in the transaction that is open.
    fn run(&mut self, desk: &mut Desk<'_>) -> Result<()>;
    /// It was committed, or was not.
    fn tell(self: Box<Self>, error: Option<StoreError>);
}

/// An errand and who waits for it.
pub(in crate::idempotency::embedded) struct Asked<F, T> {
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<std::result::Result<T, StoreError>>,
}

impl<F, T> Asked<F, T> {
    pub fn new(work: F, reply: oneshot::Sender<std::result::Result<T, StoreError>>) -> Asked<F, T> {
        Asked { work: Some(work), done: None, reply }
    }
}

impl<F: FnOnce(&mut Desk<'_>) -> Result<T> + Send, T: Send> Errand for Asked<F, T> {
    fn run(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(desk)?);
        }
        Ok(())
    }

    fn tell(self: Box<Self>, error: Option<StoreError>) {
        let told = match (error, self.done) {
            (Some(error), _) => Err(error),
            (None, Some(done)) => Ok(done),
            (None, None) => Err(StoreError::Unavailable("the order was not carried out".to_owned())),
        };
        // Who has gone does not need to know.
        let _ = self.reply.send(told);
    }
}

impl Desk<'_> {
    pub fn keep(&mut self, new: &NewLetter) -> Result<std::result::Result<LetterId, Refusal>> {
        self.shelf.keep(self.connection, &self.bounds, new, self.now)
    }

    pub fn letter_of(&self, record: RecordId) -> Result<Option<LetterId>> {
        rows::open_of(self.connection, record)
    }

    pub fn supersede(&mut self, record: RecordId) -> Result<usize> {
        rows::close_of(self.connection, record, false, self.now, after(self.now, &self.bounds))
    }

    pub fn list(&self, filter: &Filter, after: Option<LetterId>, limit: usize) -> Result<Vec<Letter>> {
        rows::list(self.connection, filter, after, limit)
    }

    pub fn newest(&self, filter: &Filter, before: Option<LetterId>, limit: usize) -> Result<(Vec<Letter>, u64)> {
        rows::newest(self.connection, filter, before, limit)
    }

    pub fn find(&self, digits: &str, limit: usize) -> Result<Vec<LetterId>> {
        rows::find(self.connection, digits, limit)
    }

    /// Closes all that match and are open, if there are as many as expected. Returns how many there are.
    pub fn drop_all(&mut self, filter: &Filter, expected: u64, note: &str, deed: &Deed) -> Result<u64> {
        let open = Filter { states: vec![LetterState::Open], ..filter.clone() };
        let (_, found) = rows::newest(self.connection, &open, None, 0)?;
        if found != expected {
            return Ok(found);
        }
        let mut after = None;
        loop {
            let letters = rows::list(self.connection, &open, after, DROP_AT_ONCE)?;
            let Some(last) = letters.last() else { return Ok(found) };
            after = Some(last.id);
            for letter in &letters {
                // It was found in this very transaction: nothing can stand in the way.
                let _ = self.change(letter.id, None, (&Change::Close(LetterState::Dropped), note), Some(deed))?;
            }
        }
    }

    pub fn sealed(&self, id: LetterId) -> Result<Option<Sealed>> {
        rows::sealed(self.connection, id)
    }

    pub fn tallies(&self) -> Result<Vec<Tally>> {
        rows::tallies(self.connection)
    }

    /// Changes a letter if it is still the one that was seen, and writes down who did it.
    pub fn change(
        &mut self,
        id: LetterId,
        seen: Option<u64>,
        (change, note): (&Change, &str),
        deed: Option<&Deed>,
    ) -> Result<std::result::Result<Letter, Refusal>> {
        let Some(letter) = rows::get(self.connection, id)? else { return Ok(Err(Refusal::Absent)) };
        let is_right = match change {
            Change::Begin => letter.state == LetterState::Open,
            Change::Reopen { .. } => letter.state == LetterState::Replaying,
            Change::Close(_) => !letter.state.is_closed(),
        };
        if !is_right || seen.is_some_and(|version| version != letter.version) {
            return Ok(Err(Refusal::Stale { version: letter.version, state: letter.state }));
        }
        let (state, class, expires) = match *change {
            Change::Begin => (LetterState::Replaying, letter.class, letter.expires),
            Change::Reopen { class } => (LetterState::Open, class, letter.expires.max(self.now)),
            Change::Close(state) => (state, letter.class, after(self.now, &self.bounds)),
        };
        let again = matches!(change, Change::Begin);
        rows::set(self.connection, id, (state, class, note), again, (self.now, expires))?;
        crash_point(if again { Point::InsideReplayStart } else { Point::InsideReplayFinish });
        if let (Change::Close(_), Some((record, _))) = (change, letter.record) {
            self.freed.push(record);
        }
        if let Some(deed) = deed {
            audit::add(self.connection, Some(id), deed, self.now)?;
        }
        Ok(rows::get(self.connection, id)?.ok_or(Refusal::Absent))
    }

    pub fn audit(&self, letter: Option<LetterId>, deed: &Deed) -> Result<()> {
        audit::add(self.connection, letter, deed, self.now)
    }

    pub fn audited(&self, before: Option<u64>, limit: usize) -> Result<Vec<Audited>> {
        audit::list(self.connection, before, limit)
    }

    pub fn save_job(&self, id: LetterId, job: &str, jobs_max: i64) -> Result<()> {
        rows::save_job(self.connection, id, job, jobs_max)
    }

    pub fn jobs(&self) -> Result<Vec<(LetterId, String)>> {
        rows::jobs(self.connection)
    }

    /// Closes letters that were open for too long, and forgets closed ones; a bounded number.
    fn expire(&mut self) -> Result<()> {
        let records = self.shelf.expire(self.connection, &self.bounds, self.now)?;
        self.freed.extend(records);
        Ok(())
    }

    /// Carries out an errand in a transaction of its own.
    pub fn serve(shared: &Shared, table: &mut Rows<'_>, errand: &mut dyn Errand) -> Result<()> {
        in_transaction(shared, table, |desk| errand.run(desk))
    }

    /// As `serve`, for what time does to letters.
    pub fn sweep(shared: &Shared, table: &mut Rows<'_>) -> Result<()> {
        in_transaction(shared, table, |desk| desk.expire())
    }
}

fn in_transaction<T>(
    shared: &Shared,
    table: &mut Rows<'_>,
    work: impl FnOnce(&mut Desk<'_>) -> Result<T>,
) -> Result<T> {
    table.begin()?;
    let (connection, shelf) = table.shelf();
    let now = shared.time.now();
    let mut desk = Desk { connection, shelf, bounds: shared.bounds(), now, freed: Vec::new() };
    let done = work(&mut desk)?;
    let freed = desk.freed;
    let mut unpinned = Vec::new();
    table.wrote(ERRAND_BYTES);
    let committed = unpin(shared, table, &freed, &mut unpinned).and_then(|()| table.commit());
    if committed.is_err() {
        // The index must not say more than the file.
        set_pinned(shared, &unpinned, true);
    }
    committed.map(|_| done)
}

/// No letter needs these records any more.
fn unpin(shared: &Shared, table: &mut Rows<'_>, freed: &[RecordId], unpinned: &mut Vec<RecordId>) -> Result<()> {
    for id in freed {
        let row = shared.index.with(*id, |live| live.row.filter(|_| live.on_disk));
        let (connection, _) = table.shelf();
        if rows::open_of(connection, *id)?.is_some() {
            continue;
        }
        if set_pinned(shared, std::slice::from_ref(id), false) {
            unpinned.push(*id);
            row.map_or(Ok(()), |row| table.pin(row, *id, false))?;
        }
    }
    Ok(())
}

/// Returns whether any was not so before.
fn set_pinned(shared: &Shared, ids: &[RecordId], pinned: bool) -> bool {
    let mut changed = false;
    for id in ids {
        shared.index.with(*id, |live| {
            if let Some(record) = live.record.as_mut().filter(|record| record.pinned != pinned) {
                record.pinned = pinned;
                changed = true;
            }
        });
    }
    changed
}
